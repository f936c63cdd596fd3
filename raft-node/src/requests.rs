//! What clients ask for, from the call to the answer: admission, and the ticket that every request holds until it is
//! answered, so that what is under way is bounded in number and bytes.

use std::sync::Arc;

use bytes::Bytes;
use eraft_core::{Entry, LogIndex, Term};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

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

/// Where the answer to one request goes. Dropping it tells the client that the node has ended.
#[derive(Debug)]
pub(crate) struct Answer<T, E> {
    sender: oneshot::Sender<Result<T, E>>,
    _ticket: Ticket,
}

impl<T, E> Answer<T, E> {
    fn new(ticket: Ticket) -> (Answer<T, E>, oneshot::Receiver<Result<T, E>>) {
        let (sender, receiver) = oneshot::channel();
        (Answer { sender, _ticket: ticket }, receiver)
    }

    /// Answers, and gives the ticket back. A client that has gone away is no error.
    pub(crate) fn give(self, outcome: Result<T, E>) {
        let _client_has_gone = self.sender.send(outcome);
    }
}

/// The share of the bounds that one request takes; dropping it gives the share back.
#[derive(Debug)]
struct Ticket {
    _request: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

/// Why a request was not admitted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Busy,
    Stopped,
}

/// The door that requests come in by.
#[derive(Debug)]
pub(crate) struct Requests {
    when_busy: WhenBusy,
    max_requests: usize,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    proposals: mpsc::Sender<Proposal>,
    reads: mpsc::Sender<Read>,
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
        let max_bytes = usize::try_from(options.max_pending_bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let requests = Requests {
            when_busy: options.when_busy,
            max_requests: options.max_pending_requests,
            requests: Arc::new(Semaphore::new(options.max_pending_requests)),
            bytes: Arc::new(Semaphore::new(max_bytes)),
            proposals,
            reads,
        };
        (requests, RequestQueues { proposals: proposal_queue, reads: read_queue })
    }

    /// Hands a command in; its answer comes through the receiver.
    pub(crate) async fn propose(
        &self,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Result<Bytes, ProposeError>>, Refused> {
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let request = take(self.when_busy, &self.requests, 1).await?;
        let ticket = Ticket { _request: request, _bytes: Some(take(self.when_busy, &self.bytes, bytes).await?) };
        let (answer, receiver) = Answer::new(ticket);
        self.proposals.try_send(Proposal { payload, answer }).map_err(|_| Refused::Stopped)?;
        Ok(receiver)
    }

    /// Hands a read in; its answer comes through the receiver.
    pub(crate) async fn read(&self) -> Result<oneshot::Receiver<Result<(), ReadError>>, Refused> {
        let ticket = Ticket { _request: take(self.when_busy, &self.requests, 1).await?, _bytes: None };
        let (answer, receiver) = Answer::new(ticket);
        self.reads.try_send(Read { answer }).map_err(|_| Refused::Stopped)?;
        Ok(receiver)
    }

    /// Requests that await their answer.
    pub(crate) fn pending(&self) -> u64 {
        self.max_requests.saturating_sub(self.requests.available_permits()) as u64
    }

    /// Admits no more; whoever waits at the door is told.
    pub(crate) fn close(&self) {
        self.requests.close();
        self.bytes.close();
    }
}

async fn take(when_busy: WhenBusy, of: &Arc<Semaphore>, many: u32) -> Result<OwnedSemaphorePermit, Refused> {
    match when_busy {
        WhenBusy::Wait => of.clone().acquire_many_owned(many).await.map_err(|_: AcquireError| Refused::Stopped),
        WhenBusy::Refuse => of.clone().try_acquire_many_owned(many).map_err(|refused| match refused {
            TryAcquireError::NoPermits => Refused::Busy,
            TryAcquireError::Closed => Refused::Stopped,
        }),
    }
}
