//! What can go wrong, from a caller's point of view: few errors, each says what to do next.

use eraft_core::{LogIndex, NodeId, StorageError};

/// Why a command got no reply. [`ProposeError::may_have_committed`] tells whether it is safe to propose it again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Not proposed: another node leads, or none does.
    #[error("this node does not lead; {}", known(.leader))]
    NotLeader {
        /// Who leads, as far as is known: ask there; if `None`, ask again soon.
        leader: Option<NodeId>,
    },
    /// Not proposed: a bound of [`Options`](crate::Options) is reached. Ask again later, or slower.
    #[error("refused: too much is under way already; propose again later")]
    Busy,
    /// Not proposed: longer than [`Options::max_entry_bytes`](crate::Options::max_entry_bytes).
    #[error("a command of {size_bytes} bytes was refused: at most {max_bytes} are taken; split it")]
    TooLarge {
        /// Its length.
        size_bytes: u64,
        /// The longest that is taken.
        max_bytes: u64,
    },
    /// Not proposed: the store has no room for more entries. Free space on its disk.
    #[error("refused: the store has room for {room_bytes} more bytes of entries; free space")]
    Full {
        /// The room that is left.
        room_bytes: u64,
    },
    /// Proposed, but leadership was lost before it was known to be committed: it may or may not commit.
    #[error("leadership was lost before the command was known to be committed; {}", known(.leader))]
    LeadershipLost {
        /// Who leads now, as far as is known.
        leader: Option<NodeId>,
    },
    /// Committed, but this node got the effect of it in another's snapshot, and so has no reply.
    #[error("the command was committed, but a snapshot brought its effect here, so its reply is not known")]
    Overtaken,
    /// The node has ended.
    #[error("the node has stopped: {cause}")]
    Stopped {
        /// The first cause.
        cause: StopCause,
        /// Whether the command had been handed in by then.
        may_have_committed: bool,
    },
}

impl ProposeError {
    /// Whether the command may have been committed all the same, now or later. If not, it never will be.
    pub fn may_have_committed(&self) -> bool {
        match self {
            ProposeError::NotLeader { .. }
            | ProposeError::Busy
            | ProposeError::TooLarge { .. }
            | ProposeError::Full { .. } => false,
            ProposeError::LeadershipLost { .. } | ProposeError::Overtaken => true,
            ProposeError::Stopped { may_have_committed, .. } => *may_have_committed,
        }
    }
}

/// Why a read cannot be answered here.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Another node leads, or none does.
    #[error("this node does not lead; {}", known(.leader))]
    NotLeader {
        /// Who leads, as far as is known: ask there; if `None`, ask again soon.
        leader: Option<NodeId>,
    },
    /// A bound of [`Options`](crate::Options) is reached. Ask again later, or slower.
    #[error("refused: too much is under way already; read again later")]
    Busy,
    /// The node has ended.
    #[error("the node has stopped: {cause}")]
    Stopped {
        /// The first cause.
        cause: StopCause,
    },
}

/// Why a node has ended; the first cause, whatever followed from it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopCause {
    /// [`Node::shutdown`](crate::Node::shutdown) was called.
    #[error("it was shut down")]
    Shutdown,
    /// The store failed. A node that cannot save must neither vote nor acknowledge: mend the cause, then start it again.
    #[error("its store failed: {0}")]
    Storage(#[from] StorageError),
    /// The state machine failed, so this replica cannot go on.
    #[error("its state machine failed at index {index}: {reason}")]
    StateMachine {
        /// The first entry of the batch that it failed on, or the last one of the snapshot.
        index: LogIndex,
        /// What it said.
        reason: String,
    },
    /// A task of the node panicked: a bug in it, in the state machine, the store or the transport.
    #[error("its {task} panicked: {message}")]
    Panicked {
        /// Which task.
        task: &'static str,
        /// What the panic said.
        message: String,
    },
    /// The tokio runtime that the node ran on was shut down.
    #[error("its runtime ended before it was shut down")]
    RuntimeEnded,
}

/// Why a node did not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The options contradict each other; the text says which and how to mend them.
    #[error("the options cannot work: {0}")]
    Options(String),
    /// Nothing was ever saved in the store.
    #[error(
        "the store of node {node} is blank, and a blank store never starts by itself: found a new cluster with \
         `bootstrap` (on every founder, once), or join or restore; a voter that lost its disk must not come back under \
         its id, because it forgot its votes"
    )]
    Blank {
        /// Whose store it is.
        node: NodeId,
    },
    /// The state machine holds more than the log can vouch for.
    #[error(
        "the state machine has applied {applied}, but the log ends with {last}: they do not belong together; restore \
         both from the same node"
    )]
    StateMachine {
        /// What the state machine says it has applied.
        applied: LogIndex,
        /// The last entry of the log.
        last: LogIndex,
    },
    /// The store could not be read.
    #[error("the store cannot be read: {0}")]
    Storage(#[from] StorageError),
}

/// Why a store was not bootstrapped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// Something is stored there already: start it.
    #[error("the store of node {node} is not blank (term {term}, last entry {last}): start it instead")]
    NotBlank {
        /// Whose store it is.
        node: NodeId,
        /// The term it has reached.
        term: eraft_core::Term,
        /// The last entry of its log.
        last: eraft_core::EntryId,
    },
    /// The configuration cannot found a cluster.
    #[error("these founders cannot found a cluster with node {node}: {reason}")]
    Founders {
        /// Whose store it is.
        node: NodeId,
        /// What is wrong with them.
        reason: String,
    },
    /// The store failed.
    #[error("the store cannot be bootstrapped: {0}")]
    Storage(#[from] StorageError),
}

fn known(leader: &Option<NodeId>) -> String {
    match leader {
        Some(id) => format!("node {id} does, as far as is known"),
        None => "no leader is known".to_owned(),
    }
}
