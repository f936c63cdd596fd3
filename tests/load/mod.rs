//! Eight clients that write, count and read, and remember what they asked and were told.
//!
//! Most of the bytes are keys that are written once each. The histories are of a few keys that all clients write, read and
//! count on at once, at whichever node: fresh ones in each round, and after so many operations, so that a history stays
//! short enough to be judged. No outcome is guessed: a request without an answer may have been done, now or later.

#![allow(dead_code, unused_imports, reason = "each test uses the part it needs")]

mod hand;
mod route;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    history::{Act, Checked, History, Operation, Stopwatch},
    processes::{Client, Reply, wait_until},
};
pub use hand::Hand;
use writer::{Writer, number_in};

const WRITERS: usize = 8;
/// A client that waited for so long goes elsewhere.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Keys that are asked for in one go when everything is read back.
const PIPELINE: usize = 100;
/// A round with fewer writes acknowledged, or reads answered, has tested nothing.
pub const ROUND_WRITES: u64 = 200;
pub const ROUND_READS: u64 = 100;

/// Everything that was attempted so far.
pub struct Load {
    addresses: Vec<String>,
    watch: Stopwatch,
    round: u64,
    writers: Vec<Writer>,
    by_hand: History,
    /// Of rounds that were judged.
    past: History,
}

/// What the clients and the test tell each other while a round runs.
#[derive(Debug, Default)]
struct Board {
    round: u64,
    stop: AtomicBool,
    issued: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
    in_flight: AtomicU64,
}

/// Clients at work.
pub struct Running {
    board: Arc<Board>,
    threads: Vec<JoinHandle<Writer>>,
}

impl Load {
    /// Clients of the nodes at `addresses` that have written nothing yet.
    pub fn new(addresses: Vec<String>, seed: u64) -> Load {
        let watch = Stopwatch::start();
        let writers = (0..WRITERS).map(|place| Writer::new(place, seed, watch)).collect();
        Load { addresses, watch, round: 0, writers, by_hand: History::default(), past: History::default() }
    }

    /// Sets them to work until [`Running::stop`].
    pub fn start(&mut self) -> Running {
        self.round += 1;
        let board = Arc::new(Board { round: self.round, ..Board::default() });
        let threads = std::mem::take(&mut self.writers).into_iter().map(|writer| {
            let (board, addresses) = (board.clone(), self.addresses.clone());
            thread::spawn(move || writer.work(&addresses, &board))
        });
        Running { threads: threads.collect(), board }
    }

    /// How many writes were acknowledged in all rounds.
    pub fn acknowledged(&self) -> u64 {
        self.writers.iter().map(|writer| writer.acknowledged).sum()
    }

    /// How many writes nobody knows the outcome of.
    pub fn unknown(&self) -> u64 {
        self.writers.iter().map(|writer| writer.unknown).sum()
    }

    /// An operation by hand, in the history of this round.
    fn add(&mut self, key: &str, operation: Operation) {
        self.by_hand.add(key, operation);
    }

    /// Reads everything back: what was acknowledged must be there, and the round's histories must be linearizable.
    pub fn check(&mut self) -> Checked {
        for writer in &self.writers {
            self.check_keys(writer);
        }
        let mut round = std::mem::take(&mut self.by_hand);
        self.writers.iter_mut().for_each(|writer| round.merge(std::mem::take(&mut writer.history)));
        self.read_back(&mut round);
        let checked = round.check();
        self.past.merge(round);
        checked
    }

    /// Judges all rounds' histories once more, with what their keys hold now.
    pub fn conclude(&mut self) -> Checked {
        let mut past = std::mem::take(&mut self.past);
        self.read_back(&mut past);
        past.check()
    }

    fn check_keys(&self, writer: &Writer) {
        let keys: Vec<String> = (0..writer.keys.len()).map(|n| writer.key(n)).collect();
        for (n, (reply, _)) in self.look(&keys).into_iter().enumerate() {
            match reply {
                Reply::Nil => assert!(!writer.keys[n], "{} was acknowledged and is lost", keys[n]),
                found => assert_eq!(found, Reply::Bulk(writer.value(n)), "{} holds what nobody wrote", keys[n]),
            }
        }
    }

    fn read_back(&self, history: &mut History) {
        let keys: Vec<String> = history.keys().map(str::to_owned).collect();
        for (key, (reply, times)) in keys.iter().zip(self.look(&keys)) {
            let act = Act::Read(number_in(&reply).unwrap_or_else(|| panic!("{key} holds {reply:?}")));
            history.add(key, Operation { act, call: times.0, end: Some(times.1) });
        }
    }

    /// What these keys hold, each with the times of asking.
    fn look(&self, keys: &[String]) -> Vec<(Reply, (Duration, Duration))> {
        let mut replies = Vec::with_capacity(keys.len());
        for some in keys.chunks(PIPELINE) {
            replies.extend(wait_until("a node that reads", || {
                self.addresses.iter().find_map(|address| self.look_at(address, some))
            }));
        }
        replies
    }

    fn look_at(&self, address: &str, keys: &[String]) -> Option<Vec<(Reply, (Duration, Duration))>> {
        let mut client = Client::connect(address, CALL_TIMEOUT).ok()?;
        let commands: Vec<[&str; 2]> = keys.iter().map(|key| ["GET", key.as_str()]).collect();
        let call = self.watch.now();
        client.send(&commands.iter().map(<[&str; 2]>::as_slice).collect::<Vec<_>>()).ok()?;
        let reply = |_| match client.reply().ok()? {
            Reply::Error(_) => None,
            reply => Some((reply, (call, self.watch.now()))),
        };
        keys.iter().map(reply).collect()
    }
}

impl Running {
    /// Writes acknowledged in this round so far.
    pub fn acknowledged(&self) -> u64 {
        self.board.written.load(SeqCst)
    }

    /// Waits for so many more acknowledged writes.
    pub fn wait_for_writes(&self, what: &str, more: u64) {
        let goal = self.acknowledged() + more;
        wait_until(what, || (self.acknowledged() >= goal).then_some(()));
    }

    /// Waits until this round has tested something.
    pub fn wait_for_load(&self) {
        let enough = || self.acknowledged() >= ROUND_WRITES && self.board.read.load(SeqCst) >= ROUND_READS;
        wait_until("a round's load", || enough().then_some(()));
    }

    /// Spins until some write is under way; whether one is.
    pub fn wait_for_flight(&self) -> bool {
        (0..10_000_000).any(|_| self.board.in_flight.load(SeqCst) > 0)
    }

    /// Ends the round and gives the clients' memories back to `load`. A round below the floor is void, and fails.
    pub fn stop(self, load: &mut Load) {
        self.board.stop.store(true, SeqCst);
        load.writers = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let (written, read) = (self.board.written.load(SeqCst), self.board.read.load(SeqCst));
        let enough = written >= ROUND_WRITES && read >= ROUND_READS;
        assert!(enough, "the round is void: {written} writes acknowledged, {read} reads answered");
    }
}
