//! A log as a plain vector, and the contract's lines 4 to 6 said of it as directly as can be.

use eraft_core::*;

#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) base: EntryId,
    pub(crate) entries: Vec<Entry>,
    pub(crate) snapshot: Option<EntryId>,
}

impl Plain {
    pub(crate) fn blank() -> Plain {
        Plain { base: EntryId::ZERO, entries: Vec::new(), snapshot: None }
    }

    /// The base and all entries.
    pub(crate) fn ids(&self) -> Vec<EntryId> {
        std::iter::once(self.base).chain(self.entries.iter().map(Entry::id)).collect()
    }

    pub(crate) fn last(&self) -> EntryId {
        *self.ids().last().unwrap()
    }

    pub(crate) fn term(&self, index: u64) -> Option<Term> {
        self.ids().into_iter().find(|id| id.index.0 == index).map(|id| id.term)
    }

    /// What the save makes of it; `None` where it is invalid.
    pub(crate) fn after(&self, change: &LogChange, publish: Option<EntryId>) -> Option<Plain> {
        let mut next = self.clone();
        match change {
            LogChange::Keep => {}
            LogChange::Append(new) => {
                let first = new.first().map_or(u64::MAX, |entry| entry.index.0);
                if first <= self.base.index.0 {
                    return None;
                }
                next.entries.retain(|entry| entry.index.0 < first);
                next.entries.extend(new.iter().cloned());
            }
            LogChange::CompactTo(id) => {
                if !self.ids().contains(id) {
                    return None;
                }
                next.base = *id;
                next.entries.retain(|entry| entry.index > id.index);
            }
            LogChange::Reset { base } => {
                if publish != Some(*base) {
                    return None;
                }
                next.base = *base;
                next.entries.clear();
            }
        }
        if let Some(new) = publish {
            let old = self.snapshot.unwrap_or(EntryId::ZERO);
            if new != old && !(new.index > old.index && new.term >= old.term) {
                return None;
            }
            next.snapshot = Some(new);
        }
        next.is_right().then_some(next)
    }

    /// No gap, no term that goes back, no configuration that is none, and a snapshot that stands on the log.
    fn is_right(&self) -> bool {
        let ids = self.ids();
        let joined = ids.windows(2).all(|pair| pair[1].index.0 == pair[0].index.0 + 1 && pair[1].term >= pair[0].term);
        let configs = self.entries.iter().filter(|entry| entry.kind == EntryKind::Config);
        let read = configs.map(|entry| codec::decode::<ConfState>(&entry.payload));
        joined
            && read.into_iter().all(|conf| conf.is_ok_and(|conf| conf.is_valid()))
            && self.last().index <= LogIndex::MAX
            && ids.contains(&self.snapshot.unwrap_or(EntryId::ZERO))
    }
}

/// Some change around the edges of what is there: often valid, often not.
pub(crate) fn some_change(random: &mut fastrand::Rng, plain: &Plain) -> (LogChange, Option<EntryId>) {
    let near = |random: &mut fastrand::Rng| {
        let (low, high) = (plain.base.index.0.saturating_sub(1), plain.last().index.0 + 2);
        let index = random.u64(low..=high);
        let guess = plain.last().term.0 + random.u64(..2);
        // The right term, where there is one, most of the time.
        let term = plain.term(index).map_or(guess, |term| term.0);
        EntryId::new(if random.u8(..) < 40 { guess } else { term }, index)
    };
    let change = match random.u8(..10) {
        0..5 => {
            let first = near(random);
            let mut term = first.term.0;
            let mut index = first.index.0;
            let mut new = Vec::new();
            for _ in 0..random.u64(..4) {
                let payload =
                    if random.u8(..) < 250 { codec::encode(&super::make::conf(&[1, index])) } else { "no".into() };
                let kind = [EntryKind::Command, EntryKind::Noop, EntryKind::Config][random.usize(..3)];
                new.push(Entry { index: LogIndex(index), term: Term(term), kind, payload });
                index += if random.u8(..) < 8 { random.u64(..3) } else { 1 };
                term = if random.u8(..) < 8 { term.saturating_sub(1) } else { term + u64::from(random.u8(..) < 60) };
            }
            LogChange::Append(new)
        }
        5..7 => LogChange::CompactTo(near(random)),
        7 => LogChange::Reset { base: near(random) },
        _ => LogChange::Keep,
    };
    let publish = match &change {
        LogChange::Reset { base } if random.u8(..) < 200 => Some(*base),
        _ if random.u8(..) < 80 => Some(near(random)),
        _ => None,
    };
    (change, publish)
}
