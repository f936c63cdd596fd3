//! What clients ask for, from the call to the answer.
//!
//! A request takes its place at the call, before any future is polled, so the order of calls is the order in which the
//! core is asked. Every admitted request holds a ticket until it is answered, which bounds what is under way in number
//! and bytes. At the bound a request is refused, or waits: those that wait are admitted in the order of their calls, and
//! whoever drops its future while it waits takes the request back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use eraft_core::{Entry, LogIndex, Term};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{Options, ProposeError, ReadError, WhenBusy};

/// A command on its way to the core.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) payload: Bytes,
    pub(crate) answer: Answer<Bytes, ProposeError>,
}

impl Proposal {
    /// What its entry will count for.
    pub(crate) fn size_bytes(&self) -> u64 {
        Entry::command(Term::ZERO, LogIndex::ZERO, self.payload.clone()).size_bytes()
    }
}

/// A read on its way to the core.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) answer: Answer<(), ReadError>,
}

/// Where the answer to one admitted request goes. Dropping it tells the client that the node has ended.
#[derive(Debug)]
pub(crate) struct Answer<T, E> {
    sender: Reply<T, E>,
    _ticket: Ticket,
}

impl<T, E> Answer<T, E> {
    /// Answers, and gives the ticket back. A client that has gone away is no error.
    pub(crate) fn give(self, outcome: Result<T, E>) {
        let _client_has_gone = self.sender.send(Ok(outcome));
    }
}

/// The client's end of a request.
#[derive(Debug)]
pub(crate) struct Awaited<T, E> {
    receiver: oneshot::Receiver<Result<Result<T, E>, Refused>>,
    _place: Option<Place>,
}

impl<T, E> Awaited<T, E> {
    /// The answer, or why the request was never admitted; nothing, when the node ended with the request under way.
    pub(crate) async fn outcome(self) -> Option<Result<Result<T, E>, Refused>> {
        self.receiver.await.ok()
    }
}

/// Why a request was not admitted: nothing has come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Busy,
    Stopped,
}

type Reply<T, E> = oneshot::Sender<Result<Result<T, E>, Refused>>;

/// The door that requests come in by; clones are the same door.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    door: Arc<Door>,
}

/// The loop's end of it.
#[derive(Debug)]
pub(crate) struct RequestQueues {
    pub(crate) proposals: mpsc::Receiver<Proposal>,
    pub(crate) reads: mpsc::Receiver<Read>,
}

impl Requests {
    pub(crate) fn new(options: &Options) -> (Requests, RequestQueues) {
        // Nothing is queued without a ticket, so neither queue ever meets its own bound.
        let (proposals, proposal_queue) = mpsc::channel(options.max_pending_requests);
        let (reads, read_queue) = mpsc::channel(options.max_pending_requests);
        let door = Door {
            when_busy: options.when_busy,
            max_requests: options.max_pending_requests,
            max_bytes: options.max_pending_bytes,
            proposals,
            reads,
            book: Mutex::new(Book { open: true, ..Book::default() }),
        };
        (Requests { door: Arc::new(door) }, RequestQueues { proposals: proposal_queue, reads: read_queue })
    }

    /// Hands a command in.
    pub(crate) fn propose(&self, payload: Bytes) -> Awaited<Bytes, ProposeError> {
        let (sender, receiver) = oneshot::channel();
        let _place = self.door.submit(Asked::Propose(payload, sender));
        Awaited { receiver, _place }
    }

    /// Hands a read in.
    pub(crate) fn read(&self) -> Awaited<(), ReadError> {
        let (sender, receiver) = oneshot::channel();
        let _place = self.door.submit(Asked::Read(sender));
        Awaited { receiver, _place }
    }

    /// Admitted requests that await their answer.
    pub(crate) fn pending(&self) -> u64 {
        self.door.book().taken.requests as u64
    }

    /// Admits no more; whoever waits at the door is told.
    pub(crate) fn close(&self) {
        let waiting = self.door.book().close();
        waiting.into_values().for_each(|asked| asked.refuse(Refused::Stopped));
    }
}

/// A request that is not admitted yet.
#[derive(Debug)]
enum Asked {
    Propose(Bytes, Reply<Bytes, ProposeError>),
    Read(Reply<(), ReadError>),
}

impl Asked {
    fn size_bytes(&self) -> u64 {
        match self {
            Asked::Propose(payload, _) => payload.len() as u64,
            Asked::Read(_) => 0,
        }
    }

    fn refuse(self, why: Refused) {
        // A client that has gone away is no error.
        let _client_has_gone = match self {
            Asked::Propose(_, reply) => reply.send(Err(why)).is_err(),
            Asked::Read(reply) => reply.send(Err(why)).is_err(),
        };
    }
}

/// The bounds, the queues behind them, and who is in.
///
/// A lock is held from looking at the bounds to standing in the queue: so nobody passes those who wait. Nothing that
/// holds a ticket is dropped under it, since that takes the lock again.
#[derive(Debug)]
struct Door {
    when_busy: WhenBusy,
    max_requests: usize,
    max_bytes: u64,
    proposals: mpsc::Sender<Proposal>,
    reads: mpsc::Sender<Read>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    open: bool,
    taken: Taken,
    /// Those who wait, by the number of their place; empty unless `WhenBusy::Wait`.
    waiting: BTreeMap<u64, Asked>,
    next_place: u64,
}

/// What those take who are admitted and not yet answered.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    requests: usize,
    bytes: u64,
}

/// Whom no loop is there to take, because it has ended without closing the door. To be dropped without the lock.
#[derive(Debug, Default)]
struct Turned {
    proposals: Vec<Proposal>,
    reads: Vec<Read>,
    waiting: BTreeMap<u64, Asked>,
}

impl Book {
    /// Closes the door; who still waited at it.
    fn close(&mut self) -> BTreeMap<u64, Asked> {
        self.open = false;
        std::mem::take(&mut self.waiting)
    }
}

impl Door {
    /// Admits a request, refuses it, or keeps it waiting: its place then.
    fn submit(self: &Arc<Door>, asked: Asked) -> Option<Place> {
        let mut refused = None;
        let waits = self.change(|book| {
            if !book.open {
                refused = Some((asked, Refused::Stopped));
                None
            } else if self.when_busy == WhenBusy::Refuse && !self.fits(book.taken, &asked) {
                refused = Some((asked, Refused::Busy));
                None
            } else {
                let number = book.next_place;
                book.next_place += 1;
                book.waiting.insert(number, asked);
                Some(number)
            }
        });
        if let Some((asked, why)) = refused {
            asked.refuse(why);
        }
        waits.map(|number| Place { number, door: Arc::clone(self) })
    }

    /// Changes the book, and lets in whoever may come in by that.
    fn change<T>(self: &Arc<Door>, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book();
        let outcome = change(&mut book);
        let turned = self.admit_waiting(&mut book);
        drop(book);
        drop(turned);
        outcome
    }

    fn fits(&self, taken: Taken, asked: &Asked) -> bool {
        taken.requests < self.max_requests && taken.bytes.saturating_add(asked.size_bytes()) <= self.max_bytes
    }

    /// Lets in who has waited longest, as far as the bounds allow.
    fn admit_waiting(self: &Arc<Door>, book: &mut Book) -> Turned {
        let mut turned = Turned::default();
        while let Some(first) = book.waiting.first_entry().filter(|first| self.fits(book.taken, first.get())) {
            let asked = first.remove();
            let size_bytes = asked.size_bytes();
            book.taken.requests += 1;
            book.taken.bytes += size_bytes;
            let _ticket = Ticket { size_bytes, door: Arc::clone(self) };
            match asked {
                Asked::Propose(payload, sender) => {
                    let proposal = Proposal { payload, answer: Answer { sender, _ticket } };
                    turned.proposals.extend(self.proposals.try_send(proposal).err().map(TrySendError::into_inner));
                }
                Asked::Read(sender) => {
                    let read = Read { answer: Answer { sender, _ticket } };
                    turned.reads.extend(self.reads.try_send(read).err().map(TrySendError::into_inner));
                }
            }
        }
        if !turned.proposals.is_empty() || !turned.reads.is_empty() {
            turned.waiting = book.close();
        }
        turned
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of the bounds that one admitted request takes; dropping it gives the share back.
#[derive(Debug)]
struct Ticket {
    size_bytes: u64,
    door: Arc<Door>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.door.change(|book| {
            book.taken.requests -= 1;
            book.taken.bytes -= self.size_bytes;
        });
    }
}

/// Where a request waits at the door; dropping it takes the request back, if it still waits.
#[derive(Debug)]
struct Place {
    number: u64,
    door: Arc<Door>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken_back = None;
        self.door.change(|book| taken_back = book.waiting.remove(&self.number));
    }
}
