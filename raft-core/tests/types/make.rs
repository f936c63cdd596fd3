//! Short words for what these tests are made of.

use bytes::Bytes;
use eraft_core::*;

pub(crate) fn entry(term: u64, index: u64) -> Entry {
    Entry::command(Term(term), LogIndex(index), format!("{term}-{index}"))
}

pub(crate) fn entries(term: u64, first: u64, last: u64) -> Vec<Entry> {
    (first..=last).map(|index| entry(term, index)).collect()
}

pub(crate) fn conf(voters: &[u64]) -> ConfState {
    ConfState::of_voters(voters.iter().map(|id| (NodeId(*id), Bytes::from(format!("host-{id}")))))
}

pub(crate) fn config(term: u64, index: u64, voters: &[u64]) -> Entry {
    Entry { kind: EntryKind::Config, payload: codec::encode(&conf(voters)), ..entry(term, index) }
}

pub(crate) fn id(term: u64, index: u64) -> EntryId {
    EntryId::new(term, index)
}

pub(crate) fn meta(term: u64, index: u64) -> SnapshotMeta {
    SnapshotMeta { last: id(term, index), conf_state: conf(&[1]) }
}

pub(crate) fn update(log: LogChange) -> RaftStateUpdate {
    RaftStateUpdate { hard_state: None, log }
}

pub(crate) fn blank() -> RaftState {
    RaftState::blank(Identity { cluster: ClusterId(1), node: NodeId(1), store: StoreId(1) })
}

/// A small random configuration, valid or not.
pub(crate) fn some_conf(random: &mut fastrand::Rng) -> ConfState {
    let set = |random: &mut fastrand::Rng| (1..=4).filter(|_| random.u8(..) < 90).map(NodeId).collect();
    let voters = (1..=4).filter(|_| random.u8(..) < 160).map(|id| (NodeId(id), Bytes::new()));
    let mut conf = ConfState::of_voters(voters);
    if random.bool() {
        (conf.voters_outgoing, conf.learners, conf.learners_next) = (set(random), set(random), set(random));
        let named = [&conf.voters_outgoing, &conf.learners, &conf.learners_next].into_iter().flatten();
        for id in named.copied().collect::<Vec<_>>() {
            conf.members.entry(id).or_default().store = random.bool().then(|| StoreId(random.u64(..)));
        }
    }
    if random.u8(..) < 20 {
        conf.members.insert(NodeId(random.u64(1..6)), Member::default());
    }
    conf
}
