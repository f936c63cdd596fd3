//! Settles what became of operations with an unknown outcome, as far as the rest of the history tells.
//!
//! A checker that takes such an operation for what it is has to try it at every later moment, and all subsets of several: time
//! and memory double with each. But every write has a value of its own, and a counter's numbers have an order, so the other
//! operations tell nearly all. The settled history is linearizable exactly when the given one is (a test in
//! `tests/histories.rs` compares them), and holds no choice that the checker would have to make blindly.
//!
//! - A write that nobody read can be left out: nothing follows from it. One that was read had taken effect when the first who
//!   read it had their reply.
//! - Every number up to the highest that was seen on a counter was made by one `INCR` each; those that nobody was told were
//!   made by `INCR`s whose outcome is unknown. Which of them made which is free, as none has an end to keep to: if any
//!   assignment works, then also the one by which those that were called first made the lowest. The rest made no number
//!   that was seen, and can be left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Act, Operation};

/// The same history, settled. It holds either writes or `INCR`s, beside reads.
pub fn settled(operations: &[Operation]) -> Vec<Operation> {
    let counts = operations.iter().any(|operation| matches!(operation.act, Act::Incr(_)));
    let writes = operations.iter().any(|operation| matches!(operation.act, Act::Write(_)));
    assert!(!(counts && writes), "a key is either written or counted");
    if counts { settled_counter(operations) } else { settled_register(operations) }
}

fn settled_register(operations: &[Operation]) -> Vec<Operation> {
    let mut first_seen: BTreeMap<i64, Duration> = BTreeMap::new();
    for operation in operations {
        if let (Act::Read(value), Some(end)) = (operation.act, operation.end) {
            let seen = first_seen.entry(value).or_insert(end);
            *seen = end.min(*seen);
        }
    }
    let settle = |operation: &Operation| match (operation.act, operation.end) {
        // Seen before it was called, it is kept for the checker to refuse.
        (Act::Write(value), None) => {
            first_seen.get(&value).map(|seen| Operation { end: Some(operation.call.max(*seen)), ..*operation })
        }
        _ => Some(*operation),
    };
    operations.iter().filter_map(settle).collect()
}

fn settled_counter(operations: &[Operation]) -> Vec<Operation> {
    let (unknown, mut settled): (Vec<Operation>, Vec<Operation>) =
        operations.iter().partition(|operation| operation.act == Act::Incr(None));
    let told: BTreeSet<i64> = settled.iter().filter_map(|operation| told(operation.act)).collect();
    let highest = settled.iter().map(|operation| seen(operation.act)).max().unwrap_or_default();
    let mut unknown = unknown;
    unknown.sort_by_key(|operation| operation.call);
    let untold = (1..=highest).filter(|number| !told.contains(number));
    settled.extend(unknown.iter().zip(untold).map(|(one, number)| Operation { act: Act::Incr(Some(number)), ..*one }));
    settled
}

fn told(act: Act) -> Option<i64> {
    if let Act::Incr(sum) = act { sum } else { None }
}

fn seen(act: Act) -> i64 {
    match act {
        Act::Read(value) | Act::Write(value) => value,
        Act::Incr(sum) => sum.unwrap_or_default(),
    }
}
