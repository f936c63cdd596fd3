//! The bytes of an object on their way in: one put where they are few, else parts, a bounded number of them at once.
//!
//! Memory: the parts in flight, and the one that is gathered. Whatever was begun is cleaned up unless [`Upload::keep`] was
//! called: by [`Upload::remove`], or behind the back of whoever drops it. What a crash, or a bucket that is away, leaves
//! behind is garbage that nothing names.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use eraft_core::{Result, StorageError};
use object_store::{MultipartId, PutPayload, multipart::PartId};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, warn};

use crate::{S3Options, VerifyUpload, client::Client, failure::Failure, names::Names, note};

const DURING: &str = "uploading a snapshot";

/// An object that is being written, and the copy of its manifest.
pub(crate) struct Upload {
    client: Client,
    names: Names,
    options: S3Options,
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// Everything that was pushed.
    size_bytes: u64,
    parts: Parts,
    /// Writes the copy of the manifest; never given up half-way, or it might appear when its object is gone.
    describing: Option<JoinHandle<std::result::Result<(), Failure>>>,
    /// That copy may appear at any later time: a request for it was not answered.
    late: Arc<AtomicBool>,
    /// What may be in the bucket by now, known or not.
    tried: Tried,
}

/// The parts that were begun.
#[derive(Default)]
struct Parts {
    /// Begins the upload; never given up half-way, or nobody would know its id.
    creating: Option<JoinHandle<std::result::Result<MultipartId, Failure>>>,
    id: Option<MultipartId>,
    flying: JoinSet<std::result::Result<(usize, PartId), Failure>>,
    done: Vec<(usize, PartId)>,
    begun: usize,
}

#[derive(Clone, Copy, Default)]
struct Tried {
    object: bool,
    manifest: bool,
}

impl Upload {
    /// Asks the bucket for nothing yet.
    pub(crate) fn new(client: Client, names: Names, options: S3Options) -> Upload {
        Upload {
            client,
            names,
            options,
            gathered: Vec::new(),
            gathered_bytes: 0,
            size_bytes: 0,
            parts: Parts::default(),
            describing: None,
            late: Arc::default(),
            tried: Tried::default(),
        }
    }

    /// One that is whole and described, and shall not stay. Whether it was [`Upload::is_late`].
    pub(crate) fn written(client: Client, names: Names, options: S3Options, late: bool) -> Upload {
        let mut upload = Upload::new(client, names, options);
        upload.tried = Tried { object: true, manifest: true };
        upload.late = Arc::new(late.into());
        upload
    }

    /// Whether the copy of the manifest may appear once more at any later time.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Takes the next bytes; waits where too many parts are on their way.
    pub(crate) async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        self.size_bytes += bytes.len() as u64;
        loop {
            let room = self.options.part_bytes(self.parts.begun) - self.gathered_bytes;
            if (bytes.len() as u64) < room {
                break;
            }
            self.gather(bytes.split_to(usize::try_from(room).unwrap_or(usize::MAX)));
            self.send_part().await?;
        }
        self.gather(bytes);
        Ok(())
    }

    fn gather(&mut self, bytes: Bytes) {
        self.gathered_bytes += bytes.len() as u64;
        if !bytes.is_empty() {
            self.gathered.push(bytes);
        }
    }

    /// Sends what was gathered on its way, as soon as there is room for it.
    async fn send_part(&mut self) -> Result<()> {
        let id = self.id().await?;
        while self.parts.flying.len() >= self.options.parts_in_flight {
            self.land_one().await?;
        }
        let payload = PutPayload::from_iter(std::mem::take(&mut self.gathered));
        self.gathered_bytes = 0;
        let (client, path, index) = (self.client.clone(), self.names.object.clone(), self.parts.begun);
        self.parts.begun += 1;
        let put = async move {
            let bytes = payload.content_length() as u64;
            let part = client.put_part(&path, &id, index, payload).await?;
            client.told.uploaded(bytes);
            Ok((index, part))
        };
        self.parts.flying.spawn_on(put, &self.client.runtime);
        Ok(())
    }

    /// The id of the upload, which is begun here.
    async fn id(&mut self) -> Result<MultipartId> {
        if let Some(id) = &self.parts.id {
            return Ok(id.clone());
        }
        let (client, path) = (self.client.clone(), self.names.object.clone());
        let names = self.names.clone();
        let create = async move {
            let id = client.create_multipart(&path).await?;
            // Before any part: whoever finds the note ends the upload, if nobody else does.
            if let Err(failure) = note::write(&client, &names, &id).await {
                end(&client.brief(), &names, &id).await;
                return Err(failure);
            }
            Ok(id)
        };
        let creating = self.parts.creating.get_or_insert_with(|| self.client.runtime.spawn(create));
        let created = creating.await.unwrap_or_else(|lost| Err(Failure::lasting(lost.to_string())));
        self.parts.creating = None;
        let id = created.map_err(|failure| self.failed(&failure))?;
        self.parts.id = Some(id.clone());
        Ok(id)
    }

    async fn land_one(&mut self) -> Result<()> {
        let Some(landed) = self.parts.flying.join_next().await else { return Ok(()) };
        let landed = landed.unwrap_or_else(|lost| Err(Failure::lasting(lost.to_string())));
        self.parts.done.push(landed.map_err(|failure| self.failed(&failure))?);
        Ok(())
    }

    /// Makes the object whole.
    pub(crate) async fn complete(&mut self) -> Result<()> {
        self.tried.object = true;
        if self.parts.begun == 0 {
            let payload = PutPayload::from_iter(std::mem::take(&mut self.gathered));
            let (client, path) = (self.client.clone(), self.names.object.clone());
            let put = self.client.start(async move { client.put(&path, payload).await });
            put.await.and_then(|put| put).map_err(|failure| self.failed(&failure))?;
            self.client.told.uploaded(self.size_bytes);
            return Ok(());
        }
        if self.gathered_bytes > 0 {
            self.send_part().await?;
        }
        while !self.parts.flying.is_empty() {
            self.land_one().await?;
        }
        let mut done = std::mem::take(&mut self.parts.done);
        done.sort_unstable_by_key(|(index, _)| *index);
        let parts = done.into_iter().map(|(_, part)| part).collect();
        let (client, path, id, size_bytes) =
            (self.client.clone(), self.names.object.clone(), self.id().await?, self.size_bytes);
        let complete = self.client.start(async move { client.complete_multipart(&path, &id, parts, size_bytes).await });
        complete.await.and_then(|done| done).map_err(|failure| self.failed(&failure))?;
        self.parts.id = None;
        // Nobody waits for it: what is left of it is found by the collector.
        let (client, names) = (self.client.brief(), self.names.clone());
        drop(self.client.runtime.spawn(async move { remove_note(&client, &names).await }));
        Ok(())
    }

    /// Writes the copy of the manifest beside the object, which is whole and verified, and verifies the copy.
    pub(crate) async fn describe(&mut self, manifest: Bytes) -> Result<()> {
        self.tried.manifest = true;
        let (client, path, verify) = (self.client.clone(), self.names.manifest.clone(), self.options.verify);
        let late = Arc::clone(&self.late);
        let put = async move {
            client.put_new(&path, &manifest, &late).await?;
            // Twice, since a byte may be changed on its way back, too.
            let held = match verify {
                VerifyUpload::Length => true,
                VerifyUpload::ReadBack => {
                    client.holds(&path, &manifest).await? || client.holds(&path, &manifest).await?
                }
            };
            if held { Ok(()) } else { Err(Failure::lasting("it reads back with other bytes than were sent")) }
        };
        let described = self.describing.insert(self.client.runtime.spawn(put)).await;
        self.describing = None;
        let described = described.unwrap_or_else(|lost| Err(Failure::lasting(lost.to_string())));
        described.map_err(|failure| failure.unavailable(DURING, &self.names.manifest))
    }

    /// What was written stays.
    pub(crate) fn keep(mut self) {
        (self.tried, self.parts.id) = (Tried::default(), None);
    }

    /// Removes what was written, to the end also where nobody waits for it any more: here no longer than a call may take.
    pub(crate) async fn remove(mut self) {
        let (removing, time) = (self.clean_up(), self.client.time_for(0));
        let removing = self.client.runtime.spawn(removing);
        // Within the runtime, whatever executor is here: it waits by the clock.
        let waiting = self.client.start(async move { tokio::time::timeout(time, removing).await });
        if !matches!(waiting.await, Ok(Ok(Ok(())))) {
            debug!(object = %self.names.object, "what was written of a snapshot is not removed yet");
        }
    }

    /// Takes over what has to be cleaned up, and does it.
    fn clean_up(&mut self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut parts = std::mem::take(&mut self.parts);
        let tried = std::mem::take(&mut self.tried);
        let (describing, late) = (self.describing.take(), Arc::clone(&self.late));
        let (client, names) = (self.client.brief(), self.names.clone());
        async move {
            // Parts that arrive after the abort would stay: it comes when none is under way here any more.
            parts.flying.shutdown().await;
            let created = match parts.creating {
                Some(creating) => creating.await.ok().and_then(std::result::Result::ok),
                None => None,
            };
            if let Some(id) = parts.id.or(created) {
                end(&client, &names, &id).await;
            }
            if let Some(describing) = describing {
                drop(describing.await);
            }
            remove(&client, &names, tried, late.load(Ordering::Relaxed)).await;
        }
    }

    fn failed(&self, failure: &Failure) -> StorageError {
        failure.unavailable(DURING, &self.names.object)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let begun = self.parts.creating.is_some() || self.parts.id.is_some();
        if begun || self.tried.object || self.tried.manifest {
            let removing = self.clean_up();
            drop(self.client.runtime.spawn(removing));
        }
    }
}

/// Aborts an upload, and removes its note once that is done.
async fn end(client: &Client, names: &Names, id: &MultipartId) {
    match client.abort_multipart(&names.object, id).await {
        Ok(()) => remove_note(client, names).await,
        Err(failure) => {
            client.told.left_behind(1);
            warn!(object = %names.object, failure = failure.text, "parts of a snapshot stay in the bucket");
        }
    }
}

async fn remove_note(client: &Client, names: &Names) {
    if let Err(failure) = client.delete(&names.note).await {
        client.told.left_behind(1);
        warn!(object = %names.note, failure = failure.text, "an object that nothing needs stays in the bucket");
    }
}

/// Removes what may be there: the manifest first, since a manifest always names a whole object. Where one may appear late,
/// its object stays.
async fn remove(client: &Client, names: &Names, mut tried: Tried, late: bool) {
    if late {
        tried.object = false;
        client.told.left_behind(1);
        warn!(object = %names.object, "it stays in the bucket: a request for its manifest was not answered, and may yet be done");
    }
    let steps = [(tried.manifest, &names.manifest), (tried.object, &names.object)];
    let mut steps = steps.into_iter().filter(|(tried, _)| *tried);
    while let Some((_, path)) = steps.next() {
        if let Err(failure) = client.delete(path).await {
            client.told.left_behind(1 + steps.count() as u64);
            warn!(object = %path, failure = failure.text, "an object that nothing needs stays in the bucket");
            return;
        }
    }
}
