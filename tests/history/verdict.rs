//! Whether one key's history could have come from a key that does one thing at a time, in an order that time allows.
//!
//! The search is the algorithm of Wing and Gong with Lowe's memory of states ("Testing for linearizability", 2017), as
//! `todc-utils` has it. It is given a bound: what it remembers takes one byte for each call and reply of the history, at each
//! step. Where that is not enough it has given up, which is no verdict and counts as failure.

use std::{cell::Cell, time::Duration};

use todc_utils::{
    linearizability::{
        WGLChecker,
        history::{Action, History},
    },
    specifications::Specification,
};

use super::{Act, Operation, settled};

/// What the search may remember, in bytes.
const MAX_SEARCH_BYTES: usize = 64 * 1024 * 1024;
/// Operations that are told of where a history is wrong.
const TOLD: usize = 16;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// Up to the end of `operation` there is no order that explains all replies; just before it, there was.
    Impossible {
        operation: Operation,
        /// What ended last before it, or was under way.
        before: Vec<Operation>,
    },
    /// The search met its bound.
    GaveUp,
}

/// Judges the history of one key.
pub fn verdict(operations: &[Operation]) -> Verdict {
    match search(&settled(operations)) {
        None => Verdict::GaveUp,
        Some(true) => Verdict::Linearizable,
        Some(false) => explain(operations),
    }
}

/// Whether there is such an order; none where the search met its bound.
pub fn search(operations: &[Operation]) -> Option<bool> {
    let mut events: Vec<(Duration, bool, usize)> = Vec::with_capacity(operations.len() * 2);
    for (id, operation) in operations.iter().enumerate() {
        events.push((operation.call, false, id));
        events.push((operation.end.unwrap_or(Duration::MAX), true, id));
    }
    if events.is_empty() {
        return Some(true);
    }
    // What happened at the same time was concurrent: calls come first.
    events.sort_unstable();
    let act = |id: usize| operations[id].act;
    let action = |(_, ended, id)| (id, if ended { Action::Response(act(id)) } else { Action::Call(act(id)) });
    let history = History::from_actions(events.iter().copied().map(action).collect());
    STEPS_LEFT.set(MAX_SEARCH_BYTES / events.len());
    let found = WGLChecker::<Key>::is_linearizable(history);
    (found || STEPS_LEFT.get() > 0).then_some(found)
}

thread_local! {
    static STEPS_LEFT: Cell<usize> = const { Cell::new(0) };
}

/// A key, as one client alone would see it.
struct Key;

impl Specification for Key {
    type State = i64;
    type Operation = Act;

    fn init() -> i64 {
        0
    }

    fn apply(act: &Act, value: &i64) -> (bool, i64) {
        let left = STEPS_LEFT.get().saturating_sub(1);
        STEPS_LEFT.set(left);
        // With every step refused, the search ends.
        let (fits, after) = match act {
            Act::Read(read) => (read == value, *value),
            Act::Write(written) => (true, *written),
            Act::Incr(told) => (told.is_none_or(|told| told == value + 1), value + 1),
        };
        (fits && left > 0, after)
    }
}

/// Finds the first operation at whose end there is no explanation any more: what holds for a history holds for all that
/// was known of it earlier.
fn explain(operations: &[Operation]) -> Verdict {
    let mut ended: Vec<&Operation> = operations.iter().filter(|operation| operation.end.is_some()).collect();
    ended.sort_by_key(|operation| operation.end);
    let explained = |count: &usize| search(&settled(&known_at(operations, ended[*count].end))) == Some(true);
    let counts: Vec<usize> = (0..ended.len()).collect();
    let first = counts.partition_point(explained);
    let Some(operation) = ended.get(first) else { return Verdict::GaveUp };
    let mut before = known_at(operations, operation.end);
    before.retain(|other| other != *operation);
    before.sort_by_key(|other| (other.end.unwrap_or(Duration::MAX), other.call));
    Verdict::Impossible { operation: **operation, before: before.split_off(before.len().saturating_sub(TOLD)) }
}

/// What one knew of these operations at that moment: those under way had an unknown outcome yet.
fn known_at(operations: &[Operation], moment: Option<Duration>) -> Vec<Operation> {
    let known = |operation: &Operation| {
        let ended = operation.end.is_some_and(|end| Some(end) <= moment);
        match operation.act {
            _ if ended => Some(*operation),
            Act::Read(_) => None,
            Act::Write(_) => Some(Operation { end: None, ..*operation }),
            Act::Incr(_) => Some(Operation { act: Act::Incr(None), end: None, ..*operation }),
        }
    };
    operations.iter().filter(|operation| Some(operation.call) <= moment).filter_map(known).collect()
}
