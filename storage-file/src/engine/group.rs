//! One group of an engine: what is committed of it, and the one way in which that changes.

use eraft_core::{GroupId, Identity, LogChange, RaftState, RaftStateUpdate, Result};

use crate::{
    index::EntryIndex,
    segment::record::{Checkpoint, Position, Published},
    snapshot::file::SnapshotFile,
};

/// State, places of entries and snapshot of one group, as of one save.
///
/// Invariant: while the store runs, `index.first()` follows the base of `state.outline`.
#[derive(Debug)]
pub(crate) struct GroupLog {
    pub(crate) state: RaftState,
    pub(crate) index: EntryIndex,
    pub(crate) published: Option<Published>,
}

impl GroupLog {
    /// A group that nothing was ever saved of.
    pub(crate) fn blank(identity: Identity) -> GroupLog {
        let state = RaftState::blank(identity);
        let index = EntryIndex::new(state.outline.first_index());
        GroupLog { state, index, published: None }
    }

    /// A group as an opening frame describes it: its entries stand in earlier segments, which may be gone.
    pub(crate) fn from_checkpoint(identity: Identity, checkpoint: Checkpoint) -> GroupLog {
        let Checkpoint { hard_state, outline, snapshot } = checkpoint;
        let index = EntryIndex::new(outline.last_index().next());
        let meta = snapshot.as_ref().map(|published| published.meta.clone());
        GroupLog { state: RaftState { identity, hard_state, outline, snapshot: meta }, index, published: snapshot }
    }

    /// Whether outline and snapshot keep to what every save had to keep to; bytes from outside are refused where not.
    pub(crate) fn is_valid(&self) -> bool {
        let (state, nothing) = (&self.state, RaftStateUpdate::default());
        state.outline.is_valid() && state.check(&nothing, state.snapshot.as_ref()).is_ok()
    }

    /// What the opening frame of a segment says of this group.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            hard_state: self.state.hard_state,
            outline: self.state.outline.clone(),
            snapshot: self.published.clone(),
        }
    }

    /// Makes one save take effect whose entries stand in `segment` at `positions`.
    ///
    /// # Errors
    /// `Invalid` where the save breaks the contract; nothing has changed then.
    pub(crate) fn apply(
        &mut self,
        update: &RaftStateUpdate,
        publish: Option<Published>,
        segment: u64,
        positions: &[Position],
    ) -> Result<()> {
        self.state.apply(update, publish.as_ref().map(|published| &published.meta))?;
        match &update.log {
            LogChange::Keep => {}
            LogChange::Append(entries) => {
                if let Some(first) = entries.first() {
                    self.index.append(first.index, segment, positions);
                }
            }
            LogChange::CompactTo(id) => self.index.compact_to(id.index),
            LogChange::Reset { base } => self.index.reset(base.index),
        }
        if publish.is_some() {
            self.published = publish;
        }
        Ok(())
    }
}

/// One group, as its handle, the writer thread and readers share it.
pub(crate) type Group = eraft_storage_kit::Group<Committed>;

/// What reads see.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) log: GroupLog,
    /// Open for as long as it is the published one; a reader keeps it open for longer.
    pub(crate) snapshot: Option<SnapshotFile>,
    /// Whether anything was ever saved.
    pub(crate) exists: bool,
}

/// A group as it was found.
pub(crate) fn found(id: GroupId, log: GroupLog, snapshot: Option<SnapshotFile>, exists: bool) -> Group {
    Group::new(id, log.state.clone(), Committed { log, snapshot, exists })
}
