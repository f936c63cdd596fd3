//! Goes on with the store in a directory until its folder in the bucket is another's: to be stopped and continued by a test.
//!
//! ```text
//! rival DIR PREFIX ENDPOINT BUCKET REGION ACCESS_KEY SECRET_KEY
//! ```
//!
//! It prints the index of each snapshot, and at the end why it may not go on.
#![allow(unreachable_pub, reason = "in a program, `pub` says what a module offers to the others")]

mod store;

use std::{path::Path, process::ExitCode};

use eraft_core::StorageErrorKind;
use eraft_s3_servers::Access;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Ok([dir, prefix, endpoint, bucket, region, access_key, secret_key]) = <[String; 7]>::try_from(words) else {
        eprintln!("usage: rival DIR PREFIX ENDPOINT BUCKET REGION ACCESS_KEY SECRET_KEY");
        return ExitCode::FAILURE;
    };
    let access = Access { endpoint, bucket, region, access_key, secret_key };
    let ended = async {
        let store = store::open(Path::new(&dir), &access, &prefix).await?;
        loop {
            match store::go_on(&store).await {
                Ok(index) => println!("{index}"),
                // What it had uploaded when it was stopped has been collected since: it is tried again, as by a node.
                Err(error) if error.kind() == StorageErrorKind::Unavailable => eprintln!("{error}"),
                Err(error) => return Err(error),
            }
        }
    };
    let outcome: eraft_core::Result<()> = ended.await;
    match outcome {
        Err(error) if error.kind() == StorageErrorKind::Poisoned => {
            println!("{error}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("{other:?}");
            ExitCode::FAILURE
        }
    }
}
