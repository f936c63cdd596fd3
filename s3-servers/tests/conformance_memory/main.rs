//! S3 over the reference storage passes the suite, on the stand-in in this process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

#[path = "../../../conformance/tests/support/mod.rs"]
mod memory;
#[path = "../over/mod.rs"]
mod over;

use std::sync::{Arc, OnceLock};

use eraft_s3_servers::stand_in::StandIn;

eraft_conformance::conformance!(|seed| {
    let local = memory::MemoryEnv::new(seed, Arc::new(|storage| storage));
    over::S3Env::new(seed, local, stand_in().access())
});

/// One for all cases; what it kept stays in the temporary directory of the process until that is removed at its next start.
fn stand_in() -> &'static StandIn {
    static SERVER: OnceLock<StandIn> = OnceLock::new();
    SERVER.get_or_init(|| {
        println!("S3: the stand-in in this process");
        let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-memory");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        StandIn::start(&directory).unwrap()
    })
}
