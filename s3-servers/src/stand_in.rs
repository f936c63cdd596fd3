//! The stand-in in this process, on threads of its own, so that it serves tests of any runtime.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{net::TcpListener, runtime::Runtime};

use crate::{Access, ports::free_port};

/// How long a call of the file system may hold up the end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A server that runs in this process, until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    access: Access,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl StandIn {
    /// Serves the directory at a port of 127.0.0.1 that nobody else takes while it is away.
    ///
    /// # Errors
    /// The directory cannot be used, or no port is to be had.
    pub fn start(directory: &Path) -> io::Result<StandIn> {
        StandIn::start_at(directory, SocketAddr::from(([127, 0, 0, 1], free_port()?)))
    }

    /// Serves the directory there: a stand-in that was dropped is started again where it was.
    ///
    /// # Errors
    /// The directory cannot be used, or the address is taken.
    pub fn start_at(directory: &Path, address: SocketAddr) -> io::Result<StandIn> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(2).thread_name("s3-stand-in").enable_all().build()?;
        let keys = Access::local(0);
        let service = eraft_s3_stand_in::service(directory, &keys.access_key, &keys.secret_key)?;
        // Bound by hand: the calling thread may belong to a runtime, and cannot wait for another one.
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _on_its_threads = runtime.enter();
            TcpListener::from_std(listener)?
        };
        runtime.spawn(eraft_s3_stand_in::serve(listener, service));
        let started = StandIn { access: Access::local(address.port()), address, runtime: Some(runtime) };
        started.access.make_bucket().map_err(io::Error::other)?;
        Ok(started)
    }

    /// How to use its bucket.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StandIn {
    /// Ends every connection, whatever it is in the middle of, and gives the port back. The caller may be within a runtime, where
    /// waiting is not allowed: so another thread waits.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            std::thread::scope(|scope| scope.spawn(|| runtime.shutdown_timeout(END_WITHIN)).join()).expect("it ends");
        }
    }
}
