//! What can be chosen about snapshots in a bucket. Everything here is a bound, a place or a seed; nothing changes what is
//! promised.

use std::time::Duration;

use eraft_core::{Result, StorageError};

use crate::{Compression, manifest::MAX_CHUNK_BYTES};

/// After this many parts their length doubles: S3 allows 10,000.
const PARTS_PER_LENGTH: u32 = 1_000;
/// S3 takes no longer part.
const MAX_PART_BYTES: u64 = 5 << 30;
/// A local store with less room than this for entries has no time to wait for a bucket.
const SCARCE_BYTES: u64 = 8 << 20;
/// The most parts, and the most reads, under way at once.
const MAX_AT_ONCE: usize = 1 << 10;

/// How snapshots are laid out in a bucket, and how they travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    /// The folder that everything goes into; empty for none. Nodes and clusters may share one.
    pub prefix: String,
    /// How the chunks of new snapshots are compressed. Older snapshots say themselves how they were.
    pub compression: Compression,
    /// Bytes of a snapshot that are compressed and verified together: from 1 to 1 MiB.
    pub chunk_bytes: u32,
    /// Bytes of a part of an upload; doubled every 1,000 parts. S3 refuses parts below 5 MiB. A snapshot that fits into one
    /// goes up by one call.
    pub part_bytes: u64,
    /// Parts on their way at once; one more is gathered meanwhile, and that is all that an upload holds in memory.
    pub parts_in_flight: usize,
    /// Bytes of the snapshot that one ranged read fetches.
    pub read_bytes: u64,
    /// Ranged reads on their way, or waiting for their turn, at once.
    pub reads_in_flight: usize,
    /// How an upload is verified before anything names it.
    pub verify: VerifyUpload,
    /// While the bucket is away, how long the log may get, in bytes of [`eraft_core::Storage::raft_state_size`], before
    /// snapshots are kept in the local store; 0: at once. They move to the bucket once it is back.
    pub inline_over_bytes: u64,
    /// How calls are repeated.
    pub retry: RetryOptions,
    /// Whether a second process that runs as the same node is kept from writing.
    pub fencing: Fencing,
    /// What is kept in the bucket beside what is needed.
    pub collect: CollectOptions,
    /// The storage class of the snapshots, where it shall not be the bucket's default.
    pub storage_class: Option<String>,
    /// Where names and the jitter of pauses are drawn from; `None`: from the operating system. Two stores that share a seed
    /// could name an object alike, so a seed is for tests alone.
    pub seed: Option<u64>,
}

/// How an upload is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyUpload {
    /// All of it is read back and compared with its digests: what the bucket keeps is what was sent.
    #[default]
    ReadBack,
    /// Its length is asked for: half the traffic, and trust in the bucket's own checksums. What is read later is verified
    /// all the same; but that it was damaged on the way in is then found when it is too late to send it again.
    Length,
}

/// Whether a store owns its folder in the bucket. Two processes of the same node are one too many: a directory was copied or
/// restored, and its twin still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fencing {
    /// A store takes its folder by a conditional swap before its first write, and looks at each snapshot whether it still
    /// has it. Who has lost it is `Poisoned`. A bucket that ignores preconditions is refused.
    #[default]
    Required,
    /// Nothing is looked at, for a bucket that ignores preconditions: that no two processes run as one node is up to you.
    Off,
}

/// What is kept in a node's folder beside what is needed: that is the published snapshot, and all that is being staged or
/// read. Ages are by the bucket's own clock, as of the newest object in the folder. Nothing is collected without
/// [`Fencing::Required`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectOptions {
    /// So many of the newest snapshots are kept, the published one among them: to restore from.
    pub keep_last: usize,
    /// All snapshots are kept that are younger than this.
    pub keep_younger: Duration,
    /// Whatever is younger than this is left alone. Longer than a process may be paused and go on, and longer than a request
    /// may be under way.
    pub grace: Duration,
    /// The pause between two collections at least; one follows a publication.
    pub every: Duration,
}

impl Default for CollectOptions {
    /// Three snapshots are kept, a day of grace, ten minutes between two collections.
    fn default() -> CollectOptions {
        CollectOptions {
            keep_last: 3,
            keep_younger: Duration::ZERO,
            grace: Duration::from_secs(24 * 3600),
            every: Duration::from_secs(600),
        }
    }
}

/// How calls to the bucket are repeated: only what can pass is. That is 5xx, 408, 429, broken connections, no answer in time;
/// what S3 says with 400 of a request that was cut, held up or changed on its way; a write that ran into another try of its
/// own; and, of a published snapshot that is read, that it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// How often a call is tried at most, the first time included. A read that got on begins to count anew.
    pub attempts: u32,
    /// The longest pause after the first failure; it doubles with each one. Half of each pause is drawn at random.
    pub first_pause: Duration,
    /// The longest pause at all.
    pub longest_pause: Duration,
    /// How long one call may take, for each 8 MiB that it carries.
    pub call_timeout: Duration,
}

impl Default for S3Options {
    /// Zstandard, chunks of 1 MiB, parts and reads of 8 MiB with four of them under way, everything read back; a log of
    /// 256 MiB while the bucket is away.
    fn default() -> S3Options {
        S3Options {
            prefix: String::new(),
            compression: Compression::default(),
            chunk_bytes: MAX_CHUNK_BYTES,
            part_bytes: 8 << 20,
            parts_in_flight: 4,
            read_bytes: 8 << 20,
            reads_in_flight: 4,
            verify: VerifyUpload::default(),
            inline_over_bytes: 256 << 20,
            retry: RetryOptions::default(),
            fencing: Fencing::default(),
            collect: CollectOptions::default(),
            storage_class: None,
            seed: None,
        }
    }
}

impl Default for RetryOptions {
    /// Eight attempts within about half a minute of pauses; 30 s for a call.
    fn default() -> RetryOptions {
        RetryOptions {
            attempts: 8,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
        }
    }
}

impl S3Options {
    /// # Errors
    /// `Invalid` for a bound that cannot be kept.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(StorageError::invalid(what));
        if !(1..=MAX_CHUNK_BYTES).contains(&self.chunk_bytes) {
            return refuse(format!("chunk_bytes is {}; expected 1 to {MAX_CHUNK_BYTES}", self.chunk_bytes));
        }
        let bounds = [
            ("part_bytes", self.part_bytes),
            ("parts_in_flight", self.parts_in_flight as u64),
            ("read_bytes", self.read_bytes),
            ("reads_in_flight", self.reads_in_flight as u64),
            ("attempts", self.retry.attempts.into()),
        ];
        if let Some((name, _)) = bounds.into_iter().find(|(_, bound)| *bound == 0) {
            return refuse(format!("{name} is 0; expected 1 or more"));
        }
        let at_once = [("parts_in_flight", self.parts_in_flight), ("reads_in_flight", self.reads_in_flight)];
        if let Some((name, bound)) = at_once.into_iter().find(|(_, bound)| *bound > MAX_AT_ONCE) {
            return refuse(format!("{name} is {bound}; expected {MAX_AT_ONCE} at most"));
        }
        if self.part_bytes > MAX_PART_BYTES {
            return refuse(format!("part_bytes is {}; expected {MAX_PART_BYTES} at most", self.part_bytes));
        }
        Ok(())
    }

    /// Whether a log of so many bytes, on a disk with so much room for entries, must be compacted though the bucket is away.
    pub(crate) fn cannot_wait(&self, log_bytes: u64, room_bytes: u64) -> bool {
        log_bytes >= self.inline_over_bytes || room_bytes < SCARCE_BYTES
    }

    /// The length of part number `index`, from 0 on.
    pub(crate) fn part_bytes(&self, index: usize) -> u64 {
        let doublings = u32::try_from(index).unwrap_or(u32::MAX) / PARTS_PER_LENGTH;
        self.part_bytes.saturating_mul(1u64.checked_shl(doublings).unwrap_or(u64::MAX)).min(MAX_PART_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_the_longest_object_that_s3_keeps() {
        let options = S3Options::default();
        let total: u64 = (0..10_000).map(|index| options.part_bytes(index)).sum();
        assert_eq!([options.part_bytes(999), options.part_bytes(1000)], [8 << 20, 16 << 20]);
        assert!(total > 5 << 40, "{total} bytes");
    }

    #[test]
    fn a_log_waits_for_the_bucket_while_it_is_short_and_has_room() {
        let options = S3Options { inline_over_bytes: 100, ..S3Options::default() };
        assert!(!options.cannot_wait(99, u64::MAX) && !options.cannot_wait(99, SCARCE_BYTES));
        assert!(options.cannot_wait(100, u64::MAX), "it is long");
        assert!(options.cannot_wait(0, SCARCE_BYTES - 1), "its disk is full");
    }

    #[test]
    fn no_part_is_longer_than_s3_takes_and_no_bound_is_without_one() {
        let options = S3Options { part_bytes: MAX_PART_BYTES, ..S3Options::default() };
        options.check().unwrap();
        assert_eq!([0, 999, 1000, 9999].map(|index| options.part_bytes(index)), [MAX_PART_BYTES; 4]);
        let broken = [
            S3Options { part_bytes: MAX_PART_BYTES + 1, ..S3Options::default() },
            S3Options { parts_in_flight: MAX_AT_ONCE + 1, ..S3Options::default() },
            S3Options { reads_in_flight: MAX_AT_ONCE + 1, ..S3Options::default() },
        ];
        for options in broken {
            assert!(options.check().unwrap_err().detail().contains("at most"), "{options:?}");
        }
    }
}
