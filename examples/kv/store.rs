//! The state machine: a map in memory, changed by committed commands and by nothing else.
//!
//! Every replica applies the same commands in the same order, so all hold the same map. Nothing in here may depend on
//! anything else: no clock, no randomness, no address, no iteration order that differs between two nodes. What is wrong
//! with a command (an `INCR` of a word) is a reply, the same on every replica; it is not an error of the machine.
//!
//! The map lives in memory; when the node starts it is restored from the snapshot, and what the log holds beyond that is
//! applied again. Hence it says that it has applied nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use eraft::{LogIndex, StateMachine, StateMachineError, Typed, TypedStateMachine};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What goes through the log. Its encoding outlives this build: new commands are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Gives `key` this value.
    Set {
        /// Which key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes these keys; the reply is how many there were.
    Del {
        /// Which keys.
        keys: Vec<Bytes>,
    },
    /// Adds one to the number that `key` holds (none is 0); the reply is the new number.
    Incr {
        /// Which key.
        key: Bytes,
    },
    /// Gives each key its value, all at once.
    SetAll {
        /// Keys and values; of a key that comes twice, the last one counts.
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// Gives `key` this value if it has none; the reply is 1, or 0 where it has changed nothing.
    SetIfAbsent {
        /// Which key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Adds bytes to the end of the value (none is empty), up to [`MAX_VALUE_BYTES`]; the reply is its new length.
    Append {
        /// Which key.
        key: Bytes,
        /// What is added.
        tail: Bytes,
    },
    /// Adds to the number that `key` holds (none is 0); the reply is the new number.
    IncrBy {
        /// Which key.
        key: Bytes,
        /// How much.
        by: i64,
    },
}

impl Command {
    /// The key that stands for the whole command where a cluster client asks for one.
    pub fn first_key(&self) -> &[u8] {
        match self {
            Command::Set { key, .. }
            | Command::Incr { key }
            | Command::SetIfAbsent { key, .. }
            | Command::Append { key, .. }
            | Command::IncrBy { key, .. } => key,
            Command::Del { keys } => keys.first().map_or(b"", |key| key),
            Command::SetAll { pairs } => pairs.first().map_or(b"", |(key, _)| key),
        }
    }
}

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// It was done, and this is its number.
    Number(i64),
    /// It was refused and has changed nothing; the text says why.
    Refused(String),
}

/// The longest value that an `APPEND` may make: as long as an entry of the log, hence as what a single `SET` can bring, so
/// that no value outgrows a reply, or a piece of a snapshot, by being added to. All nodes must agree on it, as on all that
/// `apply` looks at: another bound is another command.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// How Redis says that what should be a number is none.
pub const NOT_A_NUMBER: &str = "ERR value is not an integer or out of range";

/// How many parts the map is kept in. It may never change: what a snapshot holds is cut the same way.
const PARTS: u16 = 1024;

/// One part of the map: the keys whose hash falls to it.
type Part = Arc<BTreeMap<Bytes, Bytes>>;

/// A handle of the map; clones share it. The node holds one to apply, the service another to read.
///
/// The map is in parts so that a snapshot is a matter of microseconds: it shares every part, and a write copies the one
/// part that it changes, if a snapshot still needs that.
///
/// While a snapshot is read there is no map at all: two of them might not fit into memory. Who reads then waits.
#[derive(Clone, Debug)]
pub struct Store {
    /// Empty while the state is restored.
    parts: Arc<RwLock<Vec<Part>>>,
    restored: Arc<Notify>,
}

impl Default for Store {
    fn default() -> Store {
        let parts = vec![Part::default(); PARTS.into()];
        Store { parts: Arc::new(RwLock::new(parts)), restored: Arc::default() }
    }
}

/// The map as it is, and stays for as long as this is held: never across an await.
pub struct View<'a>(RwLockReadGuard<'a, Vec<Part>>);

impl View<'_> {
    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        value_of(&self.0, key).cloned()
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    /// A digest of every key and value.
    pub fn digest(&self) -> u64 {
        let mut digest = xxhash_rust::xxh3::Xxh3::new();
        for (key, value) in self.0.iter().flat_map(|part| part.iter()) {
            for part in [key, value] {
                digest.update(&(part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        digest.digest()
    }
}

impl Store {
    /// What the node is given to apply to this store.
    pub fn state_machine(&self) -> Box<dyn StateMachine> {
        Box::new(Typed::new(self.clone()))
    }

    /// What it holds now: nothing while it is restored.
    pub fn now(&self) -> View<'_> {
        // A panic while a lock is held ends the node before it answers, so a poisoned lock guards nothing here.
        View(self.parts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it holds, once it is not being restored.
    pub async fn whole(&self) -> View<'_> {
        loop {
            // Made before looking, so that no end of a restore is missed.
            let restored = self.restored.notified();
            if let Some(view) = Some(self.now()).filter(|view| !view.0.is_empty()) {
                return view;
            }
            restored.await;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Part>> {
        self.parts.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part that is to hold `key`; there is one for every key. One that a snapshot shares is copied first.
fn part_mut<'a>(parts: &'a mut [Part], key: &[u8]) -> Option<&'a mut BTreeMap<Bytes, Bytes>> {
    parts.get_mut(part_of(key)).map(Arc::make_mut)
}

fn set(parts: &mut [Part], key: Bytes, value: Bytes) {
    part_mut(parts, &key).and_then(|values| values.insert(key, value));
}

fn value_of<'a>(parts: &'a [Part], key: &[u8]) -> Option<&'a Bytes> {
    parts.get(part_of(key))?.get(key)
}

/// Where `key` belongs; the same on every node and in every version, because snapshots are cut by it.
fn part_of(key: &[u8]) -> usize {
    // A remainder below 1024 fits.
    usize::try_from(xxhash_rust::xxh3::xxh3_64(key) % u64::from(PARTS)).unwrap_or(0)
}

impl TypedStateMachine for Store {
    type Command = Command;
    type Reply = Reply;
    type Piece = Part;

    fn last_applied(&self) -> LogIndex {
        LogIndex::ZERO
    }

    fn apply(&mut self, _index: LogIndex, command: Command) -> Reply {
        // Held for the whole command: whoever reads sees all of it or nothing.
        let mut parts = self.write();
        match command {
            Command::Set { key, value } => {
                set(&mut parts, key, value);
                Reply::Done
            }
            Command::Del { keys } => {
                let found = keys
                    .iter()
                    .filter(|key| part_mut(&mut parts, key).and_then(|values| values.remove(*key)).is_some())
                    .count();
                number(found)
            }
            Command::Incr { key } => increment(&mut parts, key, 1),
            Command::IncrBy { key, by } => increment(&mut parts, key, by),
            Command::SetAll { pairs } => {
                pairs.into_iter().for_each(|(key, value)| set(&mut parts, key, value));
                Reply::Done
            }
            Command::SetIfAbsent { key, value } => {
                let absent = value_of(&parts, &key).is_none();
                if absent {
                    set(&mut parts, key, value);
                }
                number(absent.into())
            }
            Command::Append { key, tail } => match extended(value_of(&parts, &key), &tail) {
                Ok(value) => {
                    let length = value.len();
                    set(&mut parts, key, value);
                    number(length)
                }
                Err(refused) => Reply::Refused(refused.to_owned()),
            },
        }
    }

    fn snapshot(&self) -> Box<dyn Iterator<Item = Part> + Send> {
        Box::new(self.now().0.clone().into_iter())
    }

    fn give_up(&mut self) {
        // Freed when the lock is: a large map takes its time, and a reader need not wait on a thread.
        let _given_up = std::mem::take(&mut *self.write());
    }

    fn restore(&mut self, pieces: Vec<Part>) -> Result<(), StateMachineError> {
        let found = pieces.len();
        if found != usize::from(PARTS) {
            return Err(format!("the snapshot has {found} parts, expected {PARTS}: another program wrote it").into());
        }
        *self.write() = pieces;
        self.restored.notify_waiters();
        Ok(())
    }
}

fn increment(parts: &mut [Part], key: Bytes, by: i64) -> Reply {
    match sum(value_of(parts, &key), by) {
        Ok(number) => {
            set(parts, key, number.to_string().into());
            Reply::Number(number)
        }
        Err(refused) => Reply::Refused(refused.to_owned()),
    }
}

/// `by` more than `value` says, as Redis counts: only a number in its shortest form is one.
fn sum(value: Option<&Bytes>, by: i64) -> Result<i64, &'static str> {
    let number = value.map_or(Some(0), |digits| integer(digits)).ok_or(NOT_A_NUMBER)?;
    number.checked_add(by).ok_or("ERR increment or decrement would overflow")
}

/// The number that these digits are in their shortest form.
pub fn integer(digits: &[u8]) -> Option<i64> {
    let number = std::str::from_utf8(digits).ok()?.parse::<i64>().ok()?;
    (number.to_string().as_bytes() == digits).then_some(number)
}

/// `value` with `tail` at its end.
fn extended(value: Option<&Bytes>, tail: &[u8]) -> Result<Bytes, &'static str> {
    let value = value.map_or(&[][..], |value| value);
    if value.len().saturating_add(tail.len()) > MAX_VALUE_BYTES {
        return Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    }
    Ok([value, tail].concat().into())
}

fn number(count: usize) -> Reply {
    Reply::Number(i64::try_from(count).unwrap_or(i64::MAX))
}
