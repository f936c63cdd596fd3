//! What a walk does, as plain data: drawn at random, and made simpler where it fails.
//!
//! An operation says where it acts by distances from the ends of the log, not by indices, so that it means something
//! whatever stood before it: any of them can be left out. What is not possible where it comes does nothing. Numbers are
//! drawn such that smaller is simpler, and kinds such that an earlier one is simpler.

use proptest::{
    prelude::*,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::Ordeals;
use crate::Crash;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Waits for every receipt: the store shows the newest state.
    Wait,
    /// Saves, and does not wait.
    Save { group: u64, change: Change, vote: Option<Vote> },
    /// Saves what is not valid.
    Refused { group: u64, wrong: Wrong },
    /// Reads the state, and then entries from `back` before the last one on, whatever is under way.
    Read { group: u64, back: u64, max_bytes: u64 },
    /// Opens a reader of the published snapshot, and reads its first chunk. The rest is read when all is awaited.
    OpenReader { group: u64 },
    /// Begins a stage that is never published.
    GiveUp { group: u64, chunks: usize, how: GiveUp },
    /// Closes, whatever is under way, and opens again.
    Reopen,
    /// Waits for some receipts of each group, the oldest first, crashes, and opens again.
    Crash { crash: Crash, awaited: usize },
    /// Makes the next sync or write fail, saves an entry in each group, crashes, and opens again.
    Fault { fault: Fault, crash: Crash },
}

/// What a save changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Nothing of the log.
    Keep,
    /// Entries after all but the last `back`.
    Append { back: u64, count: u64, size_bytes: usize, new_term: bool, configs: bool },
    /// A snapshot of all but the last `back` entries; the log compacted to it or not.
    Publish { back: u64, chunks: usize, compacts: bool },
    /// The log compacted to `back` entries before the snapshot.
    Compact { back: u64 },
    /// A reset to an entry `ahead` of the last one, with its snapshot.
    Reset { ahead: u64, chunks: usize },
}

/// A hard state: for whom was voted, and how far before the last entry the commit index is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    pub(super) node: Option<u64>,
    pub(super) back: u64,
}

/// A save that is not valid.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    Gap,
    AtTheBase,
    ResetWithoutItsSnapshot,
}

/// How a stage ends that is not published.
#[derive(Clone, Copy, Debug)]
pub(super) enum GiveUp {
    Discard,
    Abort,
    Drop,
}

/// What fails, once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Sync,
    Write,
}

/// An operation for each seed.
pub(super) fn drawn(ordeals: &Ordeals, seeds: &[u64]) -> Vec<Operation> {
    let operation = any(ordeals);
    seeds.iter().map(|seed| tree(&operation, *seed).current()).collect()
}

/// What to try next in place of the operation of this seed, when of its simpler forms so far these were `seen` to fail or
/// not; `None` when there is none left.
///
/// A tree of proptest cannot wait in a future of many threads, so it is drawn and led to where it was each time.
pub(super) fn simpler(ordeals: &Ordeals, seed: u64, seen: &[bool]) -> Option<Operation> {
    let mut tree = tree(&any(ordeals), seed);
    let mut more = tree.simplify();
    for failed in seen {
        more = more && if *failed { tree.simplify() } else { tree.complicate() };
    }
    more.then(|| tree.current())
}

fn tree(operation: &BoxedStrategy<Operation>, seed: u64) -> Box<dyn ValueTree<Value = Operation>> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 4].map(u64::to_le_bytes).concat());
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    operation.new_tree(&mut runner).expect("no operation is rejected when it is drawn")
}

/// Operations for a backend that can be put through `ordeals`.
fn any(ordeals: &Ordeals) -> BoxedStrategy<Operation> {
    let group = || 0..ordeals.groups;
    let save = (group(), change(), prop::option::weighted(0.5, vote()));
    let read = (group(), 0..60_u64, prop_oneof![Just(0), 0..5000_u64, Just(u64::MAX)]);
    let wrong = prop_oneof![Just(Wrong::Gap), Just(Wrong::AtTheBase), Just(Wrong::ResetWithoutItsSnapshot)];
    let how = prop_oneof![Just(GiveUp::Discard), Just(GiveUp::Abort), Just(GiveUp::Drop)];
    let mut kinds: Vec<(u32, BoxedStrategy<Operation>)> = vec![
        (30, Just(Operation::Wait).boxed()),
        (140, save.prop_map(|(group, change, vote)| Operation::Save { group, change, vote }).boxed()),
        (10, (group(), wrong).prop_map(|(group, wrong)| Operation::Refused { group, wrong }).boxed()),
        (12, read.prop_map(|(group, back, max_bytes)| Operation::Read { group, back, max_bytes }).boxed()),
        (6, group().prop_map(|group| Operation::OpenReader { group }).boxed()),
        (
            4,
            (group(), 0..4_usize, how)
                .prop_map(|(group, chunks, how)| Operation::GiveUp { group, chunks, how })
                .boxed(),
        ),
        (8, Just(Operation::Reopen).boxed()),
    ];
    if !ordeals.crashes.is_empty() {
        let crash = prop::sample::select(ordeals.crashes.clone());
        let awaited = prop_oneof![Just(0), 0..4_usize];
        let crashes = (crash.clone(), awaited).prop_map(|(crash, awaited)| Operation::Crash { crash, awaited });
        kinds.push((14, crashes.boxed()));
        if !ordeals.faults.is_empty() {
            let fault = (prop::sample::select(ordeals.faults.clone()), crash);
            kinds.push((14, fault.prop_map(|(fault, crash)| Operation::Fault { fault, crash }).boxed()));
        }
    }
    Union::new_weighted(kinds).boxed()
}

fn change() -> BoxedStrategy<Change> {
    let size_bytes = prop_oneof![9 => 0..400_usize, 1 => 0..15_000_usize];
    let back = || prop_oneof![2 => Just(0), 3 => 0..30_u64];
    let append = (back(), 1..6_u64, size_bytes, prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    let append = append.prop_map(|(back, count, size_bytes, new_term, configs)| Change::Append {
        back,
        count,
        size_bytes,
        new_term,
        configs,
    });
    let publish = (back(), 0..4_usize, prop::bool::ANY);
    let publish = publish.prop_map(|(back, chunks, compacts)| Change::Publish { back, chunks, compacts });
    let reset = (1..50_u64, 0..4_usize).prop_map(|(ahead, chunks)| Change::Reset { ahead, chunks });
    prop_oneof![
        5 => Just(Change::Keep),
        60 => append,
        15 => back().prop_map(|back| Change::Compact { back }),
        15 => publish,
        5 => reset,
    ]
    .boxed()
}

fn vote() -> BoxedStrategy<Vote> {
    let node = prop_oneof![Just(Some(1)), Just(None), (2..5_u64).prop_map(Some)];
    (node, 0..30_u64).prop_map(|(node, back)| Vote { node, back }).boxed()
}
