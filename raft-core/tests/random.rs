//! Random histories of whole clusters, each under one seed, with everything that the network and crashes can do.
//!
//! Here a save that has completed is held, whatever comes; `storage-file` has the same histories on its files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod cluster;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use cluster::{Cluster, seeds};
use support::{Disk, store::Memory};

#[test]
fn every_history_is_safe_and_every_cluster_heals() {
    seeds::run(300, |seed| {
        let mut cluster = in_memory(seed);
        cluster.misbehave(seeds::turns(2_500));
        cluster.heal();
        cluster.into_rare().all()
    });
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let trace = || {
        let mut cluster = in_memory(5);
        cluster.keep_trace();
        cluster.misbehave(1_000);
        cluster.heal();
        cluster.into_trace()
    };
    assert_eq!(trace(), trace());
}

fn in_memory(seed: u64) -> Cluster {
    Cluster::new(seed, |rng, node, founders| (Box::new(Memory::forgetful(rng)), Disk::founded(node, founders)))
}
