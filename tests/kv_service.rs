//! What the key-value service answers, byte for byte where it matters, and what it refuses.

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

use std::{io, time::Duration};

use processes::{Client, Node, Reply, Trio, alone, wait_until};

/// A cluster of one that serves, and ends with the test.
struct Service {
    node: Node,
    _dir: tempfile::TempDir,
}

impl Service {
    fn start() -> Service {
        let dir = tempfile::tempdir().unwrap();
        Service { node: alone(dir.path()), _dir: dir }
    }

    fn client(&self) -> Client {
        Client::connect(&self.node.client, Duration::from_secs(10)).unwrap()
    }

    fn pipeline(&self, commands: &[&[&str]]) -> Vec<Reply> {
        let mut client = self.client();
        client.send(commands).unwrap();
        commands.iter().map(|_| client.reply().unwrap()).collect()
    }
}

fn ok() -> Reply {
    Reply::Status("OK".into())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.into())
}

fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}

#[test]
fn a_pipeline_takes_effect_and_is_answered_in_its_order() {
    let replies = Service::start().pipeline(&[
        &["GET", "order"],
        &["SET", "order", "1"],
        &["GET", "order"],
        &["SET", "order", "2"],
        &["INCR", "order"],
        &["GET", "order"],
        &["PING"],
        &["DEL", "order", "order-none"],
        &["GET", "order"],
    ]);
    let number = Reply::Integer;
    let pong = Reply::Status("PONG".into());
    assert_eq!(replies, [Reply::Nil, ok(), bulk("1"), ok(), number(3), bulk("3"), pong, number(1), Reply::Nil]);
}

#[test]
fn a_long_pipeline_of_one_client_counts_in_its_order() {
    let commands = vec![["INCR", "long"]; 3000];
    let service = Service::start();
    let mut client = service.client();
    client.send(&commands.iter().map(<[&str; 2]>::as_slice).collect::<Vec<_>>()).unwrap();
    for number in 1..=3000 {
        assert_eq!(client.reply().unwrap(), Reply::Integer(number));
    }
}

#[test]
fn incr_refuses_what_is_no_number_and_what_would_overflow() {
    let no_number = "ERR value is not an integer or out of range";
    let service = Service::start();
    let mut client = service.client();
    for text in ["word", "", " 1", "01", "+1", "1.0", "9223372036854775808"] {
        client.call(&["SET", "number", text]).unwrap();
        assert_eq!(client.call(&["INCR", "number"]).unwrap(), error(no_number), "{text:?}");
        assert_eq!(client.call(&["GET", "number"]).unwrap(), bulk(text), "a refused INCR changes nothing");
    }
    client.call(&["SET", "number", "9223372036854775807"]).unwrap();
    let overflow = "ERR increment or decrement would overflow";
    assert_eq!(client.call(&["INCR", "number"]).unwrap(), error(overflow));
    client.call(&["SET", "number", "-1"]).unwrap();
    assert_eq!(client.call(&["INCR", "number"]).unwrap(), Reply::Integer(0));
}

#[test]
fn a_request_that_is_not_understood_is_an_error_and_the_connection_goes_on() {
    let replies = Service::start().pipeline(&[
        &["FLUSHALL"],
        &["SET", "k"],
        &["SET", "k", "v", "EX", "1"],
        &["GET"],
        &["CLUSTER", "FAILOVER"],
        &["evil\r\n+OK"],
        &["PING", "still here"],
    ]);
    assert_eq!(
        replies,
        [
            error("ERR unknown command 'flushall'"),
            error("ERR wrong number of arguments for 'set' command"),
            error("ERR wrong number of arguments for 'set' command"),
            error("ERR wrong number of arguments for 'get' command"),
            error("ERR unknown subcommand 'failover' for 'cluster'"),
            error("ERR unknown command 'evil\\r\\n+ok'"),
            bulk("still here"),
        ]
    );
}

#[test]
fn bytes_that_are_no_request_close_the_connection_after_what_came_before() {
    let nested = "*1\r\n".repeat(100_000);
    let too_long = format!("*2\r\n$3\r\nGET\r\n${}\r\n", 1_u64 << 40);
    let service = Service::start();
    let cases = [
        ("GET / HTTP/1.1\r\n", "expected '*', got 'G'"),
        (nested.as_str(), "expected '$', got '*'"),
        (too_long.as_str(), "invalid length, expected 0 to 2097152"),
        ("*-1\r\n", "invalid length, expected 0 to 1024"),
        ("*1\r\n$-1\r\n", "invalid length, expected 0 to 2097152"),
        ("*1\r\n$4\r\nPINGPONG", "a string longer than its length"),
        ("*111111111111111111111111111111", "a length without an end"),
    ];
    for (bytes, why) in cases {
        let mut client = service.client();
        client.send(&[&["PING"]]).unwrap();
        // The server may close before it has read all of it.
        let _sent = client.send_raw(bytes.as_bytes());
        assert_eq!(client.reply().unwrap(), Reply::Status("PONG".into()));
        assert_eq!(client.reply().unwrap(), error(&format!("ERR Protocol error: {why}")));
        let ended = client.reply().unwrap_err().kind();
        assert!(matches!(ended, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{ended}");
    }
    assert_eq!(service.client().call(&["PING"]).unwrap(), Reply::Status("PONG".into()));
}

#[test]
fn a_value_up_to_the_bound_is_kept_and_a_request_beyond_it_is_refused() {
    let service = Service::start();
    let mut client = service.client();
    let value = "v".repeat(1_000_000);
    assert_eq!(client.call(&["SET", "large", &value]).unwrap(), ok());
    assert_eq!(client.call(&["GET", "large"]).unwrap(), bulk(&value));
    // The node's bound: the command is refused, and the connection goes on.
    let beyond = "v".repeat(1_048_576);
    let Reply::Error(refused) = client.call(&["SET", "large", &beyond]).unwrap() else { panic!("it was written") };
    assert!(
        refused.starts_with("ERR not written: a command of 10485") && refused.contains("at most 1048576"),
        "{refused}"
    );
    assert_eq!(client.call(&["GET", "large"]).unwrap(), bulk(&value));
    // The connection's bound: it is closed, and told why although nobody reads the rest of what it sends.
    let far_beyond = "v".repeat(20_000_000);
    let refused = client.call(&["SET", "large", &far_beyond]).unwrap();
    assert_eq!(refused, error("ERR Protocol error: invalid length, expected 0 to 2097152"));
    assert_eq!(client.reply().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(service.client().call(&["GET", "large"]).unwrap(), bulk(&value));
}

#[test]
fn quit_is_answered_and_closes() {
    let service = Service::start();
    let mut client = service.client();
    client.send(&[&["QUIT"], &["PING"]]).unwrap();
    assert_eq!(client.reply().unwrap(), ok());
    assert_eq!(client.reply().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn the_node_tells_of_itself_in_redis_words() {
    let service = Service::start();
    let mut client = service.client();
    let Reply::Bulk(info) = client.call(&["INFO", "raft"]).unwrap() else { panic!("INFO is text") };
    assert!(info.starts_with("# Raft\r\nrole:leader\r\nterm:"), "{info}");
    for fact in ["leader:1\r\n", "commit:", "applied:", "log_bytes:"] {
        assert!(info.contains(fact), "{info}");
    }
    let id = format!("{:040x}", 1);
    assert_eq!(client.call(&["CLUSTER", "MYID"]).unwrap(), bulk(&id));
    let (host, port) = service.node.client.split_once(':').unwrap();
    let node = Reply::Array(vec![bulk(host), Reply::Integer(port.parse().unwrap()), bulk(&id)]);
    let slots = Reply::Array(vec![Reply::Array(vec![Reply::Integer(0), Reply::Integer(16_383), node])]);
    assert_eq!(client.call(&["CLUSTER", "SLOTS"]).unwrap(), slots);
    assert_eq!(client.call(&["COMMAND", "COUNT"]).unwrap(), Reply::Integer(12));
    assert_eq!(client.call(&["COMMAND", "DOCS"]).unwrap(), Reply::Array(vec![]));
    let setting = Reply::Array(vec![bulk("appendonly"), bulk("yes")]);
    assert_eq!(client.call(&["CONFIG", "GET", "appendonly"]).unwrap(), setting);
}

#[test]
fn followers_point_to_the_leader_and_without_a_leader_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    let (leader, _) = trio.leader();
    let leader_address = trio.nodes[leader].client.clone();
    let followers: Vec<usize> = (0..3).filter(|place| *place != leader).collect();
    let ask = |place: usize, command: &[&str]| {
        let mut client = Client::connect(&trio.nodes[place].client, Duration::from_secs(10)).ok()?;
        client.call(command).ok()
    };
    // The slot of "foo" is 12182, by Redis' own documentation.
    let moved = error(&format!("MOVED 12182 {leader_address}"));
    for place in &followers {
        for command in [["SET", "foo", "bar"].as_slice(), &["GET", "foo"], &["DEL", "foo"], &["INCR", "foo"]] {
            wait_until("a redirection", || {
                let reply = ask(*place, command)?;
                assert!(matches!(reply, Reply::Error(_)), "a follower answered {command:?} by itself: {reply:?}");
                (reply == moved).then_some(())
            });
        }
    }
    trio.nodes[leader].kill();
    trio.nodes[followers[0]].kill();
    let survivor = &trio.nodes[followers[1]].client;
    wait_until("one of three says that nobody leads", || {
        let mut client = Client::connect(survivor, Duration::from_secs(10)).ok()?;
        let Ok(Reply::Error(text)) = client.call(&["SET", "foo", "bar"]) else { panic!("one of three wrote") };
        text.starts_with("CLUSTERDOWN").then_some(())
    });
}

#[test]
fn a_write_that_may_or_may_not_have_been_applied_is_answered_as_just_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = Trio::found(dir.path());
    trio.start();
    let refusal = wait_until("a leader that is left alone with a write under way", || {
        let (leader, _) = trio.leader();
        let mut client = Client::connect(&trio.nodes[leader].client, Duration::from_secs(30)).unwrap();
        let followers: Vec<usize> = (0..3).filter(|place| *place != leader).collect();
        for place in &followers {
            trio.nodes[*place].kill();
        }
        let reply = client.call(&["INCR", "alone"]).unwrap();
        for place in &followers {
            trio.nodes[*place].start();
        }
        let Reply::Error(text) = reply else { panic!("one of three acknowledged a write: {reply:?}") };
        // On a machine that stalls it may have found out already that it is alone.
        (!text.starts_with("CLUSTERDOWN")).then_some(text)
    });
    // Neither MOVED, CLUSTERDOWN nor TRYAGAIN, on which clients send a command again by themselves.
    assert!(refusal.starts_with("ERR outcome unknown"), "{refusal}");
    trio.agree();
}
