//! Everything for one peer: two lanes that the loop fills without waiting, and the task that empties them.
//!
//! Messages go before ranges of entries: a slow read for a lagging peer must not hold up a heartbeat to it.

mod lanes;
mod task;
mod window;

pub(crate) use lanes::Lanes;
pub(crate) use task::PeerTask;
