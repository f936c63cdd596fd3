//! Snapshots up into a bucket and down again, beside object_store's own means for the same bytes: its multipart writer and its
//! ranged reads, with as many parts and reads on their way, and with parts of several lengths of which the best one counts.
//!
//! Ours hashes what it sends, copies what it is given, verifies what it reads, and asks the bucket what it has; object_store
//! does none of that. Nothing is compressed: that is no work which both do. All share one client.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use eraft_core::{
    ClusterId, ConfState, EntryId, Expected, GroupId, LogChange, MemoryDisk, MemoryStorage, NodeId, RaftStateUpdate,
    SnapshotMeta, StagedSnapshot, Storage,
};
use eraft_storage_s3::{Compression, S3Options, S3Storage, VerifyUpload};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, WriteMultipart, aws::AmazonS3};
use tokio::runtime::{Handle, Runtime};

use crate::{
    rounds::{self, Contender},
    server::Server,
};

const MIB: usize = 1 << 20;
const IN_FLIGHT: usize = 4;

/// Which snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct Snapshots {
    /// Mebibytes of the snapshot.
    #[arg(long, default_value_t = 256)]
    mebibytes: usize,
    /// Mebibytes of object_store's parts and reads.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 8, 16])]
    parts: Vec<usize>,
    /// Has one snapshot go up, be read back, and come down, and tells how much memory that took: nothing is compared.
    #[arg(long)]
    memory: bool,
}

/// Measures both ways, or the memory that they take.
///
/// # Errors
/// A contender fails.
pub(crate) fn run(snapshots: &Snapshots, place: &Path, rounds: usize) -> anyhow::Result<()> {
    let server = Server::start(place)?;
    let runtime = Runtime::new()?;
    let bench = Bench { client: server.client()?, handle: runtime.handle().clone(), mebibytes: snapshots.mebibytes };
    if snapshots.memory {
        return bench.handle.block_on(memory(&bench));
    }
    let noise: Vec<Bytes> = bench.noise().collect();
    let mut up: Vec<Box<dyn Contender + '_>> = Vec::new();
    for verify in [VerifyUpload::Length, VerifyUpload::ReadBack] {
        let storage = bench.handle.block_on(bench.storage(verify))?;
        up.push(Box::new(OursUp { bench: &bench, verify, storage, noise: &noise }));
    }
    for mebibytes in snapshots.parts.iter().copied() {
        up.push(Box::new(TheirsUp { bench: &bench, mebibytes, noise: &noise }));
    }
    compare(&mut up, 2, rounds, (bench.mebibytes, "up into the bucket"))?;
    // Only now: who goes up leaves nothing behind, under the names that are read here.
    let storage = bench.handle.block_on(bench.published())?;
    let mut down: Vec<Box<dyn Contender + '_>> = vec![Box::new(OursDown { bench: &bench, storage })];
    for mebibytes in snapshots.parts.iter().copied() {
        bench.handle.block_on(upload(&bench, mebibytes, &noise))?;
        down.push(Box::new(TheirsDown { bench: &bench, mebibytes }));
    }
    compare(&mut down, 1, rounds, (bench.mebibytes, "down from the bucket"))
}

/// Has them take turns, of whom the first few are `ours`, and sets each of these beside the best of the others.
fn compare(
    contenders: &mut [Box<dyn Contender + '_>],
    ours: usize,
    rounds: usize,
    (mebibytes, whither): (usize, &str),
) -> anyhow::Result<()> {
    let outcome = rounds::play(contenders, rounds, mebibytes as f64)?;
    outcome.print(&format!("snapshots {whither}: MiB per second, {mebibytes} a round"));
    rounds::print_pressure();
    let best = (ours..contenders.len()).max_by(|one, other| outcome.median(*one).total_cmp(&outcome.median(*other)));
    let best = best.context("nobody to compare with: name --parts")?;
    for place in 0..ours {
        let (of_medians, by_rounds) = outcome.ratios(place, best);
        let [ours, theirs] = [place, best].map(|place| contenders.get(place).map_or(String::new(), |it| it.name()));
        println!("{ours} is {of_medians:.3} times as fast as {theirs}; round by round {by_rounds:.3}");
    }
    Ok(())
}

/// What all of them share.
struct Bench {
    client: AmazonS3,
    handle: Handle,
    mebibytes: usize,
}

impl Bench {
    /// The snapshot, a mebibyte at a time, always the same: nothing that a compressor, or a cache, could make easier.
    fn noise(&self) -> impl Iterator<Item = Bytes> + use<> {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(move || {
            let mut bytes = vec![0; MIB];
            random.fill(&mut bytes);
            bytes.into()
        })
        .take(self.mebibytes)
    }

    async fn storage(&self, verify: VerifyUpload) -> anyhow::Result<S3Storage<MemoryStorage>> {
        let disk = MemoryDisk::new(1);
        MemoryStorage::create(&disk, ClusterId(1), NodeId(1))?;
        let options = S3Options {
            compression: Compression::None,
            parts_in_flight: IN_FLIGHT,
            reads_in_flight: IN_FLIGHT,
            verify,
            ..S3Options::default()
        };
        let local = MemoryStorage::open(&disk, Expected::any())?;
        Ok(S3Storage::over(local, GroupId::ZERO, Arc::new(self.client.clone()), options).await?)
    }

    /// A store that has the snapshot.
    async fn published(&self) -> anyhow::Result<S3Storage<MemoryStorage>> {
        let storage = self.storage(VerifyUpload::ReadBack).await?;
        let staged = stage(&storage, self.noise()).await?;
        let log = LogChange::Reset { base: staged.meta.last };
        storage.save_state_and_snapshot(RaftStateUpdate { hard_state: None, log }, staged).await?;
        Ok(storage)
    }

    /// Where object_store keeps what it uploads in parts of that length.
    fn object(mebibytes: usize) -> object_store::path::Path {
        format!("theirs/{mebibytes}").into()
    }
}

async fn stage(storage: &dyn Storage, chunks: impl IntoIterator<Item = Bytes>) -> anyhow::Result<StagedSnapshot> {
    let conf_state = ConfState::of_voters([(NodeId(1), Bytes::new())]);
    let mut writer = storage.stage_snapshot(SnapshotMeta { last: EntryId::new(1, 1), conf_state }).await?;
    for chunk in chunks {
        writer.write(chunk).await?;
    }
    Ok(writer.finish().await?)
}

/// By object_store's multipart writer, which takes the chunks without copying them.
async fn upload(bench: &Bench, mebibytes: usize, chunks: &[Bytes]) -> anyhow::Result<()> {
    let upload = bench.client.put_multipart(&Bench::object(mebibytes)).await?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, mebibytes * MIB);
    for chunk in chunks {
        writer.wait_for_capacity(IN_FLIGHT).await?;
        writer.put(chunk.clone());
    }
    writer.finish().await?;
    Ok(())
}

struct OursUp<'a> {
    bench: &'a Bench,
    verify: VerifyUpload,
    storage: S3Storage<MemoryStorage>,
    noise: &'a [Bytes],
}

impl Contender for OursUp<'_> {
    fn name(&self) -> String {
        let how = match self.verify {
            VerifyUpload::Length => "length asked for",
            VerifyUpload::ReadBack => "read back",
        };
        format!("eraft, {how}")
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        self.bench.handle.block_on(async {
            let begun = Instant::now();
            let staged = stage(&self.storage, self.noise.iter().cloned()).await?;
            let took = begun.elapsed();
            self.storage.discard_snapshot(staged).await?;
            Ok(took)
        })
    }
}

struct TheirsUp<'a> {
    bench: &'a Bench,
    mebibytes: usize,
    noise: &'a [Bytes],
}

impl Contender for TheirsUp<'_> {
    fn name(&self) -> String {
        format!("object_store, parts of {} MiB", self.mebibytes)
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        self.bench.handle.block_on(async {
            let begun = Instant::now();
            upload(self.bench, self.mebibytes, self.noise).await?;
            let took = begun.elapsed();
            self.bench.client.delete(&Bench::object(self.mebibytes)).await?;
            Ok(took)
        })
    }
}

struct OursDown<'a> {
    bench: &'a Bench,
    storage: S3Storage<MemoryStorage>,
}

impl Contender for OursDown<'_> {
    fn name(&self) -> String {
        "eraft, every chunk verified".to_owned()
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        self.bench.handle.block_on(async {
            let begun = Instant::now();
            let mut reader = self.storage.read_snapshot().await?.context("nothing is published")?;
            let mut bytes = 0;
            while let Some(chunk) = reader.chunks.try_next().await? {
                bytes += chunk.len();
            }
            ensure!(bytes == self.bench.mebibytes * MIB, "{bytes} bytes came back");
            Ok(begun.elapsed())
        })
    }
}

/// Reads what the contender of the same length put there before.
struct TheirsDown<'a> {
    bench: &'a Bench,
    mebibytes: usize,
}

impl Contender for TheirsDown<'_> {
    fn name(&self) -> String {
        format!("object_store, reads of {} MiB", self.mebibytes)
    }

    fn round(&mut self) -> anyhow::Result<Duration> {
        let whole = (self.bench.mebibytes * MIB) as u64;
        let ranges = (0..whole).step_by(self.mebibytes * MIB);
        let ranges = ranges.map(|start| start..whole.min(start + (self.mebibytes * MIB) as u64));
        self.bench.handle.block_on(async {
            let begun = Instant::now();
            // Tasks of their own, as ours: they share the processors.
            let reads = stream::iter(ranges).map(|range| {
                let (client, object) = (self.bench.client.clone(), Bench::object(self.mebibytes));
                tokio::spawn(async move { client.get_range(&object, range).await })
            });
            let mut reads = reads.buffered(IN_FLIGHT);
            let mut bytes = 0;
            while let Some(read) = reads.next().await {
                bytes += read??.len() as u64;
            }
            ensure!(bytes == whole, "{bytes} bytes came back");
            Ok(begun.elapsed())
        })
    }
}

/// One snapshot goes up, is read back, and comes down: what of this process's memory that took.
async fn memory(bench: &Bench) -> anyhow::Result<()> {
    let before = peak_mebibytes()?;
    println!("a snapshot of {} MiB; this process has had {before} MiB of memory at most", bench.mebibytes);
    let begun = Instant::now();
    let storage = bench.published().await?;
    println!("up and read back in {:.0} s: {} MiB at most", begun.elapsed().as_secs_f64(), peak_mebibytes()?);
    let begun = Instant::now();
    let mut reader = storage.read_snapshot().await?.context("nothing is published")?;
    for expected in bench.noise() {
        let found = reader.chunks.try_next().await?.context("it ends too early")?;
        ensure!(found == expected, "other bytes came back");
    }
    ensure!(reader.chunks.next().await.is_none(), "more came back than went up");
    println!("down in {:.0} s: {} MiB at most", begun.elapsed().as_secs_f64(), peak_mebibytes()?);
    rounds::print_pressure();
    Ok(())
}

/// The most memory that this process has had, as the kernel counts it.
fn peak_mebibytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
