//! Eight clients that write, and remember what they were told.

mod route;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::processes::{Client, Reply, wait_until};
use route::{Answer, Route};

const WRITERS: usize = 8;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const SHARED_COUNTER: &str = "counter-shared";
/// Keys that are asked for in one go when everything is checked.
const PIPELINE: usize = 100;
const MAX_VALUE_BYTES: usize = 8192;

/// Everything that was attempted so far.
pub struct Load {
    addresses: Vec<String>,
    writers: Vec<Writer>,
}

/// One client's memory.
#[derive(Debug)]
struct Writer {
    place: usize,
    random: fastrand::Rng,
    /// Every key it tried to set, and whether that was acknowledged.
    keys: Vec<bool>,
    own: Counter,
    shared: Counter,
    unknown: u64,
}

/// What one client did to a counter, and the highest number that any of its clients was told.
#[derive(Clone, Debug, Default)]
struct Counter {
    attempts: u64,
    acknowledged: u64,
    told: Arc<AtomicI64>,
}

/// What one operation adds to the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A write that was acknowledged.
    Acknowledged,
    /// A write that may or may not have been done.
    Unknown,
    /// A read, or a write that was not done.
    Nothing,
}

/// What the clients and the test tell each other while a round runs.
#[derive(Debug, Default)]
struct Board {
    stop: AtomicBool,
    acknowledged: AtomicU64,
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
        let shared = Counter::default();
        let writer = |place: usize| Writer {
            place,
            random: fastrand::Rng::with_seed(seed.wrapping_add(place as u64)),
            keys: Vec::new(),
            own: Counter::default(),
            shared: shared.clone(),
            unknown: 0,
        };
        Load { addresses, writers: (0..WRITERS).map(writer).collect() }
    }

    /// Sets them to work until [`Running::stop`].
    pub fn start(&mut self) -> Running {
        let board = Arc::new(Board::default());
        let threads = std::mem::take(&mut self.writers).into_iter().map(|writer| {
            let (board, addresses) = (board.clone(), self.addresses.clone());
            thread::spawn(move || writer.work(&addresses, &board))
        });
        Running { threads: threads.collect(), board }
    }

    /// How many writes were acknowledged in all rounds.
    pub fn acknowledged(&self) -> u64 {
        let of = |writer: &Writer| {
            let keys = writer.keys.iter().filter(|acknowledged| **acknowledged).count() as u64;
            keys + writer.own.acknowledged + writer.shared.acknowledged
        };
        self.writers.iter().map(of).sum()
    }

    /// How many writes nobody knows the outcome of.
    pub fn unknown(&self) -> u64 {
        self.writers.iter().map(|writer| writer.unknown).sum()
    }

    /// Reads everything back and compares it with what was acknowledged.
    pub fn check(&self, addresses: &[String]) {
        let mut reader = wait_until("a node that reads", || reader(addresses));
        let mut shared = Counter::default();
        for writer in &self.writers {
            check_keys(&mut reader, writer);
            check_counter(&mut reader, &format!("counter-{}", writer.place), &writer.own);
            shared.attempts += writer.shared.attempts;
            shared.acknowledged += writer.shared.acknowledged;
            shared.told.clone_from(&writer.shared.told);
        }
        check_counter(&mut reader, SHARED_COUNTER, &shared);
    }
}

fn reader(addresses: &[String]) -> Option<Client> {
    addresses.iter().find_map(|address| {
        let mut client = Client::connect(address, CALL_TIMEOUT).ok()?;
        matches!(client.call(&["DBSIZE"]), Ok(Reply::Integer(_))).then_some(client)
    })
}

fn check_keys(reader: &mut Client, writer: &Writer) {
    let keys: Vec<(String, String, bool)> =
        (0..).zip(&writer.keys).map(|(n, acknowledged)| (writer.key(n), writer.value(n), *acknowledged)).collect();
    for some in keys.chunks(PIPELINE) {
        let commands: Vec<[&str; 2]> = some.iter().map(|(key, ..)| ["GET", key]).collect();
        reader.send(&commands.iter().map(<[&str; 2]>::as_slice).collect::<Vec<_>>()).unwrap();
        for (key, value, acknowledged) in some {
            match reader.reply().unwrap() {
                Reply::Bulk(found) => assert_eq!(found, *value, "{key} holds what nobody wrote"),
                Reply::Nil => assert!(!acknowledged, "{key} was acknowledged and is lost"),
                other => panic!("{key} cannot be read: {other:?}"),
            }
        }
    }
}

fn check_counter(reader: &mut Client, key: &str, told: &Counter) {
    let value = number_in(key, &reader.call(&["GET", key]).unwrap());
    let highest = told.told.load(SeqCst);
    assert!(value >= highest, "{key} went back: {value} after {highest} was told");
    let counted = u64::try_from(value).unwrap();
    let (least, most) = (told.acknowledged, told.attempts);
    assert!((least..=most).contains(&counted), "{key} is {counted}: {least} were acknowledged, {most} attempted");
}

impl Running {
    /// Writes acknowledged in this round so far.
    pub fn acknowledged(&self) -> u64 {
        self.board.acknowledged.load(SeqCst)
    }

    /// Spins until some write is under way; whether one is.
    pub fn wait_for_flight(&self) -> bool {
        (0..10_000_000).any(|_| self.board.in_flight.load(SeqCst) > 0)
    }

    /// Ends the round and gives the clients' memories back to `load`.
    pub fn stop(self, load: &mut Load) {
        self.board.stop.store(true, SeqCst);
        load.writers = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    }
}

impl Writer {
    fn key(&self, n: usize) -> String {
        format!("key-{}-{n}", self.place)
    }

    /// Unique, and of lengths that fill segments and cross the borders of blocks.
    fn value(&self, n: usize) -> String {
        let padding = (n * 37 + self.place * 101) % MAX_VALUE_BYTES;
        format!("value-{}-{n}-{}", self.place, "x".repeat(padding))
    }

    fn work(mut self, addresses: &[String], board: &Board) -> Writer {
        let mut route = Route::new(addresses, self.place);
        let own_counter = format!("counter-{}", self.place);
        while !board.stop.load(SeqCst) {
            let outcome = match self.random.u8(0..6) {
                0 => self.own.count(&own_counter, &mut route, board),
                1 => self.shared.count(SHARED_COUNTER, &mut route, board),
                2 => self.shared.look(SHARED_COUNTER, &mut route, board),
                _ => self.set(&mut route, board),
            };
            board.acknowledged.fetch_add(u64::from(outcome == Outcome::Acknowledged), SeqCst);
            self.unknown += u64::from(outcome == Outcome::Unknown);
        }
        self
    }

    fn set(&mut self, route: &mut Route<'_>, board: &Board) -> Outcome {
        let n = self.keys.len();
        let outcome = match route.ask(&["SET", &self.key(n), &self.value(n)], board) {
            Answer::Reply(reply) => {
                assert_eq!(reply, Reply::Status("OK".to_owned()));
                Outcome::Acknowledged
            }
            Answer::Lost => Outcome::Unknown,
            Answer::RoundOver => Outcome::Nothing,
        };
        self.keys.push(outcome == Outcome::Acknowledged);
        outcome
    }
}

impl Counter {
    /// Adds one: the reply is above every number that anyone had been told before this was sent.
    fn count(&mut self, key: &str, route: &mut Route<'_>, board: &Board) -> Outcome {
        let before = self.told.load(SeqCst);
        let answer = route.ask(&["INCR", key], board);
        self.attempts += u64::from(answer != Answer::RoundOver);
        match answer {
            Answer::Reply(Reply::Integer(number)) => {
                assert!(number > before, "{key} went back: {number} after {before}");
                self.told.fetch_max(number, SeqCst);
                self.acknowledged += 1;
                Outcome::Acknowledged
            }
            Answer::Reply(other) => panic!("INCR {key} answered {other:?}"),
            Answer::Lost => Outcome::Unknown,
            Answer::RoundOver => Outcome::Nothing,
        }
    }

    /// Reads it: the reply is at least every number that anyone had been told before this was sent.
    fn look(&mut self, key: &str, route: &mut Route<'_>, board: &Board) -> Outcome {
        let before = self.told.load(SeqCst);
        if let Answer::Reply(reply) = route.ask(&["GET", key], board) {
            let number = number_in(key, &reply);
            assert!(number >= before, "a stale read of {key}: {number} after {before}");
            self.told.fetch_max(number, SeqCst);
        }
        Outcome::Nothing
    }
}

fn number_in(key: &str, reply: &Reply) -> i64 {
    match reply {
        Reply::Bulk(digits) => digits.parse().unwrap(),
        Reply::Nil => 0,
        other => panic!("{key} cannot be read: {other:?}"),
    }
}
