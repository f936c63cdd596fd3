//! Receipts that resolve in order, however much later than the store's own: one task completes them.

use std::time::Duration;

use eraft_core::{Completion, Receipt, Result};
use tokio::sync::mpsc;

use super::plan::{Faults, Method, delay};

/// The queue of that task.
#[derive(Debug)]
pub(super) struct Receipts(mpsc::UnboundedSender<Queued>);

/// What a receipt says in the end.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What the store's own says.
    AsItWas,
    /// This.
    Told(Result<()>),
}

#[derive(Debug)]
struct Queued {
    /// The store's own receipt, where there is one to wait for.
    inner: Option<Receipt>,
    delay: Duration,
    outcome: Outcome,
    completion: Completion,
}

impl Receipts {
    #[expect(clippy::disallowed_methods, reason = "whoever saves bounds the saves under way, as with any store")]
    pub(super) fn start(faults: Faults) -> Receipts {
        let (queue, mut queued) = mpsc::unbounded_channel::<Queued>();
        // It ends with the store, whose queue this is.
        let _ends_by_itself = tokio::spawn(async move {
            while let Some(next) = queued.recv().await {
                faults.wait(Method::Save).await;
                delay(next.delay).await;
                let own = match next.inner {
                    Some(receipt) => receipt.await,
                    None => Ok(()),
                };
                next.completion.complete(match next.outcome {
                    Outcome::AsItWas => own,
                    Outcome::Told(outcome) => outcome,
                });
            }
        });
        Receipts(queue)
    }

    /// A receipt that resolves after all that were queued before, and after its delay.
    pub(super) fn queue(&self, inner: Option<Receipt>, delay: Duration, outcome: Outcome) -> Receipt {
        let (completion, receipt) = Receipt::pending();
        // A runtime that has ended drops the completion, and the receipt says so.
        let _nobody_completes_it = self.0.send(Queued { inner, delay, outcome, completion });
        receipt
    }
}
