//! The kinds of crash that are told apart, and for each the ways in which it can happen at one moment.
//!
//! A category numbers its ways: `candidates` says how many there are, `choice` says what the n-th one does. Both depend on
//! nothing but the moment, the seed and n, so that any state can be made again by itself.

use std::fmt;

use super::{
    choice::{Choice, Mask, Rest, Torn, Who},
    fates::Filler,
    image::{Change, Image, Pending},
    journal::{Inode, Operation, OperationId},
    names::Verb,
    sector::SECTOR_BYTES,
};

/// How many sectors a page of 4 KiB has.
const PAGE_SECTORS: usize = 4096 / SECTOR_BYTES;
/// At most so many subsets, and so many ways to tear one write, are tried at one moment.
const MAX_SUBSETS: u64 = 64;
const MAX_TEARS: u64 = 48;
/// The rest of what is pending falls in so many ways around a name that is undone, or a length that is lost.
const RESTS: u64 = 6;

/// How many categories have few states.
const SCARCE: usize = 6;

/// A kind of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// A rename is undone.
    RenameUndone,
    /// A removal is undone.
    RemoveUndone,
    /// A creation is undone.
    CreateUndone,
    /// The length of a file falls back, whatever becomes of its bytes.
    LengthLost,
    /// Everything that was not synced is lost.
    AllLost,
    /// The process is killed: nothing is lost, and nothing has become durable.
    Killed,
    /// Of all that was not synced, one operation survives.
    OneKept,
    /// One operation is lost, all others survive.
    OneLost,
    /// A write is torn between pages of 4 KiB.
    Torn4096,
    /// A sync was under way: any of what it was to make durable survives.
    MidSync,
    /// Sectors that hold nothing synced read as zeros.
    Zeroed,
    /// They read as noise, or as another file's old bytes.
    Garbled,
    /// Any of the operations that were not synced survive.
    Subset,
    /// A write is torn between sectors of 512 bytes.
    Torn512,
}

/// One moment in the life of a disk.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) image: &'a Image,
    pub(super) pending: Vec<Pending>,
    /// What would be done next.
    pub(super) next: Option<&'a Operation>,
}

/// One write that can be torn.
#[derive(Clone, Copy)]
struct Tearable {
    who: Who,
    first_unit: usize,
    units: usize,
}

impl Category {
    /// All of them, those first that have few states: a state counts for the first category that meets it.
    pub const ALL: [Category; 14] = [
        Category::RenameUndone,
        Category::RemoveUndone,
        Category::CreateUndone,
        Category::LengthLost,
        Category::AllLost,
        Category::Killed,
        Category::OneKept,
        Category::OneLost,
        Category::Torn4096,
        Category::MidSync,
        Category::Zeroed,
        Category::Garbled,
        Category::Subset,
        Category::Torn512,
    ];

    /// Those that have few states.
    pub(super) const SCARCE: &'static [Category] = Category::ALL.split_at(SCARCE).0;
    /// The others.
    pub(super) const PLENTIFUL: &'static [Category] = Category::ALL.split_at(SCARCE).1;

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Category::RenameUndone => "a rename undone",
            Category::RemoveUndone => "a removal undone",
            Category::CreateUndone => "a creation undone",
            Category::AllLost => "everything unsynced lost",
            Category::Killed => "everything kept, unsynced (killed)",
            Category::OneKept => "one operation kept",
            Category::OneLost => "one operation lost",
            Category::LengthLost => "an unsynced length lost",
            Category::Torn4096 => "a write torn at 4 KiB",
            Category::MidSync => "in the middle of a sync",
            Category::Zeroed => "unsynced sectors zero",
            Category::Garbled => "unsynced sectors garbled",
            Category::Subset => "a subset of the operations kept",
            Category::Torn512 => "a write torn at 512 B",
        }
    }

    /// In how many ways it can happen at this moment.
    pub(super) fn candidates(self, moment: &Moment<'_>) -> u64 {
        let count = moment.pending.len() as u64;
        match self {
            Category::AllLost | Category::Killed => 1,
            Category::OneKept | Category::OneLost => {
                if count > 1 {
                    count
                } else {
                    0
                }
            }
            Category::Subset if count < 2 => 0,
            Category::Subset => (1 << count.min(20)).min(MAX_SUBSETS),
            Category::RenameUndone => moment.names(Verb::Rename).len() as u64 * RESTS,
            Category::RemoveUndone => moment.names(Verb::Remove).len() as u64 * RESTS,
            Category::CreateUndone => moment.names(Verb::Create).len() as u64 * RESTS,
            Category::LengthLost => moment.lengths().len() as u64 * RESTS,
            Category::Torn512 | Category::Torn4096 | Category::MidSync | Category::Zeroed | Category::Garbled => {
                let tearable = self.tearable(moment);
                tearable.len() as u64 * tearable.iter().map(Tearable::ways).max().unwrap_or(0)
            }
        }
    }

    /// The `n`-th way; `None` where nothing is lost at all.
    pub(super) fn choice(self, moment: &Moment<'_>, n: u64, seed: u64) -> Option<Choice> {
        let mut choice = Choice::of(Rest::Kept, seed);
        let rest = |variation: u64| match variation {
            0 => Rest::Kept,
            1 => Rest::Lost,
            _ => Rest::Random,
        };
        let pick = |of: usize| ((n % of.max(1) as u64) as usize, n / of.max(1) as u64);
        let nth = |at: usize| moment.pending.get(at).map(|pending| pending.operation);
        match self {
            Category::Killed => return None,
            Category::AllLost => choice.rest = Rest::Lost,
            Category::OneLost => choice.singled = nth(n as usize).map(|operation| (operation, false)),
            Category::OneKept => {
                choice.rest = Rest::Lost;
                choice.singled = nth(n as usize).map(|operation| (operation, true));
            }
            Category::Subset => choice.rest = Rest::Random,
            Category::RenameUndone | Category::RemoveUndone | Category::CreateUndone => {
                let names = moment.names(match self {
                    Category::RenameUndone => Verb::Rename,
                    Category::RemoveUndone => Verb::Remove,
                    _ => Verb::Create,
                });
                let (at, variation) = pick(names.len());
                choice.rest = rest(variation);
                choice.singled = names.get(at).map(|operation| (*operation, false));
            }
            Category::LengthLost => {
                let lengths = moment.lengths();
                let (at, variation) = pick(lengths.len());
                choice.rest = rest(variation);
                choice.length = lengths.get(at).copied();
            }
            Category::Torn512 | Category::Torn4096 | Category::MidSync | Category::Zeroed | Category::Garbled => {
                let tearable = self.tearable(moment);
                let (at, way) = pick(tearable.len());
                choice.rest = rest(seed % 4);
                choice.torn = tearable.get(at).map(|write| write.torn(self.unit_sectors(), way));
                choice.filler = match (self, seed % 2) {
                    (Category::Garbled, 0) => Filler::Noise(seed),
                    (Category::Garbled, _) => Filler::Stale(seed),
                    _ => Filler::Zeros,
                };
            }
        }
        Some(choice)
    }

    fn unit_sectors(self) -> usize {
        if self == Category::Torn4096 { PAGE_SECTORS } else { 1 }
    }

    /// What this category may tear at this moment: what has at least two units, or holds nothing synced.
    fn tearable(self, moment: &Moment<'_>) -> Vec<Tearable> {
        let unit = self.unit_sectors();
        let of = |who: Who, sectors: &[usize]| {
            let (first, last) = (*sectors.first()? / unit, *sectors.last()? / unit);
            Some(Tearable { who, first_unit: first, units: last - first + 1 })
        };
        if self == Category::MidSync {
            let Some(Operation::Sync { inode }) = moment.next else { return Vec::new() };
            let writes = moment.writes().filter(|(of, _)| *of == *inode);
            let mut sectors: Vec<usize> = writes.flat_map(|(_, write)| write.sectors.iter().copied()).collect();
            sectors.sort_unstable();
            return of(Who::File(*inode), &sectors).filter(|file| file.units > 1).into_iter().collect();
        }
        let needs_unsynced = matches!(self, Category::Zeroed | Category::Garbled);
        let writes = moment.writes().filter(|(_, write)| write.beyond_synced || !needs_unsynced);
        let tearable = writes.filter_map(|(_, write)| of(Who::Operation(write.operation), &write.sectors));
        tearable.filter(|write| write.units > 1 || needs_unsynced).collect()
    }
}

impl Tearable {
    /// In how many ways it is torn.
    fn ways(&self) -> u64 {
        (1 << self.units.min(20)).min(MAX_TEARS)
    }

    /// First every place where a write can end or begin, then any mask.
    fn torn(&self, unit_sectors: usize, way: u64) -> Torn {
        let inner = self.units as u64 - 1;
        let mask = match way {
            _ if way < inner => Mask::First(way as usize + 1),
            _ if way < 2 * inner => Mask::Last((way - inner) as usize + 1),
            _ => Mask::Random,
        };
        Torn { who: self.who, unit_sectors, first_unit: self.first_unit, units: self.units, mask }
    }
}

impl Moment<'_> {
    pub(super) fn of<'a>(image: &'a Image, next: Option<&'a Operation>) -> Moment<'a> {
        Moment { image, pending: image.pending(), next }
    }

    fn names(&self, wanted: Verb) -> Vec<OperationId> {
        let names = self.pending.iter().filter(|pending| pending.change == Change::Name(wanted));
        names.map(|pending| pending.operation).collect()
    }

    fn writes(&self) -> impl Iterator<Item = (Inode, &super::file::PendingWrite)> {
        self.pending.iter().filter_map(|pending| match &pending.change {
            Change::Write(inode, write) => Some((*inode, write)),
            Change::Name(_) => None,
        })
    }

    /// Every length that a file may fall back to.
    fn lengths(&self) -> Vec<(Inode, u64)> {
        let mut lengths = Vec::new();
        for (inode, file) in &self.image.files {
            let (durable, newest) = (file.durable_len(), file.len());
            let changes = file.lengths().iter().map(|(_, change)| change.len_bytes());
            let mut possible: Vec<u64> =
                if file.is_durable() { Vec::new() } else { changes.chain([durable]).collect() };
            possible.sort_unstable();
            possible.dedup();
            lengths.extend(possible.into_iter().filter(|len| *len != newest).map(|len| (*inode, len)));
        }
        lengths
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
