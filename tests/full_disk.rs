//! Real nodes whose disk is full: they take no more, say so, lose nothing, and go on when there is room.
//!
//! A disk is a tmpfs that holds two segments of the log and a little more; a file of somebody else's fills it up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test of real processes: real time, threads and files"
)]

mod processes;

use std::{ops::Range, path::Path, thread, time::Duration};

use processes::{AtLeader, Client, Mounted, Node, Reply, Trio, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
/// Ten times what an append takes that comes again.
const TOLD: Duration = Duration::from_secs(2);
const DISK_MEBIBYTES: u64 = 40;
const VALUE_BYTES: usize = 500_000;
/// More of these than the one segment takes that a full disk leaves a node.
const VALUES: usize = 36;

/// Three nodes, each on a disk of its own; `None`, with the reason printed, where none can be made.
fn on_small_disks(test: &str, dir: &Path) -> Option<(Vec<Mounted>, Trio)> {
    let disk = |id| Mounted::small_disk(test, dir.join(format!("disk{id}")), DISK_MEBIBYTES);
    let disks = (1..=3).map(disk).collect::<Option<Vec<_>>>()?;
    let mut trio = Trio::found_at([1, 2, 3].map(|id| dir.join(format!("disk{id}/n{id}"))));
    for node in &mut trio.nodes {
        // What a node says must not need room on its full disk.
        node.log = dir.join(format!("n{}.log", node.id));
    }
    trio.start();
    Some((disks, trio))
}

fn client(node: &Node) -> Client {
    Client::connect(&node.client, PATIENCE).unwrap()
}

fn value(number: usize) -> String {
    format!("{number} {}", "v".repeat(VALUE_BYTES))
}

/// Writes values at `node` until one is refused, or all are written; how many were, and what the refusal said.
fn write(node: &Node, numbers: Range<usize>) -> (usize, Option<String>) {
    let mut client = client(node);
    let end = numbers.end;
    for number in numbers {
        match client.call(&["SET", &format!("k{number}"), &value(number)]).unwrap() {
            Reply::Status(_) => {}
            Reply::Error(text) => return (number, Some(text)),
            other => panic!("SET was answered {other:?}"),
        }
    }
    (end, None)
}

/// The same at whoever leads: what was answered by a change of leaders alone is written at the next one. And whether that was
/// so of the last one, which may then be there though it was refused.
fn write_at_leader(trio: &Trio, numbers: Range<usize>) -> (usize, Option<String>, bool) {
    let (mut from, mut in_doubt) = (numbers.start, None);
    wait_until("an answer of a leader", || {
        let (end, refusal) = write(&trio.nodes[trio.leader().0], from..numbers.end);
        from = end;
        if let Some(text) = refusal.as_ref().filter(|text| is_of_a_change(text)) {
            // Other answers of a change say that nothing was written.
            in_doubt = if text.starts_with("ERR outcome unknown") { Some(end) } else { in_doubt };
            return None;
        }
        Some((end, refusal, in_doubt == Some(end)))
    })
}

/// Sees that every value that was acknowledged is there.
fn all_there(trio: &Trio, written: usize) {
    let mut leader = AtLeader::of(trio);
    for number in 0..written {
        assert_eq!(leader.call(&["GET", &format!("k{number}")]), Reply::Bulk(value(number)), "k{number}");
    }
}

/// How often it has said so.
fn said_full(node: &Node) -> usize {
    node.said().matches("the store is full").count()
}

/// That it says so once more than it had `before`, however often it refuses what comes again and again meanwhile.
fn says_that_it_is_full(node: &Node, before: usize) {
    wait_until("the node says that it is full", || (said_full(node) > before).then_some(()));
    assert!(node.said().contains("free space on its disk"), "{}", node.said());
    thread::sleep(TOLD);
    assert_eq!(said_full(node), before + 1, "told once: {}", node.said());
    assert!(node.number("room_bytes").unwrap() < VALUE_BYTES as u64);
}

/// What `act` finds where one leads from its beginning to its end, and who did. A machine that stalls for a second may see
/// another leader: then it is done once more.
fn under_one_leader<T>(trio: &Trio, mut act: impl FnMut(usize) -> T) -> (usize, T) {
    wait_until("one leader all along", || {
        let before = trio.leader();
        let found = act(before.0);
        (trio.leader() == before).then_some((before.0, found))
    })
}

/// Whether a refusal says only that another leads, or nobody does.
fn is_of_a_change(refusal: &str) -> bool {
    ["MOVED", "CLUSTERDOWN", "ERR outcome unknown"].iter().any(|word| refusal.starts_with(word))
}

/// The refusal that a client must get: what, how much is left, what to do, and that nothing was written.
fn is_clear(refusal: Option<String>) {
    let refusal = refusal.expect("a full disk took everything");
    assert!(refusal.starts_with("ERR not written: ") && refusal.contains("more bytes of entries; free"), "{refusal}");
}

#[test]
fn a_leader_on_a_full_disk_refuses_writes_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let test = "a_leader_on_a_full_disk_refuses_writes_and_loses_none";
    let Some((disks, mut trio)) = on_small_disks(test, dir.path()) else { return };
    // It leads on, and serves reads.
    let (leader, written) = under_one_leader(&trio, |leader| {
        disks.iter().for_each(Mounted::free);
        let before = said_full(&trio.nodes[leader]);
        disks[leader].fill(0);
        let (written, refusal) = write(&trio.nodes[leader], 0..VALUES);
        if refusal.as_ref().is_some_and(|text| is_of_a_change(text)) {
            return written;
        }
        is_clear(refusal);
        says_that_it_is_full(&trio.nodes[leader], before);
        written
    });
    all_there(&trio, written);

    trio.nodes[leader].kill();
    let (more, refusal, _) = write_at_leader(&trio, written..written + 10);
    assert_eq!(refusal, None, "the other two have room");
    // It opens on its full disk, and follows as far as it can.
    trio.nodes[leader].start();
    wait_until("it is back", || trio.nodes[leader].number("applied").filter(|applied| *applied >= written as u64));
    trio.nodes[leader].kill();
    disks[leader].free();
    trio.nodes[leader].start();
    trio.agree();
    all_there(&trio, more);
}

#[test]
fn a_follower_on_a_full_disk_hinders_nobody_and_catches_up_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let test = "a_follower_on_a_full_disk_hinders_nobody_and_catches_up_when_there_is_room";
    let Some((disks, mut trio)) = on_small_disks(test, dir.path()) else { return };
    // Nobody calls for an election.
    let (leader, written) = under_one_leader(&trio, |leader| {
        disks.iter().for_each(Mounted::free);
        let victim = (leader + 1) % 3;
        let before = said_full(&trio.nodes[victim]);
        disks[victim].fill(0);
        let (written, refusal) = write(&trio.nodes[leader], 0..VALUES);
        if refusal.as_ref().is_some_and(|text| is_of_a_change(text)) {
            return written;
        }
        assert_eq!(refusal, None, "two of three have room");
        says_that_it_is_full(&trio.nodes[victim], before);
        assert!(trio.nodes[victim].number("last") < trio.nodes[leader].number("last"));
        written
    });
    let victim = (leader + 1) % 3;

    trio.nodes[victim].kill();
    disks[victim].free();
    trio.nodes[victim].start();
    trio.agree();
    all_there(&trio, written);
}

/// The log is all that fills them: what it holds above the state goes, and nobody has to free anything.
#[test]
fn three_full_disks_are_compacted_and_go_on_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let test = "three_full_disks_are_compacted_and_go_on_by_themselves";
    let Some((disks, mut trio)) = on_small_disks(test, dir.path()) else { return };
    trio.leader();
    // Room for one more segment and a snapshot of two values. A log gives a segment back when it has gone on to the next.
    disks.iter().for_each(|disk| disk.fill(19 << 20));
    let mut refused = 0;
    for number in 0..3 * VALUES {
        let written = |trio: &Trio| {
            let (leader, _) = trio.leader();
            let key = format!("k{}", number % 2);
            client(&trio.nodes[leader]).call(&["SET", &key, &value(number)]).ok()
        };
        wait_until("a value is written", || match written(&trio)? {
            Reply::Status(_) => Some(()),
            Reply::Error(_) => {
                refused += 1;
                None
            }
            other => panic!("SET was answered {other:?}"),
        });
    }
    assert!(refused > 0, "the disks were never full");
    trio.agree();
    for node in &trio.nodes {
        wait_until("it has compacted its log", || (node.number("snapshots_taken")? > 0).then_some(()));
    }
    trio.nodes.iter_mut().for_each(Node::kill);
    trio.start();
    trio.agree();
    let (leader, _) = trio.leader();
    let last = [3 * VALUES - 2, 3 * VALUES - 1];
    for number in last {
        let key = format!("k{}", number % 2);
        assert_eq!(client(&trio.nodes[leader]).call(&["GET", &key]).unwrap(), Reply::Bulk(value(number)));
    }
}

#[test]
fn three_full_disks_keep_what_was_acknowledged_and_go_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let test = "three_full_disks_keep_what_was_acknowledged_and_go_on_when_there_is_room";
    let Some((disks, mut trio)) = on_small_disks(test, dir.path()) else { return };
    disks.iter().for_each(|disk| disk.fill(0));
    let (mut written, refusal, mut in_doubt) = write_at_leader(&trio, 0..VALUES);
    is_clear(refusal);
    for _ in 0..2 {
        // Votes, and the entry that opens a term, still fit: from the reserve.
        trio.nodes.iter_mut().for_each(Node::kill);
        trio.start();
        all_there(&trio, written);
        let (end, refusal, lost) = write_at_leader(&trio, written..VALUES);
        is_clear(refusal);
        in_doubt = lost || in_doubt && end == written;
        written = end;
    }
    trio.nodes.iter_mut().for_each(Node::kill);
    disks.iter().for_each(Mounted::free);
    trio.start();
    assert_eq!(AtLeader::of(&trio).call(&["SET", "room", "again"]), Reply::Status("OK".into()));
    trio.agree();
    all_there(&trio, written);
    let refused = AtLeader::of(&trio).call(&["GET", &format!("k{written}")]);
    assert!(in_doubt || refused == Reply::Nil, "what was answered as not written never comes");
}
