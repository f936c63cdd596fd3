//! A store over plain files that takes one snapshot after the other, and removes what nobody needs after each.

use std::{path::Path, sync::Arc, time::Duration};

use eraft_conformance::make::{append, entries, keep, meta};
use eraft_core::{Expected, GroupId, Result, Storage as _};
use eraft_s3_servers::Access;
use eraft_storage_file::FileStorage;
use eraft_storage_s3::{CollectOptions, S3Options, S3Storage};

pub type Store = S3Storage<FileStorage>;

/// Opens the store; nothing is kept in the bucket for its age.
pub async fn open(dir: &Path, access: &Access, prefix: &str) -> Result<Store> {
    let collect = CollectOptions {
        keep_last: 2,
        keep_younger: Duration::ZERO,
        grace: Duration::ZERO,
        // But when it is asked for.
        every: Duration::from_secs(1 << 30),
    };
    let options = S3Options { prefix: prefix.to_owned(), collect, ..S3Options::default() };
    S3Storage::over(FileStorage::open(dir, Expected::any())?, GroupId::ZERO, Arc::new(access.client()), options).await
}

/// An entry more, a snapshot of it, and a collection; the index of the entry.
pub async fn go_on(store: &Store) -> Result<u64> {
    let index = store.read_raft_state().await?.outline.last_index().0 + 1;
    store.save_raft_state(append(entries(1, index, index))).await?;
    let mut writer = store.stage_snapshot(meta(1, index)).await?;
    writer.write(content(index).into()).await?;
    let staged = writer.finish().await?;
    store.save_state_and_snapshot(keep(), staged).await?;
    store.collect_garbage().await?;
    Ok(index)
}

/// What a snapshot at this index holds.
pub fn content(index: u64) -> String {
    format!("the state after entry {index}")
}
