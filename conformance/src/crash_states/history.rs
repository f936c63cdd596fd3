//! What a store may show: the state after each save of each group, and how far at least and at most.

use std::collections::BTreeMap;

use eraft_core::{GroupId, Identity};

use super::journal::{Mark, Operation};
use crate::Model;

/// Which saves a store must show at least, and may show at most, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Whether the store's creation was acknowledged.
    pub(crate) created: bool,
    /// Whether it was opened, and read.
    pub(crate) opened: bool,
    /// For each group, the newest save that was acknowledged, and the newest that was handed in.
    pub(crate) saves: BTreeMap<GroupId, (usize, usize)>,
}

/// The states of every group, the first before any save.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) identity: Identity,
    pub(crate) groups: BTreeMap<GroupId, Vec<Model>>,
}

impl Bounds {
    /// Takes a mark into account.
    pub(crate) fn see(&mut self, operation: &Operation) {
        match operation {
            Operation::Mark(Mark::Created) => self.created = true,
            Operation::Mark(Mark::Opened) => self.opened = true,
            Operation::Mark(Mark::Submitted { group, save }) => self.saves.entry(*group).or_default().1 = *save,
            Operation::Mark(Mark::Acknowledged { group, save }) => self.saves.entry(*group).or_default().0 = *save,
            _ => {}
        }
    }

    pub(crate) fn of(&self, group: GroupId) -> (usize, usize) {
        self.saves.get(&group).copied().unwrap_or_default()
    }
}

impl History {
    /// A store that holds nothing.
    pub(crate) fn blank(identity: Identity, groups: &[GroupId]) -> History {
        let groups = groups.iter().map(|group| (*group, vec![Model::blank(identity)]));
        History { identity, groups: groups.collect() }
    }

    pub(crate) fn newest(&self, group: GroupId) -> &Model {
        self.groups[&group].last().expect("a history begins with the state before any save")
    }

    /// Which save `found` is the state after.
    ///
    /// # Errors
    /// What is wrong where it is none that the bounds allow.
    pub(crate) fn place(&self, group: GroupId, found: &Model, (least, most): (usize, usize)) -> Result<usize, String> {
        let models = &self.groups[&group];
        let allowed = (least..=most).rev().find(|save| models[*save].difference(found).is_none());
        if let Some(save) = allowed {
            return Ok(save);
        }
        if let Some(save) = models.iter().rposition(|model| model.difference(found).is_none()) {
            return Err(format!(
                "group {group} shows the state after save {save}; save {least} was acknowledged, save {most} handed in"
            ));
        }
        let difference = models[least].difference(found).unwrap_or_default();
        Err(format!(
            "group {group} shows the state after no save; against save {least}, the newest acknowledged: {difference}"
        ))
    }
}
