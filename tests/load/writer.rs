//! One client: what it does next, and what it remembers of it.

use std::{sync::atomic::Ordering::SeqCst, thread, time::Duration};

use super::{
    Board,
    route::{Answer, Route},
};
use crate::{
    history::{Act, History, Operation, Stopwatch},
    processes::Reply,
};

const MAX_VALUE_BYTES: usize = 8192;
/// Keys that all clients write, and those that all count on.
const REGISTERS: usize = 6;
const COUNTERS: usize = 3;
/// After so many operations of all clients the keys are fresh ones: some hundred operations are in each history.
const GENERATION: u64 = 3000;
/// The longest that a client thinks between two operations.
const MAX_THOUGHT: Duration = Duration::from_millis(4);

/// One client's memory.
#[derive(Debug)]
pub struct Writer {
    place: usize,
    random: fastrand::Rng,
    watch: Stopwatch,
    /// Every key it tried to set, and whether that was acknowledged.
    pub keys: Vec<bool>,
    /// The last number that it wrote.
    last: i64,
    pub history: History,
    pub acknowledged: u64,
    pub unknown: u64,
}

impl Writer {
    pub fn new(place: usize, seed: u64, watch: Stopwatch) -> Writer {
        let random = fastrand::Rng::with_seed(seed.wrapping_add(place as u64));
        let last = (i64::try_from(place).unwrap() + 1) * 1_000_000_000;
        let history = History::default();
        Writer { place, random, watch, keys: Vec::new(), last, history, acknowledged: 0, unknown: 0 }
    }

    pub fn key(&self, n: usize) -> String {
        format!("key-{}-{n}", self.place)
    }

    /// Unique, and of lengths that fill segments and cross the borders of blocks.
    pub fn value(&self, n: usize) -> String {
        let padding = (n * 37 + self.place * 101) % MAX_VALUE_BYTES;
        format!("value-{}-{n}-{}", self.place, "x".repeat(padding))
    }

    pub fn work(mut self, addresses: &[String], board: &Board) -> Writer {
        let mut route = Route::new(addresses, self.place);
        while !board.stop.load(SeqCst) {
            thread::sleep(self.random.u32(0..100) * (MAX_THOUGHT / 100));
            let generation = board.issued.fetch_add(1, SeqCst) / GENERATION;
            let round = format!("{}-{generation}", board.round);
            let register = format!("register-{round}-{}", self.random.usize(0..REGISTERS));
            let counter = format!("counter-{round}-{}", self.random.usize(0..COUNTERS));
            match self.random.u8(0..10) {
                0..=2 => self.set(&mut route, board),
                3..=4 => self.write(&register, &mut route, board),
                5 => self.count(&counter, &mut route, board),
                6..=7 => self.read(&register, addresses.len(), &mut route, board),
                _ => self.read(&counter, addresses.len(), &mut route, board),
            }
        }
        self
    }

    /// Sets a key that nobody else does.
    fn set(&mut self, route: &mut Route<'_>, board: &Board) {
        let n = self.keys.len();
        let answer = route.ask(&["SET", &self.key(n), &self.value(n)], board);
        self.keys.push(matches!(answer, Answer::Reply(_)));
        if let Answer::Reply(reply) = &answer {
            assert_eq!(*reply, Reply::Status("OK".to_owned()));
        }
        self.note(&answer, board);
    }

    /// Writes what nobody else writes to a key of all.
    fn write(&mut self, key: &str, route: &mut Route<'_>, board: &Board) {
        self.last += 1;
        let call = self.watch.now();
        let answer = route.ask(&["SET", key, &self.last.to_string()], board);
        if let Answer::Reply(reply) = &answer {
            assert_eq!(*reply, Reply::Status("OK".to_owned()));
        }
        self.remember(key, Act::Write(self.last), call, &answer, board);
    }

    /// Adds one to a key of all.
    fn count(&mut self, key: &str, route: &mut Route<'_>, board: &Board) {
        let call = self.watch.now();
        let answer = route.ask(&["INCR", key], board);
        let told = match &answer {
            Answer::Reply(Reply::Integer(number)) => Some(*number),
            Answer::Reply(other) => panic!("INCR {key} answered {other:?}"),
            _ => None,
        };
        self.remember(key, Act::Incr(told), call, &answer, board);
    }

    /// Reads a key of all: where this client is, or at any node.
    fn read(&mut self, key: &str, nodes: usize, route: &mut Route<'_>, board: &Board) {
        if self.random.bool() {
            route.turn_to(self.random.usize(0..nodes));
        }
        let call = self.watch.now();
        if let Answer::Reply(reply) = route.ask(&["GET", key], board) {
            let read = number_in(&reply).unwrap_or_else(|| panic!("{key} holds {reply:?}"));
            self.history.add(key, Operation { act: Act::Read(read), call, end: Some(self.watch.now()) });
            board.read.fetch_add(1, SeqCst);
        }
    }

    fn remember(&mut self, key: &str, act: Act, call: Duration, answer: &Answer, board: &Board) {
        let end = matches!(answer, Answer::Reply(_)).then(|| self.watch.now());
        if *answer != Answer::RoundOver {
            self.history.add(key, Operation { act, call, end });
        }
        self.note(answer, board);
    }

    fn note(&mut self, answer: &Answer, board: &Board) {
        let acknowledged = u64::from(matches!(answer, Answer::Reply(_)));
        board.written.fetch_add(acknowledged, SeqCst);
        self.acknowledged += acknowledged;
        self.unknown += u64::from(*answer == Answer::Lost);
    }
}

/// The number that a key holds; nothing is 0.
pub fn number_in(reply: &Reply) -> Option<i64> {
    match reply {
        Reply::Bulk(digits) => digits.parse().ok(),
        Reply::Nil => Some(0),
        _ => None,
    }
}
