//! A machine's store in files, on a simulated disk of its own that is not kind.

use std::{cell::RefCell, collections::VecDeque, fmt, path::Path, rc::Rc, sync::Arc};

use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, Expected, LogChange, LogIndex, NodeId, RaftState, Receipt, Result as StorageResult, Save,
    SnapshotMeta, StagedSnapshot, Storage, StorageError, StorageErrorKind, bootstrap, codec,
};
use eraft_storage_file::{
    FileOptions, FileStorage,
    fs::{
        Fs,
        sim::{Call, Fault, Policy, Reach, SimFs},
    },
};
use eraft_storage_kit::{GroupCommitOptions, Steps};
use fastrand::Rng;
use futures_executor::block_on;
use futures_util::FutureExt;

use crate::{
    cluster::counts::counts,
    support::{
        Disk, Entries,
        store::{Failed, Store},
    },
};

const DIR: &str = "/node";
const CLUSTER: ClusterId = ClusterId(1);

counts! {
    /// How often disks did what.
    Met {
        power_cuts,
        power_cuts_in_a_commit,
        power_cuts_in_a_stage,
        power_cuts_in_an_opening,
        power_cuts_that_tore_a_write,
        power_cuts_that_tore_a_frame,
        power_cuts_that_undid_names,
        kills,
        closed_in_order,
        caches_dropped,
        commits_of_many_saves,
        confirmed_when_idle,
        commits_failed,
        commits_failed_that_publish,
        failed_saves_made_all_the_same,
        stages_failed,
        stages_given_up,
        openings_failed,
        snapshot_files_left_over,
        snapshots_read,
        segments_begun,
    }
}

/// What reads give.
#[derive(Debug)]
struct Found {
    state: RaftState,
    /// Above the base.
    entries: Entries,
    snapshot: Option<(SnapshotMeta, Entries)>,
}

/// How its process ends.
enum End {
    PowerCut,
    Kill,
}

pub(crate) struct FileStore {
    rng: Rng,
    node: NodeId,
    disk: SimFs,
    segment_bytes: u64,
    /// In thousandths, how often something is planned to go wrong in a call.
    faults: u32,
    open: Option<Open>,
    /// How many saves were in the commit that failed, if one did.
    failed_saves: usize,
    closed_in_order: bool,
    /// How much more than usual goes wrong in the next commit.
    weight: u32,
    met: Rc<RefCell<Met>>,
}

/// One process.
struct Open {
    steps: Steps,
    storage: FileStorage,
    /// Of the saves that have not completed.
    under_way: VecDeque<Receipt>,
}

impl FileStore {
    /// A founder's store, closed, and what it holds.
    pub(crate) fn founded(
        mut rng: Rng,
        node: NodeId,
        founders: &ConfState,
        met: Rc<RefCell<Met>>,
    ) -> (FileStore, Disk) {
        let disk = SimFs::new(rng.u64(..));
        let segment_bytes = [16, 16, 32][rng.usize(..3)] * 1024;
        let faults = [0, 30, 30, 100][rng.usize(..4)];
        let mut store = FileStore {
            rng,
            node,
            disk,
            segment_bytes,
            faults,
            open: None,
            failed_saves: 0,
            closed_in_order: false,
            weight: 1,
            met,
        };
        let options = store.options();
        let identity = FileStorage::create_with(store.seam(), DIR, CLUSTER, node, options).unwrap();
        let mut open = store.try_open().unwrap();
        let receipt = open.storage.save_raft_state(bootstrap(founders));
        open.steps.commit(1).unwrap();
        assert!(matches!(receipt.now_or_never(), Some(Ok(()))), "committed, and the receipt has not resolved");
        open.steps.close().unwrap();
        (store, Disk::founded_as(identity, founders))
    }

    fn options(&mut self) -> FileOptions {
        FileOptions {
            segment_bytes: self.segment_bytes,
            commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
            seed: Some(self.rng.u64(..)),
        }
    }

    fn seam(&self) -> Arc<dyn Fs> {
        Arc::new(self.disk.clone())
    }

    fn try_open(&mut self) -> StorageResult<Open> {
        let options = self.options();
        let expected = Expected::exactly(CLUSTER, self.node);
        let (storage, steps) = FileStorage::open_stepped(self.seam(), DIR, expected, options)?;
        Ok(Open { steps, storage, under_way: VecDeque::new() })
    }

    /// Plans something that goes wrong soon, or nothing.
    fn plan_fault(&mut self, thousandths: u32) {
        if self.rng.u32(..1000) >= thousandths {
            return;
        }
        // A frame is one write and one sync; the rest takes more calls.
        let soon = [0, 1, 1, 1, 2, 3, 5, 8, 12][self.rng.usize(..9)];
        if self.rng.bool() {
            return self.disk.cut_power_after(soon);
        }
        let calls = [Call::SyncData, Call::Write, Call::SyncAll, Call::SyncDir, Call::Rename, Call::CreateFile];
        let faults = [Fault::Io, Fault::Io, Fault::NoSpace, Fault::Short];
        let call = calls.get(self.rng.usize(..10)).copied().unwrap_or(Call::SyncData);
        self.disk.fail_nth(call, 1 + soon / 2, faults[self.rng.usize(..faults.len())]);
    }

    /// What was planned and did not happen does not happen later. (Power that is to go does, unless it was long ago.)
    fn forgive(&self) {
        self.disk.heal();
        if !self.disk.power_is_off() {
            self.disk.cut_power_after(u64::MAX);
        }
    }

    /// The process is gone, and perhaps the power.
    fn end(&mut self, end: End) {
        self.open = None;
        self.disk.heal();
        let before = self.disk.reach();
        match end {
            End::Kill => {
                self.disk.kill();
                if self.rng.bool() {
                    self.disk.drop_caches();
                    self.count(|met| met.caches_dropped += 1);
                }
            }
            End::PowerCut => {
                let policies = [Policy::LOSE, Policy::LOSE_DATA, Policy::KEEP];
                let policy = policies.get(self.rng.usize(..10)).copied();
                self.disk.crash_with(policy.unwrap_or(Policy::RANDOM));
            }
        }
        let (after, met) = (self.disk.reach(), &mut *self.met.borrow_mut());
        let undone = |reach: Reach| reach.creates_undone + reach.removes_undone + reach.renames_undone;
        met.kills += after.kills - before.kills;
        met.power_cuts += after.crashes - before.crashes;
        let torn = after.writes_torn > before.writes_torn;
        met.power_cuts_that_tore_a_write += u64::from(torn);
        // Nothing else was being written.
        met.power_cuts_that_tore_a_frame += u64::from(torn && self.failed_saves > 0);
        met.power_cuts_that_undid_names += u64::from(undone(after) > undone(before));
    }

    fn count(&self, add: impl FnOnce(&mut Met)) {
        add(&mut self.met.borrow_mut());
    }

    fn open(&mut self) -> &mut Open {
        self.open.as_mut().expect("the process runs")
    }

    /// A call failed: whether the node has ended.
    fn failure(&self, error: &StorageError) -> Failed {
        let honest = [StorageErrorKind::Io, StorageErrorKind::Full, StorageErrorKind::Poisoned];
        assert!(honest.contains(&error.kind()), "{error}");
        Failed { ends_the_node: self.disk.power_is_off() }
    }

    /// Reads find what is in `disk`: the published snapshot.
    fn check(&mut self, disk: &Disk) -> Option<(SnapshotMeta, Entries)> {
        let found = self.read().unwrap_or_else(|error| panic!("{}: {error}", self.node));
        assert!(found.is(disk), "{}: reads find {found:?}, and there must be {disk:?}", self.node);
        found.snapshot
    }

    fn read(&mut self) -> StorageResult<Found> {
        let storage = &self.open().storage;
        block_on(async {
            let state = storage.read_raft_state().await?;
            let entries = storage.read_entries(state.outline.first_index()..LogIndex::MAX, u64::MAX).await?;
            let snapshot = match storage.read_snapshot().await? {
                Some(reader) => {
                    let meta = reader.meta.clone();
                    Some((meta, codec::decode(&reader.read_all().await?).expect("what was staged")))
                }
                None => None,
            };
            Ok(Found { state, entries, snapshot })
        })
    }

    fn snapshot_files(&self) -> usize {
        self.disk.read_dir(&Path::new(DIR).join("snapshot")).expect("a store has it").len()
    }
}

impl Found {
    /// Whether this is what must be there.
    fn is(&self, disk: &Disk) -> bool {
        let held = disk.entries.range(disk.state.outline.first_index()..).map(|(_, entry)| entry);
        let published = disk.state.snapshot.clone().map(|meta| (meta, disk.snapshot_entries()));
        disk.state == self.state && held.eq(&self.entries) && published == self.snapshot
    }
}

impl Store for FileStore {
    fn save(&mut self, save: &Save) {
        // Of all saves those are to be watched most that change snapshot and log together.
        let weight = match (&save.snapshot, &save.update.log) {
            (Some(_), LogChange::Reset { .. }) => 20,
            (Some(_), _) => 5,
            (None, _) => 1,
        };
        self.weight = self.weight.max(weight);
        let open = self.open();
        let receipt = match save.snapshot.clone() {
            Some(staged) => open.storage.save_state_and_snapshot(save.update.clone(), staged),
            None => open.storage.save_raft_state(save.update.clone()),
        };
        open.under_way.push_back(receipt);
    }

    fn complete(&mut self, saves: usize) -> Result<(), Failed> {
        let weight = std::mem::replace(&mut self.weight, 1);
        self.plan_fault(weight * self.faults);
        let idle = self.rng.u32(..16) == 0;
        let open = self.open();
        if idle {
            // Where this fails, so does the commit.
            let _told_again = open.steps.idle();
        }
        let outcome = open.steps.commit(saves);
        let batch: Vec<Receipt> = open.under_way.drain(..saves).collect();
        self.forgive();
        self.count(|met| {
            met.commits_of_many_saves += u64::from(saves > 1);
            met.confirmed_when_idle += u64::from(idle);
        });
        for receipt in batch {
            let told = receipt.now_or_never().expect("its commit has returned");
            assert_eq!(told.is_ok(), outcome.is_ok());
        }
        if let Err(error) = outcome {
            self.failed_saves = saves;
            let off = self.disk.power_is_off();
            self.count(|met| {
                met.commits_failed += 1;
                met.commits_failed_that_publish += u64::from(weight > 1);
                met.power_cuts_in_a_commit += u64::from(off);
            });
            let _of_an_honest_kind = self.failure(&error);
            return Err(Failed { ends_the_node: true });
        }
        // It may have gone while files were removed that nobody needs any more.
        if self.disk.power_is_off() { Err(Failed { ends_the_node: true }) } else { Ok(()) }
    }

    fn stage(&mut self, meta: &SnapshotMeta, entries: &Entries) -> Result<StagedSnapshot, Failed> {
        self.plan_fault(self.faults);
        let content = codec::encode(entries);
        let (chunk_bytes, gives_up) = (self.rng.usize(1..=content.len()), self.rng.u32(..20) == 0);
        let storage = &self.open().storage;
        let staged = block_on(async {
            let mut writer = storage.stage_snapshot(meta.clone()).await?;
            for chunk in content.chunks(chunk_bytes) {
                writer.write(Bytes::copy_from_slice(chunk)).await?;
            }
            if gives_up { Ok(None) } else { writer.finish().await.map(Some) }
        });
        self.forgive();
        let off = self.disk.power_is_off();
        self.count(|met| {
            met.stages_given_up += u64::from(matches!(staged, Ok(None)));
            met.stages_failed += u64::from(staged.is_err());
            met.power_cuts_in_a_stage += u64::from(off);
        });
        match staged {
            Ok(Some(staged)) if !off => Ok(staged),
            Ok(_) => Err(Failed { ends_the_node: off }),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn discard(&mut self, staged: &StagedSnapshot) {
        block_on(self.open().storage.discard_snapshot(staged.clone())).expect("it was staged here");
    }

    fn look(&mut self, disk: &Disk) {
        if self.rng.u32(..8) == 0 {
            self.check(disk);
        }
    }

    fn read_snapshot(&mut self, disk: &Disk) -> (SnapshotMeta, Entries) {
        self.count(|met| met.snapshots_read += 1);
        self.check(disk).expect("only what is published is read")
    }

    /// Now between two calls, now in the middle of a commit; and some processes are ended politely.
    fn crash(&mut self) {
        let on = !self.disk.power_is_off();
        if on && self.failed_saves == 0 {
            let Open { mut steps, under_way, .. } = self.open.take().expect("the process runs");
            match self.rng.u32(..4) {
                0 => {
                    steps.close().expect("nothing fails");
                    self.closed_in_order = true;
                    self.count(|met| met.closed_in_order += 1);
                }
                1 | 2 if !under_way.is_empty() => {
                    self.disk.cut_power_after([0, 1, 1, 1, 2][self.rng.usize(..5)]);
                    self.failed_saves = under_way.len();
                    let _told_to_nobody = steps.commit(self.failed_saves);
                    let off = self.disk.power_is_off();
                    self.count(|met| met.power_cuts_in_a_commit += u64::from(off));
                }
                _ => {}
            }
        }
        let off = self.disk.power_is_off();
        let end = if !off && self.rng.bool() { End::Kill } else { End::PowerCut };
        self.end(end);
    }

    fn reopen(&mut self, after: &[Disk]) -> Option<usize> {
        assert!(self.open.is_none(), "{} runs already", self.node);
        let left_over = self.snapshot_files() > 1;
        self.plan_fault(self.faults);
        let opened = self.try_open();
        self.forgive();
        let off = self.disk.power_is_off();
        if opened.is_err() || off {
            let end = if !off && self.rng.bool() { End::Kill } else { End::PowerCut };
            self.count(|met| {
                met.openings_failed += 1;
                met.power_cuts_in_an_opening += u64::from(off);
            });
            opened.err().map(|error| self.failure(&error));
            self.end(end);
            return None;
        }
        self.open = opened.ok();
        let found = self.read().unwrap_or_else(|error| panic!("{}: {error}", self.node));
        let made = after.iter().rposition(|disk| found.is(disk));
        let made = made.unwrap_or_else(|| panic!("{} holds what no prefix of its saves made: {found:?}", self.node));
        assert!(made + 1 == after.len() || !self.closed_in_order, "{} was closed, and lost saves", self.node);
        assert_eq!(self.snapshot_files(), usize::from(found.snapshot.is_some()), "an abandoned stage is still there");
        let all_the_same = self.failed_saves > 0 && made > 0;
        self.count(|met| {
            met.snapshot_files_left_over += u64::from(left_over);
            met.failed_saves_made_all_the_same += u64::from(all_the_same);
        });
        (self.failed_saves, self.closed_in_order) = (0, false);
        Some(made)
    }

    fn heal(&mut self) {
        self.faults = 0;
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let segments = self.disk.counters().of(Call::Rename);
        self.count(|met| met.segments_begun += segments);
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("node", &self.node).field("disk", &self.disk).finish_non_exhaustive()
    }
}
