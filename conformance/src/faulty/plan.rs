//! Which call fails, how, and when; and what was seen of the calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eraft_core::{Result, StorageError};
use tokio::sync::watch;

/// What of a store can be counted, held up and failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// A save, with or without a snapshot. Its delay is its receipt's.
    Save,
    /// [`Storage::stage_snapshot`](eraft_core::Storage::stage_snapshot).
    Stage,
    /// One chunk of a stage.
    WriteChunk,
    /// The end of a stage.
    Finish,
    /// A finished stage that is not wanted.
    Discard,
    /// [`Storage::read_raft_state`](eraft_core::Storage::read_raft_state).
    ReadState,
    /// [`Storage::read_entries`](eraft_core::Storage::read_entries).
    ReadEntries,
    /// [`Storage::read_snapshot`](eraft_core::Storage::read_snapshot).
    ReadSnapshot,
    /// One chunk of a snapshot that is read.
    ReadChunk,
    /// [`Storage::close`](eraft_core::Storage::close).
    Close,
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails, and nothing of it has happened.
    Fail(StorageError),
    /// It is done, durably, and says that it has failed.
    FailDone(StorageError),
    /// It says that it is done, and nothing of it has happened. For saves alone: what no store may do, and what a test
    /// needs that shows how such a store is found out.
    Lie,
    /// It takes this much longer.
    Delay(Duration),
}

/// The strings of a [`Faulty`](super::Faulty) store; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    plan: Mutex<Plan>,
    /// The methods that are held up.
    held: watch::Sender<Vec<Method>>,
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    calls: BTreeMap<Method, u64>,
    /// Calls that are held up, for reads; receipts that are, for saves.
    waiting: BTreeMap<Method, u64>,
    /// The first failed save.
    poison: Option<StorageError>,
    room_bytes: Option<u64>,
    stages: u64,
}

#[derive(Debug)]
struct Rule {
    method: Method,
    /// Calls of the method that come before the one that it is for.
    spared: u64,
    fault: Fault,
    lasts: bool,
}

/// What a call meets.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) fault: Option<Fault>,
    pub(super) delay: Duration,
}

impl Faults {
    /// The `nth` call of the method from now on (1 is the next) meets a fault.
    ///
    /// # Panics
    /// For a lie of anything but a save.
    pub fn fail_nth(&self, method: Method, nth: u64, fault: Fault) {
        self.add(Rule { method, spared: nth.saturating_sub(1), fault, lasts: false });
    }

    /// The `nth` call of the method from now on, and every one after it, meets a fault.
    ///
    /// # Panics
    /// For a lie of anything but a save.
    pub fn fail_from(&self, method: Method, nth: u64, fault: Fault) {
        self.add(Rule { method, spared: nth.saturating_sub(1), fault, lasts: true });
    }

    /// Takes every planned fault back and releases what is held. A store that a failed save has poisoned stays so, until it is opened
    /// again and wrapped anew.
    pub fn heal(&self) {
        self.plan().rules.clear();
        self.0.held.send_replace(Vec::new());
    }

    /// Holds up every call of the method from now on: before it begins, and for a save, before its receipt resolves.
    pub fn hold(&self, method: Method) {
        self.0.held.send_modify(|held| held.push(method));
    }

    /// Lets the calls of the method go on.
    pub fn release(&self, method: Method) {
        self.0.held.send_modify(|held| held.retain(|other| *other != method));
    }

    /// How many calls of the method are held up just now; of saves, the first stands for all behind it.
    pub fn waiting(&self, method: Method) -> u64 {
        self.plan().waiting.get(&method).copied().unwrap_or_default()
    }

    /// How many calls of the method there were.
    pub fn calls(&self, method: Method) -> u64 {
        self.plan().calls.get(&method).copied().unwrap_or_default()
    }

    /// Stages that exist: begun, and neither aborted, dropped, discarded nor handed to a save.
    pub fn stages(&self) -> u64 {
        self.plan().stages
    }

    /// What the store says of its room; `None`: what is true.
    pub fn set_room_bytes(&self, room_bytes: Option<u64>) {
        self.plan().room_bytes = room_bytes;
    }

    pub(super) fn room_bytes(&self) -> Option<u64> {
        self.plan().room_bytes
    }

    pub(super) fn stage_begins(&self) {
        self.plan().stages += 1;
    }

    pub(super) fn stage_ends(&self) {
        self.plan().stages -= 1;
    }

    pub(super) fn poison(&self) -> Option<StorageError> {
        self.plan().poison.clone()
    }

    pub(super) fn poison_with(&self, error: &StorageError) {
        self.plan().poison.get_or_insert_with(|| error.clone());
    }

    /// Counts a call, and says what it meets.
    pub(super) fn meet(&self, method: Method) -> Met {
        let mut plan = self.plan();
        *plan.calls.entry(method).or_default() += 1;
        let mut met = Met { fault: None, delay: Duration::ZERO };
        plan.rules.retain_mut(|rule| {
            if rule.method != method {
                return true;
            }
            if rule.spared > 0 {
                rule.spared -= 1;
                return true;
            }
            match &rule.fault {
                Fault::Delay(longer) => met.delay = met.delay.saturating_add(*longer),
                fault => met.fault = met.fault.take().or_else(|| Some(fault.clone())),
            }
            rule.lasts
        });
        met
    }

    /// Lets a call that is no save through, when it is its turn.
    ///
    /// # Errors
    /// The planned one, of a call that is not to happen.
    pub(super) async fn pass(&self, method: Method) -> Result<Met> {
        self.wait(method).await;
        let met = self.meet(method);
        delay(met.delay).await;
        match met.fault {
            Some(Fault::Fail(error)) => Err(error),
            fault => Ok(Met { fault, ..met }),
        }
    }

    /// Resolves when the method is not held up.
    pub(super) async fn wait(&self, method: Method) {
        *self.plan().waiting.entry(method).or_default() += 1;
        let _gone = Waiting { faults: self, method };
        let mut held = self.0.held.subscribe();
        held.wait_for(|held| !held.contains(&method)).await.map(drop).expect("the strings outlive who hangs on them");
    }

    fn add(&self, rule: Rule) {
        assert!(
            rule.method == Method::Save || !matches!(rule.fault, Fault::Lie),
            "{:?} has something to give, so it cannot lie: only a save says no more than that it is done",
            rule.method
        );
        self.plan().rules.push(rule);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts itself off, also where the call is given up.
struct Waiting<'a> {
    faults: &'a Faults,
    method: Method,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.faults.plan().waiting.entry(self.method).and_modify(|waiting| *waiting -= 1);
    }
}

/// A delay of nothing needs no timer.
pub(super) async fn delay(by: Duration) {
    if !by.is_zero() {
        tokio::time::sleep(by).await;
    }
}
