//! Power cuts on real file systems: what the simulated disk calls durable is durable on ext4 and XFS too. Ten cuts on
//! each, a hundred with `ERAFT_LONG=1`; `eraft_conformance::driven` has the machinery.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests on real disks")]

#[path = "../driver/mod.rs"]
mod driver;

use std::time::Duration;

use driver::Files;
use eraft_conformance::{
    driven::{About, Subject, cut_power, is_driver, serve},
    machine::FileSystem,
};

/// The test, or its driver. Short silences, so that cuts meet closing marks.
fn cut(test: &str, file_system: FileSystem, about: About) {
    if is_driver() {
        return serve(&Files { idle_after: Some(Duration::from_millis(2)) });
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
fn what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_ext4_once_it_was_served() {
    let test = "what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_ext4_once_it_was_served";
    cut(test, FileSystem::Ext4, About::TheCache);
}

#[test]
fn what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_xfs_once_it_was_served() {
    let test = "what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_xfs_once_it_was_served";
    cut(test, FileSystem::Xfs, About::TheCache);
}
