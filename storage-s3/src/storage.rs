//! The storage port: log and state in the local store, snapshots in the bucket.
//!
//! Everything but snapshots is the local store's own, call by call. What the local store has as its snapshot is a manifest,
//! so which snapshot is published is decided by the local store alone, in the same atomic save as the state. The bucket is
//! asked while a snapshot is staged, moved, read or discarded, and never else: with the bucket away a store opens, saves and reads.
//! A snapshot that cannot wait until the bucket is back goes into the local store, and moves later.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use eraft_core::{
    Entry, GroupId, Identity, LogIndex, RaftState, RaftStateUpdate, Receipt, Result, SnapshotMeta, SnapshotReader,
    SnapshotWriter, StagedSnapshot, Storage, StorageError, StorageErrorKind,
};
use futures_util::StreamExt as _;
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Bucket, Fencing, Garbage, S3Options,
    client::Client,
    collect::{collect, whenever_published},
    content::{self, Content},
    download,
    failure::Failure,
    in_use::InUse,
    inline::InlineStage,
    lane::{Lane, Publication},
    manifest::Manifest,
    metrics::Told,
    mover::Mover,
    names::Folder,
    outage::Outage,
    owner::Owner,
    randomness::generator,
    stage::Stage,
    stages::Stages,
    upload::Upload,
};

/// One Raft group whose snapshots are in a bucket, over a local store of that group.
pub struct S3Storage<L> {
    local: Arc<L>,
    lane: Lane,
    shared: Arc<Shared>,
    /// What works behind everyone's back: the mover, and the collector where anything may be collected.
    behind: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// What stages and readers hold on to.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) identity: Identity,
    pub(crate) group: GroupId,
    pub(crate) folder: Folder,
    pub(crate) owner: Owner,
    pub(crate) in_use: InUse,
    pub(crate) outage: Outage,
    pub(crate) options: S3Options,
    pub(crate) stages: Stages,
}

impl<L: Storage> S3Storage<L> {
    /// Keeps the snapshots of `local`, which is open and holds `group`, in `bucket`. Must be called within a tokio runtime,
    /// which uploads and downloads run on from then on. The bucket is not asked, but by a snapshot that was kept for want of it
    /// and moves there now. Close the store before it is opened again: where it is dropped, such a move holds `local` for a
    /// moment more.
    ///
    /// # Errors
    /// `Invalid` for options out of bounds, and outside a runtime; `Incompatible` where `local` has a snapshot that was
    /// taken without S3; `WrongIdentity` where it has another node's; what `local` answers.
    pub async fn over(local: L, group: GroupId, bucket: Arc<dyn Bucket>, options: S3Options) -> Result<S3Storage<L>> {
        options.check()?;
        let runtime = Handle::try_current().map_err(|error| {
            StorageError::invalid(format!(
                "a store with its snapshots in a bucket is opened within a tokio runtime: {error}"
            ))
        })?;
        let identity = local.read_raft_state().await?.identity;
        let folder = Folder::new(&options.prefix, &identity, group)?;
        let (random, told) = (generator(options.seed)?, Told::new(identity.node, group));
        let class = options.storage_class.as_deref();
        let client = Client::new(bucket, runtime.clone(), options.retry, class, random, told);
        let owner = Owner::new(client.clone(), folder.clone(), identity.store, options.fencing);
        let (in_use, stages, outage) = (InUse::default(), Stages::default(), Outage::new(Arc::clone(&client.told)));
        let shared = Arc::new(Shared { client, identity, group, folder, owner, in_use, outage, options, stages });
        let (size_bytes, kept_here) = shared.find_published(local.read_snapshot().await?).await?;
        let (local, lane) = (Arc::new(local), Lane::new(runtime.clone(), size_bytes, kept_here, shared.in_use.clone()));
        let mover = Mover { local: Arc::downgrade(&local), lane: lane.clone(), shared: Arc::clone(&shared) };
        let mut behind = vec![AbortOnDropHandle::new(runtime.spawn(mover.run()))];
        if shared.options.fencing == Fencing::Required {
            let work = whenever_published(Arc::clone(&shared), lane.kept_here());
            behind.push(AbortOnDropHandle::new(runtime.spawn(work)));
        }
        Ok(S3Storage { local, lane, shared, behind: Mutex::new(behind) })
    }

    /// What nobody needs of what is in this node's folder, and would be removed by [`S3Storage::collect_garbage`].
    ///
    /// # Errors
    /// As there.
    pub async fn find_garbage(&self) -> Result<Garbage> {
        self.collect(false).await
    }

    /// Removes what nobody needs from this node's folder, as is done after each publication. What could not be removed is not
    /// told, and found the next time.
    ///
    /// # Errors
    /// `Invalid` without fencing, `Poisoned` where the folder was lost, `WrongIdentity` where it is another store's,
    /// `Unavailable` where the bucket does not say; what the local store answers.
    pub async fn collect_garbage(&self) -> Result<Garbage> {
        self.collect(true).await
    }

    async fn collect(&self, act: bool) -> Result<Garbage> {
        self.shared.within(move |shared| async move { collect(&shared, act).await }).await
    }

    /// The store below.
    pub fn local(&self) -> &L {
        &self.local
    }
}

impl<L: Storage> S3Storage<L> {
    /// Refuses a save, in its turn: behind those that were made before.
    fn refuse(&self, fenced: StorageError) -> Receipt {
        self.lane.refuse(|| self.local.save_raft_state(RaftStateUpdate::default()), fenced)
    }

    /// Whether a snapshot of this goes into the local store: the bucket is away, and the log has no time to wait for it, or no
    /// room, or has nothing of what the snapshot holds.
    async fn stays_here(&self, meta: &SnapshotMeta) -> Result<bool> {
        if !self.shared.outage.is_on() {
            return Ok(false);
        }
        if self.shared.options.cannot_wait(self.local.raft_state_size(), self.local.room_bytes()) {
            return Ok(true);
        }
        let log_ends = self.local.read_raft_state().await?.outline.last_index();
        Ok(log_ends < meta.last.index)
    }
}

impl Shared {
    /// Runs `work` on the runtime, whatever executor waits for it.
    pub(crate) async fn within<T, W>(self: &Arc<Shared>, work: impl FnOnce(Arc<Shared>) -> W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let lost =
            |failure: Failure| StorageError::new(StorageErrorKind::Unavailable, "calling the bucket", failure.text);
        self.client.start(work(Arc::clone(self))).await.map_err(lost)?
    }

    /// The bytes of what the local store names at the opening, and whether it has them itself.
    async fn find_published(&self, local: Option<SnapshotReader>) -> Result<(u64, bool)> {
        let Some(local) = local else { return Ok((0, false)) };
        let last = local.meta.last;
        let (size_bytes, object) = match content::read(local).await? {
            Content::Inline { size_bytes, .. } => (size_bytes, None),
            Content::Remote(manifest) => (manifest.size_bytes, Some(self.object_of(&manifest)?)),
        };
        let kept_here = object.is_none();
        self.in_use.publish(last, object.map(|object| Arc::new(self.in_use.hold(object))));
        Ok((size_bytes, kept_here))
    }

    /// Publishes what is staged with a save of the local store.
    pub(crate) fn publish<L: Storage>(
        &self,
        local: &L,
        lane: &Lane,
        update: RaftStateUpdate,
        snapshot: StagedSnapshot,
    ) -> Receipt {
        let staged = match self.stages.take(&snapshot) {
            Ok(staged) => staged,
            Err(error) => return Receipt::resolved(Err(error)),
        };
        let save = || local.save_state_and_snapshot(update, staged.local.clone());
        let hold = staged.uploaded.as_ref().map(|uploaded| Arc::clone(&uploaded.hold));
        let publication = Publication { last: snapshot.meta.last, size_bytes: snapshot.size_bytes, hold };
        let (receipt, accepted) = lane.save(Some(publication), save);
        if !accepted {
            self.stages.put_back(staged);
        }
        receipt
    }

    /// Removes what is staged, from the local store and from the bucket.
    pub(crate) async fn discard<L: Storage>(&self, local: &L, snapshot: StagedSnapshot) -> Result<()> {
        let staged = self.stages.take(&snapshot)?;
        // Nothing can publish it any more: it is removed also where nobody waits for that.
        let upload = staged.uploaded.as_ref().map(|uploaded| {
            Upload::written(self.client.clone(), uploaded.names.clone(), self.options.clone(), uploaded.late)
        });
        if let Err(error) = local.discard_snapshot(staged.local.clone()).await {
            upload.into_iter().for_each(Upload::keep);
            self.stages.put_back(staged);
            return Err(error);
        }
        if let Some(upload) = upload {
            upload.remove().await;
        }
        Ok(())
    }

    /// Where the object of a manifest that the local store has lies.
    fn object_of(&self, manifest: &Manifest) -> Result<Path> {
        manifest.check_identity(&self.identity, self.group).map_err(|detail| {
            let during = "reading the manifest of the published snapshot";
            StorageError::new(StorageErrorKind::WrongIdentity, during, detail)
        })?;
        manifest.path().map_err(content::corrupt)
    }

    /// Reads what a snapshot of the local store says of itself; the bucket is asked when the reader is polled.
    async fn reader(&self, local: SnapshotReader) -> Result<SnapshotReader> {
        let meta = local.meta.clone();
        match content::read(local).await? {
            Content::Inline { size_bytes, bytes } => Ok(SnapshotReader { meta, size_bytes, chunks: bytes }),
            Content::Remote(manifest) => {
                let hold = self.in_use.hold(self.object_of(&manifest)?);
                let size_bytes = manifest.size_bytes;
                let chunks = download::chunks(self.client.clone(), manifest, &self.options);
                // Held as long as anybody may read on.
                let chunks = chunks.map(move |chunk| {
                    let _held = &hold;
                    chunk
                });
                Ok(SnapshotReader { meta, size_bytes, chunks: chunks.boxed() })
            }
        }
    }
}

#[async_trait]
impl<L: Storage> Storage for S3Storage<L> {
    fn save_raft_state(&self, update: RaftStateUpdate) -> Receipt {
        match self.shared.owner.check_fenced() {
            Ok(()) => self.lane.save(None, || self.local.save_raft_state(update)).0,
            Err(fenced) => self.refuse(fenced),
        }
    }

    fn save_state_and_snapshot(&self, update: RaftStateUpdate, snapshot: StagedSnapshot) -> Receipt {
        match self.shared.owner.check_fenced() {
            Ok(()) => self.shared.publish(&*self.local, &self.lane, update, snapshot),
            Err(fenced) => self.refuse(fenced),
        }
    }

    async fn stage_snapshot(&self, meta: SnapshotMeta) -> Result<Box<dyn SnapshotWriter>> {
        // First of all, so that what the local store would refuse is not uploaded.
        let local = self.local.stage_snapshot(meta.clone()).await?;
        let shared = Arc::clone(&self.shared);
        if self.stays_here(&meta).await? {
            shared.owner.check_fenced()?;
            return Ok(Box::new(InlineStage::begin(shared, local).await?));
        }
        let taken = shared.within(|shared| async move { shared.owner.take().await }).await;
        match shared.outage.step(taken) {
            Ok(epoch) => Ok(Box::new(Stage::new(shared, local, meta, epoch))),
            Err(away) if away.kind() == StorageErrorKind::Unavailable && self.stays_here(&meta).await? => {
                Ok(Box::new(InlineStage::begin(shared, local).await?))
            }
            Err(error) => Err(error),
        }
    }

    async fn discard_snapshot(&self, snapshot: StagedSnapshot) -> Result<()> {
        self.shared.owner.check_fenced()?;
        self.shared.discard(&*self.local, snapshot).await
    }

    async fn read_raft_state(&self) -> Result<RaftState> {
        self.local.read_raft_state().await
    }

    async fn read_entries(&self, range: Range<LogIndex>, max_bytes: u64) -> Result<Vec<Entry>> {
        self.local.read_entries(range, max_bytes).await
    }

    async fn read_snapshot(&self) -> Result<Option<SnapshotReader>> {
        let _opening = self.shared.in_use.opening().await;
        match self.local.read_snapshot().await? {
            Some(snapshot) => self.shared.reader(snapshot).await.map(Some),
            None => Ok(None),
        }
    }

    fn raft_state_size(&self) -> u64 {
        self.local.raft_state_size()
    }

    fn snapshot_size(&self) -> u64 {
        self.lane.size_bytes()
    }

    fn room_bytes(&self) -> u64 {
        self.local.room_bytes()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let published = self.shared.in_use.published().is_some();
        let snapshot_in = match (published, *self.lane.kept_here().borrow()) {
            (false, _) => "nowhere",
            (true, false) => "bucket",
            (true, true) => "local-store",
        };
        let bucket_away = u8::from(self.shared.outage.is_on()).to_string();
        let mut facts = self.local.facts();
        facts.extend([("snapshot_in", snapshot_in.to_owned()), ("bucket_away", bucket_away)]);
        facts
    }

    async fn close(&self) -> Result<()> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let closed = self.local.close().await;
        self.lane.drained().await;
        closed
    }
}

impl<L: fmt::Debug> fmt::Debug for S3Storage<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bucket: it holds credentials.
        f.debug_struct("S3Storage")
            .field("local", &self.local)
            .field("group", &self.shared.group)
            .field("folder", &self.shared.folder)
            .finish_non_exhaustive()
    }
}
