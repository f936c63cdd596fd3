//! The stand-in as a program, which is what its container image holds.
//!
//! `eraft-s3-stand-in <directory> <address>`: the keys come from `ACCESS_KEY` and `SECRET_KEY`. It serves until it is told to end.
#![expect(clippy::disallowed_methods, reason = "it makes the directory that it serves")]

use std::{net::SocketAddr, path::PathBuf};

use tokio::{net::TcpListener, signal::unix};

const USAGE: &str = "eraft-s3-stand-in <directory> <address>, with ACCESS_KEY and SECRET_KEY in the environment";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (directory, address) = (PathBuf::from(words.next().ok_or(USAGE)?), words.next().ok_or(USAGE)?);
    let key = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}; {USAGE}"));
    let (access_key, secret_key) = (key("ACCESS_KEY")?, key("SECRET_KEY")?);
    std::fs::create_dir_all(&directory)?;
    let service = eraft_s3_stand_in::service(&directory, &access_key, &secret_key)?;
    let listener = TcpListener::bind(address.parse::<SocketAddr>()?).await?;
    println!("serving {} at http://{}", directory.display(), listener.local_addr()?);
    // In a container it is process 1, which a signal that it did not ask for does not end.
    let mut end = unix::signal(unix::SignalKind::terminate())?;
    tokio::select! {
        () = eraft_s3_stand_in::serve(listener, service) => {}
        _ = end.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
