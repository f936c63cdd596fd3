//! Every call of the seam, failed once: a store of files on the simulated disk keeps all that it has acknowledged.
//!
//! Every point of one life is tried; `ERAFT_LONG=1` sweeps over the lives of eight seeds. A failure names its point:
//! `again: ERAFT_SEED=1 ERAFT_SWEEP_POINT=sync_data.7.Io.Kill`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use eraft_conformance::{
    Crash, Engine,
    sweep::{Backend, Disk, Fault, Plan, Report, run},
};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result, StorageError};
use eraft_storage_file::{
    FileEngine, FileOptions,
    fs::sim::{self, Call, SimFs},
};
use eraft_storage_kit::GroupCommitOptions;

const DIR: &str = "/node";

/// How many lives are swept over in the long run.
const LIVES: u64 = 8;

/// The seam's calls by the names that a failure has.
const CALLS: [(&str, Call); 14] = [
    ("create_dir", Call::CreateDir),
    ("create_file", Call::CreateFile),
    ("open", Call::Open),
    ("read_dir", Call::ReadDir),
    ("metadata", Call::Metadata),
    ("rename", Call::Rename),
    ("remove_file", Call::RemoveFile),
    ("remove_dir", Call::RemoveDir),
    ("sync_dir", Call::SyncDir),
    ("lock", Call::Lock),
    ("read", Call::Read),
    ("write", Call::Write),
    ("sync_data", Call::SyncData),
    ("sync_all", Call::SyncAll),
];

struct OnSimulatedDisk(SimFs);

impl Disk for OnSimulatedDisk {
    fn calls(&self) -> Vec<(&'static str, u64)> {
        let counters = self.0.counters();
        CALLS.map(|(name, call)| (name, counters.of(call))).to_vec()
    }

    fn faults_of(&self, call: &'static str) -> &'static [Fault] {
        match call {
            "write" => &[Fault::Io, Fault::NoSpace, Fault::ReadOnly, Fault::Interrupted, Fault::Short],
            "read" => &[Fault::Io, Fault::Interrupted, Fault::Short],
            "create_file" => &[Fault::Io, Fault::NoSpace, Fault::ReadOnly, Fault::Interrupted, Fault::TooManyFiles],
            "open" | "read_dir" | "lock" => &[Fault::Io, Fault::ReadOnly, Fault::Interrupted, Fault::TooManyFiles],
            "metadata" => &[Fault::Io, Fault::Interrupted],
            _ => &[Fault::Io, Fault::NoSpace, Fault::ReadOnly, Fault::Interrupted],
        }
    }

    fn fail_nth(&self, call: &'static str, nth: u64, fault: Fault) {
        let call = CALLS.iter().find(|(name, _)| *name == call).unwrap().1;
        let fault = match fault {
            Fault::Io => sim::Fault::Io,
            Fault::NoSpace => sim::Fault::NoSpace,
            Fault::ReadOnly => sim::Fault::ReadOnly,
            Fault::Interrupted => sim::Fault::Interrupted,
            Fault::TooManyFiles => sim::Fault::TooManyFiles,
            Fault::Short => sim::Fault::Short,
        };
        self.0.fail_nth(call, nth, fault);
    }

    fn heal(&self) {
        self.0.heal();
    }

    fn crash(&self, crash: Crash) {
        match crash {
            Crash::Kill => self.0.kill(),
            Crash::PowerLoss => self.0.crash(),
        }
    }
}

struct Files;

impl Files {
    /// The smallest segments, so that they rotate all the time, and no marks by the clock.
    fn options(seed: u64) -> FileOptions {
        FileOptions {
            segment_bytes: 16 * 1024,
            commit: GroupCommitOptions { idle_after: None, ..GroupCommitOptions::default() },
            seed: Some(seed),
        }
    }
}

impl Backend for Files {
    type Disk = OnSimulatedDisk;

    fn disk(&self, seed: u64) -> OnSimulatedDisk {
        OnSimulatedDisk(SimFs::new(seed))
    }

    fn create(&self, disk: &OnSimulatedDisk, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity> {
        FileEngine::create_with(Arc::new(disk.0.clone()), DIR, cluster, node, Files::options(seed))
    }

    fn open(&self, disk: &OnSimulatedDisk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>> {
        let engine = FileEngine::open_with(Arc::new(disk.0.clone()), DIR, expected, Files::options(seed))?;
        Ok(Box::new(Open(engine)))
    }

    fn names_where(&self, error: &StorageError) -> bool {
        error.detail().starts_with('/')
    }

    /// A file that is not needed any more is removed durably, or again at the next opening.
    fn keeps_quiet(&self, call: &'static str) -> bool {
        call == "sync_dir"
    }
}

eraft_conformance::engine!(Open(FileEngine));

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost_and_the_store_goes_on() {
    let plan = Plan::from_env(1);
    let long = std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1");
    for life in 0..if long && plan.only.is_none() { LIVES } else { 1 } {
        let plan = Plan { seed: plan.seed + life, ..plan.clone() };
        let report = run(&Files, &plan).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{report}");
        if plan.only.is_none() {
            assert_met(&report);
        }
    }
}

/// Every kind of call was made, and every fault was told, or borne where that is right.
fn assert_met(report: &Report) {
    let calls: u64 = report.calls.iter().map(|(_, count)| count).sum();
    assert!(calls > 300 && report.saves > 20, "too short a life: {report}");
    for (name, _) in CALLS.iter().filter(|(name, _)| *name != "remove_dir") {
        assert!(
            report.calls.iter().any(|(call, count)| call == name && *count > 0),
            "{name} is never called: {report}"
        );
    }
    for fault in [Fault::Io, Fault::NoSpace, Fault::ReadOnly, Fault::TooManyFiles] {
        assert!(report.by_fault()[&fault].0 > 0, "{fault:?} was never told: {report}");
    }
    for fault in [Fault::Short, Fault::Interrupted] {
        assert!(report.by_fault()[&fault].1 > 0, "{fault:?} was never borne: {report}");
    }
    for call in ["sync_dir", "sync_data", "sync_all"] {
        assert!(report.points[&(call, Fault::Io)].0 > 0, "no failed {call} was told: {report}");
    }
}
