//! The example's codec, held against what anyone may send: any bytes, in any pieces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a test"
)]

#[path = "../examples/kv/codec.rs"]
mod codec;

use bytes::{Bytes, BytesMut};
use codec::{Codec, Frame, MAX_ARGUMENTS, MAX_INLINE_BYTES, MAX_REQUEST_BYTES, Protocol, ProtocolError};
use proptest::{collection::vec, prelude::*};
use tokio_util::codec::{Decoder, Encoder};

type Requests = Vec<Vec<Bytes>>;

/// What these pieces are taken for, and why nothing is taken after them, if nothing is.
fn decode(pieces: &[&[u8]]) -> (Requests, Option<String>) {
    let (mut buffer, mut requests) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match Codec.decode(&mut buffer) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(ProtocolError::Malformed(why)) => return (requests, Some(why)),
                Err(ProtocolError::Io(failed)) => panic!("no socket is here: {failed}"),
            }
        }
        assert!(buffer.len() <= MAX_REQUEST_BYTES, "{} bytes are gathered and no request", buffer.len());
    }
    (requests, None)
}

fn words(request: &[&str]) -> Vec<Bytes> {
    request.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn encode(request: &[Bytes]) -> Vec<u8> {
    let strings = request.iter().cloned().map(Frame::BulkString).collect();
    write(Frame::Array(strings), Protocol::Resp2)
}

fn write(frame: Frame, protocol: Protocol) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    Codec.encode((frame, protocol), &mut buffer).unwrap();
    buffer.to_vec()
}

/// Cuts `bytes` at these places, each modulo what is there.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let ends = places.iter().copied().chain([bytes.len()]);
    ends.scan(0, |start, end| Some(&bytes[std::mem::replace(start, end)..end])).collect()
}

/// Bytes out of which requests are made, so that more than the first one is met by chance.
fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(&b"*$0123-+ \r\n\"'\\xGET"[..]);
    vec(prop_oneof![8 => telling, 1 => any::<u8>()], 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_come_out_as_they_went_in_however_they_are_cut(
        requests in vec(vec(vec(any::<u8>(), 0..40), 1..5), 0..5),
        places in vec(any::<usize>(), 0..8),
    ) {
        let requests: Requests = requests.into_iter().map(|one| one.into_iter().map(Bytes::from).collect()).collect();
        let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
        prop_assert_eq!(decode(&cut(&bytes, &places)), (requests, None));
    }

    #[test]
    fn any_bytes_mean_the_same_in_one_piece_and_in_many(
        bytes in telling_bytes(),
        places in vec(any::<usize>(), 0..8),
    ) {
        prop_assert_eq!(decode(&cut(&bytes, &places)), decode(&[&bytes]));
    }

    #[test]
    fn a_quoted_word_is_any_bytes(word in vec(any::<u8>(), 0..50)) {
        let quoted: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let line = format!("ECHO \"{quoted}\"\r\n");
        prop_assert_eq!(decode(&[line.as_bytes()]), (vec![vec!["ECHO".into(), word.into()]], None));
    }
}

#[test]
fn a_length_that_is_wrong_twice_is_told_alike_however_it_arrives() {
    assert_eq!(decode(&[b"*x\r", b"x"]), decode(&[b"*x\rx"]));
}

#[test]
fn a_line_is_cut_into_words_as_redis_does() {
    let cases: [(&str, &[&str]); 8] = [
        ("PING", &["PING"]),
        ("  set  k\tv  \r", &["set", "k", "v"]),
        (r#"set "a b" 'c d'"#, &["set", "a b", "c d"]),
        (r#"echo "\x41\n\r\t\"\\\q\x4""#, &["echo", "A\n\r\t\"\\qx4"]),
        (r"echo 'it\'s \n'", &["echo", "it's \\n"]),
        (r#"echo "" ''"#, &["echo", "", ""]),
        (r#"echo a"b c""#, &["echo", "ab c"]),
        ("$4", &["$4"]),
    ];
    for (line, expected) in cases {
        assert_eq!(decode(&[line.as_bytes(), b"\n"]), (vec![words(expected)], None), "{line}");
    }
    for line in ["echo \"a", "echo 'a", "echo \"a\"b", "echo 'a'b", "echo \"a\\", "'"] {
        let unbalanced = Some("unbalanced quotes in request".to_owned());
        assert_eq!(decode(&[line.as_bytes(), b"\n"]), (Vec::new(), unbalanced), "{line}");
    }
    let nothing: &[u8] = b"\r\n\n   \r\n*0\r\n";
    assert_eq!(decode(&[nothing, b"PING\r\n"]), (vec![words(&["PING"])], None));
}

#[test]
fn a_line_without_an_end_is_gathered_up_to_its_bound() {
    let line = vec![b'x'; MAX_INLINE_BYTES];
    assert_eq!(decode(&[&line[1..]]), (Vec::new(), None));
    assert_eq!(decode(&[&line[1..], b"\n"]).0, [[Bytes::copy_from_slice(&line[1..])]]);
    let too_big = Some("too big inline request".to_owned());
    assert_eq!(decode(&[&line]), (Vec::new(), too_big.clone()));
    assert_eq!(decode(&[&line, b"\n"]), (Vec::new(), too_big));
    let many = "x ".repeat(MAX_ARGUMENTS + 1) + "\n";
    assert_eq!(decode(&[many.as_bytes()]).1.unwrap(), "a request has at most 1024 arguments");
}

#[test]
fn a_length_is_refused_before_anything_waits_for_what_it_announces() {
    let ended = "a length without an end";
    let cases = [
        ("*1025\r\n", "invalid length, expected 0 to 1024"),
        ("*-1\r\n", "invalid length, expected 0 to 1024"),
        ("*+1\r\n", "invalid length, expected 0 to 1024"),
        ("*\r\n", "invalid length, expected 0 to 1024"),
        ("*1\r\n$2097153\r\n", "invalid length, expected 0 to 2097152"),
        ("*1\r\n$2097152\r\n", "a request takes at most 2097152 bytes"),
        ("*2\r\n$1200000\r\n", ""),
        ("*1\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\r\n\r\n", "expected '$', got '\\r'"),
        ("*1\rx", ended),
        ("*00000000000000000000001", ended),
    ];
    for (bytes, why) in cases {
        let refused = Some(why.to_owned()).filter(|why| !why.is_empty());
        assert_eq!(decode(&[bytes.as_bytes()]), (Vec::new(), refused), "{bytes:?}");
    }
}

#[test]
fn a_reply_is_written_in_the_protocol_that_is_spoken() {
    let one = |number| (Frame::BulkString("k".into()), Frame::Integer(number));
    let frame = Frame::Array(vec![
        Frame::SimpleString("OK".to_owned()),
        Frame::Error("ERR no".to_owned()),
        Frame::Null,
        Frame::Map(vec![one(1), one(-2)]),
    ]);
    let resp2 = "*4\r\n+OK\r\n-ERR no\r\n$-1\r\n*4\r\n$1\r\nk\r\n:1\r\n$1\r\nk\r\n:-2\r\n";
    let resp3 = "*4\r\n+OK\r\n-ERR no\r\n_\r\n%2\r\n$1\r\nk\r\n:1\r\n$1\r\nk\r\n:-2\r\n";
    assert_eq!(write(frame.clone(), Protocol::Resp2), resp2.as_bytes());
    assert_eq!(write(frame, Protocol::Resp3), resp3.as_bytes());
}
