//! Quorums: what a majority has done, in both majorities of a joint configuration (section 6).
//!
//! Pure functions of a configuration. Learners never count. A configuration without voters decides nothing.

use std::collections::BTreeSet;

use crate::types::{ConfState, NodeId};

/// The largest value that a quorum of voters has reached: a majority of the voters and, in a joint configuration, of the
/// outgoing ones too. `None` without voters.
///
/// With the indexes that voters hold it is what may be committed (section 5.3); with the times they were heard at, since
/// when a quorum has been heard; with the rounds they acknowledged, which reads are confirmed.
pub(super) fn reached<T: Ord>(conf: &ConfState, value_of: impl Fn(NodeId) -> T) -> Option<T> {
    let incoming = majority_reached(&conf.voters, &value_of)?;
    match majority_reached(&conf.voters_outgoing, &value_of) {
        Some(outgoing) => Some(incoming.min(outgoing)),
        None => Some(incoming),
    }
}

/// Whether those who `agree` are a quorum.
pub(super) fn agrees(conf: &ConfState, agree: &BTreeSet<NodeId>) -> bool {
    reached(conf, |id| agree.contains(&id)) == Some(true)
}

fn majority_reached<T: Ord>(voters: &BTreeSet<NodeId>, value_of: impl Fn(NodeId) -> T) -> Option<T> {
    let mut values: Vec<T> = voters.iter().map(|id| value_of(*id)).collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    let majority = voters.len() / 2;
    values.into_iter().nth(majority)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;

    use super::*;

    fn conf(voters: &[u64], outgoing: &[u64], learners: &[u64]) -> ConfState {
        let set = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let all = ConfState::of_voters(set(voters).union(&set(outgoing)).map(|id| (*id, Bytes::new())));
        ConfState { voters: set(voters), voters_outgoing: set(outgoing), learners: set(learners), ..all }
    }

    #[test]
    fn a_majority_has_reached_the_middle_value_however_the_voters_are_ordered() {
        let held = |id: NodeId| [0, 9, 2, 7, 1, 8][usize::try_from(id.0).unwrap()];
        assert_eq!(reached(&conf(&[1], &[], &[]), held), Some(9));
        assert_eq!(reached(&conf(&[1, 2], &[], &[]), held), Some(2), "both of two");
        assert_eq!(reached(&conf(&[1, 2, 3], &[], &[]), held), Some(7));
        assert_eq!(reached(&conf(&[1, 2, 3, 4], &[], &[]), held), Some(2), "three of four");
        assert_eq!(reached(&conf(&[1, 2, 3, 4, 5], &[], &[]), held), Some(7));
    }

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let agree: BTreeSet<_> = [1, 2, 3].map(NodeId).into();
        assert!(agrees(&conf(&[1, 2, 3], &[1, 2, 4], &[]), &agree));
        assert!(!agrees(&conf(&[1, 2, 3], &[3, 4, 5], &[]), &agree));
        assert!(!agrees(&conf(&[3, 4, 5], &[1, 2, 3], &[]), &agree));
    }

    #[test]
    fn learners_and_strangers_never_count_and_nobody_is_no_quorum() {
        let agree: BTreeSet<_> = [1, 4, 5].map(NodeId).into();
        assert!(!agrees(&conf(&[1, 2, 3], &[], &[4]), &agree));
        assert!(!agrees(&conf(&[], &[], &[4]), &agree));
    }
}
