//! Everything that can be seen of a store, as plain data: what a backend is compared with.
//!
//! It is applied to as simply as can be, with a vector of entries, so that it is right at a glance; what it says of the
//! outline is derived from the entries anew at every comparison.

use bytes::Bytes;
use eraft_core::{Entry, Identity, LogChange, LogIndex, LogOutline, RaftState, RaftStateUpdate, Result, SnapshotMeta};
use futures_util::TryStreamExt as _;

use crate::Handle;

/// A snapshot with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// All its bytes.
    pub bytes: Bytes,
}

impl Content {
    /// A snapshot of these chunks.
    pub fn new(meta: SnapshotMeta, chunks: &[Bytes]) -> Content {
        Content { meta, bytes: chunks.concat().into() }
    }
}

/// Everything that can be seen of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// State and outline.
    pub state: RaftState,
    /// Every entry kept.
    pub entries: Vec<Entry>,
    /// The published snapshot.
    pub snapshot: Option<Content>,
}

impl Model {
    /// A store that has just been created.
    pub fn blank(identity: Identity) -> Model {
        Model { state: RaftState::blank(identity), entries: Vec::new(), snapshot: None }
    }

    /// Reads all of a store that nobody writes to meanwhile.
    ///
    /// # Errors
    /// The first that a read gives.
    pub async fn read(storage: &Handle) -> Result<Model> {
        let state = storage.read_raft_state().await?;
        let mut entries = Vec::new();
        let mut next = state.outline.first_index();
        // In bounded steps, as a node reads.
        while next <= state.outline.last_index() {
            let found = storage.read_entries(next..state.outline.last_index().next(), 256 * 1024).await?;
            assert!(
                !found.is_empty(),
                "reading from {next} gave nothing, though the log reaches to {}",
                state.outline.last()
            );
            next = LogIndex(next.0 + found.len() as u64);
            entries.extend(found);
        }
        let snapshot = match storage.read_snapshot().await? {
            None => None,
            Some(reader) => {
                let (meta, size_bytes) = (reader.meta, reader.size_bytes);
                let bytes: Bytes = reader.chunks.try_collect::<Vec<Bytes>>().await?.concat().into();
                assert_eq!(bytes.len() as u64, size_bytes, "the snapshot's size against its bytes");
                Some(Content { meta, bytes })
            }
        };
        Ok(Model { state, entries, snapshot })
    }

    /// Makes a valid save take effect.
    ///
    /// # Errors
    /// `Invalid` where it is not; nothing has changed then.
    pub fn apply(&mut self, update: &RaftStateUpdate, publish: Option<&Content>) -> Result<()> {
        self.state.apply(update, publish.map(|content| &content.meta))?;
        match &update.log {
            LogChange::Keep => {}
            LogChange::Append(new) => {
                if let Some(first) = new.first() {
                    self.entries.retain(|entry| entry.index < first.index);
                }
                self.entries.extend(new.iter().cloned());
            }
            LogChange::CompactTo(id) => self.entries.retain(|entry| entry.index > id.index),
            LogChange::Reset { .. } => self.entries.clear(),
        }
        if let Some(content) = publish {
            self.snapshot = Some(content.clone());
        }
        Ok(())
    }

    /// How `found` differs from this, in few words; `None` where it does not.
    pub fn difference(&self, found: &Model) -> Option<String> {
        let tell = |what: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
            Some(format!("{what}: expected {expected:?}, found {found:?}"))
        };
        let (own, other) = (&self.state, &found.state);
        if own.identity != other.identity {
            return tell("identity", &own.identity, &other.identity);
        }
        if own.hard_state != other.hard_state {
            return tell("hard state", &own.hard_state, &other.hard_state);
        }
        if own.outline != other.outline {
            return tell("outline", &own.outline, &other.outline);
        }
        if own.snapshot != other.snapshot {
            return tell("snapshot in the state", &own.snapshot, &other.snapshot);
        }
        if self.entries.len() != found.entries.len() {
            return tell("number of entries", &self.entries.len(), &found.entries.len());
        }
        if let Some((own, other)) = self.entries.iter().zip(&found.entries).find(|(own, other)| own != other) {
            return tell("entry", &brief(own), &brief(other));
        }
        let metas = (self.snapshot.as_ref().map(|own| &own.meta), found.snapshot.as_ref().map(|other| &other.meta));
        if metas.0 != metas.1 {
            return tell("snapshot", &metas.0, &metas.1);
        }
        if self.snapshot != found.snapshot {
            return Some("the snapshot's bytes differ".to_owned());
        }
        // The outline is what the entries say it is, whatever way it came about.
        let mut derived = LogOutline::new(other.outline.base());
        derived.append(&found.entries).err().map(|error| format!("the entries are no log: {error}")).or_else(|| {
            (derived != other.outline).then(|| format!("outline {:?} for entries that make {derived:?}", other.outline))
        })
    }
}

/// An entry in few words, whatever its payload.
fn brief(entry: &Entry) -> String {
    let start: Vec<u8> = entry.payload.iter().take(24).copied().collect();
    format!("{} {:?}, {} bytes beginning {:?}", entry.id(), entry.kind, entry.payload.len(), Bytes::from(start))
}
