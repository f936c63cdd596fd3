//! Clients that write marked commands and read each other's, and remember what they asked on which connection.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::MARK;
use crate::processes::{Client, Reply, wait_until};

const CLIENTS: u64 = 6;
const KEYS: u64 = 4;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A write of the command with this mark.
    Write(u32),
    Read,
}

/// What was asked on each connection, named by the node's end and the client's, in order.
pub type Memory = BTreeMap<(SocketAddr, SocketAddr), Vec<Request>>;

/// Clients at work.
pub struct Load {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Board {
    stop: AtomicBool,
    marks: AtomicU32,
    done: AtomicU64,
    memory: Mutex<Memory>,
}

impl Load {
    /// Sets them to work on the nodes at these addresses.
    pub fn start(addresses: &[String]) -> Load {
        let board = Arc::new(Board::default());
        let threads = (0..CLIENTS).map(|client| {
            let (board, addresses) = (board.clone(), addresses.to_owned());
            thread::spawn(move || work(client, &addresses, &board))
        });
        Load { threads: threads.collect(), board }
    }

    /// Waits for so many more writes to be done.
    pub fn wait_for(&self, writes: u64) {
        let enough = self.board.done.load(SeqCst) + writes;
        wait_until("writes", || (self.board.done.load(SeqCst) >= enough).then_some(()));
    }

    /// Ends it.
    pub fn stop(self) -> Memory {
        self.board.stop.store(true, SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut self.board.memory.lock().unwrap())
    }
}

fn work(client: u64, addresses: &[String], board: &Board) {
    let mut random = fastrand::Rng::with_seed(client);
    let mut at = addresses[0].clone();
    while !board.stop.load(SeqCst) {
        at = converse(&mut random, &at, board).unwrap_or_else(|_gone| {
            thread::sleep(PAUSE);
            random.choice(addresses).unwrap().clone()
        });
    }
}

/// Asks on one connection until it ends, or until another node is named; where to go on.
fn converse(random: &mut fastrand::Rng, at: &str, board: &Board) -> io::Result<String> {
    let mut connection = Client::connect(at, CALL_TIMEOUT)?;
    let ends = (at.parse().unwrap(), connection.local_address()?);
    while !board.stop.load(SeqCst) {
        let key = format!("key-{}", random.u64(..KEYS));
        let reads = random.u8(..4) == 0;
        let mark = if reads { 0 } else { board.marks.fetch_add(1, SeqCst) };
        let request = if reads { Request::Read } else { Request::Write(mark) };
        board.memory.lock().unwrap().entry(ends).or_default().push(request);
        let reply = match request {
            Request::Read => connection.call(&["GET", &key])?,
            Request::Write(mark) => connection.call(&["SET", &key, &format!("{MARK}{mark:08}")])?,
        };
        match reply {
            Reply::Status(_) => _ = board.done.fetch_add(1, SeqCst),
            Reply::Error(refused) if refused.starts_with("MOVED") => {
                return Ok(refused.rsplit_once(' ').unwrap().1.to_owned());
            }
            Reply::Error(refused) => return Err(io::Error::other(refused)),
            _ => {}
        }
    }
    Ok(at.to_owned())
}
