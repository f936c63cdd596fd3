//! Random saves, stages, openings and crashes against the model: whatever the named cases did not think of.
//!
//! After a crash the store must show the state after some save that was made, and none before the newest one that was
//! acknowledged. `ERAFT_STEPS` makes the walk longer.

use eraft_core::{LogChange, RaftStateUpdate, Receipt};

use crate::{Capability, Content, Crash, Handle, Lab, Model, make::*};

const STEPS: u64 = 300;

/// The walk: the store, and every state that it may be in.
struct Walk {
    storage: Handle,
    /// The state after each save since the last opening, the one that opening showed first.
    history: Vec<Model>,
    /// Receipts not yet awaited, of the newest saves.
    receipts: Vec<Receipt>,
    term: u64,
}

/// A long walk under one seed.
pub async fn random_walks_agree_with_the_model(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut walk = Walk { storage, history: vec![lab.blank_model()], receipts: Vec::new(), term: 1 };
    let capabilities = lab.env().capabilities();
    let crashes: Vec<_> = [(Capability::Kill, Crash::Kill), (Capability::PowerLoss, Crash::PowerLoss)]
        .into_iter()
        .filter(|(capability, _)| capabilities.missing(*capability).is_none())
        .map(|(_, crash)| crash)
        .collect();
    let steps = std::env::var("ERAFT_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(STEPS);
    for step in 0..steps {
        match lab.random.u8(..100) {
            0..70 => walk.save(lab).await,
            70..85 => walk.wait(lab, step).await,
            85..90 => walk.refuse(lab).await,
            90..94 => walk.reopen(lab, step).await,
            _ if crashes.is_empty() => walk.wait(lab, step).await,
            _ => {
                let crash = crashes[lab.random.usize(..crashes.len())];
                walk.crash(lab, crash, step).await;
            }
        }
    }
    walk.wait(lab, steps).await;
}

impl Walk {
    fn model(&self) -> &Model {
        self.history.last().unwrap()
    }

    /// Some valid save, not awaited.
    async fn save(&mut self, lab: &mut Lab) {
        let mut model = self.model().clone();
        let outline = &model.state.outline;
        let (base, last) = (outline.base(), outline.last());
        self.term = self.term.max(last.term.0) + u64::from(lab.random.u8(..) < 40);
        let snapshot = model.state.snapshot.as_ref().map_or(base, |meta| meta.last).index.0;
        let term_at = |index: u64| outline.term(eraft_core::LogIndex(index)).unwrap().0;
        let (log, publish) = match lab.random.u8(..100) {
            0..60 => (self.append(lab, snapshot), None),
            60..75 if last.index.0 > snapshot => {
                let index = lab.random.u64(snapshot + 1..=last.index.0);
                (LogChange::Keep, Some(meta(term_at(index), index)))
            }
            75..90 if snapshot > base.index.0 => {
                let index = lab.random.u64(base.index.0..=snapshot);
                (compact(term_at(index), index).log, None)
            }
            90..95 => {
                let index = last.index.0 + lab.random.u64(1..50);
                (reset(self.term, index).log, Some(meta(self.term, index)))
            }
            _ => (LogChange::Keep, None),
        };
        let hard_state = lab.random.bool().then(|| voted(self.term, lab.random.u64(..=last.index.0)));
        let update = RaftStateUpdate { hard_state, log };
        let receipt = match publish {
            None => lab.submit(&self.storage, &mut model, update),
            Some(meta) => {
                let count = lab.random.usize(..4);
                let chunks = chunks(lab.random.u64(..), count, 1500);
                let staged = lab.stage(&self.storage, meta.clone(), &chunks).await;
                model.apply(&update, Some(&Content::new(meta, &chunks))).unwrap();
                self.storage.save_state_and_snapshot(update, staged)
            }
        };
        self.history.push(model);
        self.receipts.push(receipt);
    }

    /// Entries after some entry at or above the snapshot, or the base.
    fn append(&self, lab: &mut Lab, snapshot: u64) -> LogChange {
        let outline = &self.model().state.outline;
        let last = outline.last_index().0;
        let first = if lab.random.u8(..) < 60 { lab.random.u64(snapshot..=last) + 1 } else { last + 1 };
        let count = lab.random.u64(1..6);
        let new = (first..first + count).map(|index| {
            let size_bytes = if lab.random.u8(..) < 10 { 15_000 } else { lab.random.usize(..400) };
            if lab.random.u8(..) < 10 {
                config(self.term, index, &[1, 2, index])
            } else {
                bulky(self.term, index, size_bytes)
            }
        });
        LogChange::Append(new.collect())
    }

    /// Some save that is not valid.
    async fn refuse(&mut self, lab: &mut Lab) {
        let outline = &self.model().state.outline;
        let (base, last) = (outline.base().index.0, outline.last_index().0);
        let wrong =
            [append(entries(self.term, last + 2, last + 3)), append(entries(self.term, base, base)), reset(1, last)];
        let outcome = self.storage.save_raft_state(wrong[lab.random.usize(..wrong.len())].clone()).await;
        lab.refused("a wrong save", outcome, eraft_core::StorageErrorKind::Invalid);
    }

    /// Waits for everything: the store shows the newest state.
    async fn wait(&mut self, lab: &Lab, step: u64) {
        for receipt in self.receipts.drain(..) {
            receipt.await.unwrap();
        }
        self.history.drain(..self.history.len() - 1);
        lab.shows(&self.storage, self.model(), &format!("step {step}, all receipts awaited")).await;
    }

    async fn reopen(&mut self, lab: &mut Lab, step: u64) {
        self.storage = lab.reopen().await;
        for receipt in self.receipts.drain(..) {
            receipt.await.unwrap();
        }
        self.history.drain(..self.history.len() - 1);
        lab.shows(&self.storage, self.model(), &format!("step {step}, opened again")).await;
    }

    async fn crash(&mut self, lab: &mut Lab, crash: Crash, step: u64) {
        let unawaited = self.receipts.len();
        let mut acknowledged = self.history.len() - 1 - unawaited;
        for receipt in self.receipts.drain(..lab.random.usize(..=unawaited)) {
            receipt.await.unwrap();
            acknowledged += 1;
        }
        self.storage = lab.crash(crash).await;
        self.receipts.clear();
        let when = format!("step {step}, after {crash:?}");
        let kept = lab.shows_one_of(&self.storage, &self.history, acknowledged, &when).await;
        self.history.truncate(kept + 1);
        self.history.drain(..kept);
    }
}
