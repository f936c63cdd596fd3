//! One way in which a crash falls, as plain data: a rule for all that is pending, and the exceptions from it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    fates::{Fates, Filler, LengthChange},
    journal::{Inode, OperationId},
};

/// What becomes of the operations that nothing is said about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Kept,
    Lost,
    /// Each by itself, by the seed.
    Random,
}

/// What is torn: one write, or all that was written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Operation(OperationId),
    File(Inode),
}

/// Which units of it survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    First(usize),
    Last(usize),
    Random,
}

/// A write of which only a part survives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Torn {
    pub(super) who: Who,
    pub(super) unit_sectors: usize,
    pub(super) first_unit: usize,
    pub(super) units: usize,
    pub(super) mask: Mask,
}

/// One way in which a crash falls.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) rest: Rest,
    /// The fate of one operation.
    pub(super) singled: Option<(OperationId, bool)>,
    pub(super) torn: Option<Torn>,
    pub(super) length: Option<(Inode, u64)>,
    pub(super) filler: Filler,
    seed: u64,
}

impl Choice {
    pub(super) fn of(rest: Rest, seed: u64) -> Choice {
        Choice { rest, singled: None, torn: None, length: None, filler: Filler::Zeros, seed }
    }

    fn keeps(&self, operation: OperationId) -> bool {
        match self.singled {
            Some((single, kept)) if single == operation => kept,
            _ => match self.rest {
                Rest::Kept => true,
                Rest::Lost => false,
                Rest::Random => self.coin(operation, 0),
            },
        }
    }

    fn tears(&self, operation: OperationId, inode: Inode) -> Option<&Torn> {
        self.torn.as_ref().filter(|torn| torn.who == Who::Operation(operation) || torn.who == Who::File(inode))
    }

    fn coin(&self, number: u64, salt: u64) -> bool {
        xxh3_64_with_seed(&number.to_le_bytes(), self.seed ^ salt) & 1 == 0
    }
}

impl Fates for Choice {
    fn keeps_name(&mut self, operation: OperationId) -> bool {
        self.keeps(operation)
    }

    fn keeps_sector(&mut self, operation: OperationId, inode: Inode, sector: usize) -> bool {
        let Some(torn) = self.tears(operation, inode) else { return self.keeps(operation) };
        let unit = (sector / torn.unit_sectors).saturating_sub(torn.first_unit);
        match torn.mask {
            Mask::First(count) => unit < count,
            Mask::Last(count) => unit + count >= torn.units,
            Mask::Random => self.coin(unit as u64, 1),
        }
    }

    /// The length that the surviving operations have led to; of a torn write it survives.
    fn length(&mut self, inode: Inode, durable: u64, changes: &[(OperationId, LengthChange)]) -> u64 {
        if let Some((_, len)) = self.length.filter(|(of, _)| *of == inode) {
            return len;
        }
        let kept =
            changes.iter().filter(|(operation, _)| self.tears(*operation, inode).is_some() || self.keeps(*operation));
        kept.fold(durable, |len, (_, change)| match change {
            LengthChange::AtLeast(end) => len.max(*end),
            LengthChange::Exactly(exactly) => *exactly,
        })
    }

    fn filler(&mut self, inode: Inode, sector: usize) -> Filler {
        let place = xxh3_64_with_seed(&(sector as u64).to_le_bytes(), self.seed ^ inode.0);
        match self.filler {
            Filler::Zeros => Filler::Zeros,
            Filler::Noise(_) => Filler::Noise(place),
            // The same other file for every sector, so that whole old frames come back.
            Filler::Stale(seed) => Filler::Stale(seed / 2),
        }
    }
}
