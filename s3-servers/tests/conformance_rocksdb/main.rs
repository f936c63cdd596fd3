//! S3 over RocksDB passes the suite's cases about snapshots, and those that a snapshot is a part of.
//!
//! RocksDB's own crashes are tried out of process by its own crate; here the store is closed or dropped, never killed, and what is
//! looked at is that a manifest fares in RocksDB as every other snapshot does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[path = "../over/mod.rs"]
mod over;

use async_trait::async_trait;
use eraft_conformance::{Capabilities, Capability, Engine, Env, cases};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_s3_servers::fixture;
use eraft_storage_rocksdb::{RocksEngine, RocksOptions};
use tempfile::TempDir;

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                cases::find(stringify!($name)).test_under(1, &|seed| {
                    let access = fixture::server().access();
                    Box::new(over::S3Env::new(seed, RocksEnv { directory: tempfile::tempdir().unwrap() }, access))
                });
            }
        )*
    };
}

cases! {
    line_03_everything_acknowledged_survives_closing
    line_05_compaction_drops_entries_up_to_and_including_one
    line_05_reading_at_or_below_the_base_is_compacted
    line_05_compaction_beyond_the_snapshot_is_invalid
    line_05_a_save_may_compact_to_the_snapshot_it_publishes
    line_05_a_log_compacted_to_its_end_goes_on
    line_05_an_append_that_contradicts_the_snapshot_is_invalid
    line_05_publishing_a_snapshot_the_log_disagrees_with_is_invalid
    line_06_a_reset_empties_the_log_and_sets_its_base
    line_06_a_blank_store_may_begin_with_a_reset
    line_06_a_reset_within_the_log_drops_the_suffix
    line_06_a_reset_without_its_snapshot_is_invalid
    line_06_a_snapshot_older_than_the_published_one_is_invalid
    line_07_a_staged_snapshot_is_invisible_until_saved
    line_07_a_discarded_snapshot_is_gone
    line_07_a_staged_snapshot_is_gone_at_the_next_open
    line_07_a_stage_of_an_earlier_opening_never_names_a_newer_one
    line_07_an_aborted_or_dropped_stage_leaves_nothing
    line_07_several_stages_at_once_keep_apart
    line_07_a_snapshot_cannot_be_published_twice
    line_07_discarding_what_is_published_takes_nothing_away
    line_07_discarding_one_of_two_equal_stages_leaves_the_other
    line_08_snapshots_of_any_size_come_back_unchanged
    line_08_state_and_snapshot_are_seen_to_switch_together
    line_08_an_open_reader_outlives_newer_snapshots
    line_08_without_a_snapshot_there_is_none_to_read
    line_08_a_large_snapshot_is_streamed_both_ways
    line_08_readers_do_not_disturb_each_other
    line_08_a_reader_given_up_half_way_stands_in_nobodys_way
    line_08_meta_and_bytes_of_a_reader_belong_together
}

struct RocksEnv {
    directory: TempDir,
}

impl RocksEnv {
    fn options() -> RocksOptions {
        RocksOptions { write_buffer_bytes: 256 << 10, reserve_bytes: 8 << 20, ..RocksOptions::default() }
    }
}

#[async_trait]
impl Env for RocksEnv {
    fn capabilities(&self) -> Capabilities {
        use Capability::{Damage, FailedSync, FailedWrite, FullDisk, Kill, PowerLoss, Reserve};
        let ordeals = [Kill, PowerLoss, FailedSync, FailedWrite, FullDisk, Reserve, Damage];
        let without = |all: Capabilities, lacks| all.without(lacks, "its own crate tries that out of process");
        ordeals.into_iter().fold(Capabilities::all(), without)
    }

    async fn fresh(&mut self) {
        self.directory = tempfile::tempdir().unwrap();
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        RocksEngine::create_with(self.directory.path().join("node"), cluster, node, RocksEnv::options())
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Open(RocksEngine::open_with(self.directory.path().join("node"), expected, RocksEnv::options())?)))
    }
}

eraft_conformance::engine!(Open(RocksEngine));
