//! Where time and chance enter a node, and nowhere else.
#![expect(clippy::disallowed_methods, reason = "this is where the clock is read and the seed drawn")]

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use eraft_core::Now;
use tokio::time::Instant;

/// Tokio's clock (so that a test may pause it), counted from an origin of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// What has passed since.
    pub(crate) fn now(&self) -> Now {
        Now(self.origin.elapsed())
    }

    /// The instant that `at` stands for; a day ahead where that is too far for a timer.
    pub(crate) fn instant(&self, at: Now) -> Instant {
        const A_DAY: Duration = Duration::from_secs(86_400);
        self.origin + at.0.min(self.now().0.saturating_add(A_DAY))
    }
}

/// A seed from the operating system, so that no two nodes draw the same election timeouts.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
