//! The one place where local backends take randomness from the operating system: for store ids, and names that must never be
//! drawn twice.
//!
//! None of them is a secret. Everything after the seed is drawn from a generator that a test can replay.

use eraft_core::{Result, StorageError, StorageErrorKind};

/// A generator under `seed`, or under one that the operating system gives.
///
/// # Errors
/// `Unavailable` where it gives none.
pub fn generator(seed: Option<u64>) -> Result<fastrand::Rng> {
    let drawn = seed.map_or_else(getrandom::u64, Ok).map_err(|error| {
        let detail = format!("the operating system gave none: {error}; try again");
        StorageError::new(StorageErrorKind::Unavailable, "drawing a random number", detail)
    })?;
    Ok(fastrand::Rng::with_seed(drawn))
}
