//! The one place where this backend takes randomness from the operating system.
//!
//! Names of objects must never be drawn twice, and the pauses of nodes that lost the same bucket must differ; neither is a
//! secret. Everything after the seed is drawn from a generator that a test can replay.

use eraft_core::{Result, StorageError, StorageErrorKind};

/// A generator under `seed`, or under one that the operating system gives.
pub(crate) fn generator(seed: Option<u64>) -> Result<fastrand::Rng> {
    let seed = match seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| {
            StorageError::new(
                StorageErrorKind::Unavailable,
                "drawing a random number",
                format!("the operating system gave none: {error}; try again"),
            )
        })?,
    };
    Ok(fastrand::Rng::with_seed(seed))
}
