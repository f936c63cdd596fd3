//! The bytes of one simulated file: what reads see, what the disk holds, and what may become of the difference.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::{Fate, Reach};

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// How many unsynced versions of a sector are remembered; the oldest are forgotten, which only spares the caller.
const MAX_VERSIONS: usize = 8;

/// How many unsynced lengths of a file are remembered, likewise.
const MAX_LENGTHS: usize = 16;

/// Invariants:
///
/// 1. A sector that is neither dirty nor lost by a failed sync is the same in `cache` and `disk`.
/// 2. The last version of a dirty sector is what `cache` holds (padded with zeros).
/// 3. `disk.len()` is the durable length, and never greater than `cache.len()`.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// What reads see.
    cache: Vec<u8>,
    /// What a power cut leaves for certain, as far as it was synced.
    disk: Vec<u8>,
    /// What each sector has held since it was last synced, oldest first.
    dirty: BTreeMap<usize, Vec<Version>>,
    /// Sectors within the durable length that no sync ever covered.
    never_synced: BTreeSet<usize>,
    /// Lengths beyond the durable one that a crash may leave: where writes since have ended.
    lengths: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
struct Version {
    /// The write that made it.
    write: u64,
    bytes: Vec<u8>,
}

/// Which writes a crash kept on some sector, and which it lost on some sector.
#[derive(Debug, Default)]
pub(super) struct Survivors {
    pub(super) kept: BTreeSet<u64>,
    pub(super) lost: BTreeSet<u64>,
}

/// What decides a file's fate at a crash.
pub(super) struct Dice<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) data: Fate,
    pub(super) lengths: Fate,
    /// How likely each single thing survives where fate is random.
    pub(super) keep_probability: f64,
    /// Old bytes of other files, for sectors that hold nothing synced.
    pub(super) stale: &'a [Vec<u8>],
}

impl Contents {
    /// A file that is durable as it stands.
    pub(super) fn durable(bytes: &[u8]) -> Contents {
        Contents { cache: bytes.to_vec(), disk: bytes.to_vec(), ..Contents::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> usize {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.cache.len());
        let available = self.cache.get(start..).unwrap_or_default();
        let count = available.len().min(buf.len());
        buf.iter_mut().zip(available).for_each(|(to, from)| *to = *from);
        count
    }

    pub(super) fn write_at(&mut self, bytes: &[u8], offset: usize, write: u64) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.cache.resize(end, 0);
        }
        // Also within a length that a failed sync has lost: this write brings it back.
        if end > self.disk.len() {
            self.lengths.insert(end);
            if self.lengths.len() > MAX_LENGTHS {
                self.lengths.pop_first();
            }
        }
        if let Some(target) = self.cache.get_mut(offset..end) {
            target.copy_from_slice(bytes);
        }
        for sector in offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES {
            let version = Version { write, bytes: sector_of(&self.cache, sector) };
            let versions = self.dirty.entry(sector).or_default();
            if versions.len() == MAX_VERSIONS {
                versions.remove(0);
            }
            versions.push(version);
        }
    }

    /// Everything dirty becomes durable. What an earlier failed sync lost does not: its pages are clean.
    pub(super) fn sync(&mut self, rng: &mut Rng) {
        let len = self.newest_len();
        self.lengths.clear();
        let dirty = std::mem::take(&mut self.dirty);
        self.extend_disk(len, &dirty, rng, &[]);
        for (sector, versions) in dirty {
            if let Some(last) = versions.last() {
                put_sector(&mut self.disk, sector, &last.bytes);
            }
            self.never_synced.remove(&sector);
        }
    }

    /// The sync fails: some pages reached the disk, the others did not, and all of them count as clean.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng, reach: &mut Reach) {
        let len = self.newest_len();
        self.lengths.clear();
        let dirty = std::mem::take(&mut self.dirty);
        if rng.bool() {
            let held = self.disk.len().div_ceil(SECTOR_BYTES);
            self.extend_disk(len, &dirty, rng, &[]);
            // What lies in the new part was not synced, whatever of it reaches the disk now. What lay in the old one was.
            let new = held..self.disk.len().div_ceil(SECTOR_BYTES);
            self.never_synced.extend(dirty.keys().filter(|sector| new.contains(sector)));
        }
        for (sector, versions) in dirty {
            match versions.last() {
                Some(last) if rng.bool() && sector * SECTOR_BYTES < self.disk.len() => {
                    put_sector(&mut self.disk, sector, &last.bytes);
                }
                _ => reach.sectors_lost_by_failed_sync += 1,
            }
        }
    }

    /// Reads see the disk again wherever a page is clean.
    pub(super) fn drop_cache(&mut self) {
        let mut cache = self.disk.clone();
        cache.resize(self.newest_len(), 0);
        for (sector, versions) in &self.dirty {
            if let Some(last) = versions.last() {
                put_sector(&mut cache, *sector, &last.bytes);
            }
        }
        self.cache = cache;
    }

    /// The power goes: each unsynced sector and length falls one way or the other.
    pub(super) fn crash(&mut self, dice: &mut Dice<'_>, reach: &mut Reach, survivors: &mut Survivors) {
        let durable_len = self.disk.len();
        let len = dice.length(&std::mem::take(&mut self.lengths), durable_len, reach);
        let dirty = std::mem::take(&mut self.dirty);
        self.extend_disk(len, &dirty, dice.rng, dice.stale);
        for (sector, versions) in &dirty {
            let survivor = dice.survivor(versions.len()).filter(|_| sector * SECTOR_BYTES < len);
            for (nth, version) in versions.iter().enumerate() {
                match survivor {
                    Some(kept) if nth == kept => drop(survivors.kept.insert(version.write)),
                    // Overwritten before the crash: neither kept nor lost.
                    Some(kept) if nth < kept => {}
                    _ => drop(survivors.lost.insert(version.write)),
                }
            }
            reach.sectors_lost += u64::from(survivor.is_none_or(|kept| kept + 1 < versions.len()));
            reach.sectors_kept += u64::from(survivor.is_some());
            let holds_synced = sector * SECTOR_BYTES < durable_len && !self.never_synced.contains(sector);
            match survivor.and_then(|kept| versions.get(kept)) {
                Some(version) => put_sector(&mut self.disk, *sector, &version.bytes),
                None if holds_synced => {}
                None => put_sector(&mut self.disk, *sector, &dice.garbage(*sector, reach)),
            }
        }
        // What a restart reads is on the disk by now.
        self.never_synced.clear();
        self.cache.clone_from(&self.disk);
    }

    /// Damages what is at rest: the disk and every copy of it.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        let Some(byte) = self.cache.get_mut(offset) else { return false };
        *byte ^= mask;
        if let Some(byte) = self.disk.get_mut(offset) {
            *byte ^= mask;
        }
        for version in self.dirty.get_mut(&(offset / SECTOR_BYTES)).into_iter().flatten() {
            if let Some(byte) = version.bytes.get_mut(offset % SECTOR_BYTES) {
                *byte ^= mask;
            }
        }
        true
    }

    /// The length once everything dirty is on the disk.
    fn newest_len(&self) -> usize {
        self.lengths.last().copied().unwrap_or(0).max(self.disk.len())
    }

    /// Lengthens the disk's copy to `len`. New sectors hold zeros where nothing was ever written, and whatever was there
    /// before where a write was lost.
    fn extend_disk(&mut self, len: usize, dirty: &BTreeMap<usize, Vec<Version>>, rng: &mut Rng, stale: &[Vec<u8>]) {
        let old_len = self.disk.len();
        if len <= old_len {
            return;
        }
        self.disk.resize(len, 0);
        for sector in old_len.div_ceil(SECTOR_BYTES)..len.div_ceil(SECTOR_BYTES) {
            let written = sector_of(&self.cache, sector).iter().any(|byte| *byte != 0);
            if written && !dirty.contains_key(&sector) {
                self.never_synced.insert(sector);
                if rng.bool() {
                    put_sector(&mut self.disk, sector, &old_bytes(rng, stale, sector));
                }
            }
        }
    }
}

impl Dice<'_> {
    /// How long the file is after the crash.
    fn length(&mut self, lengths: &BTreeSet<usize>, durable_len: usize, reach: &mut Reach) -> usize {
        let newest = lengths.last().copied().unwrap_or(durable_len);
        let len = match self.lengths {
            Fate::Kept => newest,
            Fate::Random if self.rng.f64() < self.keep_probability => {
                lengths.iter().nth(self.rng.usize(..lengths.len().max(1))).copied().unwrap_or(durable_len)
            }
            Fate::Random | Fate::Lost => durable_len,
        };
        reach.lengths_lost += u64::from(len < newest);
        len
    }

    /// Which of `versions` a sector holds after the crash; none: what was there before them.
    fn survivor(&mut self, versions: usize) -> Option<usize> {
        match self.data {
            Fate::Lost => None,
            Fate::Kept => versions.checked_sub(1),
            Fate::Random if self.rng.f64() >= self.keep_probability => None,
            Fate::Random if self.rng.bool() => versions.checked_sub(1),
            Fate::Random => Some(self.rng.usize(..versions.max(1))),
        }
    }

    /// What a sector that holds nothing synced may read as.
    fn garbage(&mut self, sector: usize, reach: &mut Reach) -> Vec<u8> {
        if matches!(self.data, Fate::Random) && self.rng.bool() {
            reach.sectors_garbled += 1;
            old_bytes(self.rng, self.stale, sector)
        } else {
            reach.sectors_zeroed += 1;
            vec![0; SECTOR_BYTES]
        }
    }
}

/// Bytes that were on the disk before: those of another file at the same place, or noise.
fn old_bytes(rng: &mut Rng, stale: &[Vec<u8>], sector: usize) -> Vec<u8> {
    match stale.get(rng.usize(..stale.len().max(1))) {
        Some(other) if rng.bool() => sector_of(other, sector),
        _ => std::iter::repeat_with(|| rng.u8(..)).take(SECTOR_BYTES).collect(),
    }
}

/// One sector, padded with zeros.
fn sector_of(bytes: &[u8], sector: usize) -> Vec<u8> {
    let start = (sector * SECTOR_BYTES).min(bytes.len());
    let end = (start + SECTOR_BYTES).min(bytes.len());
    let mut found = bytes.get(start..end).unwrap_or_default().to_vec();
    found.resize(SECTOR_BYTES, 0);
    found
}

/// Overwrites one sector as far as `bytes` reaches.
fn put_sector(bytes: &mut [u8], sector: usize, with: &[u8]) {
    let start = (sector * SECTOR_BYTES).min(bytes.len());
    bytes.get_mut(start..).unwrap_or_default().iter_mut().zip(with).for_each(|(to, from)| *to = *from);
}
