//! Metadata as bytes: what is written is read again, and nothing read harms.

use bytes::Bytes;
use eraft_core::*;
use serde::{Serialize, de::DeserializeOwned};

use crate::make::{conf, config, entries, id, some_conf};

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = codec::encode(value);
    assert_eq!(bytes.first(), Some(&codec::VERSION));
    assert_eq!(&codec::decode::<T>(&bytes).unwrap(), value);
    // No prefix of it is a value, nor is it with anything behind it.
    for length in 0..bytes.len() {
        assert!(codec::decode::<T>(&bytes[..length]).is_err(), "{length} of {} bytes of {value:?}", bytes.len());
    }
    let longer = [bytes.as_ref(), &[0xc0]].concat();
    assert!(matches!(codec::decode::<T>(&longer), Err(codec::DecodeError::Malformed(_))), "{value:?}");
}

#[test]
fn what_is_encoded_comes_back_and_nothing_shorter_or_longer_does() {
    comes_back(&HardState { term: Term(u64::MAX), vote: Some(NodeId(0)), commit: LogIndex(1 << 33) });
    comes_back(&HardState::default());
    comes_back(&conf(&[1, 2, u64::MAX]));
    comes_back(&SnapshotMeta { last: id(3, 4), conf_state: conf(&[5]) });
    comes_back(&entries(1, 1, 3));
    let mut outline = LogOutline::new(id(2, 9));
    outline.append(&[config(3, 10, &[1, 2]), config(4, 11, &[1])]).unwrap();
    comes_back(&outline);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        comes_back(&some_conf(&mut random));
    }
}

#[test]
fn another_version_is_told_apart_from_damage() {
    let mut bytes = codec::encode(&conf(&[1])).to_vec();
    bytes[0] = 2;
    assert_eq!(codec::decode::<ConfState>(&bytes), Err(codec::DecodeError::Version { found: 2 }));
    assert!(matches!(codec::decode::<ConfState>(&[]), Err(codec::DecodeError::Malformed(_))));
}

/// Reads the bytes as everything that is ever read from a disk or a peer.
fn read_as_anything(bytes: &[u8]) {
    if let Ok(conf) = codec::decode::<ConfState>(bytes) {
        let _either = conf.is_valid();
    }
    if let Ok(outline) = codec::decode::<LogOutline>(bytes) {
        let _either = outline.is_valid();
    }
    let _any = codec::decode::<SnapshotMeta>(bytes).is_ok();
    let _any = codec::decode::<HardState>(bytes).is_ok();
    let _any = codec::decode::<Vec<Entry>>(bytes).is_ok();
}

#[test]
fn arbitrary_bytes_never_panic_and_never_allocate_beyond_reason() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut outline = LogOutline::new(id(2, 9));
    outline.append(&[config(3, 10, &[1, 2]), config(4, 11, &[1])]).unwrap();
    let templates: Vec<Bytes> =
        vec![codec::encode(&conf(&[1, 2, 3])), codec::encode(&outline), codec::encode(&entries(1, 1, 3))];
    for _ in 0..60_000 {
        let mut bytes = match random.u8(..3) {
            0 => (0..random.usize(..40)).map(|_| random.u8(..)).collect(),
            _ => templates[random.usize(..templates.len())].to_vec(),
        };
        if let Some(first) = bytes.first_mut() {
            *first = codec::VERSION;
        }
        for _ in 0..random.usize(..4) {
            if bytes.len() > 1 {
                let at = random.usize(1..bytes.len());
                // Headers of MessagePack among them: arrays, maps and binaries of any claimed length.
                let headers = [0xdd, 0xdf, 0xc6, 0xdc, 0xff, 0x00];
                bytes[at] = if random.bool() { random.u8(..) } else { headers[random.usize(..headers.len())] };
            }
        }
        read_as_anything(&bytes);
    }
    // Lengths of four gigabytes without the bytes, and nesting without an end.
    for header in [0xdd, 0xdf, 0xc6, 0xdb, 0xc9] {
        read_as_anything(&[codec::VERSION, header, 0xff, 0xff, 0xff, 0xff, 0x01]);
        read_as_anything(&[codec::VERSION, 0x95, header, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }
    let nested = [vec![codec::VERSION], vec![0x91; 200_000]].concat();
    read_as_anything(&nested);
}

#[test]
fn the_bytes_of_version_1_are_what_they_are() {
    // Whoever changes these has changed the format: a new version, and a way to read the old one.
    let hard_state = HardState { term: Term(5), vote: Some(NodeId(2)), commit: LogIndex(300) };
    assert_eq!(codec::encode(&hard_state).as_ref(), [1, 0x93, 5, 2, 0xcd, 1, 44]);
    let expected = [&[1, 0x95, 0x91, 7, 0x90, 0x90, 0x90, 0x81, 7, 0x92, 0xc0, 0xc4, 6][..], b"host-7"].concat();
    assert_eq!(codec::encode(&conf(&[7])).as_ref(), expected);
}
