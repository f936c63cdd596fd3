//! What a real machine offers a test: file systems whose power can be cut, system calls that can be made to fail, and the
//! rule for tests that need what a machine may lack.
//!
//! It drives programs that an administrator installs (`mount`, `mkfs.ext4`, `xfs_io`, `strace`), and may assume none of
//! them: each says what is missing, by the name of its *probe*, the one that `ERAFT_REQUIRE` and the tables of what was
//! skipped use. It leaves nothing behind, also where the test is killed.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the machine of a test: real files, processes and time"
)]

mod janitor;
mod loop_disk;
mod needs;
mod program;
mod small_disk;
mod strace;

pub use loop_disk::{FileSystem, LoopDisk};
pub use needs::{demand, skip};
pub use program::{command, is_root, run};
pub use small_disk::{SMALL_TMPFS, SmallDisk};
pub use strace::{Fault, Injection, STRACE, can_trace};
