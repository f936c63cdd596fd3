//! Where blocking file access runs: on the runtime's pool for it, or in place where there is no runtime.

use eraft_core::{Result, StorageError, StorageErrorKind};

/// Runs `work` without stalling a runtime. A simulator has no runtime, and gets every step in its own thread.
///
/// # Errors
/// As `work`; `Unavailable` where it was lost.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    runtime.spawn_blocking(work).await.unwrap_or_else(|lost| {
        Err(StorageError::new(
            StorageErrorKind::Unavailable,
            "waiting for a blocking thread",
            format!("the work was lost ({lost}): the runtime shuts down, or this is a bug"),
        ))
    })
}
