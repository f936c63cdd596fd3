//! The environment of plain files: a simulated disk that forgets what was not synced, and everything that befalls it.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use eraft_conformance::{Capabilities, Crash, Damage, Engine, Env};
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};
use eraft_storage_file::{
    FileEngine, FileOptions,
    fs::sim::{Call, Fault, Policy, SimFs},
};
use eraft_storage_kit::GroupCommitOptions;

use crate::mount::Mount;

eraft_conformance::engine!(Open(FileEngine));

const DIR: &str = "/node";
const SECTOR_BYTES: u64 = 512;

pub(crate) struct FileEnv {
    random: fastrand::Rng,
    disk: SimFs,
    /// The disk as the opener sees it.
    mount: Mount,
    /// What one environment chooses for all its stores: frames and files lie elsewhere under another seed.
    segment_bytes: u64,
    max_batch_saves: usize,
}

impl FileEnv {
    pub(crate) fn new(seed: u64) -> FileEnv {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = SimFs::new(random.u64(..));
        FileEnv {
            mount: Mount::new(&disk),
            disk,
            segment_bytes: [16, 16, 32, 64][random.usize(..4)] * 1024,
            max_batch_saves: [1, 3, 1024][random.usize(..3)],
            random,
        }
    }

    /// The moment after which the last batch is confirmed is left to close: a case must not depend on the clock.
    fn options(&mut self) -> FileOptions {
        FileOptions {
            segment_bytes: self.segment_bytes,
            commit: GroupCommitOptions {
                idle_after: None,
                max_batch_saves: self.max_batch_saves,
                ..GroupCommitOptions::default()
            },
            seed: Some(self.random.u64(..)),
        }
    }

    /// Lets what is under way go on for a few calls, which may end between a write and its sync, or a rename and its
    /// sync. The case has seen no receipt that resolves meanwhile.
    async fn die_a_few_calls_later(&mut self) {
        self.disk.cut_power_after(self.random.u64(..8));
        for _ in 0..self.random.usize(..200) {
            if self.disk.power_is_off() {
                break;
            }
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }

    /// Every file with its length.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let lengths = self.disk.paths().into_iter().filter_map(|path| {
            let length = self.disk.read_file(&path).ok()?.len() as u64;
            Some((path, length))
        });
        lengths.collect()
    }

    /// How many places a file of this length has.
    fn places_in(damage: Damage, length: u64) -> u64 {
        match damage {
            Damage::FlipBit => length,
            Damage::ZeroSector => length.div_ceil(SECTOR_BYTES),
            Damage::LosePiece => 1,
        }
    }
}

#[async_trait]
impl Env for FileEnv {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    async fn fresh(&mut self) {
        self.mount.end(|_| ());
        self.disk = SimFs::new(self.random.u64(..));
        self.mount = Mount::new(&self.disk);
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        FileEngine::create_with(Arc::new(self.mount.clone()), DIR, cluster, node, self.options())
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        let engine = FileEngine::open_with(Arc::new(self.mount.clone()), DIR, expected, self.options())?;
        Ok(Box::new(Open(engine)))
    }

    async fn crash(&mut self, crash: Crash) {
        self.die_a_few_calls_later().await;
        let policy =
            [Policy::RANDOM, Policy::RANDOM, Policy::LOSE, Policy::LOSE_DATA, Policy::KEEP][self.random.usize(..5)];
        self.mount.end(|disk| match crash {
            Crash::Kill => disk.kill(),
            Crash::PowerLoss => disk.crash_with(policy),
        });
        self.disk.heal();
        self.mount = Mount::new(&self.disk);
    }

    async fn fail_next_sync(&mut self) {
        for call in [Call::SyncData, Call::SyncAll, Call::SyncDir] {
            self.disk.fail_nth(call, 1, Fault::Io);
        }
    }

    async fn fail_next_write(&mut self) {
        self.disk.fail_nth(Call::Write, 1, Fault::Io);
    }

    async fn fill_disk(&mut self) {
        self.disk.set_capacity_bytes(Some(self.disk.used_bytes()));
    }

    async fn free_disk(&mut self) {
        self.disk.set_capacity_bytes(None);
    }

    async fn places(&mut self, damage: Damage) -> u64 {
        self.files().iter().map(|(_, length)| FileEnv::places_in(damage, *length)).sum()
    }

    async fn damage(&mut self, damage: Damage, mut place: u64) -> String {
        for (path, length) in self.files() {
            let here = FileEnv::places_in(damage, length);
            if place >= here {
                place -= here;
                continue;
            }
            let name = path.display();
            match damage {
                Damage::FlipBit => {
                    let bit = self.random.u8(..8);
                    self.disk.flip(&path, place, 1 << bit).unwrap();
                    return format!("bit {bit} of byte {place} of {name} flipped");
                }
                Damage::ZeroSector => {
                    let mut bytes = self.disk.read_file(&path).unwrap();
                    let start = place * SECTOR_BYTES;
                    let sector = bytes.iter_mut().skip(usize::try_from(start).unwrap()).take(512);
                    sector.for_each(|byte| *byte = 0);
                    self.disk.plant_file(&path, &bytes).unwrap();
                    return format!("sector at byte {start} of {name} zeroed");
                }
                Damage::LosePiece => {
                    self.disk.uproot(&path).unwrap();
                    return format!("{name} lost");
                }
            }
        }
        panic!("there is no such place");
    }
}
