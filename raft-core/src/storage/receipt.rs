//! The receipt: proof of durability.
//!
//! A save returns its receipt at once, so that the order of saves is fixed before anything is awaited; the receipt
//! resolves when the save is durable. A writer that is lost without a word resolves it to an error, never to success.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_channel::oneshot;

use super::{Result, StorageError, StorageErrorKind};

/// Resolves when a save is durable, or has failed.
///
/// ```
/// use eraft_core::Receipt;
///
/// let (completion, receipt) = Receipt::pending();
/// completion.complete(Ok(())); // what a writer thread does after its sync
/// assert!(futures_util::FutureExt::now_or_never(receipt).unwrap().is_ok());
/// ```
#[derive(Debug)]
#[must_use = "a save is durable only when its receipt has resolved"]
pub struct Receipt(oneshot::Receiver<Result<()>>);

/// The writer's end of a [`Receipt`].
#[derive(Debug)]
#[must_use = "dropping it tells the waiter that the writer is lost"]
pub struct Completion(oneshot::Sender<Result<()>>);

impl Receipt {
    /// A receipt, and the end that completes it.
    pub fn pending() -> (Completion, Receipt) {
        let (sender, receiver) = oneshot::channel();
        (Completion(sender), Receipt(receiver))
    }

    /// A receipt that has resolved already.
    pub fn resolved(outcome: Result<()>) -> Receipt {
        let (completion, receipt) = Receipt::pending();
        completion.complete(outcome);
        receipt
    }
}

impl Completion {
    /// Resolves the receipt. Nobody listening is no error: the save stands all the same.
    pub fn complete(self, outcome: Result<()>) {
        let _nobody_listens = self.0.send(outcome);
    }
}

impl Future for Receipt {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| {
            outcome.unwrap_or_else(|_lost| {
                Err(StorageError::new(
                    StorageErrorKind::Poisoned,
                    "waiting for a save",
                    "its writer ended without an answer, so the save may or may not be durable: reopen the store",
                ))
            })
        })
    }
}
