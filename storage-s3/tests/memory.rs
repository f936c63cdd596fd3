//! A snapshot larger than memory goes up, is read back, and comes down again: no side holds more of it than its parts and reads.
//!
//! By the kernel's count of this process, which is why this test is alone in its program. The bucket keeps nothing: the
//! bytes of the snapshot follow from where they lie, so it makes them anew. `ERAFT_LONG=1` takes 4 GiB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::cast_possible_truncation, reason = "lengths of a test's own")]
#![allow(clippy::disallowed_methods, reason = "the kernel tells of a process's memory in files")]

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use eraft_core::*;
use eraft_storage_s3::{Compression, S3Options, S3Storage};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use meter::Memory;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Answer,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};

#[path = "../../tests/processes/meter.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "of what it measures, memory is asked for alone")]
mod meter;

const MIB: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 64 << 10;
/// What may be held: five parts of 8 MiB, or five reads, one of them at the consumer, and as much again that the allocator keeps.
const MOST_HELD_MIB: u64 = 96;

/// The bytes that lie there in every snapshot: blocks that bear their number.
fn bytes_at(range: Range<u64>) -> Bytes {
    assert!(range.start.is_multiple_of(BLOCK_BYTES) && range.end.is_multiple_of(BLOCK_BYTES), "{range:?}");
    let block = |number: u64| number.to_le_bytes().repeat(BLOCK_BYTES as usize / 8);
    match range.end - range.start {
        BLOCK_BYTES => block(range.start / BLOCK_BYTES).into(),
        _ => (range.start / BLOCK_BYTES..range.end / BLOCK_BYTES).map(block).collect::<Vec<_>>().concat().into(),
    }
}

/// The longest of what says who owns the folder, and which upload is under way.
const SMALL_BYTES: usize = 4 << 10;

/// Keeps manifests and what is small, and of snapshots their length alone.
#[derive(Debug, Default)]
struct Forgetful {
    kept: InMemory,
    size_bytes: AtomicU64,
}

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forgetful")
    }
}

#[async_trait]
impl ObjectStore for Forgetful {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Answer<PutResult> {
        let is_small = payload.content_length() <= SMALL_BYTES;
        assert!(is_small || path.as_ref().ends_with(".manifest"), "a large snapshot goes up in parts");
        self.kept.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Answer<Box<dyn MultipartUpload>> {
        unreachable!("uploads are made step by step")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Answer<GetResult> {
        let range = match options.range.clone() {
            Some(GetRange::Bounded(range)) if !path.as_ref().ends_with(".manifest") => range,
            _ => return self.kept.get_opts(path, options).await,
        };
        let size = self.size_bytes.load(Ordering::Acquire);
        let meta =
            ObjectMeta { location: path.clone(), last_modified: Default::default(), size, e_tag: None, version: None };
        let end = range.end;
        let pieces = stream::iter(range.clone().step_by(BLOCK_BYTES as usize));
        let pieces = pieces.map(move |start| Ok(bytes_at(start..end.min(start + BLOCK_BYTES))));
        let payload = GetResultPayload::Stream(pieces.boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default(), extensions: Default::default() })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        self.kept.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        self.kept.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
        self.kept.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
        self.kept.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Forgetful {
    async fn create_multipart(&self, _: &Path) -> Answer<MultipartId> {
        self.size_bytes.store(0, Ordering::Release);
        Ok("the only one".to_owned())
    }

    async fn put_part(&self, _: &Path, _: &MultipartId, _: usize, payload: PutPayload) -> Answer<PartId> {
        // A network that is slower than the state machine, so that as much waits as may.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.size_bytes.fetch_add(payload.content_length() as u64, Ordering::AcqRel);
        Ok(PartId { content_id: String::new() })
    }

    async fn complete_multipart(&self, _: &Path, _: &MultipartId, _: Vec<PartId>) -> Answer<PutResult> {
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort_multipart(&self, _: &Path, _: &MultipartId) -> Answer<()> {
        Ok(())
    }
}

/// Stages, publishes and reads a snapshot of so many mebibytes.
async fn go_through(mebibytes: u64) {
    let disk = MemoryDisk::new(1);
    MemoryStorage::create(&disk, ClusterId(1), NodeId(1)).unwrap();
    let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let options = S3Options { compression: Compression::None, ..S3Options::default() };
    let store = S3Storage::over(local, GroupId::ZERO, Arc::new(Forgetful::default()), options).await.unwrap();
    let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
    let mut writer = store.stage_snapshot(SnapshotMeta { last: EntryId::new(1, 9), conf_state }).await.unwrap();
    for nth in 0..mebibytes {
        writer.write(bytes_at(nth * MIB..(nth + 1) * MIB)).await.unwrap();
    }
    let staged = writer.finish().await.unwrap();
    let log = LogChange::Reset { base: EntryId::new(1, 9) };
    store.save_state_and_snapshot(RaftStateUpdate { hard_state: None, log }, staged).await.unwrap();
    let mut reader = store.read_snapshot().await.unwrap().unwrap();
    let mut read = 0;
    while let Some(chunk) = reader.chunks.next().await {
        read += chunk.unwrap().len() as u64;
        if read % (64 * MIB) == 0 {
            // A consumer that is slower than the network, now and then.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(read, mebibytes * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_snapshot_goes_up_and_down_in_little_memory() {
    let own = rustix::process::getpid();
    let mebibytes = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { 4096 } else { 256 };
    // What comes with the first use of anything.
    go_through(10).await;
    Memory::forget_peak(own);
    let Some(before) = Memory::of(own) else {
        println!("SKIPPED a_large_snapshot_goes_up_and_down_in_little_memory: no proc-status");
        return;
    };
    let begun = Instant::now();
    go_through(mebibytes).await;
    let held = Memory::of(own).unwrap().peak.saturating_sub(before.resident) / MIB;
    println!("{mebibytes} MiB went up, back and down through {held} MiB of memory in {:?}", begun.elapsed());
    assert!(held <= MOST_HELD_MIB, "{held} MiB were held at once of a snapshot of {mebibytes}");
}
