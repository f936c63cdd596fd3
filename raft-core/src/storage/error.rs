//! Storage errors: few, and each kind is what the caller *does*.

use std::{error::Error, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The result of everything a store does.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What the caller does about a [`StorageError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// The entries asked for were compacted: send or install a snapshot.
    Compacted,
    /// Something the store needs is away: retry later.
    Unavailable,
    /// The disk is full: free space, then reopen.
    Full,
    /// Data at rest is damaged: stop; an operator decides (usually: wipe the node and join anew).
    Corrupt,
    /// An earlier save failed, and the store accepts no more: stop, find the first cause, reopen.
    Poisoned,
    /// Another process, or another handle, has it: stop that one first.
    Locked,
    /// The data belongs to another cluster or node: check the path and the configuration.
    WrongIdentity,
    /// Written by another version, or by another backend: use the software that wrote it, or one that migrates it.
    Incompatible,
    /// Nothing is stored there: create, join or restore.
    NotInitialised,
    /// The call broke the contract: a bug of the caller's.
    Invalid,
    /// The operating system failed otherwise: read the detail.
    Io,
}

/// What went wrong, during what, and what to do. Cheap to clone.
#[derive(Clone)]
pub struct StorageError {
    inner: Arc<Inner>,
}

struct Inner {
    kind: StorageErrorKind,
    during: String,
    detail: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StorageError {
    /// An error of `kind`, met `during` some work; `detail` says where, expected against found, and what to do.
    pub fn new(kind: StorageErrorKind, during: impl Into<String>, detail: impl Into<String>) -> StorageError {
        let (during, detail) = (during.into(), detail.into());
        StorageError { inner: Arc::new(Inner { kind, during, detail, source: None }) }
    }

    /// The same with its cause.
    pub fn with_source(
        kind: StorageErrorKind,
        during: impl Into<String>,
        detail: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StorageError {
        let (during, detail) = (during.into(), detail.into());
        StorageError { inner: Arc::new(Inner { kind, during, detail, source: Some(source.into()) }) }
    }

    /// A call that broke the contract.
    pub fn invalid(detail: impl Into<String>) -> StorageError {
        StorageError::new(StorageErrorKind::Invalid, "checking a call", detail)
    }

    /// What the caller does about it.
    pub fn kind(&self) -> StorageErrorKind {
        self.inner.kind
    }

    /// What was being done.
    pub fn during(&self) -> &str {
        &self.inner.during
    }

    /// Where, expected against found, and what to do.
    pub fn detail(&self) -> &str {
        &self.inner.detail
    }

    /// What every later save answers once this one has poisoned the engine.
    pub fn poisoned(&self) -> StorageError {
        StorageError::with_source(
            StorageErrorKind::Poisoned,
            "saving",
            format!(
                "no save is accepted since this one failed: {self}; stop the node, mend the cause, reopen the store"
            ),
            self.clone(),
        )
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} while {}: {}", self.inner.kind, self.inner.during, self.inner.detail)?;
        match self.inner.source.as_ref().map(ToString::to_string) {
            // Many a detail quotes its cause where it belongs in the sentence.
            Some(source) if !self.inner.detail.contains(&source) => write!(f, " ({source})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageError({self})")
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
