//! Power cuts on real file systems: what the simulated disk calls durable is durable on ext4 and XFS too.
//!
//! A process saves as fast as it can into a file system on a loop device and tells every receipt that resolves. At a
//! random moment the file system is shut down under it without flushing its journal, taken off and put back: what was not
//! synced is gone, as after a power cut. The next process must find a state that some prefix of the saves made, and all
//! that was acknowledged in it. Some processes are killed first, so that the next one serves what only the page cache
//! held. `ERAFT_LONG=1` makes twenty cuts on each file system instead of three.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    reason = "tests, which start processes, mount disks and choose moments"
)]

mod loop_disk;
mod rounds;
mod saver;
mod script;

use loop_disk::FileSystem;
use rounds::About;

#[test]
fn a_power_cut_on_ext4_loses_nothing_acknowledged() {
    rounds::run("a_power_cut_on_ext4_loses_nothing_acknowledged", FileSystem::Ext4, About::AnyMoment);
}

#[test]
fn a_power_cut_on_xfs_loses_nothing_acknowledged() {
    rounds::run("a_power_cut_on_xfs_loses_nothing_acknowledged", FileSystem::Xfs, About::AnyMoment);
}

#[test]
fn what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_ext4_once_it_was_served() {
    let test = "what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_ext4_once_it_was_served";
    rounds::run(test, FileSystem::Ext4, About::TheCache);
}

#[test]
fn what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_xfs_once_it_was_served() {
    let test = "what_a_killed_process_left_in_the_cache_survives_a_power_cut_on_xfs_once_it_was_served";
    rounds::run(test, FileSystem::Xfs, About::TheCache);
}
