//! The gRPC transport: carries messages between the nodes of a cluster.
//!
//! Each node dials each peer and sends on its own stream; what the peer answers travels on the stream that the peer dials.
//! No message passes before both ends have told each other who they are and agree.

mod options;
mod server;
mod stats;
mod transport;

pub use options::GrpcOptions;
pub use server::{BindError, GrpcServer};
pub use stats::{PeerStats, ServerStats};
pub use transport::GrpcTransport;
