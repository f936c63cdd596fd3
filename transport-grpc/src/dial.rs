//! How a peer is dialled, for messages and for snapshots alike, and what its statuses mean.

use tokio::time::timeout;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{GrpcOptions, proto::raft_client::RaftClient};

/// A new connection to `address`; the error says for a person why there is none.
pub(crate) async fn dial(address: &str, options: &GrpcOptions) -> Result<RaftClient<Channel>, String> {
    let endpoint = endpoint(address, options).map_err(|error| causes(&error))?;
    let channel = timeout(options.connect_timeout, endpoint.connect())
        .await
        .map_err(|_elapsed| format!("no connection within {:?}", options.connect_timeout))?
        .map_err(|error| causes(&error))?;
    Ok(RaftClient::new(channel)
        .max_encoding_message_size(options.max_frame_bytes)
        .max_decoding_message_size(options.max_frame_bytes))
}

/// Whether the other side has judged us, or what we said; otherwise the way there failed.
pub(crate) fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::FailedPrecondition | Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented
    )
}

/// Where a peer is dialled, and how. Everything that concerns the connection itself is said here, so that TLS (with the
/// peer's certificate bound to its node id) has one place to go; until then the handshake names nodes but proves nothing.
fn endpoint(address: &str, options: &GrpcOptions) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(options.window_bytes)
        .initial_connection_window_size(options.window_bytes))
}

/// What a status says, for a person.
pub(crate) fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// An error with all its causes; tonic's own text is only "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
