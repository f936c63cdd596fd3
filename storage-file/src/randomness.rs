//! The one place where storage takes randomness from the operating system.
//!
//! Incarnations must differ between any two segments that ever stand in the same directory, and store ids between any
//! two stores; neither is a secret. Everything after the seed is drawn from a generator that a test can replay.

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
