//! [`RemoteEnv`]: the suite's hands on a store that other processes hold.
//!
//! It may do what an operator and bad luck can do to processes and disks, and nothing else; it never looks into them.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use eraft_core::{ClusterId, Expected, Identity, NodeId, Result};

use super::{HostCommand, Location, Opener, ground::Ground, process::Process, proxy::RemoteEngine, wire::Request};
use crate::{
    Capabilities, Capability, Crash, Damage, Engine, Env,
    machine::{Fault, FileSystem, Injection, STRACE, can_trace, demand, is_root},
};

/// By these a process makes something durable.
const SYNCS: &[&str] = &["fdatasync", "fsync", "msync", "syncfs"];
/// By these it writes to files. (What it says to this process it sends.)
const WRITES: &[&str] = &["write", "writev", "pwrite64", "pwritev", "pwritev2"];

/// Stores in other processes, on a file system of their own.
///
/// Under an odd seed that file system is ext4, under an even one XFS.
pub struct RemoteEnv {
    opener: Arc<dyn Opener>,
    host: HostCommand,
    random: fastrand::Rng,
    /// What one environment chooses for all its stores.
    seed: u64,
    ground: Ground,
    /// What the machine lacks, by probe.
    lacks: Vec<(&'static str, String)>,
    disk_probe: &'static str,
    processes: Vec<Arc<Process>>,
    injections: Vec<Injection>,
}

impl RemoteEnv {
    /// Stores that the processes started by `host` open with an opener like this.
    ///
    /// # Panics
    /// Where `ERAFT_REQUIRE` names something that this machine lacks for it.
    pub fn new(seed: u64, opener: Arc<dyn Opener>, host: HostCommand) -> RemoteEnv {
        let file_system = if seed.is_multiple_of(2) { FileSystem::Xfs } else { FileSystem::Ext4 };
        let disk_probe = file_system.probe();
        let (ground, no_disk) = Ground::new(file_system);
        let no_strace = can_trace().and_then(|()| if is_root() { Ok(()) } else { Err("not root".to_owned()) }).err();
        let lacks = [(disk_probe, no_disk), (STRACE, no_strace)];
        let lacks: Vec<_> = lacks.into_iter().filter_map(|(probe, reason)| Some((probe, reason?))).collect();
        for (probe, reason) in &lacks {
            demand(probe, reason);
        }
        let mut random = fastrand::Rng::with_seed(seed);
        RemoteEnv {
            opener,
            host,
            seed: random.u64(..),
            random,
            ground,
            lacks,
            disk_probe,
            processes: Vec::new(),
            injections: Vec::new(),
        }
    }

    fn location(&self) -> Location {
        Location { directory: self.ground.location(), seed: self.seed }
    }

    /// A process in which nothing is open: a second opener is another process than the first.
    fn idle_process(&mut self) -> Arc<Process> {
        self.notice_deaths();
        if let Some(idle) = self.processes.iter().find(|process| !process.holds_a_lock()) {
            return idle.clone();
        }
        let process = Process::start(&self.host);
        self.processes.push(process.clone());
        process
    }

    /// A process that ended unasked fails the case, whatever the case made of the errors that followed.
    fn notice_deaths(&self) {
        if let Some(death) = self.processes.iter().find_map(|process| process.death()) {
            panic!("{death}");
        }
    }

    /// Takes back every fault that was given.
    fn heal(&mut self) {
        for injection in self.injections.drain(..) {
            if !injection.detach() {
                println!("a fault was given and no call met it");
            }
        }
    }

    /// The same for those that have done their work: the process is its own again before anything else is asked of it.
    fn settle(&mut self) {
        self.injections.retain(|injection| !injection.has_fired());
    }

    fn inject(&mut self, calls: &[&str], effect: &str) {
        self.heal();
        if self.processes.is_empty() {
            self.idle_process();
        }
        let location = self.ground.location();
        let mut paths: Vec<PathBuf> =
            self.ground.files().into_iter().filter(|path| self.opener.can_fail(path)).collect();
        if paths.len() < self.ground.files().len() && !paths.is_empty() {
            paths.push(location);
        } else {
            paths.clear();
        }
        for process in &self.processes {
            let fault = Fault { calls, effect, paths: &paths };
            let injection = fault.attach(process.id()).unwrap_or_else(|error| panic!("injecting {effect}: {error}"));
            self.injections.push(injection);
        }
    }

    /// Lets what is under way go on for a moment.
    async fn wait_a_moment(&mut self) {
        if self.random.bool() {
            tokio::time::sleep(Duration::from_micros(self.random.u64(..3000))).await;
        }
    }
}

#[async_trait]
impl Env for RemoteEnv {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.opener.capabilities();
        for (probe, reason) in &self.lacks {
            let needing = if *probe == self.disk_probe {
                [Capability::PowerLoss, Capability::FullDisk]
            } else {
                [Capability::FailedSync, Capability::FailedWrite]
            };
            for capability in needing {
                if capabilities.missing(capability).is_none() {
                    capabilities = capabilities.without(capability, &format!("no {probe} ({reason})"));
                }
            }
        }
        capabilities
    }

    async fn fresh(&mut self) {
        self.heal();
        self.ground.move_on();
    }

    async fn create(&mut self, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        self.settle();
        let (process, location) = (self.idle_process(), self.location());
        let created = process.ask(Request::Create { location, cluster, node }).await;
        Ok(created?.1)
    }

    async fn open(&mut self, expected: Expected) -> Result<Box<dyn Engine>> {
        self.settle();
        let (process, location) = (self.idle_process(), self.location());
        Ok(Box::new(RemoteEngine::open(&process, Request::Open { location, expected }).await?))
    }

    async fn crash(&mut self, crash: Crash) {
        self.heal();
        self.wait_a_moment().await;
        self.notice_deaths();
        if crash == Crash::PowerLoss {
            self.processes.iter().for_each(|process| process.doom());
            self.ground.cut_power();
        }
        for process in self.processes.drain(..) {
            process.kill();
        }
        if crash == Crash::PowerLoss {
            self.ground.restart();
        }
    }

    async fn fail_next_sync(&mut self) {
        self.inject(SYNCS, "error=EIO:when=1");
    }

    async fn fail_next_write(&mut self) {
        self.inject(WRITES, "error=EIO:when=1");
    }

    async fn fill_disk(&mut self) {
        self.ground.fill();
    }

    async fn free_disk(&mut self) {
        self.ground.free();
    }

    async fn places(&mut self, damage: Damage) -> u64 {
        self.ground.places(damage, |file| self.opener.holds_data(file))
    }

    async fn damage(&mut self, damage: Damage, place: u64) -> String {
        let bit = self.random.u8(..8);
        self.ground.damage(damage, place, bit, |file| self.opener.holds_data(file))
    }
}

impl fmt::Debug for RemoteEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEnv").field("host", &self.host).field("lacks", &self.lacks).finish_non_exhaustive()
    }
}

impl Drop for RemoteEnv {
    fn drop(&mut self) {
        self.injections.clear();
        let failing = std::thread::panicking();
        for process in &self.processes {
            process.kill();
            if failing && !process.said().is_empty() {
                println!("process {} said:\n{}", process.id(), process.said());
            }
        }
        if !failing {
            self.notice_deaths();
        }
    }
}
