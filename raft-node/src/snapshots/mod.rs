//! Snapshots beside the loop: taking them of the state machine, sending them to peers, receiving them from a leader.
//!
//! Each is a task that streams, a chunk at a time, and tells the loop how it ended. Whether a snapshot is wanted,
//! published or installed is the core's to say. Nothing here may make the loop wait, hold more than a few chunks of a
//! snapshot in memory, or leave a stage behind that nobody knows of.

mod noting;
mod policy;
mod receive;
mod send;
mod stage;
mod take;

pub(crate) use noting::noting;
pub(crate) use policy::Policy;
pub(crate) use receive::receive;
pub(crate) use send::send;
pub(crate) use take::{Captured, take};

use eraft_core::{Event, StagedSnapshot};

/// What the tasks tell the loop.
#[derive(Debug)]
pub(crate) enum News {
    /// Something for the core.
    Event(Event),
    /// The state machine has given a view of itself.
    Captured(Captured),
    /// A snapshot of the state machine is staged.
    Taken(StagedSnapshot),
    /// A snapshot of the state machine could not be staged; the cause was logged.
    NotTaken,
}
