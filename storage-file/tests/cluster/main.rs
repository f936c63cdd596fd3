//! The core's random histories of whole clusters, with every member's state in files on a simulated disk of its own.
//!
//! What may go wrong with the memory store may go wrong here too, and what disks do besides: power that goes in the middle
//! of any call and takes or tears what was not synced, kills that leave it in the page cache, calls that fail. At every
//! opening the store must hold what a prefix of the saves made, with all that have completed in it; and consensus on top
//! of that must be as safe as ever. Everything runs in one thread, so a seed is a history, call by call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "../../../raft-core/tests/cluster/mod.rs"]
mod cluster;
mod file_store;
#[path = "../../../raft-core/tests/support/mod.rs"]
#[allow(dead_code, reason = "the core's own tests use the rest")]
mod support;

use std::{cell::RefCell, rc::Rc};

use cluster::{Cluster, seeds};
use file_store::{FileStore, Met};

#[test]
fn every_history_on_files_is_safe_and_every_cluster_heals() {
    seeds::run(300, |seed| {
        let (mut cluster, met) = on_files(seed);
        cluster.misbehave(seeds::turns(2_500));
        cluster.heal();
        let mut counts = cluster.into_rare().all();
        counts.extend(met.borrow().all());
        counts
    });
}

#[test]
fn the_same_seed_gives_the_same_history_call_by_call() {
    let trace = || {
        let (mut cluster, met) = on_files(5);
        cluster.keep_trace();
        cluster.misbehave(1_000);
        cluster.heal();
        let trace = cluster.into_trace();
        (trace, met.borrow().clone())
    };
    assert_eq!(trace(), trace());
}

fn on_files(seed: u64) -> (Cluster, Rc<RefCell<Met>>) {
    let met = Rc::new(RefCell::new(Met::default()));
    let cluster = Cluster::new(seed, |rng, node, founders| {
        let (store, disk) = FileStore::founded(rng, node, founders, Rc::clone(&met));
        (Box::new(store), disk)
    });
    (cluster, met)
}
