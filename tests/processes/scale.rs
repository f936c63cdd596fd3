//! Whether a test that measures is to do so at full size.

/// With `ERAFT_LONG=1`, in a release build. Otherwise, and where that was asked for, says that `figures` are skipped.
pub fn is_large(figures: &str) -> bool {
    let asked_for = std::env::var_os("ERAFT_LONG").is_some();
    if asked_for && cfg!(debug_assertions) {
        println!("SKIPPED {figures}: a debug build would be measured; run it with --release");
    }
    asked_for && !cfg!(debug_assertions)
}
