//! The whole: workload after workload, each recorded once, its states put to the test on all cores.
#![expect(
    clippy::disallowed_methods,
    reason = "the one place here that starts threads, joins them, and looks how long they took"
)]

use std::{
    io::Write as _,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use eraft_core::GroupId;

use super::{
    Backend, Category, Image, Report,
    category::Moment,
    check::check,
    disk::listing,
    history::Bounds,
    states::{Cursor, Seen, State, StateId, States, seed_of, state_at},
    workload::{self, Recording},
};

/// How much is enumerated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything random comes from it.
    pub seed: u64,
    /// Workloads are recorded until so many distinct states were put to the test.
    pub states: u64,
    /// The least number of changes of the disk in one workload.
    pub operations: usize,
    /// About how many states of each category one workload gives, where there are so many.
    pub per_category: u64,
    /// The groups that are saved to; group 0 alone for a backend without many groups.
    pub groups: Vec<GroupId>,
    /// One state alone, as a failure names it.
    pub only: Option<String>,
}

impl Default for Plan {
    /// 10^5 states under seed 1, of two groups.
    fn default() -> Plan {
        let groups = vec![GroupId(0), GroupId(1)];
        Plan { seed: 1, states: 100_000, operations: 4000, per_category: 2600, groups, only: None }
    }
}

impl Plan {
    /// The same with what the environment asks for: `ERAFT_SEED`, `ERAFT_CRASH_STATES` (how many), and `ERAFT_CRASH_STATE`
    /// (one alone).
    #[must_use]
    pub fn from_env(mut self) -> Plan {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        self.seed = number("ERAFT_SEED").unwrap_or(self.seed);
        self.states = number("ERAFT_CRASH_STATES").unwrap_or(self.states);
        self.only = std::env::var("ERAFT_CRASH_STATE").ok().or(self.only);
        self
    }
}

/// Enumerates the crash states of a backend, and puts each to the test.
///
/// # Errors
/// The first state that breaks a promise: what is wrong, where it comes from, and how to make it again.
pub fn run(backend: &dyn Backend, plan: &Plan) -> Result<Report, String> {
    let started = Instant::now();
    let mut report = Report { seed: plan.seed, fewest_operations: usize::MAX, ..Report::default() };
    if let Some(only) = &plan.only {
        let id = parse(only).ok_or_else(|| format!("{only} names no state; a failure prints such a name"))?;
        let recording = record(backend, plan, id.round)?;
        let state = make(&recording, plan, id);
        count(&mut report, &state);
        return check(backend, &recording, &state)
            .map(|()| report)
            .map_err(|why| explain(plan, &recording, &state, &why));
    }
    let mut seen = Seen::default();
    while report.total() < plan.states {
        let (round, before) = (report.rounds, report.total());
        let recording = record(backend, plan, round)?;
        report.rounds += 1;
        let operations = recording.journal.mutating();
        report.operations += operations;
        report.fewest_operations = report.fewest_operations.min(operations);
        recording.kinds.iter().for_each(|(kind, count)| *report.kinds.entry(kind).or_default() += count);
        let states = States::new(&recording, round, seed_of_round(plan, round), plan.per_category, &mut seen);
        check_all(backend, plan, &recording, states, &mut report)?;
        report.took = started.elapsed();
        if report.total() == before {
            return Err(format!("workload {round} gave no state that was not met before"));
        }
        if plan.states > 1_000_000 {
            // Not by `println!`: a test keeps that for its end, and whoever waits is to see that it goes on.
            let line = format!("{} of {} states, {:.0} s", report.total(), plan.states, report.took.as_secs_f64());
            let _nobody_may_read = writeln!(std::io::stderr(), "{line}");
        }
    }
    Ok(report)
}

fn record(backend: &dyn Backend, plan: &Plan, round: u64) -> Result<Recording, String> {
    workload::record(backend, &plan.groups, plan.operations, seed_of_round(plan, round))
        .map_err(|why| format!("without any crash, under seed {}, workload {round}: {why}", plan.seed))
}

fn seed_of_round(plan: &Plan, round: u64) -> u64 {
    seed_of(plan.seed, 0, Category::AllLost, round)
}

/// All states of one workload, on all cores.
fn check_all(
    backend: &dyn Backend,
    plan: &Plan,
    recording: &Recording,
    states: States<'_>,
    report: &mut Report,
) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (states, report) = (Mutex::new((states, 0_u64)), Mutex::new(report));
    let (failed, failures) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let (state, number) = {
                let mut states = states.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(state) = states.0.next() else { break };
                states.1 += 1;
                (state, states.1)
            };
            match check(backend, recording, &state) {
                Ok(()) => count(&mut report.lock().unwrap_or_else(PoisonError::into_inner), &state),
                Err(why) => {
                    failed.store(true, Ordering::Relaxed);
                    failures
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, explain(plan, recording, &state, &why)));
                }
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort();
    failures.into_iter().next().map_or(Ok(()), |(_, failure)| Err(failure))
}

fn count(report: &mut Report, state: &State) {
    report.digest ^= state.content.rotate_left(u32::from(!state.counts));
    match state.counts {
        true => *report.states.entry(state.id.category).or_default() += 1,
        false => report.again += 1,
    }
}

/// One state by its name.
fn make(recording: &Recording, plan: &Plan, id: StateId) -> State {
    let cursor = Cursor::new(&recording.journal, Image::new(), Bounds::default()).go_to(id.position);
    let moment = Moment::of(&cursor.image, cursor.next());
    state_at(&cursor, &moment, id, seed_of_round(plan, id.round))
}

fn parse(name: &str) -> Option<StateId> {
    let numbers: Vec<u64> = name.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [round, position, category, way] = numbers[..] else { return None };
    let category = Category::ALL.into_iter().find(|known| *known as u64 == category)?;
    Some(StateId { round, position: position as usize, category, way })
}

fn explain(plan: &Plan, recording: &Recording, state: &State, why: &str) -> String {
    let id = &state.id;
    let name = format!("{}.{}.{}.{}", id.round, id.position, id.category as u64, id.way);
    format!(
        "{why}\n  seed {}, workload {}, crash before operation {}: {} (way {})\n{}  what the crash left:\n{}  \
         known then: {:?}\n  again: ERAFT_SEED={} ERAFT_CRASH_STATE={name}",
        plan.seed,
        id.round,
        id.position,
        id.category,
        id.way,
        recording.journal.around(id.position),
        listing(&state.image),
        state.bounds,
        plan.seed,
    )
}
