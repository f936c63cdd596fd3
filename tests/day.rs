//! A day in small: many more writes than the log may hold, over few keys.
//!
//! What a node takes of its disk stays within what its options say, its memory does not grow with what it has done, and
//! it starts again as fast as if it had just begun. By default a hundred thousand writes;
//! `ERAFT_LONG=1 cargo test --release --test day -- --nocapture` makes ten million, and prints the figures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test of real processes, which uses a part of what the others share: real time, threads and files"
)]

mod flood;
mod processes;

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use flood::Flood;
use processes::{Client, Disk, Reply, Trio, is_large, mib, wait_until};

const MIB: u64 = 1 << 20;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The length of the store's segments: it holds one at least, and what it frees it frees in these.
const SEGMENT_BYTES: u64 = 16 * MIB;

/// The most that was seen of each node between two moments.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    disk: [Disk; 3],
    resident: [u64; 3],
}

impl Most {
    fn look(&mut self, trio: &Trio) {
        for (place, node) in trio.nodes.iter().enumerate() {
            let disk = Disk::of(&node.data);
            self.disk[place].bytes = self.disk[place].bytes.max(disk.bytes);
            self.disk[place].files = self.disk[place].files.max(disk.files);
            self.resident[place] = self.resident[place].max(node.memory().resident);
        }
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.disk.map(|disk| format!("{} in {} files", mib(disk.bytes), disk.files)).join(", ");
        write!(f, "disk {disk}; resident {}", self.resident.map(mib).join(", "))
    }
}

#[test]
fn ten_thousand_keys_that_are_written_again_and_again_take_no_more_room_in_the_evening_than_in_the_morning() {
    let large = is_large("the figures of a day in small");
    let (writes, keys, max_log_bytes) = if large { (10_000_000, 10_000, 16 * MIB) } else { (100_000, 1000, MIB) };
    let interval = if large { Duration::from_millis(250) } else { Duration::from_millis(20) };
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.compact_often(max_log_bytes, 1000);
    trio.start();
    let (leader, _) = trio.leader();
    trio.agree();

    let flood = Flood { connections: 8, pipeline: 64, prefix: "key", keys, in_order: false, value_bytes: 100, writes };
    let flow = flood.start(&trio.addresses(), leader);
    let mut halves = [Most::default(); 2];
    while !flow.is_done() {
        let half = usize::from(flow.written() > writes / 2);
        halves[half].look(&trio);
        thread::sleep(interval);
    }
    let record = flow.since(Duration::ZERO);
    println!("{record}");
    println!("first half: at most {}\nsecond half: at most {}", halves[0], halves[1]);
    let counts = |name| trio.nodes.iter().map(|node| node.number(name).unwrap()).collect::<Vec<u64>>();
    let taken = counts("snapshots_taken");
    println!("snapshots taken {taken:?}, received {:?}; log {:?}", counts("snapshots_received"), counts("log_bytes"));
    assert_eq!(record.writes(), writes);
    assert!(taken.iter().all(|taken| *taken > 2), "so few snapshots bound nothing: {taken:?}");
    for (place, disk) in halves[1].disk.iter().enumerate() {
        // The log since the last snapshot and while the next is written, the snapshots themselves, and a segment at either
        // end that is not full.
        let most = 4 * max_log_bytes + 4 * SEGMENT_BYTES;
        assert!(disk.bytes <= most, "node {} took {} of its disk, expected at most {}", place + 1, disk.bytes, most);
        let (morning, evening) = (halves[0].resident[place], halves[1].resident[place]);
        // A short day is over before the caches are full.
        let most = morning + if large { morning / 4 } else { 64 * MIB };
        assert!(evening <= most, "node {} grew from {morning} to {evening} bytes", place + 1);
    }
    restarts(&mut trio);
}

/// How long nodes are away when they are killed and started again.
fn restarts(trio: &mut Trio) {
    let (leader, _) = trio.leader();
    let follower = (leader + 1) % 3;
    let commit = trio.nodes[leader].number("commit").unwrap();
    trio.nodes[follower].kill();
    let begun = Instant::now();
    trio.nodes[follower].start();
    wait_until("the node serves again", || trio.nodes[follower].number("applied").filter(|applied| *applied >= commit));
    println!("one node is back, with everything applied, {:.0?} after its start", begun.elapsed());

    trio.nodes.iter_mut().for_each(processes::Node::kill);
    let begun = Instant::now();
    trio.nodes.iter_mut().for_each(processes::Node::start);
    wait_until("the cluster serves again", || {
        trio.nodes.iter().find_map(|node| {
            let reply = Client::connect(&node.client, CALL_TIMEOUT).ok()?.call(&["GET", "key:000000000001"]);
            matches!(reply, Ok(Reply::Bulk(_))).then_some(())
        })
    });
    println!("the cluster answers a GET {:.0?} after its start", begun.elapsed());
    trio.agree();
}
