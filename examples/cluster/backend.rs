//! Where a node keeps its state, log and snapshots: a URL says which backend, and the directory says where.
//!
//! It must not know one backend from another: what differs is in the three words of [`Backend`].

use std::{path::Path, sync::Arc};

use eraft::{ClusterId, Expected, Identity, NodeId, Storage, StorageError};

use super::Snapshots;

/// A backend, as a program on it knows it.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// What the URL of a store begins with, and the feature of `eraft` that brings it.
    pub scheme: &'static str,
    /// What a person calls it.
    pub name: &'static str,
    /// Where the starter keeps its nodes' data if it is not told; each backend elsewhere, since none reads another's.
    pub data: &'static str,
}

impl Backend {
    /// Makes a blank store in `dir`, which does not exist yet.
    ///
    /// # Errors
    /// As [`eraft::create`].
    pub async fn create(self, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<Identity, StorageError> {
        eraft::create(&self.url(dir)?, cluster, node).await
    }

    /// Opens the store in `dir`, whoever's it is, without what it may keep elsewhere.
    ///
    /// # Errors
    /// As [`eraft::open`].
    pub async fn open(self, dir: &Path) -> Result<Arc<dyn Storage>, StorageError> {
        eraft::open(&self.url(dir)?, Expected::any()).await
    }

    /// The same with its snapshots where they go.
    ///
    /// # Errors
    /// As [`eraft::open`]; `Invalid` for what is said of the snapshots.
    pub async fn open_whole(self, dir: &Path, snapshots: &impl Snapshots) -> Result<Arc<dyn Storage>, StorageError> {
        let url = snapshots.url(self.url(dir)?).map_err(|error| StorageError::invalid(format!("{error:#}")))?;
        eraft::open(&url, Expected::any()).await
    }

    fn url(self, dir: &Path) -> Result<String, StorageError> {
        let refused = |why: &str| StorageError::invalid(format!("{} {why}: choose another directory", dir.display()));
        let absolute = std::path::absolute(dir).map_err(|error| refused(&format!("has no absolute path ({error})")))?;
        let path = absolute.to_str().ok_or_else(|| refused("is not UTF-8, and a store's URL is text"))?;
        Ok(format!("{}://{path}", self.scheme))
    }
}
