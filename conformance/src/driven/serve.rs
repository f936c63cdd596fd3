//! The driver in Rust.

use std::{
    io::{BufRead as _, Write as _},
    path::Path,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use eraft_core::{
    ClusterId, Expected, LogIndex, NodeId, Receipt, Result, SnapshotMeta, StagedSnapshot, Storage, StorageError,
};
use futures_executor::block_on;
use futures_util::StreamExt as _;

use super::{
    driver::DRIVER,
    lines::{Step, number, print_entry, print_hex, print_id, print_state},
    script::Model,
};

/// Snapshots are staged in pieces, so that there are system calls between them.
const CHUNK_BYTES: usize = 4096;

/// How the driver makes and opens stores. The calls may block.
pub trait Backend {
    /// Makes a blank store in `dir`, which does not exist.
    ///
    /// # Errors
    /// As the store's own.
    fn create(&self, dir: &Path, cluster: ClusterId, node: NodeId) -> Result<()>;

    /// Opens the store in `dir`. When its `close` has returned, it can be opened again.
    ///
    /// # Errors
    /// As the store's own.
    fn open(&self, dir: &Path, expected: Expected) -> Result<Arc<dyn Storage>>;
}

/// Whether this process was started to [`serve`].
pub fn is_driver() -> bool {
    std::env::var_os(DRIVER).is_some()
}

/// Does what it is told until its input ends.
pub fn serve(backend: &dyn Backend) {
    let (receipts, waiting) = mpsc::channel::<(u64, Receipt)>();
    std::thread::spawn(move || {
        for (number, receipt) in waiting {
            match block_on(receipt) {
                Ok(()) => say(&format!("@saved {number}")),
                Err(error) => fail(&number.to_string(), &error),
            }
        }
    });
    // All threads are there that will be before the store is open. The line that a test's harness began is not one of ours.
    say("\n@ready");
    let (mut store, mut next): (Option<Arc<dyn Storage>>, Option<u64>) = (None, None);
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let (order, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let outcome = match order {
            "create" => create(backend, rest),
            "open" => open(backend, rest).map(|opened| store = Some(opened)),
            "save" => {
                let (number_word, step) = rest.split_once(' ').unwrap();
                let number = number(number_word);
                match submit(store.as_deref().unwrap(), Step::parse(step), next.is_none_or(|next| next == number)) {
                    Ok(receipt) => {
                        next = Some(number + 1);
                        receipts.send((number, receipt)).unwrap();
                    }
                    Err(error) => {
                        next = Some(next.unwrap_or(number));
                        say(&format!("@unstaged {number} {:?} {error}", error.kind()));
                    }
                }
                continue;
            }
            "read" => block_on(read(store.as_deref().unwrap())),
            "close" => block_on(store.take().unwrap().close()),
            other => panic!("no such order: {other}"),
        };
        match (order, outcome) {
            (_, Err(error)) => fail(order, &error),
            ("create", Ok(())) => say("@created"),
            ("open", Ok(())) => say("@opened"),
            ("read", Ok(())) => say("@read"),
            (_, Ok(())) => say("@closed"),
        }
    }
}

fn create(backend: &dyn Backend, words: &str) -> Result<()> {
    let (dir, cluster, node) = location(words);
    backend.create(dir, cluster, node)
}

fn open(backend: &dyn Backend, words: &str) -> Result<Arc<dyn Storage>> {
    let (dir, cluster, node) = location(words);
    backend.open(dir, Expected::exactly(cluster, node))
}

fn location(words: &str) -> (&Path, ClusterId, NodeId) {
    let words: Vec<&str> = words.split(' ').collect();
    (Path::new(words[0]), ClusterId(number(words[1])), NodeId(number(words[2])))
}

fn submit(store: &dyn Storage, step: Step, in_order: bool) -> Result<Receipt> {
    if !in_order {
        return Err(StorageError::invalid("a save before this one was not submitted"));
    }
    let Some((last, bytes)) = step.snapshot else { return Ok(store.save_raft_state(step.update)) };
    let meta = SnapshotMeta { last, conf_state: Model::conf_state() };
    let staged = block_on(stage(store, meta, &bytes))?;
    Ok(store.save_state_and_snapshot(step.update, staged))
}

async fn stage(store: &dyn Storage, meta: SnapshotMeta, bytes: &[u8]) -> Result<StagedSnapshot> {
    let mut writer = store.stage_snapshot(meta).await?;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        writer.write(Bytes::copy_from_slice(chunk)).await?;
    }
    writer.finish().await
}

async fn read(store: &dyn Storage) -> Result<()> {
    let state = store.read_raft_state().await?;
    say(&format!("@state {}", print_state(state.hard_state)));
    say(&format!("@log {} {}", print_id(state.outline.base()), print_id(state.outline.last())));
    let mut next = state.outline.first_index();
    while next <= state.outline.last_index() {
        for entry in store.read_entries(next..LogIndex::MAX, 1 << 20).await? {
            say(&format!("@entry {},{}", entry.index.0, print_entry(&entry)));
            next = entry.index.next();
        }
    }
    if let Some(mut snapshot) = store.read_snapshot().await? {
        let mut bytes = Vec::new();
        while let Some(chunk) = snapshot.chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        say(&format!("@snapshot {},{}", print_id(snapshot.meta.last), print_hex(&bytes)));
    }
    Ok(())
}

fn fail(what: &str, error: &StorageError) {
    say(&format!("@failed {what} {:?} {error}", error.kind()));
}

/// In one write, so that two threads' lines do not mix; whoever has stopped listening ends us soon.
fn say(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}
