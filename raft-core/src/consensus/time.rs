//! Time, as the core knows it: a value that comes in.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point in time: what has passed since an origin of the driver's choosing, on a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub Duration);

impl Now {
    /// Later than everything: the deadline of a core that waits for nothing.
    pub const NEVER: Now = Now(Duration::MAX);
}

impl Add<Duration> for Now {
    type Output = Now;

    fn add(self, rest: Duration) -> Now {
        Now(self.0.saturating_add(rest))
    }
}

impl Sub for Now {
    type Output = Duration;

    /// What has passed since `earlier`; nothing if that lies ahead.
    fn sub(self, earlier: Now) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
