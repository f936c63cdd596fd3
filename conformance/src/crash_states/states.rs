//! All the states in which a crash may leave a disk, along a journal: every moment, every category, within a budget.
//!
//! The budget is a level for each category: where a moment offers more ways than that, some are drawn by the seed. So no
//! category drowns the others, and no part of the journal is left out.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    Category, Image,
    category::Moment,
    history::Bounds,
    journal::{Journal, Operation},
    workload::Recording,
};

/// Which state: enough to make it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateId {
    pub(super) round: u64,
    pub(super) position: usize,
    pub(super) category: Category,
    pub(super) way: u64,
}

/// What a disk may hold after a crash.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: StateId,
    pub(super) image: Image,
    pub(super) bounds: Bounds,
    /// False where the same content was met before, and must now hold more.
    pub(super) counts: bool,
    /// Everything random that is done with it.
    pub(super) seed: u64,
    /// A number for what the disk holds.
    pub(super) content: u64,
}

/// A disk on its way through a journal.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub(super) journal: &'a Journal,
    pub(super) position: usize,
    pub(super) image: Image,
    pub(super) bounds: Bounds,
}

type Hashes = HashSet<u64, BuildHasherDefault<DefaultHasher>>;

/// What was met before.
#[derive(Debug, Default)]
pub(super) struct Seen {
    contents: Hashes,
    /// Contents with what they must hold.
    checked: Hashes,
}

/// The states of one recording.
pub(super) struct States<'a> {
    recording: &'a Recording,
    cursor: Option<Cursor<'a>>,
    /// Which of the two walks along the journal this is.
    walk: &'static [Category],
    round: u64,
    seed: u64,
    levels: [u64; Category::ALL.len()],
    seen: &'a mut Seen,
    waiting: VecDeque<State>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(journal: &'a Journal, image: Image, bounds: Bounds) -> Cursor<'a> {
        Cursor { journal, position: 0, image, bounds }
    }

    pub(super) fn next(&self) -> Option<&'a Operation> {
        self.journal.operations.get(self.position)
    }

    /// Does the next operation; false at the end.
    pub(super) fn advance(&mut self) -> bool {
        let Some(operation) = self.next() else { return false };
        self.image.apply(self.journal.first + self.position as u64, operation);
        self.bounds.see(operation);
        if matches!(operation, Operation::SyncDir { .. }) {
            self.image.forget_unreachable(&Default::default());
        }
        self.position += 1;
        true
    }

    pub(super) fn go_to(mut self, position: usize) -> Cursor<'a> {
        while self.position < position && self.advance() {}
        self
    }

    /// Whether nothing is known later that is not known here: a mark that follows belongs to this moment.
    fn is_moment(&self) -> bool {
        self.next().is_none_or(Operation::is_mutating)
    }
}

/// Everything random about one way of one category at one moment.
pub(super) fn seed_of(seed: u64, position: usize, category: Category, way: u64) -> u64 {
    let place = [position as u64, category as u64, way].map(u64::to_le_bytes).concat();
    xxh3_64_with_seed(&place, seed)
}

/// What is left after a crash of this kind at this moment.
pub(super) fn state_at(cursor: &Cursor<'_>, moment: &Moment<'_>, id: StateId, seed: u64) -> State {
    let seed = seed_of(seed, id.position, id.category, id.way);
    let image = match id.category.choice(moment, id.way, seed) {
        None => cursor.image.clone(),
        Some(mut choice) => cursor.image.crash(&mut choice),
    };
    let content = image.content_hash();
    State { id, image, bounds: cursor.bounds.clone(), counts: true, seed, content }
}

impl<'a> States<'a> {
    /// About `per_category` states of each category, where there are so many.
    pub(super) fn new(
        recording: &'a Recording,
        round: u64,
        seed: u64,
        per_category: u64,
        seen: &'a mut Seen,
    ) -> States<'a> {
        let cursor = Cursor::new(&recording.journal, Image::new(), Bounds::default());
        let levels = levels(cursor.clone(), per_category);
        let walk = Category::SCARCE;
        States { recording, cursor: Some(cursor), walk, round, seed, levels, seen, waiting: VecDeque::new() }
    }

    /// The second walk: a state counts for the category that met it first, and those that have few come first.
    fn walk_again(&mut self) -> Option<Cursor<'a>> {
        if self.walk == Category::PLENTIFUL {
            return None;
        }
        self.walk = Category::PLENTIFUL;
        Some(Cursor::new(&self.recording.journal, Image::new(), Bounds::default()))
    }

    /// All states of the moment that the cursor stands at.
    fn gather(&mut self, cursor: &Cursor<'_>) {
        let moment = Moment::of(&cursor.image, cursor.next());
        for category in self.walk.iter().copied() {
            let level = self.levels[category as usize];
            let count = category.candidates(&moment);
            let first = if count > level { seed_of(self.seed, cursor.position, category, u64::MAX) % count } else { 0 };
            for nth in 0..count.min(level) {
                let way = (first + nth) % count;
                let id = StateId { round: self.round, position: cursor.position, category, way };
                let mut state = state_at(cursor, &moment, id, self.seed);
                let mut hasher = DefaultHasher::new();
                (state.content, &state.bounds).hash(&mut hasher);
                state.counts = self.seen.contents.insert(state.content);
                if self.seen.checked.insert(hasher.finish()) {
                    self.waiting.push_back(state);
                }
            }
        }
    }
}

impl Iterator for States<'_> {
    type Item = State;

    fn next(&mut self) -> Option<State> {
        while self.waiting.is_empty() {
            let mut cursor = self.cursor.take()?;
            if cursor.is_moment() {
                self.gather(&cursor);
            }
            self.cursor = if cursor.advance() { Some(cursor) } else { self.walk_again() };
        }
        self.waiting.pop_front()
    }
}

/// How many ways of each category may be taken at one moment, so that about `wanted` come together.
fn levels(mut cursor: Cursor<'_>, wanted: u64) -> [u64; Category::ALL.len()] {
    let mut offered = [const { Vec::new() }; Category::ALL.len()];
    loop {
        if cursor.is_moment() {
            let moment = Moment::of(&cursor.image, cursor.next());
            for (counts, category) in offered.iter_mut().zip(Category::ALL) {
                counts.push(category.candidates(&moment));
            }
        }
        if !cursor.advance() {
            break;
        }
    }
    offered.map(|counts| {
        let most = counts.iter().copied().max().unwrap_or(0);
        let together = |level: u64| counts.iter().map(|count| level.min(*count)).sum::<u64>();
        (1..most).find(|level| together(*level) >= wanted).unwrap_or(most)
    })
}
