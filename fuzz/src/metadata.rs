//! Metadata (versioned MessagePack) and the records of a frame's body, which are made of it.

use std::fmt::Debug;

use bytes::Bytes;
use eraft_core::{
    ConfState, Entry, EntryId, HardState, Identity, LogIndex, LogOutline, Member, SnapshotMeta, Term, codec,
};
use eraft_storage_file::fuzzing::Records;
use serde::{Serialize, de::DeserializeOwned};

use super::{input::Input, memory};

/// A list reserves room for as many elements as it claims to have, but for no more than a mebibyte; no value of ours
/// has more than three lists open at once. An element takes at most so much more than its bytes.
const RESERVED_BYTES: usize = 3 << 20;
const FACTOR: usize = 64;

/// The first byte chooses a type, the rest is to be one.
pub fn metadata(input: &[u8]) -> bool {
    let mut input = Input(input);
    let choice = input.byte();
    let bytes = input.0;
    match choice % 8 {
        0 => comes_back::<HardState>(bytes).is_some(),
        1 => comes_back::<Identity>(bytes).is_some(),
        2 => comes_back::<EntryId>(bytes).is_some(),
        3 => comes_back::<Entry>(bytes).is_some(),
        4 => comes_back::<Member>(bytes).is_some(),
        5 => comes_back::<ConfState>(bytes).is_some_and(|conf| conf.is_valid()),
        6 => comes_back::<SnapshotMeta>(bytes).is_some_and(|meta| meta.conf_state.is_valid()),
        _ => comes_back::<LogOutline>(bytes).filter(LogOutline::is_valid).map(answers).is_some(),
    }
}

/// The value that `bytes` decode to, if they do; it comes back from its own encoding.
pub(crate) fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = memory::within(RESERVED_BYTES + FACTOR * bytes.len(), || codec::decode(bytes)).ok()?;
    let encoded = codec::encode(&value);
    assert_eq!(codec::decode::<T>(&encoded).as_ref(), Ok(&value));
    Some(value)
}

/// A valid outline answers whatever it is asked, and stays valid.
fn answers(mut outline: LogOutline) {
    let (base, last) = (outline.base(), outline.last());
    assert_eq!((outline.term(base.index), outline.term(last.index)), (Some(base.term), Some(last.term)));
    for (index, term) in [(LogIndex::MAX, Term(u64::MAX)), (last.index, base.term), (LogIndex::ZERO, Term::ZERO)] {
        if let Some(found) = outline.last_not_after(index, term) {
            assert!(found.index <= index && found.term <= term && outline.contains(found));
        }
    }
    if last.index < LogIndex::MAX {
        outline.append(&[Entry::command(last.term, last.index.next(), "")]).unwrap();
        outline.compact_to(EntryId { term: last.term, index: last.index.next() }).unwrap();
        assert!(outline.is_valid());
    }
}

/// The body of a frame.
pub fn record(input: &[u8]) -> bool {
    let body = Bytes::copy_from_slice(input);
    let decoded = memory::within(RESERVED_BYTES + FACTOR * body.len(), || Records::decode(&body));
    let Ok(records) = decoded else { return false };
    assert_eq!(Records::decode(&records.encode()), Ok(records));
    true
}
