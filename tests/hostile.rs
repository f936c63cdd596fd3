//! What comes in by the two ports from somebody who means no good, or means another cluster: the cluster goes on, the
//! memory stays bounded, and whoever is refused is told why.

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

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use eraft::{
    ClusterId, Identity, NodeId, StoreId,
    grpc::{GrpcOptions, GrpcTransport},
};
use processes::{AtLeader, Client, Node, Reply, Trio, alone, free_base_port, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};

const PATIENCE: Duration = Duration::from_secs(30);

fn ok() -> Reply {
    Reply::Status("OK".into())
}

fn client(node: &Node) -> Client {
    Client::connect(&node.client, PATIENCE).unwrap()
}

/// Bytes of memory that a node has taken so far, at most at once (`VmHWM`) or now (`VmRSS`).
fn memory(node: &Node, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Bytes as an HTTP/2 client begins: the preface, empty settings, and one frame more.
fn http2(length: u32, kind: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend(&length.to_be_bytes()[1..]);
    bytes.extend([kind, 0, 0, 0, 0, stream]);
    bytes.extend(body);
    bytes
}

/// What nobody should send to a port of ours, each as far as its sender came.
fn noise() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let garbage: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(200_000).collect();
    let set = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\nhal".to_vec();
    vec![
        Vec::new(),
        garbage,
        vec![0; 200_000],
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n".to_vec(),
        http2((1 << 24) - 1, 0, 1, &[7; 70_000]),
        http2(1 << 14, 1, 1, &[0xff; 1 << 14]),
        http2(9, 99, 0, b"unknown!!"),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        set,
        b"*1024\r\n$2097151\r\n".to_vec(),
        b"*99999999\r\n".to_vec(),
        b"*1\r\n$99999999999999999999\r\n".to_vec(),
    ]
}

/// Waits until the other end closes; whether it did.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 4096];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn noise_on_both_ports_leaves_the_cluster_committing_and_its_memory_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    let mut writer = AtLeader::of(&trio);
    assert_eq!(writer.call(&["SET", "before", "1"]), ok());
    let before: Vec<u64> = trio.nodes.iter().map(|node| memory(node, "VmHWM")).collect();
    let mut stalled = Vec::new();
    for (round, bytes) in (0..4).flat_map(|round| noise().into_iter().map(move |bytes| (round, bytes))) {
        for node in &trio.nodes {
            for address in [node.client.clone(), node.peer()] {
                let mut stream = TcpStream::connect(address).unwrap();
                // The node may close before it has taken all of it.
                let _sent = stream.write_all(&bytes);
                if round % 2 == 0 {
                    stalled.push((stream, node.id));
                }
            }
        }
        assert_eq!(writer.call(&["SET", "during", &round.to_string()]), ok());
    }
    for (node, before) in trio.nodes.iter().zip(before) {
        let grown = memory(node, "VmHWM").saturating_sub(before);
        println!("node {}: {} KiB of memory more at most", node.id, grown / 1024);
        assert!(grown < 64 << 20, "{grown} bytes of memory for {} connections of noise", stalled.len());
    }
    assert_eq!(writer.call(&["SET", "after", "1"]), ok());
    trio.agree();
    for node in &trio.nodes {
        assert!(!node.said().contains("panicked"), "{}", node.said());
    }
}

#[test]
fn a_connection_that_says_nothing_on_the_peers_port_is_closed_and_a_place_is_found_for_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    // More than the server holds at once: the last ones wait in the backlog until the first are closed.
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(node.peer()).unwrap()).collect();
    let mut half = TcpStream::connect(node.peer()).unwrap();
    half.write_all(&http2(100, 1, 1, b"half")).unwrap();
    assert_eq!(client(&node).call(&["SET", "k", "v"]).unwrap(), ok());
    assert!(silent.into_iter().all(is_closed) && is_closed(half), "a silent connection was kept");
}

#[test]
fn a_node_of_another_cluster_is_refused_and_both_sides_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    trio.leader();
    // A member 2 of its own cluster, whose list of voters has our node 1 in it by mistake.
    let base = free_base_port();
    let address = format!("127.0.0.1:{base}");
    let voters = format!("1={}/127.0.0.1:9,2=127.0.0.1:{}/{address}", trio.nodes[0].peer(), base + 100);
    let mut stranger = Node::found(dir.path().join("stranger"), 2, address, &voters);
    stranger.start();
    wait_until("the stranger is told", || {
        stranger.said().contains("it refused us: refused: it belongs to").then_some(())
    });
    let said = trio.nodes[0].said();
    assert!(said.contains("refused a stream") && said.contains("it belongs to cluster"), "{said}");
    assert!(said.contains("check the peer addresses and the founding voters"), "{said}");
    assert_eq!(said.matches("refused a stream").count(), 1, "told once, however often it tries: {said}");
    assert_eq!(stranger.number("term"), Some(1), "nobody answered its calls for votes");
    assert_eq!(AtLeader::of(&trio).call(&["SET", "k", "v"]), ok());
    trio.agree();
}

#[test]
fn a_node_that_is_no_member_is_refused_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    let cluster = ClusterId(u64::from_str_radix(&node.info("cluster_id").unwrap(), 16).unwrap());
    let identity = Identity { cluster, node: NodeId(4), store: StoreId(9) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let peers = BTreeMap::from([(NodeId(1), node.peer())]);
        let transport = GrpcTransport::new(identity, peers, GrpcOptions::accepting([NodeId(1)]));
        while transport.stats()[&NodeId(1)].refused < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(transport.stats()[&NodeId(1)].connects, 0);
        transport.shutdown().await;
    });
    let said = node.said();
    assert!(said.contains("it is node 4, which is not among the nodes accepted here"), "{said}");
    assert_eq!(client(&node).call(&["SET", "k", "v"]).unwrap(), ok());
}

/// What an idle client may cost at most: its task, its socket, its buffer, and as much again for the allocator.
const IDLE_CLIENT_BYTES: u64 = 32 * 1024;

#[test]
fn ten_thousand_idle_clients_cost_little_and_hinder_nobody() {
    const IDLE: u64 = 9_900;
    const NEEDED: u64 = 10_300;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < NEEDED) {
        return println!("SKIPPED ten_thousand_idle_clients_cost_little_and_hinder_nobody: ulimit -Hn is {limit:?}");
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    let before = memory(&node, "VmRSS");
    let mut idle: Vec<_> = (0..IDLE).map(|_| client(&node)).collect();
    assert_eq!(idle[0].call(&["PING"]).unwrap(), Reply::Status("PONG".into()));
    assert_eq!(idle.last_mut().unwrap().call(&["SET", "k", "v"]).unwrap(), ok());
    let grown = memory(&node, "VmRSS").saturating_sub(before);
    println!("{IDLE} idle clients: {} bytes of memory each", grown / IDLE);
    assert!(grown < IDLE * IDLE_CLIENT_BYTES, "{grown} bytes for {IDLE} idle clients");
    let mut beyond: Vec<_> = (0..101).map(|_| client(&node)).collect();
    let refused = Reply::Error("ERR max number of clients reached".into());
    assert_eq!(beyond.last_mut().unwrap().reply().unwrap(), refused);
    assert_eq!(node.said().matches("further clients are turned away").count(), 1, "{}", node.said());
    drop((idle, beyond));
    wait_until("there is room again", || {
        (client(&node).call(&["GET", "k"]).ok()? == Reply::Bulk("v".into())).then_some(())
    });
}

#[test]
fn a_lack_of_files_is_waited_out_by_the_listener_and_does_not_reach_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    let mut early = client(&node);
    assert_eq!(early.call(&["SET", "k", "v"]).unwrap(), ok());
    let usual = getrlimit(Resource::Nofile);
    // From now on not one file more, whatever is closed.
    prlimit(Some(node.pid()), Resource::Nofile, Rlimit { current: Some(3), maximum: usual.maximum }).unwrap();
    let mut late = client(&node);
    let mut peer = TcpStream::connect(node.peer()).unwrap();
    peer.write_all(&http2(0, 4, 0, b"")).unwrap();
    wait_until("both listeners say so", || {
        let said = node.said();
        (said.contains("no client can be accepted now") && said.contains("no peer can be accepted now")).then_some(())
    });
    for number in 1..=100 {
        assert_eq!(early.call(&["INCR", "n"]).unwrap(), Reply::Integer(number));
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(node.said().matches("can be accepted now").count(), 2, "told once each: {}", node.said());
    prlimit(Some(node.pid()), Resource::Nofile, usual).unwrap();
    assert_eq!(late.call(&["GET", "n"]).unwrap(), Reply::Bulk("100".into()), "who waited is served");
}

#[test]
fn with_every_place_taken_on_both_ports_the_log_still_gets_new_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = alone(dir.path());
    node.kill();
    node.starter = ["sh", "-c", "ulimit -n 200; exec \"$@\"", "sh"].map(str::to_owned).to_vec();
    node.start();
    wait_until("it leads again", || node.info("role").filter(|role| role == "leader"));
    let mut writer = client(&node);
    let idle: Vec<_> = (0..200).map(|_| client(&node)).collect();
    let mut silent: Vec<_> = (0..70).map(|_| TcpStream::connect(node.peer()).unwrap()).collect();
    let value = "v".repeat(1_000_000);
    for number in 0..40 {
        // Whoever is silent is closed after a while; another takes the place. All of them fit the listener's backlog.
        silent.push(TcpStream::connect(node.peer()).unwrap());
        assert_eq!(writer.call(&["SET", &number.to_string(), &value]).unwrap(), ok());
    }
    let segments = fs::read_dir(node.data.join("state")).unwrap().count();
    assert!(segments >= 2, "the log was to go through several segments, and has {segments}");
    drop((idle, silent));
}
