//! The process that saves until its disk is gone: this test's own binary, started again.
//!
//! It writes lines that begin with `@`: `opened NUMBER DIGEST OUTLINE`, `saved NUMBER` for each receipt in order, and
//! `failed ERROR`.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use eraft_core::{ClusterId, Expected, LogIndex, NodeId, Receipt, Result, SnapshotMeta, StagedSnapshot, Storage};
use eraft_storage_file::{FileOptions, FileStorage, fs::real::RealFs};
use eraft_storage_kit::GroupCommitOptions;
use futures_executor::block_on;
use futures_util::StreamExt;

use crate::script::{Model, Script};

pub(crate) const CLUSTER: ClusterId = ClusterId(7);
pub(crate) const NODE: NodeId = NodeId(1);

/// Saves that wait for their receipts at a time.
const WINDOW: usize = 16;

/// Small segments, so that a cut often meets one being made or left; short silences, so that it meets closing marks.
pub(crate) fn options() -> FileOptions {
    FileOptions {
        segment_bytes: 64 * 1024,
        commit: GroupCommitOptions { idle_after: Some(Duration::from_millis(2)), ..GroupCommitOptions::default() },
        ..FileOptions::default()
    }
}

/// Saves until something fails; `hold`: opens the store, says so, and waits for its end.
pub(crate) fn run(directory: &Path, script: Script, hold: bool) {
    // The line that libtest began is not one of ours.
    println!();
    let error = match block_on(save_for_ever(directory, script, hold)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    println!("@failed {error}");
}

/// Everything that the store holds.
pub(crate) async fn read(store: &FileStorage) -> Result<Model> {
    let state = store.read_raft_state().await?;
    let mut model = Model::blank(state.identity);
    let mut next = state.outline.base().index.next();
    while next <= state.outline.last_index() {
        let entries = store.read_entries(next..LogIndex::MAX, 1 << 20).await?;
        next = entries.last().map(|entry| entry.index.next()).unwrap();
        model.entries.extend(entries.into_iter().map(|entry| (entry.index, entry)));
    }
    if let Some(mut snapshot) = store.read_snapshot().await? {
        while let Some(chunk) = snapshot.chunks.next().await {
            model.snapshot.extend_from_slice(&chunk?);
        }
    }
    model.state = state;
    Ok(model)
}

async fn save_for_ever(directory: &Path, script: Script, hold: bool) -> Result<std::convert::Infallible> {
    let store = FileStorage::open_with(Arc::new(RealFs), directory, Expected::exactly(CLUSTER, NODE), options())?;
    let mut model = read(&store).await?;
    println!("@opened {} {} {}", model.number(), model.digest(), model.outline());
    if hold {
        std::thread::sleep(Duration::from_secs(60));
    }
    let mut waiting: VecDeque<(u64, Receipt)> = VecDeque::new();
    loop {
        let number = model.number() + 1;
        let step = script.step(number, &model.state);
        let receipt = match &step.snapshot {
            None => store.save_raft_state(step.update),
            Some((meta, bytes)) => {
                let staged = stage(&store, meta, bytes).await?;
                store.save_state_and_snapshot(step.update, staged)
            }
        };
        model.advance(script);
        waiting.push_back((number, receipt));
        // Now and then the disk falls silent, and the last batch is confirmed.
        let window = if number.is_multiple_of(50) { 0 } else { WINDOW };
        while waiting.len() > window {
            let Some((number, receipt)) = waiting.pop_front() else { break };
            receipt.await?;
            println!("@saved {number}");
        }
        if window == 0 {
            std::thread::sleep(Duration::from_millis(number % 7));
        }
    }
}

async fn stage(store: &FileStorage, meta: &SnapshotMeta, bytes: &[u8]) -> Result<StagedSnapshot> {
    let mut writer = store.stage_snapshot(meta.clone()).await?;
    for chunk in bytes.chunks(4096) {
        writer.write(Bytes::copy_from_slice(chunk)).await?;
    }
    writer.finish().await
}
