//! Where a case works: one [`Env`], what is open on it, and the words for what must hold.
//!
//! Every check is counted, and a case that has made none fails: a case that cannot fail is a defect.

use std::{
    fmt,
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use eraft_core::{
    ClusterId, Expected, GroupId, Identity, NodeId, RaftStateUpdate, Receipt, Result, SnapshotMeta, StagedSnapshot,
    Storage, StorageErrorKind,
};

use crate::{Content, Crash, Engine, Env, Model, make::stage};

/// The cluster whose store every case works on.
pub const CLUSTER: ClusterId = ClusterId(0xc1a5_7e12);
/// The member of it.
pub const NODE: NodeId = NodeId(1);

/// The handle of one group.
pub type Handle = Arc<dyn Storage>;

/// One case's workplace.
pub struct Lab {
    env: Box<dyn Env>,
    engine: Option<Box<dyn Engine>>,
    identity: Identity,
    /// Everything random in a case comes from here.
    pub random: fastrand::Rng,
    /// Whether the case has passed under another seed before: what is slow and hardly random is done smaller then.
    pub again: bool,
    checks: AtomicU64,
}

impl Lab {
    pub(crate) fn new(env: Box<dyn Env>, seed: u64, again: bool) -> Lab {
        let nobody = Identity { cluster: CLUSTER, node: NODE, store: Default::default() };
        let random = fastrand::Rng::with_seed(seed);
        Lab { env, engine: None, identity: nobody, random, again, checks: AtomicU64::new(0) }
    }

    pub(crate) fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    // Coming and going.

    /// The environment, for what this type has no word for.
    pub fn env(&mut self) -> &mut dyn Env {
        &mut *self.env
    }

    /// A new store at a new location, open: its group 0.
    pub async fn fresh(&mut self) -> Handle {
        self.engine = None;
        self.env.fresh().await;
        self.identity = self.env.create(CLUSTER, NODE).await.expect("creating a store at an empty location");
        self.open().await
    }

    /// The store at the location, which nobody has open: its group 0.
    pub async fn open(&mut self) -> Handle {
        self.try_open().await.expect("opening the store")
    }

    pub(crate) async fn try_open(&mut self) -> Result<Handle> {
        let engine = self.env.open(Expected::exactly(CLUSTER, NODE)).await?;
        self.engine.insert(engine).group(GroupId::ZERO).await
    }

    /// Closes and opens again. (The ancestor's `Copy` of its persister.)
    #[doc(alias = "Copy")]
    pub async fn reopen(&mut self) -> Handle {
        self.close().await;
        self.open().await
    }

    /// Closes the engine, whatever handles are still around.
    pub async fn close(&mut self) {
        self.try_close().await.expect("closing the engine");
    }

    pub(crate) async fn try_close(&mut self) -> Result<()> {
        self.engine.take().expect("a case closes what it opened").close().await
    }

    /// Closes an engine that has failed, whatever it says to that, and opens again.
    pub async fn reopen_after_failure(&mut self) -> Handle {
        self.close_failed().await;
        self.open().await
    }

    /// Closes an engine that has failed, whatever it says to that.
    pub async fn close_failed(&mut self) {
        if let Some(engine) = self.engine.take() {
            let _failed_before = engine.close().await;
        }
    }

    /// Drops the engine without closing it.
    pub fn drop_engine(&mut self) {
        self.engine = None;
    }

    /// Crashes, and opens what is left.
    pub async fn crash(&mut self, crash: Crash) -> Handle {
        self.crash_only(crash).await;
        self.open().await
    }

    /// Crashes, and leaves it at that.
    pub async fn crash_only(&mut self, crash: Crash) {
        self.env.crash(crash).await;
        self.engine = None;
    }

    /// The engine that is open.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_deref().expect("a case opens an engine before it uses it")
    }

    /// The handle of one of its groups.
    pub async fn group(&self, id: u64) -> Handle {
        self.engine().group(GroupId(id)).await.expect("the handle of a group that is free")
    }

    /// What the store that was just created holds.
    pub fn blank_model(&self) -> Model {
        Model::blank(self.identity)
    }

    // Doing, on store and model alike.

    /// Saves durably.
    #[track_caller]
    pub fn save<'a>(
        &'a self,
        storage: &'a Handle,
        model: &mut Model,
        update: RaftStateUpdate,
    ) -> impl Future<Output = ()> + Send + 'a {
        let receipt = self.submit(storage, model, update);
        let place = Location::caller();
        async move { receipt.await.unwrap_or_else(|error| panic!("the save at {place} failed: {error}")) }
    }

    /// Saves, and leaves the receipt to the caller.
    #[track_caller]
    pub fn submit(&self, storage: &Handle, model: &mut Model, update: RaftStateUpdate) -> Receipt {
        model.apply(&update, None).expect("the case's own save is valid");
        storage.save_raft_state(update)
    }

    /// Stages a snapshot of these chunks.
    pub async fn stage(&self, storage: &Handle, meta: SnapshotMeta, chunks: &[Bytes]) -> StagedSnapshot {
        stage(storage, meta, chunks).await.expect("staging a snapshot")
    }

    /// Stages a snapshot and publishes it durably with `update`.
    pub async fn publish(
        &self,
        storage: &Handle,
        model: &mut Model,
        update: RaftStateUpdate,
        meta: SnapshotMeta,
        chunks: &[Bytes],
    ) {
        let staged = self.stage(storage, meta.clone(), chunks).await;
        model.apply(&update, Some(&Content::new(meta, chunks))).expect("the case's own save is valid");
        storage.save_state_and_snapshot(update, staged).await.expect("publishing a snapshot");
    }

    // What must hold.

    /// The store shows exactly the model.
    pub async fn shows(&self, storage: &Handle, model: &Model, when: &str) {
        let found = Model::read(storage).await.unwrap_or_else(|error| panic!("{when}: reading failed: {error}"));
        let difference = model.difference(&found);
        self.holds(when, difference.is_none(), || difference.clone().unwrap_or_default());
    }

    /// The store shows one of `models`, at or after the one at position `at_least`: which.
    pub async fn shows_one_of(&self, storage: &Handle, models: &[Model], at_least: usize, when: &str) -> usize {
        let found = Model::read(storage).await.unwrap_or_else(|error| panic!("{when}: reading failed: {error}"));
        let position = models.iter().rposition(|model| model.difference(&found).is_none());
        let newest = models.last().and_then(|model| model.difference(&found));
        self.holds(when, position.is_some_and(|position| position >= at_least), || match position {
            Some(position) => format!("found the state after save {position}, but save {at_least} was acknowledged"),
            None => format!("found the state after no save; against the newest: {newest:?}"),
        });
        position.unwrap_or_default()
    }

    /// Two values are the same.
    #[track_caller]
    pub fn equal<T: PartialEq + fmt::Debug>(&self, what: &str, found: T, expected: T) {
        self.holds(what, found == expected, || format!("expected {expected:?}, found {found:?}"));
    }

    /// A call was refused with this kind of error.
    #[track_caller]
    pub fn refused<T>(&self, what: &str, outcome: Result<T>, kind: StorageErrorKind) {
        match outcome {
            Ok(_) => self.holds(what, false, || format!("expected {kind:?}, but it succeeded")),
            Err(error) => {
                self.holds(what, error.kind() == kind, || format!("expected {kind:?}, found {error}"));
                self.holds(what, !error.detail().is_empty(), || "the error says nothing".to_owned());
            }
        }
    }

    /// A call was refused, whatever the kind of error.
    #[track_caller]
    pub fn fails<T>(&self, what: &str, outcome: Result<T>) {
        self.holds(what, outcome.is_err(), || "expected an error, but it succeeded".to_owned());
    }

    /// Something is so.
    #[track_caller]
    pub fn holds(&self, what: &str, so: bool, otherwise: impl FnOnce() -> String) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        assert!(so, "{what}: {}", otherwise());
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab").field("identity", &self.identity).field("checks", &self.checks).finish_non_exhaustive()
    }
}
