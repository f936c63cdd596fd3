//! What can befall a closed directory, place by place.

use std::{fmt, path::PathBuf};

use super::{Store, files::Files, reference::Reference};

/// The kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// One bit of a byte is another.
    BitFlipped,
    /// A byte reads as 0.
    ByteZeroed,
    /// A byte reads as 0xFF.
    ByteSet,
    /// A file ends early.
    CutOff,
    /// Two blocks of 512 bytes or 4 KiB of one file have changed places.
    BlocksSwapped,
    /// Two such blocks of two files.
    BlocksSwappedBetweenFiles,
    /// A file is gone.
    Missing,
    /// A copy of a file stands under another name that the store would take for its own.
    Duplicated,
    /// A file is as it was earlier; or one that was removed is back.
    Stale,
    /// The tail is as it was earlier: out of scope, and counted apart.
    StaleTail,
    /// A file is that of another node, of another cluster, or of another store that this node once had.
    Foreign,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 11] = [
        Class::BitFlipped,
        Class::ByteZeroed,
        Class::ByteSet,
        Class::CutOff,
        Class::BlocksSwapped,
        Class::BlocksSwappedBetweenFiles,
        Class::Missing,
        Class::Duplicated,
        Class::Stale,
        Class::StaleTail,
        Class::Foreign,
    ];

    /// Whether bytes of a file were damaged, so that an offset is to be named.
    pub(super) fn has_an_offset(self) -> bool {
        !self.is_of_whole_files()
    }

    /// Whether it hits two places at once: of the tail, they may be the last save and all that confirms it.
    pub(super) fn is_of_two_places(self) -> bool {
        matches!(self, Class::BlocksSwapped | Class::BlocksSwappedBetweenFiles)
    }

    pub(super) fn is_of_whole_files(self) -> bool {
        matches!(self, Class::Missing | Class::Duplicated | Class::Stale | Class::StaleTail | Class::Foreign)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::BitFlipped => "bit flipped",
            Class::ByteZeroed => "byte zeroed",
            Class::ByteSet => "byte set to 0xFF",
            Class::CutOff => "cut off",
            Class::BlocksSwapped => "blocks swapped in a file",
            Class::BlocksSwappedBetweenFiles => "blocks swapped between files",
            Class::Missing => "file missing",
            Class::Duplicated => "file duplicated",
            Class::Stale => "older copy of a file",
            Class::StaleTail => "older copy of the tail",
            Class::Foreign => "another store's file",
        })
    }
}

/// Files that are other than they should be, with what they hold now; `None`: gone.
type Changed = Vec<(PathBuf, Option<Vec<u8>>)>;

/// One damage.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) class: Class,
    /// Where, for messages.
    pub(super) place: String,
    pub(super) files: Changed,
    /// Of an older copy: which of the earlier stages it comes from.
    pub(super) stage: Option<usize>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.place)
    }
}

/// Whoever is offered damage, and takes some of it.
pub(super) struct Taker<'a> {
    /// Whether the next of its class is wanted.
    pub(super) wants: &'a mut dyn FnMut(Class) -> bool,
    pub(super) takes: &'a mut dyn FnMut(Damage),
}

impl Taker<'_> {
    fn offer(&mut self, whole: &Files, class: Class, damage: impl FnOnce() -> (String, Changed)) {
        self.offer_of(whole, class, None, damage);
    }

    /// What changes nothing is no damage.
    fn offer_of(
        &mut self,
        whole: &Files,
        class: Class,
        stage: Option<usize>,
        damage: impl FnOnce() -> (String, Changed),
    ) {
        if !(self.wants)(class) {
            return;
        }
        let (place, files) = damage();
        if files.iter().any(|(path, bytes)| whole.get(path) != bytes.as_ref()) {
            (self.takes)(Damage { class, place, files, stage });
        }
    }
}

/// Offers every damage.
pub(super) fn each(store: &dyn Store, reference: &Reference, seed: u64, taker: &mut Taker<'_>) {
    let whole = &reference.whole;
    for path in whole.keys() {
        (0..whole[path].len()).for_each(|at| byte(whole, path, at, taker));
    }
    blocks(whole, seed, taker);
    whole_files(store, reference, taker);
}

fn byte(whole: &Files, path: &PathBuf, at: usize, taker: &mut Taker<'_>) {
    let (name, bit, bytes) = (path.display(), at % 8, &whole[path]);
    let with = |byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        vec![(path.clone(), Some(bytes))]
    };
    let flipped = bytes[at] ^ (1 << bit);
    taker.offer(whole, Class::BitFlipped, || (format!("bit {bit} of byte {at} of {name}"), with(flipped)));
    taker.offer(whole, Class::ByteZeroed, || (format!("byte {at} of {name}"), with(0)));
    taker.offer(whole, Class::ByteSet, || (format!("byte {at} of {name}"), with(0xff)));
    let cut = || vec![(path.clone(), Some(bytes[..at].to_vec()))];
    taker.offer(whole, Class::CutOff, || (format!("{name} to {at} bytes"), cut()));
}

/// A block of a file: its size, the file, and how many such blocks come before it.
type Block<'a> = (usize, &'a PathBuf, usize);

/// Each block against the next one, against some other of its file, and against some block of another file.
fn blocks(whole: &Files, seed: u64, taker: &mut Taker<'_>) {
    let mut random = fastrand::Rng::with_seed(seed);
    for size in [512, 4096] {
        let in_file = |(path, bytes)| {
            let bytes: &Vec<u8> = bytes;
            (0..bytes.len() / size).map(move |at| (size, path, at))
        };
        let blocks: Vec<Block<'_>> = whole.iter().flat_map(in_file).collect();
        for (number, block) in blocks.iter().enumerate() {
            let (here, elsewhere): (Vec<_>, Vec<_>) = blocks.iter().partition(|(_, other, _)| *other == block.1);
            let next = blocks.get(number + 1).filter(|other| other.1 == block.1);
            let partners = [next, random.choice(&here).copied(), random.choice(&elsewhere).copied()];
            for other in partners.into_iter().flatten() {
                let class = if other.1 == block.1 { Class::BlocksSwapped } else { Class::BlocksSwappedBetweenFiles };
                taker.offer(whole, class, || swapped(whole, *block, *other));
            }
        }
    }
}

fn swapped(whole: &Files, one: Block<'_>, other: Block<'_>) -> (String, Changed) {
    let range = |(size, _, at): Block<'_>| at * size..at * size + size;
    let bytes = |block: Block<'_>| whole[block.1][range(block)].to_vec();
    let mut files: Files = [one.1, other.1].into_iter().map(|path| (path.clone(), whole[path].clone())).collect();
    for (to, from) in [(one, other), (other, one)] {
        files.get_mut(to.1).expect("just put there")[range(to)].copy_from_slice(&bytes(from));
    }
    let name = |block: Block<'_>| format!("at {} of {}", block.0 * block.2, block.1.display());
    let place = format!("{} bytes {} and {}", one.0, name(one), name(other));
    (place, files.into_iter().map(|(path, bytes)| (path, Some(bytes))).collect())
}

fn whole_files(store: &dyn Store, reference: &Reference, taker: &mut Taker<'_>) {
    let whole = &reference.whole;
    for (path, bytes) in whole {
        let name = path.display();
        taker.offer(whole, Class::Missing, || (name.to_string(), vec![(path.clone(), None)]));
        for other in store.other_names(path) {
            let place = format!("{name} as {}", other.display());
            taker.offer(whole, Class::Duplicated, || (place, vec![(other, Some(bytes.clone()))]));
        }
        for (whose, others) in &reference.others {
            // Names may be drawn at random: then the file of the same kind that stands where this one does.
            let alike = |(other, _): &(&PathBuf, &Vec<u8>)| {
                other.parent() == path.parent() && other.extension() == path.extension()
            };
            let rank = whole.iter().filter(alike).position(|(other, _)| other == path).unwrap_or_default();
            let theirs = others.get(path).or_else(|| others.iter().filter(alike).nth(rank).map(|(_, bytes)| bytes));
            if let Some(theirs) = theirs {
                let put = || (format!("{name} of {whose}"), vec![(path.clone(), Some(theirs.clone()))]);
                taker.offer(whole, Class::Foreign, put);
            }
        }
    }
    let names: Vec<PathBuf> = whole.keys().cloned().collect();
    let tail = store.tail(&names);
    for (stage, (earlier, _)) in reference.earlier.iter().enumerate() {
        for (path, bytes) in earlier {
            let class = if Some(path) == tail.as_ref() { Class::StaleTail } else { Class::Stale };
            let place = format!("{} as it was at stage {stage}", path.display());
            taker.offer_of(whole, class, Some(stage), || (place, vec![(path.clone(), Some(bytes.clone()))]));
        }
    }
}
