//! A bucket to try things with: a small S3 server inside this process, over a directory, for those without an account.
//!
//! It speaks plain http on loopback to whoever has its keys, which are no secret. Nothing it keeps is synced, so it is no
//! place for data that matters. It ends with the process that serves it, and finds its objects again at the next start.

#![cfg(feature = "s3")]
#![expect(clippy::disallowed_methods, reason = "an example's own files: the directory that the bucket is")]

use std::{io, net::SocketAddr, path::Path};

use tokio::{net::TcpListener, task::JoinHandle};

/// The bucket's name.
pub const NAME: &str = "eraft-demo";
/// The environment that has its keys, as any client of S3 takes them.
pub const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "eraft-demo"), ("AWS_SECRET_ACCESS_KEY", "eraft-demo-secret")];

/// The server; dropping it ends it.
#[derive(Debug)]
pub struct Served(JoinHandle<()>);

/// Serves the bucket in `directory`, which is made if it is not there. To be called within a tokio runtime.
///
/// # Errors
/// The directory cannot be used, or the address is taken.
pub fn serve(directory: &Path, address: SocketAddr) -> io::Result<Served> {
    std::fs::create_dir_all(directory.join(NAME))?;
    let [(_, key), (_, secret)] = KEYS;
    let service = eraft_s3_stand_in::service(directory, key, secret)?;
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    Ok(Served(tokio::spawn(eraft_s3_stand_in::serve(listener, service))))
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}
