//! Ports for a cluster.
//!
//! They have to stay free while a node is dead, so they are not taken from the range out of which the system hands ports
//! to outgoing connections: one of those could sit on a node's port when it comes back.

use std::{collections::BTreeSet, net::TcpListener, sync::Mutex};

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port such that it and the two after it, the three that lie 100 above, and the one 200 above can be listened on.
pub fn free_base_port() -> u16 {
    let mut taken = TAKEN.lock().unwrap();
    // Test binaries run side by side: each begins to look elsewhere.
    let start = std::process::id() % 1000;
    for step in 0..1000 {
        let base = 10_000 + u16::try_from((start + step) % 1000).unwrap() * 10;
        let mut ports = (base..base + 3).chain(base + 100..base + 103).chain([base + 200]);
        let untouched = !taken.contains(&base);
        if untouched && ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            taken.extend([base, base + 100, base + 200, base.saturating_sub(100), base.saturating_sub(200)]);
            return base;
        }
    }
    panic!("no seven ports are free");
}
