//! The gRPC transport: carries messages and snapshots between the nodes of a cluster.
//!
//! Each node dials each peer and sends on its own stream; what the peer answers travels on the stream that the peer dials.
//! No message passes before both ends have told each other who they are and agree.
//!
//! - [`GrpcTransport`] is the sending half: `connection` keeps one peer connected, `queue` holds what waits for it.
//! - [`GrpcServer`] is the receiving half: `admission` bounds the connections, `receiver` checks what they say.
//! - `snapshot` is both halves of what carries a snapshot: its own connection, bounded chunks, an end mark.
//! - `handshake` is shared: who may talk to whom. [`wire`] turns messages into bytes and back,
//!   and `codec` refuses frames that would take far more memory than bytes.
//!
//! It may assume that messages may be lost, and loses them rather than hold many. It must never hand on a message whose
//! sender it has not checked, take a part of a snapshot for the whole, keep a queue without a bound, or let a peer's bytes panic.

mod admission;
mod codec;
mod connection;
mod dial;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod metrics;
mod options;
mod peer;
#[doc(hidden)]
pub mod proto;
mod queue;
mod receiver;
mod server;
mod snapshot;
mod stats;
mod transport;
pub mod wire;

pub use metrics::metrics;
pub use options::GrpcOptions;
pub use server::{BindError, GrpcServer};
pub use stats::{PeerStats, ServerStats};
pub use transport::GrpcTransport;
