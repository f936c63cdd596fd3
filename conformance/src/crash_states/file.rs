//! The bytes of one file: what is durable, what was written since, and what a crash makes of the two.

use std::collections::BTreeMap;

use super::{
    fates::{Fates, Filler, LengthChange},
    journal::{Inode, OperationId},
    sector::{SECTOR_BYTES, Sector},
};

/// How many unsynced versions of a sector, and lengths of a file, are remembered; the oldest are forgotten, which only
/// spares the store.
const MAX_REMEMBERED: usize = 16;

/// Invariants:
///
/// 1. `durable` has exactly the sectors that `durable_len` reaches, the last one zero behind it.
/// 2. A sector that is not in `dirty` reads as it is durable, or as zeros where nothing is.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    durable: Vec<Sector>,
    durable_len: u64,
    len: u64,
    /// What each sector has held since it was last synced, oldest first.
    dirty: BTreeMap<usize, Vec<(OperationId, Sector)>>,
    lengths: Vec<(OperationId, LengthChange)>,
}

/// One write, or change of length, that is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingWrite {
    pub(super) operation: OperationId,
    /// The sectors that still hold a version of it.
    pub(super) sectors: Vec<usize>,
    /// Whether one of them holds nothing synced.
    pub(super) beyond_synced: bool,
}

impl File {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn is_durable(&self) -> bool {
        self.dirty.is_empty() && self.lengths.is_empty()
    }

    pub(super) fn durable_len(&self) -> u64 {
        self.durable_len
    }

    /// Lengths that are not durable.
    pub(super) fn lengths(&self) -> &[(OperationId, LengthChange)] {
        &self.lengths
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> usize {
        let count = buf.len().min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < count {
            let at = offset as usize + done;
            let (sector, within) = (at / SECTOR_BYTES, at % SECTOR_BYTES);
            let step = (SECTOR_BYTES - within).min(count - done);
            buf[done..done + step].copy_from_slice(&self.sector(sector).bytes()[within..within + step]);
            done += step;
        }
        count
    }

    pub(super) fn write_at(&mut self, operation: OperationId, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset as usize + done;
            let (sector, within) = (at / SECTOR_BYTES, at % SECTOR_BYTES);
            let step = (SECTOR_BYTES - within).min(bytes.len() - done);
            let written = self.sector(sector).with(within, &bytes[done..done + step]);
            self.push(operation, sector, written);
            done += step;
        }
        self.len = self.len.max(end);
        if end > self.durable_len {
            self.push_length(operation, LengthChange::AtLeast(end));
        }
    }

    pub(super) fn set_len(&mut self, operation: OperationId, len: u64) {
        if len == self.len {
            return;
        }
        // What is cut off reads as zeros when the file grows again.
        for sector in sectors_of(len).saturating_sub(1)..sectors_of(self.len) {
            let cut = self.sector(sector).cut(within(len, sector));
            if cut.hash() != self.sector(sector).hash() {
                self.push(operation, sector, cut);
            }
        }
        self.len = len;
        self.push_length(operation, LengthChange::Exactly(len));
    }

    /// Everything becomes durable.
    pub(super) fn sync(&mut self) {
        self.durable = (0..sectors_of(self.len)).map(|sector| self.sector(sector).clone()).collect();
        self.durable_len = self.len;
        self.dirty.clear();
        self.lengths.clear();
    }

    /// What the power leaves of it; `stale` gives old bytes of other files.
    pub(super) fn crash(
        &self,
        inode: Inode,
        fates: &mut dyn Fates,
        stale: &dyn Fn(u64, usize) -> Option<Sector>,
    ) -> File {
        let len = match self.lengths.is_empty() {
            true => self.durable_len,
            false => fates.length(inode, self.durable_len, &self.lengths),
        };
        let durable = (0..sectors_of(len)).map(|sector| {
            let versions = self.dirty.get(&sector).map_or(&[][..], Vec::as_slice);
            let survivor = versions.iter().rev().find(|(operation, _)| fates.keeps_sector(*operation, inode, sector));
            let left = match survivor {
                Some((_, version)) => version.clone(),
                None if self.holds_synced(sector) => self.durable[sector].clone(),
                None if versions.is_empty() => Sector::zeros(),
                None => match fates.filler(inode, sector) {
                    Filler::Zeros => Sector::zeros(),
                    Filler::Noise(seed) => Sector::noise(seed),
                    Filler::Stale(seed) => stale(seed, sector).unwrap_or_else(|| Sector::noise(seed)),
                },
            };
            left.cut(within(len, sector))
        });
        File { durable: durable.collect(), durable_len: len, len, ..File::default() }
    }

    /// What is not durable, write by write.
    pub(super) fn pending(&self) -> Vec<PendingWrite> {
        let mut writes: BTreeMap<OperationId, (Vec<usize>, bool)> =
            self.lengths.iter().map(|(operation, _)| (*operation, Default::default())).collect();
        for (sector, versions) in &self.dirty {
            for (operation, _) in versions {
                let (sectors, beyond_synced) = writes.entry(*operation).or_default();
                sectors.push(*sector);
                *beyond_synced |= !self.holds_synced(*sector);
            }
        }
        let pending = writes.into_iter();
        pending
            .map(|(operation, (sectors, beyond_synced))| PendingWrite { operation, sectors, beyond_synced })
            .collect()
    }

    /// A number for all that reads see, and all that a crash would leave.
    pub(super) fn hash(&self, mix: &mut dyn FnMut(u64)) {
        mix(self.len);
        (0..sectors_of(self.len)).for_each(|sector| mix(self.sector(sector).hash()));
        if !self.is_durable() {
            mix(self.durable_len);
            self.durable.iter().for_each(|sector| mix(sector.hash()));
        }
    }

    pub(super) fn sector(&self, sector: usize) -> &Sector {
        static ZEROS: std::sync::LazyLock<Sector> = std::sync::LazyLock::new(Sector::zeros);
        let dirty = self.dirty.get(&sector).and_then(|versions| versions.last()).map(|(_, version)| version);
        dirty.or_else(|| self.durable.get(sector)).unwrap_or(&ZEROS)
    }

    fn holds_synced(&self, sector: usize) -> bool {
        sector < self.durable.len()
    }

    fn push(&mut self, operation: OperationId, sector: usize, written: Sector) {
        let versions = self.dirty.entry(sector).or_default();
        if versions.len() == MAX_REMEMBERED {
            versions.remove(0);
        }
        versions.push((operation, written));
    }

    fn push_length(&mut self, operation: OperationId, change: LengthChange) {
        if self.lengths.len() == MAX_REMEMBERED {
            self.lengths.remove(0);
        }
        self.lengths.push((operation, change));
    }
}

fn sectors_of(len: u64) -> usize {
    len.div_ceil(SECTOR_BYTES as u64) as usize
}

/// How much of a sector a file of this length reaches.
fn within(len: u64, sector: usize) -> usize {
    (len.saturating_sub((sector * SECTOR_BYTES) as u64) as usize).min(SECTOR_BYTES)
}
