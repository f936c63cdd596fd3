//! The bugs: what each is, the case that names it, and those of its decisions that need more than a word.

use std::collections::BTreeMap;

use eraft_core::{GroupId, LogChange, RaftStateUpdate};

use super::disk::{Image, Line, Record};

macro_rules! bugs {
    ($($bug:ident: $what:literal, $case:literal;)*) => {
        /// One wrong decision.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$bug),*];

            /// What is wrong, in a sentence.
            pub fn what(self) -> &'static str {
                match self { $(Bug::$bug => $what,)* }
            }

            /// The case that is about it.
            pub fn case(self) -> &'static str {
                match self { $(Bug::$bug => $case,)* }
            }
        }
    };
}

bugs! {
    // Durability: what is acknowledged, and not synced.
    NothingSynced: "Nothing is ever synced.", "line_03_entries_survive_power_cuts";
    HardStatesUnsynced: "A save of a hard state alone is not synced.", "line_03_a_vote_survives_a_power_cut";
    TruncationsUnsynced: "A save that replaces entries is not synced.", "line_03_a_replaced_suffix_stays_replaced_after_a_power_cut";
    CompactionsUnsynced: "A save that compacts is not synced.", "line_03_a_compaction_survives_a_power_cut";
    ResetsUnsynced: "A save that resets is not synced.", "line_03_a_reset_survives_a_power_cut";
    SnapshotSavesUnsynced: "A save that publishes a snapshot is not synced.", "line_03_a_published_snapshot_survives_a_power_cut";
    FirstLineUnsynced: "The first line of a journal is not synced.", "line_03_the_first_entries_survive_a_power_cut";
    OnlyTheFirstGroupSynced: "Only batches with a save of group 0 are synced.", "groups_each_survive_power_cuts";
    SnapshotBytesUnsynced: "The bytes of a snapshot are not synced before it is published.", "line_03_a_published_snapshot_survives_a_power_cut";
    SnapshotNameUnsynced: "The directory is not synced after a snapshot's file was made.", "line_03_a_published_snapshot_survives_a_power_cut";
    IdentityUnsynced: "The identity is not synced when a store is created.", "line_12_a_created_store_survives_a_power_cut";
    CheckpointUnsynced: "Old lines are removed before the checkpoint that replaces them is synced.", "line_03_entries_survive_power_cuts";
    CheckpointForgetsVotes: "A checkpoint holds no votes.", "random_walks_agree_with_the_model";
    CheckpointForgetsQuietGroups: "A checkpoint holds only the group that was saved to last.", "groups_keep_apart";
    CreationIgnoresAFailedSync: "A store counts as created though the sync of its identity failed.", "line_12_a_creation_that_fails_leaves_no_half_store";
    OpeningMakesNothingDurable: "What only the cache holds is served after a kill, and not made durable.", "line_15_what_is_read_after_a_kill_survives_a_power_cut";
    OpeningSyncsWithoutWriting: "What a failed sync left in the cache is synced at open, and not written again.", "line_15_what_is_read_after_a_failed_sync_survives_a_power_cut";

    // Atomicity: one save, split.
    HardStateSplitOff: "A hard state is written after the entries that it came with, in a line of its own.", "line_02_entries_and_their_hard_state_are_never_split";
    SnapshotSplitOff: "State and snapshot are written in two lines.", "line_02_state_and_snapshot_are_never_split";
    AppendsSplit: "Appends are written in two lines.", "line_02_a_large_save_is_never_split";

    // Failure.
    FailedSyncIsTriedAgain: "A failed sync is tried again, and its success believed.", "line_09_a_failed_sync_poisons_the_engine";
    FailedSyncIsAcknowledged: "The saves that a failed sync was for are acknowledged; only later ones are refused.", "line_09_a_failed_sync_poisons_the_engine";
    FailedWriteDoesNotPoison: "After a failed write the next save is accepted.", "line_09_a_failed_write_poisons_the_engine";
    PoisonHeals: "After a failed sync the next save is accepted.", "line_09_a_failed_sync_poisons_the_engine";
    PoisonStopsAtTheGroup: "A failed sync poisons the group whose save it was, and no other.", "line_09_the_poison_reaches_every_group";
    PoisonForgetsItsCause: "Later saves are refused without the first failure.", "line_09_a_failed_sync_poisons_the_engine";
    InvalidPoisons: "After an invalid save no other is taken.", "line_09_invalid_saves_do_not_poison";
    InvalidLeavesItsHardState: "An invalid save's hard state takes effect.", "line_09_an_invalid_save_changes_nothing";
    JudgedAgainstWhatIsDurable: "A save is judged against what is durable, not against what is queued.", "line_09_validity_is_judged_against_what_is_queued";

    // Recovery.
    TornTailRefused: "A torn last line is taken for damage.", "line_11_a_torn_tail_is_dropped_silently";
    TornTailLeftInPlace: "A torn last line is passed over, and written behind.", "line_11_a_dropped_tail_never_comes_back";
    UnreadableIdentityDrawnAnew: "An unreadable identity is replaced by another.", "line_11_a_flipped_bit_is_corrupt_or_harmless";
    DamageTakenForATornTail: "An unreadable line is taken for a torn tail, wherever it stands.", "line_11_a_flipped_bit_is_corrupt_or_harmless";
    UnreadableLinesSkipped: "Unreadable lines are skipped.", "line_11_a_flipped_bit_is_corrupt_or_harmless";
    LostJournalIsBlank: "A store whose journal is missing opens blank.", "line_11_a_lost_piece_is_corrupt_or_harmless";
    ReplayResurrects: "Replay writes a shorter suffix over a longer one, and does not cut.", "line_04_replay_resurrects_nothing";
    ReplayTruncatesOneTooLate: "Replay keeps the first entry of a suffix that was replaced.", "line_04_replay_resurrects_nothing";
    ReplayForgetsVotes: "Replay forgets for whom was voted.", "line_03_a_vote_survives_a_power_cut";
    ResetForgetsTheHardState: "Replay forgets a hard state that came with a reset.", "line_06_a_blank_store_may_begin_with_a_reset";
    CompactsOneTooFar: "Replay compacts one entry more than was asked.", "line_05_compaction_drops_entries_up_to_and_including_one";

    // The log and the snapshot.
    ResetKeepsTheSuffix: "A reset keeps the entries above its base.", "line_06_a_reset_within_the_log_drops_the_suffix";
    SnapshotTakesNewerEntries: "A snapshot within the log takes the entries above it along.", "random_walks_agree_with_the_model";
    ShowsWhatIsStaged: "A finished stage is taken for published.", "line_07_a_staged_snapshot_is_invisible_until_saved";
    DiscardTakesThePublished: "A late discard removes the snapshot though it is published.", "line_07_discarding_what_is_published_takes_nothing_away";
    PublishesTwice: "One stage can be published twice.", "line_07_a_snapshot_cannot_be_published_twice";
    StageIdsRestart: "The ids of stages are counted from the opening on.", "line_07_a_stage_of_an_earlier_opening_never_names_a_newer_one";
    StagesSharedByGroups: "A stage of one group can be published in another.", "groups_do_not_share_stages_or_handles";
    ReaderDiesWithANewerSnapshot: "A reader fails once a newer snapshot is published.", "line_08_an_open_reader_outlives_newer_snapshots";
    ChunksSwapped: "A reader swaps two chunks of a long snapshot.", "line_08_snapshots_of_any_size_come_back_unchanged";

    // Reads, sizes, doors.
    ReadsNothingTooLarge: "A read gives nothing where the first entry is too large.", "line_10_a_read_stays_within_its_bytes_but_returns_one_entry";
    ReadsOneOver: "A read gives the entry that crosses its bound.", "line_10_a_read_stays_within_its_bytes_but_returns_one_entry";
    ReadsInTwoCuts: "One read looks at the log twice.", "line_10_a_read_is_one_cut_at_a_save_boundary";
    ReceiptsOutOfOrder: "The receipts of a batch resolve in reverse.", "line_01_receipts_resolve_in_call_order";
    WaitersWokenInReverse: "The receipts of a batch resolve in reverse, in one go.", "line_01_waiters_are_woken_in_call_order";
    SizesForgetARestart: "The state's size counts from the opening on.", "sizes_survive_an_opening";
    ReplacedEntriesStillCount: "The state's size counts entries that were replaced.", "sizes_follow_the_log";
    SecondOpenerAdmitted: "A second opener is let in.", "line_13_a_second_opener_is_locked_out";
    PoisonFreesTheLock: "A store that has failed lets a second opener in.", "line_13_a_poisoned_engine_keeps_its_lock_until_it_is_closed";
    SecondHandleAdmitted: "A second handle of a group is given.", "line_13_a_second_handle_of_a_group_is_locked_out";
    ClosingDropsWhatIsQueued: "Closing forgets what is still queued.", "line_13_closing_completes_what_is_queued";
    OpensAnybodysStore: "A store opens for whoever asks.", "line_12_another_cluster_or_node_is_refused";
    CreatesOverAStore: "A store can be created over another.", "line_12_creating_over_a_store_is_refused";
}

/// Whether a batch of these saves is synced before it is acknowledged.
pub(super) fn syncs<'a>(mut records: impl Iterator<Item = &'a Record>, first_line: bool, bug: Option<Bug>) -> bool {
    let mut without = |left_out: fn(&Record) -> bool| !records.all(left_out);
    match bug {
        Some(Bug::NothingSynced) => false,
        Some(Bug::FirstLineUnsynced) => !first_line,
        Some(Bug::HardStatesUnsynced) => {
            without(|record| record.update.log == LogChange::Keep && record.publish.is_none())
        }
        Some(Bug::TruncationsUnsynced) => without(|record| replaces(&record.update.log)),
        Some(Bug::CompactionsUnsynced) => without(|record| matches!(record.update.log, LogChange::CompactTo(_))),
        Some(Bug::ResetsUnsynced) => without(|record| matches!(record.update.log, LogChange::Reset { .. })),
        Some(Bug::SnapshotSavesUnsynced) => without(|record| record.publish.is_some()),
        Some(Bug::OnlyTheFirstGroupSynced) => without(|record| record.group != GroupId::ZERO),
        _ => true,
    }
}

/// The suite writes a new term whenever it replaces entries, so the terms tell.
fn replaces(log: &LogChange) -> bool {
    matches!(log, LogChange::Append(new) if new.first().is_some_and(|first| first.term.0 > 1 && first.index.0 > 1))
}

/// The lines that a batch is written as: one.
pub(super) fn lines(records: Vec<Record>, bug: Option<Bug>) -> Vec<Line> {
    let split = records.iter().position(|record| halves(record, bug).is_some());
    let Some((split, (first, second))) =
        split.and_then(|at| Some((at, records.get(at).and_then(|record| halves(record, bug))?)))
    else {
        return vec![Line::Saves(records)];
    };
    let mut before = records;
    let after = before.split_off(split + 1);
    before.pop();
    before.push(first);
    vec![Line::Saves(before), Line::Saves([vec![second], after].concat())]
}

/// What a bug makes two of.
fn halves(record: &Record, bug: Option<Bug>) -> Option<(Record, Record)> {
    let part = |update, publish| Record { group: record.group, update, publish };
    let RaftStateUpdate { hard_state, log } = &record.update;
    match (bug?, log) {
        (Bug::HardStateSplitOff, LogChange::Append(_)) if hard_state.is_some() && record.publish.is_none() => {
            let entries = RaftStateUpdate { hard_state: None, log: log.clone() };
            let alone = RaftStateUpdate { hard_state: *hard_state, log: LogChange::Keep };
            Some((part(entries, None), part(alone, None)))
        }
        (Bug::SnapshotSplitOff, LogChange::CompactTo(_) | LogChange::Keep) if record.publish.is_some() => {
            let state = RaftStateUpdate { hard_state: *hard_state, log: LogChange::Keep };
            let log = RaftStateUpdate { hard_state: None, log: log.clone() };
            Some((part(state, None), part(log, record.publish.clone())))
        }
        (Bug::AppendsSplit, LogChange::Append(entries)) if entries.len() > 1 => {
            let (first, second) = entries.split_at(entries.len() / 2);
            let first = RaftStateUpdate { hard_state: *hard_state, log: LogChange::Append(first.to_vec()) };
            let second = RaftStateUpdate { hard_state: None, log: LogChange::Append(second.to_vec()) };
            Some((part(first, None), part(second, record.publish.clone())))
        }
        _ => None,
    }
}

/// What a checkpoint holds.
pub(super) fn checkpointed(
    images: impl Iterator<Item = (GroupId, Image)>,
    last_saved: Option<GroupId>,
    bug: Option<Bug>,
) -> BTreeMap<GroupId, Image> {
    let mut images: BTreeMap<_, _> = images.collect();
    match bug {
        Some(Bug::CheckpointForgetsVotes) => {
            images.values_mut().for_each(|image| image.state.hard_state.vote = None);
        }
        Some(Bug::CheckpointForgetsQuietGroups) => images.retain(|id, _| Some(*id) == last_saved),
        _ => {}
    }
    images
}
