//! Eight clients that write, and remember what they were told.

mod route;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::processes::{Client, Reply, wait_until};
use route::{Outcome, Route};

const WRITERS: usize = 8;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const SHARED_COUNTER: &str = "counter-shared";
/// Keys that are asked for in one go when everything is checked.
const PIPELINE: usize = 500;

/// Everything that was attempted so far.
pub struct Load {
    addresses: Vec<String>,
    writers: Vec<Writer>,
}

/// One client's memory.
#[derive(Clone, Debug)]
struct Writer {
    place: usize,
    random: fastrand::Rng,
    /// Every key it tried to set, and whether that was acknowledged.
    keys: Vec<bool>,
    own: Counter,
    shared: Counter,
    unknown: u64,
}

#[derive(Clone, Debug, Default)]
struct Counter {
    attempts: u64,
    acknowledged: u64,
    /// The highest number in a reply.
    highest: i64,
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
        let writer = |place: usize| Writer {
            place,
            random: fastrand::Rng::with_seed(seed.wrapping_add(place as u64)),
            keys: Vec::new(),
            own: Counter::default(),
            shared: Counter::default(),
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
            shared.highest = shared.highest.max(writer.shared.highest);
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
    let value = match reader.call(&["GET", key]).unwrap() {
        Reply::Bulk(digits) => digits.parse::<i64>().unwrap(),
        Reply::Nil => 0,
        other => panic!("{key} cannot be read: {other:?}"),
    };
    assert!(value >= told.highest, "{key} went back: {value} after {} was acknowledged", told.highest);
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

    fn value(&self, n: usize) -> String {
        format!("value-{}-{n}", self.place)
    }

    fn work(mut self, addresses: &[String], board: &Board) -> Writer {
        let mut route = Route::new(addresses, self.place);
        let own_counter = format!("counter-{}", self.place);
        while !board.stop.load(SeqCst) {
            let outcome = match self.random.u8(0..4) {
                0 => self.own.count(&own_counter, &mut route, board),
                1 => self.shared.count(SHARED_COUNTER, &mut route, board),
                _ => self.set(&mut route, board),
            };
            self.unknown += u64::from(outcome == Outcome::Unknown);
        }
        self
    }

    fn set(&mut self, route: &mut Route<'_>, board: &Board) -> Outcome {
        let n = self.keys.len();
        let outcome = route.write(&["SET", &self.key(n), &self.value(n)], board);
        if let Outcome::Acknowledged(reply) = &outcome {
            assert_eq!(*reply, Reply::Status("OK".to_owned()));
        }
        self.keys.push(matches!(outcome, Outcome::Acknowledged(_)));
        outcome
    }
}

impl Counter {
    fn count(&mut self, key: &str, route: &mut Route<'_>, board: &Board) -> Outcome {
        let outcome = route.write(&["INCR", key], board);
        self.attempts += u64::from(outcome != Outcome::NotWritten);
        if let Outcome::Acknowledged(reply) = &outcome {
            let Reply::Integer(number) = *reply else { panic!("INCR {key} answered {reply:?}") };
            assert!(number > self.highest, "{key} went back: {number} after {}", self.highest);
            self.highest = number;
            self.acknowledged += 1;
        }
        outcome
    }
}
