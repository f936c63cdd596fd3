//! The tokio driver of eRaft: it gives the pure core of `raft-core` a clock, a disk and a network.
//!
//! One loop task steps the core and hands out what it wants done; one task applies committed entries to the state
//! machine; one task per peer fills and sends what is for that peer; snapshots are streamed by tasks beside. The driver holds no Raft rule: the core withholds
//! whatever must wait, so nothing here can get the order wrong. Every queue is bounded, by [`Options`].
//!
//! - [`bootstrap`] founds a member of a new cluster in a blank store, once;
//! - [`Node::start`] runs a member; [`Node::propose`] and [`Node::linearizable_read`] are what clients need;
//! - [`Node::status`], [`Node::watch`] and [`Node::stopped`] tell how it is doing.

mod apply;
mod bootstrap;
mod cache;
mod clock;
mod driver;
mod error;
mod inbox;
mod metrics;
mod node;
mod options;
mod peer;
mod requests;
mod shared;
mod snapshots;
mod start;
mod status;
mod stop;

pub use bootstrap::bootstrap;
pub use error::{BootstrapError, ProposeError, ReadError, StartError, StopCause};
pub use metrics::metrics;
pub use node::Node;
pub use options::{Options, WhenBusy};
pub use status::{Leadership, NodeStatus, PeerQueues, SnapshotActivity};
