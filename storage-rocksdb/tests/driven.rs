//! A process that is killed at any system call, or has any of them fail, on disks whose power is cut or that are full;
//! `eraft_conformance::driven` has the machinery.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests on real disks")]

use std::{path::Path, sync::Arc, time::Duration};

use eraft_conformance::{
    driven::{About, Backend, Subject, cut_power, every_call, fill, is_driver, serve},
    machine::FileSystem,
};
use eraft_core::{ClusterId, Expected, NodeId, Result, Storage};
use eraft_storage_kit::GroupCommitOptions;
use eraft_storage_rocksdb::{RocksOptions, RocksStorage};

/// Small write buffers, so that what befalls a process often meets tables being made.
struct Rocks {
    idle_after: Option<Duration>,
}

impl Rocks {
    fn options(&self) -> RocksOptions {
        RocksOptions {
            write_buffer_bytes: 64 << 10,
            reserve_bytes: 4 << 20,
            commit: GroupCommitOptions { idle_after: self.idle_after, ..GroupCommitOptions::default() },
            ..RocksOptions::default()
        }
    }
}

impl Backend for Rocks {
    fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<()> {
        RocksStorage::create_with(dir, cluster, node, self.options()).map(|_identity| ())
    }

    fn open(&self, dir: &Path, expected: Expected) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(RocksStorage::open_with(dir, expected, self.options())?))
    }
}

/// The test, or its driver. Short silences, so that cuts meet marks.
fn cut(test: &str, file_system: FileSystem, about: About) {
    if is_driver() {
        return serve(&Rocks { idle_after: Some(Duration::from_millis(2)) });
    }
    cut_power(test, &Subject::this_test(test), file_system, about);
}

#[test]
fn a_power_cut_on_ext4_loses_nothing_acknowledged() {
    cut("a_power_cut_on_ext4_loses_nothing_acknowledged", FileSystem::Ext4, About::AnyMoment);
}

#[test]
fn a_power_cut_on_xfs_loses_nothing_acknowledged() {
    cut("a_power_cut_on_xfs_loses_nothing_acknowledged", FileSystem::Xfs, About::AnyMoment);
}

#[test]
fn what_a_killed_process_left_in_the_cache_survives_a_power_cut_once_it_was_served() {
    let test = "what_a_killed_process_left_in_the_cache_survives_a_power_cut_once_it_was_served";
    cut(test, FileSystem::Ext4, About::TheCache);
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_or_a_failure_at_any_system_call() {
    let test = "nothing_acknowledged_is_lost_by_a_kill_or_a_failure_at_any_system_call";
    if is_driver() {
        return serve(&Rocks { idle_after: None });
    }
    // RocksDB's journal, and room kept back: a store does without both.
    every_call(test, &Subject::this_test(test).with_harmless(&["LOG", "RESERVE"]));
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_saving_goes_on_once_there_is_room() {
    let test = "a_full_disk_loses_nothing_acknowledged_and_saving_goes_on_once_there_is_room";
    if is_driver() {
        return serve(&Rocks { idle_after: None });
    }
    fill(test, &Subject::this_test(test));
}
