//! Configurations: which are valid, and what the founding one names.

use std::collections::BTreeSet;

use bytes::Bytes;
use eraft_core::*;

use crate::make::{conf, some_conf};

/// The invariants, said of single members.
fn is_right(conf: &ConfState) -> bool {
    let sets = [&conf.voters, &conf.voters_outgoing, &conf.learners, &conf.learners_next];
    let named: BTreeSet<_> = sets.into_iter().flatten().copied().collect();
    let each = named.iter().all(|id| {
        let [voter, outgoing, learner, next] = sets.map(|set| set.contains(id));
        !(learner && (voter || outgoing)) && !(next && (voter || !outgoing))
    });
    !conf.voters.is_empty() && named == conf.members.keys().copied().collect() && each
}

#[test]
fn a_configuration_is_valid_exactly_when_each_member_has_one_role() {
    let (mut valid, mut invalid) = (0, 0);
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let conf = some_conf(&mut random);
        assert_eq!(conf.is_valid(), is_right(&conf), "{conf:?}");
        *(if conf.is_valid() { &mut valid } else { &mut invalid }) += 1;
    }
    assert!(valid > 1000 && invalid > 1000, "{valid} valid, {invalid} invalid");
    assert!(!ConfState::default().is_valid(), "nobody is no majority");
}

#[test]
fn voters_and_peers_are_who_they_are() {
    let mut joint = conf(&[1, 2]);
    joint.voters_outgoing = BTreeSet::from([NodeId(3)]);
    joint.learners = BTreeSet::from([NodeId(4)]);
    for id in [3, 4] {
        joint.members.insert(NodeId(id), Member::default());
    }
    assert!(joint.is_valid());
    assert_eq!([1, 2, 3, 4, 5].map(|id| joint.is_voter(NodeId(id))), [true, true, true, false, false]);
    assert_eq!(joint.peers(NodeId(2)).collect::<Vec<_>>(), [NodeId(1), NodeId(3), NodeId(4)]);
    assert_eq!(joint.peers(NodeId(9)).count(), 4);
}

#[test]
fn the_founding_cluster_id_names_voters_addresses_and_name() {
    let founders = conf(&[1, 2, 3]);
    let own = founders.founding_cluster_id("shop");
    assert_eq!(own, conf(&[3, 1, 2]).founding_cluster_id("shop"), "the order of mention does not matter");
    assert_eq!(own, ClusterId(GOLDEN), "the id of a cluster that lives may never change");
    let moved = ConfState::of_voters([1, 2, 3].map(|id| (NodeId(id), Bytes::from(format!("host-{id}x")))));
    let others = [
        founders.founding_cluster_id(""),
        conf(&[1, 2]).founding_cluster_id("shop"),
        moved.founding_cluster_id("shop"),
    ];
    for other in others {
        assert_ne!(own, other);
    }
}

/// xxh3-64 of the name's length, the name and the encoded configuration.
const GOLDEN: u64 = 6_234_762_763_455_255_742;
