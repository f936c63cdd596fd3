//! Stores in processes of their own, in any language: killed at any system call, with any of them failed, on disks whose
//! power is cut or that are full.
//!
//! The backend's author writes a *driver*, a small program that does to a store what it is told on its standard input
//! and tells on its standard output what came of it. What is saved and what must be found is decided here. In Rust, a driver is
//! a [`Backend`] and a call of [`serve`].
//!
//! - [`every_call`] kills the driver at every system call that changes the disk, and has each of them fail.
//! - [`cut_power`] cuts the power of ext4 and XFS at any moment.
//! - [`fill`] lets the store run into a full disk.
//!
//! Each ends with a [`Report`] that tells what was survived; too little is a failure.
//!
//! # The protocol
//!
//! Lines of words between single spaces. `ID` is `TERM,INDEX`, `HEX` an even number of hexadecimal digits (none for no bytes).
//! Told to the driver:
//!
//! | Line | Asks for |
//! |---|---|
//! | `create DIR CLUSTER NODE` | a blank store in `DIR`, which does not exist, for this cluster and node (decimal numbers) |
//! | `open DIR CLUSTER NODE` | the store that is there |
//! | `save NUMBER STATE LOG SNAPSHOT` | one save of group 0; the driver waits for no earlier one before it submits this |
//! | `read` | all that the store holds |
//! | `close` | the store closed |
//!
//! `STATE` is the hard state, `TERM,VOTE,COMMIT`. `LOG` is `keep`, `append:FIRST:TERM,KIND,HEX;TERM,KIND,HEX;…` (entries
//! from index `FIRST` on; kind 0 is a command), `compact:ID` or `reset:ID`. `SNAPSHOT` is `-`, or `ID,HEX`: a snapshot
//! that is staged first, and published by this save; its configuration is node 1 as the only voter, with an empty context. When the input ends, so does the
//! driver, without closing anything.
//!
//! Told by the driver; other lines are passed over:
//!
//! | Line | When |
//! |---|---|
//! | `@ready` | it has started, and waits for its first order |
//! | `@created`, `@opened`, `@closed` | it is done |
//! | `@saved NUMBER` | the receipt has resolved; in order |
//! | `@failed WHAT KIND TEXT` | it is not; `WHAT` is `create`, `open`, `read`, `close`, or the number of a save; `KIND` as in `StorageErrorKind` |
//! | `@unstaged NUMBER KIND TEXT` | the snapshot could not be staged, so nothing was submitted; the number will come again, and any other is answered in the same way |
//! | `@state TERM,VOTE,COMMIT`, `@log BASE_ID LAST_ID`, `@entry INDEX,TERM,KIND,HEX` for each entry, `@snapshot ID,HEX` if there is one, `@read` | it has read; `VOTE` is `-` for none |
//!
//! An order is done by one thread, the same for all, before the next is read; only receipts are waited for beside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test of real processes, which panics where it finds a fault"
)]

mod calls;
mod cuts;
mod driver;
mod full;
mod judge;
mod lines;
mod points;
mod script;
mod serve;

use std::{fmt, path::PathBuf};

pub use calls::every_call;
pub use cuts::{About, cut_power};
pub use full::fill;
pub use serve::{Backend, is_driver, serve};

/// The driver under test.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The names of files that hold nothing of the store's, such as an engine's journal of what it does: a call on them
    /// that failed may be told to nobody. That nothing is lost is asked all the same.
    pub harmless: &'static [&'static str],
}

impl Subject {
    /// The test that calls this, started again by its name; it sees that it [`is_driver`], and serves.
    pub fn this_test(name: &str) -> Subject {
        let arguments = ["--exact", name, "--nocapture", "--test-threads=1"].map(ToOwned::to_owned);
        let program = std::env::current_exe().unwrap();
        Subject { program, arguments: arguments.to_vec(), harmless: &[] }
    }

    /// The same, where a failed call on a file of one of these names may be told to nobody.
    #[must_use]
    pub fn with_harmless(self, harmless: &'static [&'static str]) -> Subject {
        Subject { harmless, ..self }
    }
}

/// What was survived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// System calls at which something could have been done.
    pub points: u64,
    /// Kills.
    pub kills: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Saves that were acknowledged, none of which was lost.
    pub acknowledged: u64,
    /// Saves that were found though nobody had been told.
    pub untold: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { points, kills, faults, cuts, acknowledged, untold } = self;
        write!(f, "{points} points, {kills} kills, {faults} failed calls and {cuts} power cuts survived; ")?;
        write!(f, "{acknowledged} saves acknowledged and none lost, {untold} found that were not")
    }
}

/// The seed of what is saved: `ERAFT_SEED`, or 1.
fn seed() -> u64 {
    std::env::var("ERAFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Whether all is to be tried: `ERAFT_LONG=1`.
fn is_long() -> bool {
    std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1")
}
