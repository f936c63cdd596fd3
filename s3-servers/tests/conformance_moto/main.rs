//! S3 over the reference storage passes the suite, on a server that others wrote: moto's.
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

use eraft_conformance::machine;
use eraft_s3_servers::moto::Moto;

eraft_conformance::conformance!(
    |seed| {
        let local = memory::MemoryEnv::new(seed, Arc::new(|storage| storage));
        over::S3Env::new(seed, local, moto().as_ref().unwrap().access())
    },
    |case| match moto() {
        Ok(_) => 1,
        Err(reason) => {
            machine::skip(case, "moto", reason);
            0
        }
    }
);

/// One for all cases.
fn moto() -> &'static Result<Moto, String> {
    static SERVER: OnceLock<Result<Moto, String>> = OnceLock::new();
    SERVER.get_or_init(|| {
        println!("S3: moto's server");
        Moto::start()
    })
}
