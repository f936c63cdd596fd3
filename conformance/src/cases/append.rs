//! Line 4: `Append` replaces from its first index on; a gap, or an append at or below the base, is `Invalid`.

use bytes::Bytes;
use eraft_core::{Entry, EntryKind, LogIndex, StorageErrorKind::Invalid, Term};

use crate::{Lab, make::*};

/// The common case.
pub async fn line_04_an_append_extends_the_log(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 3))).await;
    lab.save(&storage, &mut model, append(entries(1, 4, 4))).await;
    lab.save(&storage, &mut model, append(entries(3, 5, 9))).await;
    lab.shows(&storage, &model, "after three appends").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// A conflicting suffix goes whole, also where the new one is shorter.
pub async fn line_04_an_append_replaces_from_its_first_index_on(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 10))).await;
    lab.save(&storage, &mut model, append(entries(2, 6, 7))).await;
    lab.shows(&storage, &model, "a shorter suffix in place of a longer one").await;
    let gone = storage.read_entries(LogIndex(8)..LogIndex(11), u64::MAX).await;
    lab.equal("entries beyond the new end", gone.unwrap(), vec![]);
    lab.save(&storage, &mut model, append(entries(3, 1, 1))).await;
    lab.shows(&storage, &model, "the whole log replaced").await;
    lab.save(&storage, &mut model, append(entries(3, 2, 20))).await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Off by one at a conflict: the entry before the first replaced one stays, the first replaced one goes.
pub async fn line_04_a_replacement_keeps_exactly_what_precedes_it(lab: &mut Lab) {
    let storage = lab.fresh().await;
    for at in 1..=6 {
        let mut model = lab.blank_model();
        lab.save(&storage, &mut model, append(entries(at * 2 - 1, 1, 6))).await;
        lab.save(&storage, &mut model, append(entries(at * 2, at, at))).await;
        lab.shows(&storage, &model, &format!("the entry at {at} of 6 replaced")).await;
    }
}

/// Equal entries sent again change nothing but the end of the log.
pub async fn line_04_an_append_of_equal_entries_cuts_what_follows(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 8))).await;
    lab.save(&storage, &mut model, append(entries(1, 3, 5))).await;
    lab.shows(&storage, &model, "after appending 3 to 5 again").await;
}

/// The log has no holes.
pub async fn line_04_a_gap_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.refused("a first entry at 2", storage.save_raft_state(append(entries(1, 2, 2))).await, Invalid);
    lab.save(&storage, &mut model, append(entries(1, 1, 3))).await;
    lab.refused("an entry at 5 after 3", storage.save_raft_state(append(entries(1, 5, 5))).await, Invalid);
    let inner_gap = vec![entry(1, 4), entry(1, 6)];
    lab.refused("a gap within the append", storage.save_raft_state(append(inner_gap)).await, Invalid);
    let twice = vec![entry(1, 4), entry(1, 4)];
    lab.refused("an index that comes twice", storage.save_raft_state(append(twice)).await, Invalid);
    let far = Entry::command(Term(1), LogIndex(u64::MAX), "");
    lab.refused("an entry at the end of numbers", storage.save_raft_state(append(vec![far])).await, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
}

/// What was compacted cannot be written again.
pub async fn line_04_an_append_at_or_below_the_base_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.refused("an entry at 0", storage.save_raft_state(append(entries(1, 0, 2))).await, Invalid);
    lab.save(&storage, &mut model, append(entries(1, 1, 9))).await;
    lab.publish(&storage, &mut model, compact(1, 5), meta(1, 5), &chunks(1, 1, 10)).await;
    lab.refused("an entry at the base", storage.save_raft_state(append(entries(1, 5, 9))).await, Invalid);
    lab.refused("an entry below the base", storage.save_raft_state(append(entries(1, 2, 9))).await, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
    lab.save(&storage, &mut model, append(entries(2, 6, 6))).await;
    lab.shows(&storage, &model, "the first entry above the base replaced").await;
}

/// Terms never go back along a log (log matching, section 5.3 of the paper).
pub async fn line_04_a_term_that_goes_back_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(3, 1, 3))).await;
    lab.refused("term 2 after term 3", storage.save_raft_state(append(entries(2, 4, 4))).await, Invalid);
    let within = vec![entry(5, 4), entry(4, 5)];
    lab.refused("term 4 after term 5", storage.save_raft_state(append(within)).await, Invalid);
    lab.shows(&storage, &model, "after the refusals").await;
}

/// The outline names configurations, so a payload that is none cannot enter it.
pub async fn line_04_a_configuration_entry_that_holds_none_is_invalid(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(vec![config(1, 1, &[1, 2, 3])])).await;
    let none = Entry { kind: EntryKind::Config, payload: Bytes::from_static(b"nonsense"), ..entry(1, 2) };
    lab.refused("nonsense", storage.save_raft_state(append(vec![none])).await, Invalid);
    lab.shows(&storage, &model, "after the refusal").await;
}

/// A list without entries is no change of the log.
pub async fn line_04_an_append_of_nothing_changes_nothing(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(vec![])).await;
    lab.shows(&storage, &model, "on a blank store").await;
    lab.save(&storage, &mut model, append(entries(1, 1, 4))).await;
    let mut update = append(vec![]);
    update.hard_state = Some(voted(7, 2));
    lab.save(&storage, &mut model, update).await;
    lab.shows(&storage, &model, "on a log, beside a hard state").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Every kind of entry comes back as that kind, and the outline follows configurations through a replacement.
pub async fn line_04_kinds_and_configurations_survive_and_are_replaced(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let noop = Entry { kind: EntryKind::Noop, payload: Bytes::new(), ..entry(1, 2) };
    let first = vec![config(1, 1, &[1, 2, 3]), noop, entry(1, 3), config(1, 4, &[1, 2, 3, 4]), entry(1, 5)];
    lab.save(&storage, &mut model, append(first)).await;
    lab.shows(&storage, &model, "entries of every kind").await;
    lab.save(&storage, &mut model, append(vec![entry(2, 4), config(2, 5, &[1, 2])])).await;
    lab.shows(&storage, &model, "a configuration replaced").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Empty, large and odd payloads come back to the bit.
pub async fn line_04_payloads_of_any_size_come_back_unchanged(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let sizes = [0, 1, 4095, 4096, 4097, 65_537, MAX_PAYLOAD_BYTES];
    for (index, size_bytes) in (1..).zip(sizes) {
        lab.save(&storage, &mut model, append(vec![bulky(1, index, size_bytes)])).await;
    }
    let zeros = Entry::command(Term(1), LogIndex(8), vec![0; 100_000]);
    let ones = Entry::command(Term(1), LogIndex(9), vec![0xff; 100_000]);
    lab.save(&storage, &mut model, append(vec![zeros, ones])).await;
    lab.shows(&storage, &model, "payloads of nine kinds").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// One save may be larger than whatever unit the backend writes in.
pub async fn line_04_one_save_of_many_megabytes(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    let many: Vec<_> = (1..=4).map(|index| bulky(1, index, MAX_PAYLOAD_BYTES)).chain(entries(1, 5, 3000)).collect();
    lab.save(&storage, &mut model, append(many)).await;
    lab.save(&storage, &mut model, append(entries(2, 3001, 3001))).await;
    lab.shows(&storage, &model, "after the save").await;
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}

/// Terms and indexes use all their bits.
pub async fn line_04_numbers_at_the_ends_of_their_range(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(vec![entry(0, 1), entry(u64::MAX - 1, 2), entry(u64::MAX, 3)])).await;
    lab.save(
        &storage,
        &mut model,
        set(eraft_core::HardState {
            term: Term(u64::MAX),
            vote: Some(eraft_core::NodeId(u64::MAX)),
            commit: LogIndex(u64::MAX),
        }),
    )
    .await;
    lab.shows(&storage, &model, "the largest terms").await;
    let last = u64::MAX - 3;
    lab.publish(&storage, &mut model, reset(u64::MAX, last), meta(u64::MAX, last), &[]).await;
    lab.save(&storage, &mut model, append(entries(u64::MAX, last + 1, last + 2))).await;
    lab.shows(&storage, &model, "the largest indexes").await;
    let beyond = append(entries(u64::MAX, u64::MAX, u64::MAX));
    lab.refused("an index beyond the largest", storage.save_raft_state(beyond).await, Invalid);
    let storage = lab.reopen().await;
    lab.shows(&storage, &model, "after opening again").await;
}
