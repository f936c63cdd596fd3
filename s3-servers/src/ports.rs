//! Ports for servers that are stopped and started again where they were.

use std::{
    io,
    net::TcpListener,
    ops::Range,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below those that the system gives to clients: one of these might be taken while the server is stopped.
const PORTS: Range<u16> = 20_000..32_000;

/// A port that nobody has, and that this process has not asked for before.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 12_000).unwrap_or_default();
    for _ in PORTS {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + own.wrapping_mul(7).wrapping_add(nth) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no free port"))
}
