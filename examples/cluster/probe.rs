//! Asking a node how it is, as any client can: `INFO` over its clients' port.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use redis_protocol::{
    codec::{Resp2, resp2_encode_command},
    resp2::types::Resp2Frame,
};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

/// Long enough for a busy machine: one who is dead refuses at once.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a node told of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its process.
    pub pid: u32,
    /// Whether it leads.
    pub leads: bool,
    /// Its term.
    pub term: u64,
}

/// Asks the node that serves clients at `address`; `None` if it does not answer soon.
pub async fn ask(address: &str) -> Option<Health> {
    let answer = tokio::time::timeout(TIMEOUT, info(address)).await.ok()??;
    let fact = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Some(Health {
        pid: fact("process_id")?.parse().ok()?,
        leads: fact("role")? == "leader",
        term: fact("term")?.parse().ok()?,
    })
}

async fn info(address: &str) -> Option<String> {
    let mut wire = Framed::new(TcpStream::connect(address).await.ok()?, Resp2::default());
    wire.send(resp2_encode_command("INFO")).await.ok()?;
    Some(wire.next().await?.ok()?.as_str()?.to_owned())
}
