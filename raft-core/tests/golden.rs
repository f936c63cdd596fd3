//! Golden scripts: whole message flows, each written down with what Raft demands of it.
//!
//! Each script names the rule or the section it checks, and its expected text is reasoned from there. The language is
//! explained in `script/mod.rs`; a new flow is a new file in `golden/` and its name below.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod script;
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                script::run(stringify!($name), include_str!(concat!("golden/", stringify!($name), ".txt")));
            }
        )*

        #[test]
        #[expect(clippy::disallowed_methods, reason = "a test that looks at its own folder")]
        fn every_script_in_the_folder_runs() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
            let found: std::collections::BTreeSet<String> = (std::fs::read_dir(folder).unwrap())
                .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            assert_eq!(found, [$(stringify!($name)),*].map(str::to_owned).into());
        }
    };
}

scripts! {
    a_conflict_cuts_the_log_exactly_there
    a_late_save_never_vouches_for_a_replaced_entry
    a_leader_that_hears_no_quorum_steps_down
    a_new_commit_index_travels_at_once
    a_peer_that_awaits_a_snapshot_is_told_who_leads_and_nothing_else
    a_read_that_met_compaction_goes_on_from_the_log_or_by_snapshot
    a_snapshot_beyond_what_is_applied_is_refused
    a_snapshot_that_brings_nothing_is_discarded_and_answered
    a_snapshot_that_was_staged_and_forgotten_is_sent_again
    a_taken_snapshot_compacts_but_for_the_trailing_entries
    a_window_of_nothing_counts_as_one
    an_idle_cluster_saves_nothing
    an_old_shorter_append_deletes_nothing
    an_unreachable_peer_is_not_pressed
    entries_are_batched_and_pipelined_up_to_the_window
    every_request_is_answered
    messages_from_strangers_and_second_leaders_are_dropped
    prevote_and_lease_protect_a_living_leader
    rule_10_nobody_is_stranded_in_a_higher_term
    rule_10_requests_of_a_lower_term_are_answered_with_ours
    rule_11_entries_that_no_leader_sends_are_refused
    rule_1_a_vote_that_was_not_durable_was_never_given
    rule_1_an_acknowledgement_waits_for_the_term_it_bears
    rule_1_an_earlier_save_does_not_vouch_for_a_later_vote
    rule_1_nothing_is_said_in_a_term_before_term_and_vote_are_durable
    rule_2_a_durable_suffix_of_an_old_leader_vouches_for_nothing
    rule_2_a_late_save_never_vouches_for_what_a_snapshot_dropped
    rule_2_matches_of_an_old_term_are_forgotten
    rule_2_nothing_is_acknowledged_before_it_is_durable
    rule_3_a_candidate_counts_its_own_vote_when_it_is_durable
    rule_3_a_leader_counts_itself_at_its_durable_index
    rule_3_unasked_votes_elect_nobody
    rule_4_only_what_is_committed_and_durable_is_applied
    rule_5_a_crash_before_publishing_brings_the_old_log_back
    rule_5_a_start_behind_the_log_begins_with_a_restore
    rule_5_apply_waits_for_the_restore
    rule_5_nothing_of_a_snapshot_counts_before_it_is_published
    rule_6_a_follower_commits_no_further_than_it_was_matched
    rule_6_a_heartbeat_carries_no_commit_index_beyond_the_match
    rule_6_an_entry_of_an_older_term_is_not_committed_by_counting
    rule_7_a_late_answer_never_moves_match_index_back
    rule_7_a_snapshot_goes_out_once_and_again_when_it_failed
    rule_7_every_rejection_moves_the_leader
    rule_8_a_boundary_that_agrees_keeps_the_suffix
    rule_8_a_boundary_that_disagrees_drops_the_whole_log
    rule_8_a_boundary_that_is_absent_drops_the_whole_log
    rule_9_a_read_waits_for_a_commit_in_the_leaders_term
    rule_9_an_acknowledgement_under_way_confirms_no_read
    snapshots_from_no_leader_are_refused
    votes_go_to_up_to_date_logs_only
    what_is_lost_in_a_pipeline_is_sent_again
    what_was_applied_is_committed_after_a_restart
}
