//! The cases: one promise each, one file a topic, and the table of all of them.
//!
//! A case is a public function, named after the line of the contract that it tests; the table below says what a backend
//! must declare for it. A case checks through the [`Lab`](crate::Lab)'s words, awaits nothing by the clock, and draws
//! whatever is random from the lab.

pub mod append;
pub mod atomicity;
pub mod compact;
pub mod concurrency;
pub mod damage;
pub mod durability;
pub mod errors;
pub mod full_disk;
pub mod groups;
pub mod identity;
pub mod lock;
pub mod order;
pub mod random;
pub mod readers;
pub mod reads;
pub mod reopen;
pub mod reset;
pub mod sizes;
pub mod snapshot;
pub mod state;
pub mod truncate;

use crate::Case;

/// The table of all cases, handed to another macro: the one place where a case is named.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($then:ident $($arguments:tt)*) => {
        $crate::$then! { $($arguments)*;
            order::line_01_unawaited_saves_take_effect_in_call_order [];
            order::line_01_receipts_resolve_in_call_order [];
            order::line_01_waiters_are_woken_in_call_order [];
            order::line_01_an_invalid_save_answers_at_once [];
            order::line_01_a_dropped_receipt_does_not_undo_its_save [];
            order::line_01_the_newest_hard_state_wins [];
            atomicity::line_02_a_kill_keeps_a_prefix_of_the_saves [Kill];
            atomicity::line_02_a_power_cut_keeps_a_prefix_of_the_saves [PowerLoss];
            atomicity::line_02_a_large_save_is_never_split [PowerLoss];
            atomicity::line_02_entries_and_their_hard_state_are_never_split [PowerLoss];
            atomicity::line_02_a_truncation_and_its_replacement_are_never_split [PowerLoss];
            atomicity::line_02_state_and_snapshot_are_never_split [PowerLoss];
            durability::line_03_a_vote_survives_a_power_cut [PowerLoss];
            durability::line_03_the_first_entries_survive_a_power_cut [PowerLoss];
            durability::line_03_entries_survive_power_cuts [PowerLoss];
            durability::line_03_a_replaced_suffix_stays_replaced_after_a_power_cut [PowerLoss];
            durability::line_03_a_published_snapshot_survives_a_power_cut [PowerLoss];
            durability::line_03_a_compaction_survives_a_power_cut [PowerLoss];
            durability::line_03_a_reset_survives_a_power_cut [PowerLoss];
            durability::line_03_everything_acknowledged_survives_kills [Kill];
            durability::line_03_everything_acknowledged_survives_closing [];
            durability::line_03_everything_acknowledged_survives_closing_and_a_power_cut [PowerLoss];
            append::line_04_an_append_extends_the_log [];
            append::line_04_an_append_replaces_from_its_first_index_on [];
            append::line_04_a_replacement_keeps_exactly_what_precedes_it [];
            append::line_04_an_append_of_equal_entries_cuts_what_follows [];
            append::line_04_a_gap_is_invalid [];
            append::line_04_an_append_at_or_below_the_base_is_invalid [];
            append::line_04_a_term_that_goes_back_is_invalid [];
            append::line_04_a_configuration_entry_that_holds_none_is_invalid [];
            append::line_04_an_append_of_nothing_changes_nothing [];
            append::line_04_kinds_and_configurations_survive_and_are_replaced [];
            append::line_04_payloads_of_any_size_come_back_unchanged [];
            append::line_04_one_save_of_many_megabytes [];
            append::line_04_numbers_at_the_ends_of_their_range [];
            truncate::line_04_everything_above_the_base_can_be_replaced [];
            truncate::line_04_a_long_suffix_goes_whole [];
            truncate::line_04_replaced_entries_never_shine_through [];
            truncate::line_04_replay_resurrects_nothing [Kill];
            truncate::line_04_a_truncated_configuration_is_forgotten [];
            compact::line_05_compaction_drops_entries_up_to_and_including_one [];
            compact::line_05_reading_at_or_below_the_base_is_compacted [];
            compact::line_05_compaction_beyond_the_snapshot_is_invalid [];
            compact::line_05_compaction_to_an_entry_the_log_does_not_hold_is_invalid [];
            compact::line_05_a_save_may_compact_to_the_snapshot_it_publishes [];
            compact::line_05_a_log_compacted_to_its_end_goes_on [];
            compact::line_05_an_append_that_contradicts_the_snapshot_is_invalid [];
            compact::line_05_publishing_a_snapshot_the_log_disagrees_with_is_invalid [];
            reset::line_06_a_reset_empties_the_log_and_sets_its_base [];
            reset::line_06_a_blank_store_may_begin_with_a_reset [];
            reset::line_06_a_reset_within_the_log_drops_the_suffix [];
            reset::line_06_a_reset_without_its_snapshot_is_invalid [];
            reset::line_06_a_snapshot_older_than_the_published_one_is_invalid [];
            snapshot::line_07_a_staged_snapshot_is_invisible_until_saved [];
            snapshot::line_07_a_discarded_snapshot_is_gone [];
            snapshot::line_07_a_staged_snapshot_is_gone_at_the_next_open [];
            snapshot::line_07_a_stage_of_an_earlier_opening_never_names_a_newer_one [];
            snapshot::line_07_an_aborted_or_dropped_stage_leaves_nothing [];
            snapshot::line_07_several_stages_at_once_keep_apart [];
            snapshot::line_07_a_snapshot_cannot_be_published_twice [];
            readers::line_07_discarding_what_is_published_takes_nothing_away [];
            readers::line_07_discarding_one_of_two_equal_stages_leaves_the_other [];
            readers::line_07_a_stage_that_a_crash_interrupted_leaves_nothing [Kill];
            snapshot::line_08_snapshots_of_any_size_come_back_unchanged [];
            snapshot::line_08_state_and_snapshot_are_seen_to_switch_together [];
            snapshot::line_08_an_open_reader_outlives_newer_snapshots [];
            snapshot::line_08_without_a_snapshot_there_is_none_to_read [];
            readers::line_08_a_large_snapshot_is_streamed_both_ways [];
            readers::line_08_readers_do_not_disturb_each_other [];
            readers::line_08_a_reader_given_up_half_way_stands_in_nobodys_way [];
            readers::line_08_meta_and_bytes_of_a_reader_belong_together [];
            errors::line_09_an_invalid_save_changes_nothing [];
            errors::line_09_validity_is_judged_against_what_is_queued [];
            errors::line_09_invalid_saves_do_not_poison [];
            errors::line_09_a_failed_sync_poisons_the_engine [FailedSync];
            errors::line_09_a_failed_write_poisons_the_engine [FailedWrite];
            errors::line_09_everything_queued_behind_a_failure_fails [FailedSync];
            errors::line_09_opening_again_after_a_failed_sync_loses_nothing [FailedSync Kill];
            errors::line_09_the_poison_reaches_every_group [FailedSync ManyGroups];
            reads::line_10_a_read_stays_within_its_bytes_but_returns_one_entry [];
            reads::line_10_a_range_is_half_open_and_clipped [];
            reads::line_10_a_long_log_is_read_from_anywhere [];
            reads::line_10_a_read_sees_every_resolved_save [];
            reads::line_10_a_read_that_races_a_compaction_is_right_or_compacted [];
            reads::line_10_a_read_is_one_cut_at_a_save_boundary [];
            damage::line_11_a_flipped_bit_is_corrupt_or_harmless [Damage];
            damage::line_11_a_zeroed_sector_is_corrupt_or_harmless [Damage];
            damage::line_11_a_lost_piece_is_corrupt_or_harmless [Damage];
            damage::line_11_a_torn_tail_is_dropped_silently [PowerLoss];
            damage::line_11_a_dropped_tail_never_comes_back [PowerLoss];
            identity::line_12_opening_where_nothing_is_never_initialises [];
            identity::line_12_another_cluster_or_node_is_refused [];
            identity::line_12_the_identity_is_drawn_once_and_kept [];
            identity::line_12_creating_over_a_store_is_refused [];
            identity::line_12_a_created_store_survives_a_power_cut [PowerLoss];
            identity::line_12_a_creation_that_fails_leaves_no_half_store [FailedSync Kill PowerLoss];
            lock::line_13_a_second_opener_is_locked_out [];
            lock::line_13_a_second_handle_of_a_group_is_locked_out [];
            lock::line_13_closing_completes_what_is_queued [];
            lock::line_13_a_closed_handle_is_refused [];
            lock::line_13_a_kill_frees_the_lock [Kill];
            lock::line_13_dropping_everything_frees_the_lock [];
            lock::line_13_a_poisoned_engine_keeps_its_lock_until_it_is_closed [FailedSync];
            lock::line_13_a_poisoned_engine_keeps_its_lock_until_it_is_dropped [FailedSync];
            full_disk::line_14_a_full_disk_is_full_and_harms_nothing [FullDisk];
            full_disk::line_14_a_save_that_does_not_fit_fails_whole [FullDisk];
            full_disk::line_14_room_is_told_beforehand [FullDisk];
            full_disk::line_14_room_sinks_with_every_save_or_is_unbounded [];
            full_disk::line_14_room_that_others_give_back_is_told_without_a_save [FullDisk Reserve];
            full_disk::line_14_at_zero_room_the_reserve_saves_votes_and_compactions [FullDisk Reserve];
            full_disk::line_14_a_full_disk_takes_entries_again_once_the_log_is_compacted [FullDisk Reserve];
            reopen::line_15_what_is_read_after_a_kill_survives_a_power_cut [Kill PowerLoss];
            reopen::line_15_what_is_read_after_a_failed_sync_survives_a_power_cut [FailedSync Kill PowerLoss];
            reopen::line_15_acknowledged_after_a_kill_survives_a_power_cut [Kill PowerLoss];
            reopen::line_15_opening_after_every_power_cut_shows_the_same [Kill PowerLoss];
            concurrency::concurrency_thousands_of_unawaited_saves_and_readers [];
            concurrency::concurrency_saves_go_on_while_a_snapshot_is_staged [];
            concurrency::concurrency_saves_from_many_tasks_are_all_there [];
            groups::groups_keep_apart [ManyGroups];
            groups::groups_are_listed [ManyGroups];
            groups::groups_do_not_share_stages_or_handles [ManyGroups];
            groups::groups_each_survive_power_cuts [ManyGroups PowerLoss];
            groups::groups_an_invalid_save_of_one_harms_no_other [ManyGroups];
            groups::groups_a_hundred_share_an_engine [ManyGroups];
            groups::groups_have_sizes_of_their_own [ManyGroups];
            random::random_walks_agree_with_the_model [];
            random::random_walks_through_crashes_agree_with_the_model [Kill];
            random::random_walks_through_faults_agree_with_the_model [FailedSync Kill];
            state::state_no_vote_and_a_vote_for_anyone_are_told_apart [];
            state::state_a_save_of_nothing_changes_nothing [];
            state::state_a_hard_state_rides_with_every_kind_of_change [];
            state::state_a_change_of_the_log_keeps_the_hard_state [];
            state::state_configurations_come_back_with_all_their_parts [];
            state::state_the_outline_is_the_same_when_kept_and_when_rebuilt [];
            state::state_a_new_store_is_blank_whatever_stood_elsewhere [];
            sizes::sizes_follow_the_log [];
            sizes::sizes_follow_the_snapshot [];
            sizes::sizes_survive_an_opening [];
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    (; $($topic:ident :: $name:ident [$($need:ident)*];)*) => {
        /// Every case, line by line of the contract, then those that belong to no single line.
        pub const ALL: &[Case] = &[$(Case {
            topic: stringify!($topic),
            name: stringify!($name),
            needs: &[$($crate::Capability::$need),*],
            run: |lab| Box::pin($topic::$name(lab)),
        }),*];
    };
}

__each_case! { __conformance_table }

/// The case of this name.
pub fn find(name: &str) -> &'static Case {
    ALL.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"))
}
