//! Every call that a store makes, failed once: for backends that do their input and output through a seam.
//!
//! A short life of a store (created, opened, saved to in two groups, published to, compacted, closed, killed, opened again) is
//! run once to count its calls. Then it is run again for each call and each fault that the call can meet: `EIO`, `ENOSPC`,
//! `EROFS`, `EINTR`, `EMFILE`, half of what was asked for; a failed sync counts its pages as clean and loses some. Each time
//! the error is of the right kind and says where; a failed save is the end of the engine; after a kill or a power cut the
//! store opens on the healed disk, shows all that was acknowledged and nothing that was never saved, still shows it after
//! the next power cut, and goes on. Nothing may panic.
//!
//! The author of a backend writes a [`Backend`] over a [`Disk`] that counts calls and fails the n-th, and calls [`run`]:
//!
//! ```ignore
//! let report = sweep::run(&MyBackend, &sweep::Plan::from_env(1)).unwrap_or_else(|failure| panic!("{failure}"));
//! println!("{report}");
//! ```
//!
//! It may assume that a backend under the same seed makes the same calls, more or less: a point that is not met is not
//! counted. It must never tell a backend which call will fail.

mod check;
mod life;
mod report;

use std::fmt;

use eraft_core::{ClusterId, Expected, GroupId, Identity, NodeId, Result, StorageError, StorageErrorKind};

use crate::{Crash, Engine, sample};

pub use report::Report;

/// What a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// `EIO`: the device failed. A sync that fails so may have written any part, and counts everything as clean.
    Io,
    /// `ENOSPC`: the disk is full.
    NoSpace,
    /// `EROFS`: the file system has become read-only.
    ReadOnly,
    /// `EINTR`: a signal came. Made again by whoever makes calls, but for a sync, which has failed.
    Interrupted,
    /// `EMFILE`: too many open files.
    TooManyFiles,
    /// No failure: a part of the bytes was read or written, and the rest is to be asked for.
    Short,
}

/// A disk that counts the calls it is asked for, and fails one; what is under it is the backend's to know.
pub trait Disk {
    /// Every kind of call, and how many of it there were so far.
    fn calls(&self) -> Vec<(&'static str, u64)>;

    /// The faults that a call of this kind can meet. A kind whose name begins with `sync` makes something durable.
    fn faults_of(&self, call: &'static str) -> &'static [Fault];

    /// The `nth` call of this kind from now on (1 is the next) meets the fault, once.
    fn fail_nth(&self, call: &'static str, nth: u64, fault: Fault);

    /// Takes the planned fault back.
    fn heal(&self);

    /// Ends whoever has the store open: handles reach nothing any more, locks are free.
    fn crash(&self, crash: Crash);
}

/// How stores of a backend come to stand on such a disk. Everything random comes from a seed.
pub trait Backend {
    /// The disk.
    type Disk: Disk;

    /// A new, empty disk.
    fn disk(&self, seed: u64) -> Self::Disk;

    /// The backend's `create`, at a place of its own choice, always the same.
    ///
    /// # Errors
    /// As the backend's own.
    fn create(&self, disk: &Self::Disk, cluster: ClusterId, node: NodeId, seed: u64) -> Result<Identity>;

    /// The backend's `open` of that place.
    ///
    /// # Errors
    /// As the backend's own.
    fn open(&self, disk: &Self::Disk, expected: Expected, seed: u64) -> Result<Box<dyn Engine>>;

    /// Whether an error says where it happened: the file, the key, the place.
    fn names_where(&self, error: &StorageError) -> bool;

    /// Whether a call of this kind may also be there to tidy up, so that its failure need not be told to anybody: what it
    /// leaves behind is met at the next opening.
    fn keeps_quiet(&self, _call: &'static str) -> bool {
        false
    }

    /// Whether this is what the backend makes of that fault: a full disk is `Full`, the rest is `Io`.
    fn is_right(&self, fault: Fault, kind: StorageErrorKind) -> bool {
        match fault {
            Fault::NoSpace => kind == StorageErrorKind::Full,
            _ => kind == StorageErrorKind::Io,
        }
    }
}

/// So many failures are told before a sweep ends.
const FAILURES: usize = 5;

/// How much is swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything random comes from it.
    pub seed: u64,
    /// Of every so many points one is tried, chosen by the seed; 1 tries all.
    pub one_of: u64,
    /// The groups that are saved to; group 0 alone for a backend without many groups.
    pub groups: Vec<GroupId>,
    /// One point alone, as a failure names it.
    pub only: Option<String>,
}

impl Plan {
    /// One point of `one_of`, or what the environment asks for: all with `ERAFT_LONG=1`, under `ERAFT_SEED`, or
    /// `ERAFT_SWEEP_POINT` alone.
    pub fn from_env(one_of: u64) -> Plan {
        let (seed, one_of) = sample::from_env(one_of);
        let groups = vec![GroupId(0), GroupId(1)];
        Plan { seed, one_of, groups, only: std::env::var("ERAFT_SWEEP_POINT").ok() }
    }

    fn takes(&self, number: u64, point: Point) -> bool {
        match &self.only {
            Some(only) => *only == point.to_string(),
            None => sample::takes(self.seed, number, self.one_of),
        }
    }
}

/// One call, one fault, and how the process ends afterwards.
#[derive(Clone, Copy, Debug)]
struct Point {
    call: &'static str,
    nth: u64,
    fault: Fault,
    crash: Crash,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:?}.{:?}", self.call, self.nth, self.fault, self.crash)
    }
}

/// Sweeps over every call of a life.
///
/// # Errors
/// The first points that break a promise: what is wrong, and how to meet each again.
pub fn run<B: Backend>(backend: &B, plan: &Plan) -> std::result::Result<Report, String> {
    let mut report = Report { seed: plan.seed, ..Report::default() };
    let disk = backend.disk(plan.seed);
    let whole = life::live(backend, &disk, plan);
    if let Some(failure) = whole.failure {
        return Err(format!("without any fault, under seed {}: {failure}", plan.seed));
    }
    report.calls = disk.calls();
    report.saves = whole.saves();
    let mut failures = Vec::new();
    for (number, point) in points(&disk).into_iter().enumerate() {
        if plan.takes(number as u64, point) && failures.len() < FAILURES {
            match check::check(backend, plan, point) {
                Ok(met) => report.count(point, met),
                Err(why) => failures
                    .push(format!("{point}: {why}\n  again: ERAFT_SEED={} ERAFT_SWEEP_POINT={point}", plan.seed)),
            }
        }
    }
    if failures.is_empty() { Ok(report) } else { Err(failures.join("\n")) }
}

/// Every point there is, after a life without any fault.
fn points(disk: &impl Disk) -> Vec<Point> {
    let mut points = Vec::new();
    for (call, count) in disk.calls() {
        for fault in disk.faults_of(call) {
            for nth in 1..=count {
                points.extend([Crash::Kill, Crash::PowerLoss].map(|crash| Point { call, nth, fault: *fault, crash }));
            }
        }
    }
    points
}
