//! Clients that write as fast as they are answered, many commands in a row, and a record of when the answers came.
//!
//! Every write sets a key to random bytes, so it may be sent twice; whoever is sent away, or cut off, goes on at another
//! node. Only what was answered `OK` counts.

mod record;

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use record::{Batch, Record};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client waits before it looks elsewhere.
const PAUSE: Duration = Duration::from_millis(20);
/// What values are cut from: long enough that no two of them look alike to a compressor.
const NOISE_BYTES: usize = 1 << 20;

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub connections: usize,
    /// Commands that each connection has under way.
    pub pipeline: u64,
    /// What the names of its keys begin with.
    pub prefix: &'static str,
    pub keys: u64,
    /// In order, each as often as the others; otherwise at random.
    pub in_order: bool,
    pub value_bytes: usize,
    /// How many writes; it ends when they are done, or stopped.
    pub writes: u64,
}

/// Clients at work.
pub struct Flow {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Board {
    flood: Flood,
    addresses: Vec<String>,
    begun: Instant,
    stop: AtomicBool,
    /// Writes handed out to clients.
    taken: AtomicU64,
    batches: Mutex<Vec<Batch>>,
}

impl Flood {
    /// Begins, at the node at `place` of these.
    pub fn start(self, addresses: &[String], place: usize) -> Flow {
        let board = Arc::new(Board {
            flood: self,
            addresses: addresses.to_vec(),
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            batches: Mutex::default(),
        });
        let client = |number: usize| {
            let board = board.clone();
            thread::spawn(move || board.work(number, place))
        };
        Flow { threads: (0..self.connections).map(client).collect(), board }
    }

    /// All of it, from the first to the last.
    pub fn run(self, addresses: &[String], place: usize) -> Record {
        let flow = self.start(addresses, place);
        flow.threads.into_iter().for_each(|thread| thread.join().unwrap());
        flow.board.record(Duration::ZERO)
    }
}

impl Flow {
    /// How long it has been at work.
    pub fn elapsed(&self) -> Duration {
        self.board.begun.elapsed()
    }

    /// Writes that were sent, or are about to be.
    pub fn written(&self) -> u64 {
        self.board.taken.load(SeqCst)
    }

    /// What was answered from a moment on until now.
    pub fn since(&self, from: Duration) -> Record {
        self.board.record(from)
    }

    /// Whether all was written.
    pub fn is_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends it.
    pub fn stop(self) {
        self.board.stop.store(true, SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

impl Board {
    fn record(&self, from: Duration) -> Record {
        let upto = self.begun.elapsed();
        let batches = self.batches.lock().unwrap();
        let within = batches.iter().filter(|batch| batch.at >= from && batch.at <= upto).copied().collect();
        Record::new(from, upto, within)
    }

    fn work(&self, number: usize, place: usize) {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let noise: Vec<u8> = (0..NOISE_BYTES).map(|_| random.alphanumeric() as u8).collect();
        let mut at = self.addresses[place].clone();
        let mut connection = None;
        while !self.stop.load(SeqCst) {
            let first = self.taken.fetch_add(self.flood.pipeline, SeqCst);
            let count = self.flood.pipeline.min(self.flood.writes.saturating_sub(first));
            if count == 0 {
                return;
            }
            let commands = self.commands(first..first + count, &mut random, &noise);
            let sent = Instant::now();
            while let Err(elsewhere) = send(&mut connection, &at, &commands, count) {
                if self.stop.load(SeqCst) {
                    return;
                }
                thread::sleep(PAUSE);
                connection = None;
                at = elsewhere.unwrap_or_else(|| self.addresses[random.usize(0..self.addresses.len())].clone());
            }
            let batch = Batch { at: self.begun.elapsed(), took: sent.elapsed(), writes: count };
            self.batches.lock().unwrap().push(batch);
        }
    }

    fn commands(&self, numbers: std::ops::Range<u64>, random: &mut fastrand::Rng, noise: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in numbers {
            let key = if self.flood.in_order { number % self.flood.keys } else { random.u64(0..self.flood.keys) };
            let key = format!("{}:{key:012}", self.flood.prefix);
            let from = random.usize(0..=noise.len() - self.flood.value_bytes);
            let value = &noise[from..from + self.flood.value_bytes];
            write!(bytes, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len()).unwrap();
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

/// Sends commands and reads as many replies; an error is where to go on, if that was told.
fn send(
    connection: &mut Option<BufReader<TcpStream>>,
    at: &str,
    commands: &[u8],
    count: u64,
) -> Result<(), Option<String>> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(at).map_err(|_| None)?),
    };
    connection.get_mut().write_all(commands).map_err(|_| None)?;
    let mut line = String::new();
    let mut refused = None;
    for _ in 0..count {
        line.clear();
        if connection.read_line(&mut line).map_err(|_| None)? == 0 {
            return Err(None);
        }
        if line != "+OK\r\n" {
            refused = Some(line.trim_end().to_owned());
        }
    }
    match refused {
        None => Ok(()),
        Some(refused) => {
            Err(refused.strip_prefix("-MOVED ").and_then(|to| to.rsplit_once(' ')).map(|(_, to)| to.into()))
        }
    }
}

fn connect(at: &str) -> io::Result<BufReader<TcpStream>> {
    let address: SocketAddr = at.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, CALL_TIMEOUT)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    stream.set_write_timeout(Some(CALL_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}
