//! The task that keeps one peer connected: dial, greet, stay until the stream ends, wait, dial again.
//!
//! It logs a change of the peer's state once, never each attempt.

use std::{sync::Arc, time::Duration};

use eraft_core::{Identity, StoreId};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use crate::{
    GrpcOptions,
    dial::{describe, dial, is_refusal},
    handshake::{self, Expect, Refusal},
    peer::Peer,
    proto::Answer,
    queue::{Queue, queue},
};

/// Everything that a connection task needs to know.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ours: Identity,
    pub(crate) peer: Arc<Peer>,
    pub(crate) options: Arc<GrpcOptions>,
    pub(crate) stop: CancellationToken,
    /// Where the jitter comes from.
    pub(crate) random: fastrand::Rng,
}

/// Why there is no stream.
#[derive(Clone, Debug, thiserror::Error)]
enum Down {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it refused us: {0}")]
    RefusedUs(String),
    #[error("we refused it: {0}")]
    Refused(Refusal),
    #[error("the stream was lost: {reason}")]
    Lost {
        reason: String,
        /// Whether it had stood for `backoff_max`.
        settled: bool,
    },
}

/// A stream that both sides have agreed on.
#[derive(Debug)]
struct Stream {
    queue: Queue,
    answers: Streaming<Answer>,
    store: StoreId,
}

impl Connection {
    /// Runs until `stop`.
    pub(crate) async fn run(mut self) {
        let mut backoff = self.options.backoff_min;
        let mut logged = None;
        while !self.stop.is_cancelled() {
            let down = match self.open_or_stop().await {
                Some(Ok(stream)) => {
                    info!(peer = %self.peer.id, address = %self.peer.address, store = %stream.store, "connected to peer");
                    logged = None;
                    self.stay(stream).await
                }
                Some(Err(down)) => down,
                None => break,
            };
            // A peer that takes our hello and closes at once must not be dialled in a tight loop, and one that has been
            // restarted must be found soon.
            if matches!(down, Down::Lost { settled: true, .. }) {
                backoff = self.options.backoff_min;
            }
            self.report(&down, &mut logged);
            let wait = self.jittered(backoff);
            backoff = (backoff * 2).min(self.options.backoff_max);
            if self.stop.run_until_cancelled(sleep(wait)).await.is_none() {
                break;
            }
        }
        self.peer.down("the transport was shut down".to_owned());
    }

    async fn open_or_stop(&self) -> Option<Result<Stream, Down>> {
        self.stop.run_until_cancelled(self.open()).await
    }

    /// Dials and greets.
    async fn open(&self) -> Result<Stream, Down> {
        let unreachable = |text: String| Down::Unreachable(text);
        let options = &self.options;
        let mut client = dial(&self.peer.address, options).await.map_err(unreachable)?;

        let hello = handshake::hello(&self.ours, options.group, self.peer.id);
        let (queue, frames) = queue(hello, options, Arc::clone(&self.peer.counters));
        let greeting = async {
            let mut answers = client.deliver(frames).await?.into_inner();
            let first = answers.message().await?;
            Ok::<_, Status>((answers, first))
        };
        let (answers, first) = timeout(options.handshake_timeout, greeting)
            .await
            .map_err(|_elapsed| unreachable(format!("no hello within {:?}", options.handshake_timeout)))?
            .map_err(|status| match is_refusal(&status) {
                true => Down::RefusedUs(status.message().to_owned()),
                false => unreachable(describe(&status)),
            })?;
        let hello = first.and_then(|answer| answer.hello).ok_or(Down::Refused(Refusal::NoHello))?;
        let expect = Expect::Dialled(self.peer.id);
        let (_node, store) = handshake::check(&hello, &self.ours, options.group, expect).map_err(Down::Refused)?;
        Ok(Stream { queue, answers, store })
    }

    /// Lets messages flow until the stream ends, or until `stop`, which lets what is queued leave first.
    async fn stay(&self, mut stream: Stream) -> Down {
        self.peer.up(stream.queue, stream.store);
        let (mut settled, mut end) = (false, None);
        while end.is_none() && !self.stop.is_cancelled() {
            let next = timeout(self.options.backoff_max, stream.answers.message());
            match self.stop.run_until_cancelled(next).await {
                Some(Ok(ended)) => end = Some(ended),
                Some(Err(_elapsed)) => settled = true,
                None => {}
            }
        }
        if end.is_none() {
            self.peer.down("the transport was shut down".to_owned());
            end = timeout(self.options.shutdown_timeout, stream.answers.message()).await.ok();
        }
        let reason = match end {
            None | Some(Ok(None)) => "it was closed".to_owned(),
            Some(Ok(Some(_))) => "an answer came that this version does not know".to_owned(),
            Some(Err(status)) => describe(&status),
        };
        Down::Lost { reason, settled }
    }

    /// Makes the peer unreachable for senders, counts, and logs what is new.
    fn report(&self, down: &Down, logged: &mut Option<std::mem::Discriminant<Down>>) {
        let (peer, address) = (self.peer.id, &self.peer.address);
        self.peer.down(down.to_string());
        match down {
            Down::Unreachable(_) => self.peer.counters.failed_connects.increment(),
            Down::RefusedUs(_) | Down::Refused(_) => self.peer.counters.refused.increment(),
            Down::Lost { .. } => {}
        }
        let kind = std::mem::discriminant(down);
        if *logged == Some(kind) {
            debug!(%peer, %address, reason = %down, "peer is still not connected");
        } else if matches!(down, Down::RefusedUs(_) | Down::Refused(_)) {
            warn!(%peer, %address, reason = %down, "peer is not connected");
        } else {
            info!(%peer, %address, reason = %down, "peer is not connected");
        }
        *logged = Some(kind);
    }

    /// A wait from the upper half of `backoff`, so that nodes that lost each other at once do not dial in step.
    fn jittered(&mut self, backoff: Duration) -> Duration {
        backoff.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}
