//! The stand-in: a small S3 server of our own over a directory, for machines that can have no other.
//!
//! It is `s3s` and `s3s-fs` with what these lack for our purposes (`store`), over HTTP without TLS, with every signature checked.
//! It is a crate of its own, with few dependencies, because it is also built as one static program: the whole content of a container
//! image. It is no place to keep data: nothing is synced.

mod store;

use std::{io, path::Path};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::net::TcpListener;

/// The S3 service over a directory, for the one who has these keys.
///
/// # Errors
/// The directory cannot be used.
pub fn service(directory: &Path, access_key: &str, secret_key: &str) -> io::Result<S3Service> {
    let mut builder = S3ServiceBuilder::new(store::Store::open(directory)?);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    Ok(builder.build())
}

/// Serves whoever connects, for ever; a connection ends with the runtime.
pub async fn serve(listener: TcpListener, service: S3Service) {
    let http = Builder::new(TokioExecutor::new());
    loop {
        // Out of files, or a peer that is gone already: the next one may be luckier.
        let Ok((socket, _)) = listener.accept().await else { continue };
        // A whole answer is often two writes, and the second must not wait for the first one's acknowledgement.
        let _ = socket.set_nodelay(true);
        let connection = http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}
