//! A bucket in memory that writes down every call, and fails those that a test chooses.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::*;
use eraft_storage_s3::{Bucket, Compression, RetryOptions, S3Options, S3Storage};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Answer,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use std::time::Duration;

/// What was asked of the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Put,
    PutNew,
    Get,
    Head,
    Delete,
    Create,
    Part,
    Complete,
    Abort,
    List,
}

/// One call, as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) call: Call,
    pub(crate) path: String,
    pub(crate) range: Option<std::ops::Range<u64>>,
    pub(crate) bytes: usize,
}

/// What becomes of a call.
pub(crate) enum Fate {
    Pass,
    /// It fails without effect.
    Fail(Error),
    /// It has its effect, and its reply is lost.
    Lose(Error),
    /// It is never answered.
    Hang,
    /// It has its effect after a while.
    Late(Duration),
    /// The body of its answer goes through this.
    Change(fn(Vec<u8>) -> Vec<Answer<Bytes>>),
    /// The body of its answer goes on for a thousand pieces of 1 kB, and those that are taken are counted.
    Endless(&'static AtomicUsize),
}

type Script = Box<dyn FnMut(&Asked) -> Fate + Send>;

#[derive(Default)]
struct State {
    /// What is asked beside snapshots meets its fate, and is written down, too.
    all: bool,
    /// Calls of this kind are done without their condition.
    ignored: Option<Call>,
    asked: Vec<Asked>,
    script: Option<Script>,
    open_uploads: BTreeSet<String>,
    flying_bytes: usize,
    most_flying_bytes: usize,
}

/// The bucket.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    pub(crate) inner: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

impl Watched {
    pub(crate) fn bucket(&self) -> Arc<dyn Bucket> {
        Arc::new(self.clone())
    }

    /// The same bucket, whose calls by this way have a fate of their own.
    pub(crate) fn another_way(&self) -> Watched {
        Watched { inner: Arc::clone(&self.inner), state: Arc::default() }
    }

    /// From now on, calls that concern the owner of a folder, the notes of uploads and the collector are written down and meet
    /// their fate, too. Until then they pass: most tests are about snapshots.
    pub(crate) fn watch_all(&self) {
        self.lock().all = true;
    }

    /// From now on, calls of this kind are done whatever their condition says.
    pub(crate) fn ignore_preconditions(&self, of: Call) {
        self.lock().ignored = Some(of);
    }

    /// From now on, every call's fate is this one's answer.
    pub(crate) fn script(&self, script: impl FnMut(&Asked) -> Fate + Send + 'static) {
        self.lock().script = Some(Box::new(script));
    }

    /// The first call of that kind has this fate, all others pass.
    pub(crate) fn once(&self, call: Call, fate: Fate) {
        let mut fate = Some(fate);
        self.script(move |asked| if asked.call == call { fate.take().unwrap_or(Fate::Pass) } else { Fate::Pass });
    }

    /// Every call of that kind has this fate.
    pub(crate) fn always(&self, call: Call, fate: fn() -> Fate) {
        self.script(move |asked| if asked.call == call { fate() } else { Fate::Pass });
    }

    pub(crate) fn heal(&self) {
        self.lock().script = None;
    }

    /// What was asked since last asked.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    pub(crate) fn open_uploads(&self) -> usize {
        self.lock().open_uploads.len()
    }

    /// The most bytes of parts that were under way at once.
    pub(crate) fn most_flying_bytes(&self) -> usize {
        self.lock().most_flying_bytes
    }

    /// All names of snapshots in the bucket, and of their manifests.
    pub(crate) async fn names(&self) -> Vec<String> {
        let all = self.all_names().await;
        all.into_iter().filter(|name| !is_beside(name)).collect()
    }

    /// All names in the bucket.
    pub(crate) async fn all_names(&self) -> Vec<String> {
        self.inner.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    }

    /// Waits for clean-ups behind the back of whoever dropped something.
    pub(crate) async fn settle_to(&self, names: usize) {
        for _ in 0..500 {
            if self.names().await.len() == names && self.open_uploads() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} and {} uploads are left; expected {names} objects", self.names().await, self.open_uploads());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fate(&self, asked: Asked) -> Fate {
        let mut state = self.lock();
        let collects = asked.call == Call::List && asked.path == FOLDER;
        if (collects || is_beside(&asked.path)) && !state.all {
            return Fate::Pass;
        }
        state.asked.push(asked.clone());
        state.script.as_mut().map_or(Fate::Pass, |script| script(&asked))
    }

    /// Runs a call as its fate wants it.
    async fn run<T>(&self, asked: Asked, call: impl Future<Output = Answer<T>>) -> Answer<T> {
        match self.fate(asked) {
            Fate::Pass | Fate::Change(_) | Fate::Endless(_) => call.await,
            Fate::Fail(error) => Err(error),
            Fate::Lose(error) => call.await.and(Err(error)),
            Fate::Hang => std::future::pending().await,
            Fate::Late(delay) => {
                tokio::time::sleep(delay).await;
                call.await
            }
        }
    }
}

/// The folder of the node that these tests are about.
pub(crate) const FOLDER: &str = "p/000000000000000c/0/1";

/// Whether an object is no part of a snapshot: it says who owns a folder, or tries whether somebody can, or notes an upload.
fn is_beside(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or_default();
    name == "owner" || name.starts_with("probe-") || name.ends_with(".upload")
}

fn asked(call: Call, path: &Path, bytes: usize) -> Asked {
    Asked { call, path: path.to_string(), range: None, bytes }
}

/// Counts bytes while they are under way.
struct Flying<'a>(&'a Watched, usize);

impl<'a> Flying<'a> {
    fn new(watched: &'a Watched, bytes: usize) -> Flying<'a> {
        let mut state = watched.lock();
        state.flying_bytes += bytes;
        state.most_flying_bytes = state.most_flying_bytes.max(state.flying_bytes);
        Flying(watched, bytes)
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.lock().flying_bytes -= self.1;
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Answer<PutResult> {
        let call = if options.mode == PutMode::Create { Call::PutNew } else { Call::Put };
        let asked = asked(call, path, payload.content_length());
        let ignored = self.lock().ignored == Some(call);
        let mode = if ignored { PutMode::Overwrite } else { options.mode.clone() };
        let options = PutOptions { mode, ..options };
        self.run(asked, self.inner.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Answer<Box<dyn MultipartUpload>> {
        unreachable!("uploads are made step by step")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Answer<GetResult> {
        let call = if options.head { Call::Head } else { Call::Get };
        let range = match &options.range {
            Some(GetRange::Bounded(range)) => Some(range.clone()),
            _ => None,
        };
        let asked = Asked { call, path: path.to_string(), range, bytes: 0 };
        let fate = self.fate(asked);
        let answer = match fate {
            Fate::Fail(error) | Fate::Lose(error) => return Err(error),
            Fate::Hang => std::future::pending().await,
            Fate::Pass | Fate::Late(_) => return self.inner.get_opts(path, options).await,
            Fate::Endless(taken) => {
                let body = stream::iter(0..1000).map(move |_| {
                    taken.fetch_add(1, Ordering::Relaxed);
                    Ok(Bytes::from_static(&[7; 1000]))
                });
                let answer = self.inner.get_opts(path, options).await?;
                return Ok(GetResult { payload: GetResultPayload::Stream(body.boxed()), ..answer });
            }
            Fate::Change(change) => (self.inner.get_opts(path, options).await?, change),
        };
        let (answer, change) = answer;
        let (meta, range, attributes, extensions) =
            (answer.meta.clone(), answer.range.clone(), answer.attributes.clone(), answer.extensions.clone());
        let pieces = change(answer.bytes().await?.to_vec());
        let payload = GetResultPayload::Stream(stream::iter(pieces).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        let watched = self.clone();
        let delete = move |path: Answer<Path>| {
            let watched = watched.clone();
            async move {
                let path = path?;
                let one = stream::iter([Ok(path.clone())]).boxed();
                let call = async { watched.inner.delete_stream(one).try_collect::<Vec<_>>().await };
                watched.run(asked(Call::Delete, &path, 0), call).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        match self.fate(asked(Call::List, prefix.unwrap_or(&Path::default()), 0)) {
            Fate::Fail(error) => stream::iter([Err(error)]).boxed(),
            // It breaks off.
            Fate::Lose(error) => listed.take(1).chain(stream::iter([Err(error)])).boxed(),
            Fate::Hang => stream::pending().boxed(),
            Fate::Pass | Fate::Late(_) | Fate::Change(_) | Fate::Endless(_) => listed,
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Watched {
    async fn create_multipart(&self, path: &Path) -> Answer<MultipartId> {
        self.create_multipart_opts(path, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Answer<MultipartId> {
        let create = async {
            let id = self.inner.create_multipart_opts(path, options).await?;
            self.lock().open_uploads.insert(id.clone());
            Ok(id)
        };
        self.run(asked(Call::Create, path, 0), create).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, payload: PutPayload) -> Answer<PartId> {
        let bytes = payload.content_length();
        let _flying = Flying::new(self, bytes);
        self.run(asked(Call::Part, path, bytes), self.inner.put_part(path, id, index, payload)).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Answer<PutResult> {
        let complete = async {
            if !self.lock().open_uploads.remove(id) {
                return Err(absent(path));
            }
            self.inner.complete_multipart(path, id, parts).await
        };
        self.run(asked(Call::Complete, path, 0), complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Answer<()> {
        let abort = async {
            if !self.lock().open_uploads.remove(id) {
                return Err(absent(path));
            }
            self.inner.abort_multipart(path, id).await
        };
        self.run(asked(Call::Abort, path, 0), abort).await
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

pub(crate) fn absent(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "status code: 404 Not Found".into() }
}

pub(crate) fn denied() -> Error {
    Error::PermissionDenied { path: "it".into(), source: "status code: 403 Forbidden".into() }
}

pub(crate) fn busy() -> Error {
    Error::Generic { store: "S3", source: "status code: 503 Slow Down".into() }
}

/// Small bounds, so that small snapshots have many chunks, parts and reads.
pub(crate) fn options() -> S3Options {
    S3Options {
        prefix: "p".into(),
        compression: Compression::None,
        chunk_bytes: 100,
        part_bytes: 250,
        parts_in_flight: 3,
        read_bytes: 300,
        reads_in_flight: 2,
        retry: RetryOptions {
            attempts: 4,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
            call_timeout: Duration::from_secs(20),
        },
        ..S3Options::default()
    }
}

/// Bytes that do not compress, and differ by seed.
pub(crate) fn noise(seed: u64, length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

pub(crate) fn meta(index: u64) -> SnapshotMeta {
    let conf_state = ConfState::of_voters([(NodeId(1), Bytes::from_static(b"one"))]);
    SnapshotMeta { last: EntryId::new(1, index), conf_state }
}

pub(crate) fn keep() -> RaftStateUpdate {
    RaftStateUpdate { hard_state: None, log: LogChange::Keep }
}

pub(crate) fn entries(range: std::ops::RangeInclusive<u64>) -> RaftStateUpdate {
    let entries = range.map(|index| Entry::command(Term(1), LogIndex(index), "x")).collect();
    RaftStateUpdate { hard_state: None, log: LogChange::Append(entries) }
}

pub(crate) fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new(7);
    MemoryStorage::create(&disk, ClusterId(0xc), NodeId(1)).unwrap();
    disk
}

pub(crate) type Store = S3Storage<MemoryStorage>;

/// A store of that disk, opened anew.
pub(crate) async fn open(disk: &MemoryDisk, watched: &Watched, options: S3Options) -> Store {
    let local = MemoryStorage::open(disk, Expected::any()).unwrap();
    S3Storage::over(local, GroupId::ZERO, watched.bucket(), options).await.unwrap()
}

/// A new store with ten entries.
pub(crate) async fn fresh(watched: &Watched, options: S3Options) -> Store {
    let store = open(&disk(), watched, options).await;
    store.save_raft_state(entries(1..=10)).await.unwrap();
    store
}

/// Stages `bytes`, in writes that fall across chunks.
pub(crate) async fn stage(store: &impl Storage, index: u64, bytes: &Bytes) -> Result<StagedSnapshot> {
    let mut writer = store.stage_snapshot(meta(index)).await?;
    let mut left = bytes.clone();
    while !left.is_empty() {
        writer.write(left.split_to(left.len().min(137))).await?;
    }
    writer.finish().await
}

pub(crate) async fn publish(store: &impl Storage, index: u64, bytes: &Bytes) {
    let staged = stage(store, index, bytes).await.unwrap();
    store.save_state_and_snapshot(keep(), staged).await.unwrap();
}

pub(crate) async fn read(store: &impl Storage) -> Result<Vec<u8>> {
    store.read_snapshot().await?.unwrap().read_all().await
}
