//! Who writes into a folder of a bucket: one open store at a time, and who has lost it learns so.
//!
//! The object `owner` bears the title of the open store that writes, with an epoch that rises by one with each of them. A
//! store takes it before its first write, by a swap that is conditional on what it has read; it is never taken from another
//! store id, so that a directory that was made anew does not collect what the lost one left. Every name that is written bears
//! the owner's epoch.
//!
//! Invariants:
//! - of two open stores that took the title, the one with the lower epoch stages nothing once the other has taken it: the
//!   title is looked at after everything of a snapshot is in the bucket, and before the local store stages its manifest;
//! - a store that has seen another's title takes nothing more, until it is opened anew: every later save is `Poisoned`;
//! - a title is believed to be ours only by what was written: a reply that got lost is settled by reading.

use std::sync::OnceLock;

use eraft_core::{Result, StorageError, StorageErrorKind, StoreId};
use object_store::{PutMode, UpdateVersion, path::Path};
use tokio::sync::Mutex;
use tracing::{error, info};

use crate::{
    Fencing,
    client::{Client, Tries},
    failure::{Failure, Why},
    names::Folder,
    probe,
    title::{MAX_TITLE_BYTES, Title},
};

const TAKING: &str = "taking the folder in the bucket";
const CHECKING: &str = "looking who owns the folder in the bucket";

/// The epoch of everything that is written without fencing.
const UNFENCED: u64 = 0;

/// A store's hold on its folder.
pub(crate) struct Owner {
    client: Client,
    folder: Folder,
    path: Path,
    fencing: Fencing,
    /// But for the epoch.
    ours: Title,
    taking: Mutex<Taking>,
    fenced: OnceLock<StorageError>,
}

/// How far the folder is taken.
#[derive(Debug, Default)]
struct Taking {
    /// Preconditions are honoured here.
    proven: bool,
    /// A swap was sent, and may have been done.
    sent: bool,
    /// What our last swap left, and its epoch.
    put: Option<(UpdateVersion, u64)>,
    epoch: Option<u64>,
}

/// What stands where the title does.
enum Seen {
    Nothing,
    Title(Found),
    /// No title, at two looks; and why it is none.
    Damaged(UpdateVersion, String),
}

/// A title that was read.
struct Found {
    title: Title,
    version: UpdateVersion,
    /// By the bucket's clock.
    since: String,
}

impl Owner {
    /// Asks the bucket for nothing yet.
    pub(crate) fn new(client: Client, folder: Folder, store: StoreId, fencing: Fencing) -> Owner {
        let ours = Title::new(store, client.draw());
        let path = folder.owner();
        Owner { client, folder, path, fencing, ours, taking: Mutex::default(), fenced: OnceLock::new() }
    }

    /// The epoch to write under; the folder is taken before the first write.
    ///
    /// # Errors
    /// `Poisoned` where it was lost, `WrongIdentity` where it is another store's, `Incompatible` for a bucket that ignores
    /// preconditions, `Unavailable` where the bucket does not say.
    pub(crate) async fn take(&self) -> Result<u64> {
        self.check_fenced()?;
        if self.fencing == Fencing::Off {
            return Ok(UNFENCED);
        }
        let mut taking = self.taking.lock().await;
        if let Some(epoch) = taking.epoch {
            return Ok(epoch);
        }
        if !taking.proven {
            probe::prove(&self.client, &self.folder.probe(self.client.draw())).await?;
            taking.proven = true;
        }
        let mut tries = self.client.tries();
        let epoch = loop {
            if let Some(epoch) = self.swap(&mut taking, &mut tries).await? {
                break epoch;
            }
        };
        taking.epoch = Some(epoch);
        self.client.told.owns(epoch);
        info!(owner = %self.path, epoch, "this store writes into its folder in the bucket from now on");
        Ok(epoch)
    }

    /// Reads, and puts our title in the place of what was read. `None` where it is to be read again, as after each swap: what
    /// was changed on its way in must not stay.
    async fn swap(&self, taking: &mut Taking, tries: &mut Tries) -> Result<Option<u64>> {
        let (epoch, mode) = match self.look(TAKING).await? {
            Seen::Nothing => (1, PutMode::Create),
            Seen::Title(Found { title, .. }) if title.store != self.ours.store => return Err(self.foreign(&title)),
            Seen::Title(Found { title, .. }) if taking.sent && title.incarnation == self.ours.incarnation => {
                return Ok(Some(title.epoch));
            }
            Seen::Title(Found { title, version, .. }) => (title.epoch + 1, PutMode::Update(version)),
            Seen::Damaged(version, why) => match &taking.put {
                Some((put, epoch)) if *put == version => {
                    self.again(tries, Failure::passing(format!("it was changed on its way: {why}"))).await?;
                    (*epoch, PutMode::Update(version))
                }
                _ => return Err(self.unreadable(TAKING, &why)),
            },
        };
        // Before it is sent: whoever is dropped within the call must not forget it.
        taking.sent = true;
        let title = Title { epoch, ..self.ours.clone() };
        match self.client.put_if(&self.path, title.encode(), mode).await {
            Ok(version) => taking.put = Some((version, epoch)),
            // Somebody was there before us, or it was we: what is there now says.
            Err(failure) if failure.why == Why::Exists => {
                self.again(tries, Failure { why: Why::Passing, ..failure }).await?;
            }
            Err(failure) => self.again(tries, failure).await?,
        }
        Ok(None)
    }

    async fn again(&self, tries: &mut Tries, failure: Failure) -> Result<()> {
        tries.again(failure).await.map_err(|failure| failure.unavailable(TAKING, &self.path))
    }

    /// Whether the folder, which was taken, is still ours.
    ///
    /// # Errors
    /// `Poisoned` where it is not, from now on; `Unavailable` where the bucket does not say.
    pub(crate) async fn check(&self) -> Result<()> {
        self.check_fenced()?;
        if self.fencing == Fencing::Off {
            return Ok(());
        }
        let found = match self.look(CHECKING).await? {
            Seen::Title(found) => found,
            Seen::Nothing => return Err(self.unreadable(CHECKING, "it is not there, though this store wrote it")),
            Seen::Damaged(_, why) => return Err(self.unreadable(CHECKING, &why)),
        };
        if (found.title.store, found.title.incarnation) == (self.ours.store, self.ours.incarnation) {
            return Ok(());
        }
        Err(self.lost_to(&found))
    }

    /// # Errors
    /// `Poisoned` where another store's title was seen.
    pub(crate) fn check_fenced(&self) -> Result<()> {
        self.fenced.get().map_or(Ok(()), |fenced| Err(fenced.clone()))
    }

    async fn look(&self, during: &'static str) -> Result<Seen> {
        let mut seen = self.look_once(during).await?;
        // It may have been changed, or denied, on its way.
        if !matches!(seen, Seen::Title(_)) {
            seen = self.look_once(during).await?;
        }
        Ok(seen)
    }

    async fn look_once(&self, during: &'static str) -> Result<Seen> {
        let read = self.client.read_small(&self.path, MAX_TITLE_BYTES).await;
        let Some(object) = read.map_err(|failure| failure.unavailable(during, &self.path))? else {
            return Ok(Seen::Nothing);
        };
        Ok(match Title::decode(&object.bytes) {
            Ok(title) => Seen::Title(Found { title, version: object.version, since: object.modified }),
            Err(why) => Seen::Damaged(object.version, why),
        })
    }

    fn unreadable(&self, during: &str, why: &str) -> StorageError {
        let detail = format!(
            "{}: {why}; a folder is not taken over unread: see that no other process writes as this node, remove the \
             object, open the store anew, and try again",
            self.path
        );
        StorageError::new(StorageErrorKind::Unavailable, during, detail)
    }

    fn foreign(&self, found: &Title) -> StorageError {
        StorageError::new(
            StorageErrorKind::WrongIdentity,
            TAKING,
            format!(
                "{}: the folder is that of {found}; expected store {}: what is there is never taken over by a directory \
                 that was made anew; restore a cluster from the bucket, or choose another prefix",
                self.path, self.ours.store
            ),
        )
    }

    fn lost_to(&self, found: &Found) -> StorageError {
        let Found { title, since, .. } = found;
        let lost = StorageError::new(
            StorageErrorKind::Poisoned,
            CHECKING,
            format!(
                "{}: since {since}, {title} writes here; expected this process, {} on {}, store {}: two processes run as \
                 the same node, and one of their directories is a copy of the other; stop both, keep the directory whose \
                 log is newer, and remove the other one. This one takes nothing more until it is opened anew",
                self.path, self.ours.process, self.ours.host, self.ours.store
            ),
        );
        let first = self.fenced.get_or_init(|| lost).clone();
        self.client.told.fenced();
        error!(error = %first, "this store was fenced");
        first
    }
}
