//! A process that is killed at any system call, or has any of them fail; and one whose disk is full. A sample of the calls,
//! all with `ERAFT_LONG=1`; `eraft_conformance::driven` has the machinery.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests on real disks")]

#[path = "../driver/mod.rs"]
mod driver;

use driver::Files;
use eraft_conformance::driven::{Subject, every_call, fill, is_driver, serve};

/// Nothing is done by the clock, so that one life is like another.
const FILES: Files = Files { idle_after: None };

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_or_a_failure_at_any_system_call() {
    let test = "nothing_acknowledged_is_lost_by_a_kill_or_a_failure_at_any_system_call";
    if is_driver() {
        return serve(&FILES);
    }
    every_call(test, &Subject::this_test(test));
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_saving_goes_on_once_there_is_room() {
    let test = "a_full_disk_loses_nothing_acknowledged_and_saving_goes_on_once_there_is_room";
    if is_driver() {
        return serve(&FILES);
    }
    fill(test, &Subject::this_test(test));
}
