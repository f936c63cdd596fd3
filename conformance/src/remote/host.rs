//! The process that holds the store: it does what it is asked over its standard input, a socket, until that ends.
//!
//! It adds nothing and forgives nothing: saves reach the backend in the order in which they come, on the thread that reads
//! them, and a receipt is told when it resolves and not before. A panic of the backend ends the process.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use eraft_core::{Receipt, Result, SnapshotReader, SnapshotWriter, Storage, StorageError};
use futures_util::{FutureExt as _, StreamExt as _, stream::BoxStream, task::AtomicWaker};
use serde::Serialize;

use super::{
    Opener,
    wire::{self, Ask, Request, Sizes, Told},
};
use crate::Engine;

/// Set in the environment of a process that was started to hold a store.
pub(super) const ASKED: &str = "ERAFT_CONFORMANCE_HOST";

/// Whether this process was started to hold a store: then it calls [`host`], and does nothing else.
pub fn is_host() -> bool {
    std::env::var_os(ASKED).is_some()
}

/// Holds stores for the process that started this one, until that one lets go.
///
/// # Panics
/// Where the backend does, or what comes is no question.
pub fn host(opener: Arc<dyn Opener>) {
    let socket =
        Arc::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned().expect("standard input is a socket")));
    // Without I/O of its own: that would write to wake itself, and a fault that hits writes would hit it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("a runtime for the backend");
    let _entered = runtime.enter();
    let teller = Teller(Arc::new(Mutex::new(socket.clone())));
    let receipts = Receipts { teller: teller.clone(), unresolved: Arc::default(), changed: Arc::default() };
    tokio::spawn(receipts.clone().follow());
    let host = Host { opener, teller, receipts, objects: Objects::default() };
    while let Some(ask) = wire::receive(&socket).expect("a question") {
        host.serve(ask);
    }
    runtime.shutdown_background();
}

struct Host {
    opener: Arc<dyn Opener>,
    teller: Teller,
    receipts: Receipts,
    objects: Objects,
}

/// Whoever has an answer.
#[derive(Clone)]
struct Teller(Arc<Mutex<Arc<UnixStream>>>);

/// Saves that are not durable yet.
#[derive(Clone)]
struct Receipts {
    teller: Teller,
    unresolved: Arc<Mutex<BTreeMap<u64, Receipt>>>,
    /// Wakes whoever follows them when there is another one.
    changed: Arc<AtomicWaker>,
}

/// Everything that is open.
#[derive(Clone, Default)]
struct Objects {
    engines: Table<Arc<dyn Engine>>,
    groups: Table<Arc<dyn Storage>>,
    writers: Table<Box<dyn SnapshotWriter>>,
    readers: Table<BoxStream<'static, Result<bytes::Bytes>>>,
}

struct Table<T>(Arc<Mutex<HashMap<u64, T>>>);

impl Teller {
    fn tell<T: Serialize>(&self, id: u64, outcome: Result<T>) {
        let told = Told::new(id, outcome);
        let socket = lock(&self.0);
        // Nobody listens any more when the test has ended.
        let _nobody_listens = wire::send(&socket, &told);
    }
}

impl<T> Table<T> {
    fn put(&self, id: u64, object: T) {
        lock(&self.0).insert(id, object);
    }

    fn take(&self, id: u64) -> Option<T> {
        lock(&self.0).remove(&id)
    }
}

impl<T: Clone> Table<T> {
    fn get(&self, id: u64) -> Result<T> {
        lock(&self.0).get(&id).cloned().ok_or_else(|| no_such(id))
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Table<T> {
        Table(self.0.clone())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table(Arc::default())
    }
}

fn no_such(id: u64) -> StorageError {
    StorageError::invalid(format!("nothing goes by {id} here: it was closed, or another call on it is under way"))
}

impl Host {
    fn serve(&self, Ask { id, request }: Ask) {
        let objects = self.objects.clone();
        match request {
            // What has an order, or an answer at once.
            Request::Save { group, update, publish } => match objects.groups.get(group) {
                Ok(storage) => {
                    let receipt = match publish {
                        None => storage.save_raft_state(update),
                        Some(staged) => storage.save_state_and_snapshot(update, staged),
                    };
                    self.receipts.take(id, receipt);
                }
                Err(error) => self.teller.tell::<()>(id, Err(error)),
            },
            Request::Sizes { group } => self.teller.tell(id, objects.groups.get(group).map(|storage| sizes(&*storage))),
            Request::Drop { object } => objects.drop(object),
            // What takes its time.
            Request::Create { location, cluster, node } => {
                let opener = self.opener.clone();
                self.run(id, async move { opener.create(&location, cluster, node).await });
            }
            Request::Open { location, expected } => {
                let opener = self.opener.clone();
                self.run(id, async move {
                    let engine = opener.open(&location, expected).await?;
                    objects.engines.put(id, Arc::from(engine));
                    Ok(())
                });
            }
            Request::Group { engine, id: group } => self.run(id, async move {
                let storage = objects.engines.get(engine)?.group(group).await?;
                objects.groups.put(id, storage);
                Ok(())
            }),
            Request::Groups { engine } => self.run(id, async move { objects.engines.get(engine)?.groups().await }),
            Request::CloseEngine { engine } => {
                self.run(id, async move { objects.engines.get(engine)?.close().await });
            }
            other => self.serve_group(id, other, objects),
        }
    }

    fn serve_group(&self, id: u64, request: Request, objects: Objects) {
        match request {
            Request::Stage { group, meta } => self.run(id, async move {
                let writer = objects.groups.get(group)?.stage_snapshot(meta).await?;
                objects.writers.put(id, writer);
                Ok(())
            }),
            Request::Discard { group, staged } => {
                self.run(id, async move { objects.groups.get(group)?.discard_snapshot(staged).await });
            }
            Request::ReadState { group } => {
                self.run(id, async move { objects.groups.get(group)?.read_raft_state().await });
            }
            Request::ReadEntries { group, start, end, max_bytes } => {
                self.run(id, async move { objects.groups.get(group)?.read_entries(start..end, max_bytes).await });
            }
            Request::ReadSnapshot { group } => self.run(id, async move {
                let Some(reader) = objects.groups.get(group)?.read_snapshot().await? else { return Ok(None) };
                let SnapshotReader { meta, size_bytes, chunks } = reader;
                objects.readers.put(id, chunks);
                Ok(Some((meta, size_bytes)))
            }),
            Request::CloseGroup { group } => self.run(id, async move { objects.groups.get(group)?.close().await }),
            Request::Write { writer: name, chunk } => self.run(id, async move {
                let mut writer = objects.writers.take(name).ok_or_else(|| no_such(name))?;
                let outcome = writer.write(chunk).await;
                objects.writers.put(name, writer);
                outcome
            }),
            Request::Finish { writer } => {
                self.run(
                    id,
                    async move { objects.writers.take(writer).ok_or_else(|| no_such(writer))?.finish().await },
                );
            }
            Request::Abort { writer } => {
                self.run(id, async move { objects.writers.take(writer).ok_or_else(|| no_such(writer))?.abort().await });
            }
            Request::NextChunk { reader: name } => self.run(id, async move {
                let mut reader = objects.readers.take(name).ok_or_else(|| no_such(name))?;
                let chunk = reader.next().await.transpose();
                objects.readers.put(name, reader);
                chunk
            }),
            other => panic!("{other:?} is no question about a group"),
        }
    }

    /// Answers when `work` is done and everything that it held is let go: the next question may be about a lock.
    fn run<T: Serialize + Send>(&self, id: u64, work: impl Future<Output = Result<T>> + Send + 'static) {
        let teller = self.teller.clone();
        tokio::spawn(async move {
            match AssertUnwindSafe(Box::pin(work)).catch_unwind().await {
                Ok(outcome) => teller.tell(id, outcome),
                // It has been printed. In process it would end the test; here it ends what the test talks to.
                Err(_panic) => std::process::abort(),
            }
        });
    }
}

impl Objects {
    fn drop(&self, id: u64) {
        drop((self.writers.take(id), self.readers.take(id), self.groups.take(id), self.engines.take(id)));
    }
}

fn sizes(storage: &dyn Storage) -> Sizes {
    Sizes { raft_state: storage.raft_state_size(), snapshot: storage.snapshot_size(), room: storage.room_bytes() }
}

impl Receipts {
    /// Takes one more; what has become of it by now is told before anything that is asked later.
    fn take(&self, id: u64, receipt: Receipt) {
        let mut unresolved = lock(&self.unresolved);
        unresolved.insert(id, receipt);
        self.tell_resolved(&mut unresolved, &mut Context::from_waker(Waker::noop()));
        self.changed.wake();
    }

    /// Tells every other as it resolves.
    async fn follow(self) {
        std::future::poll_fn(|context| {
            self.changed.register(context.waker());
            self.tell_resolved(&mut lock(&self.unresolved), context);
            Poll::<()>::Pending
        })
        .await;
    }

    /// Tells those that have resolved since the last look, in the order of the saves. They are asked the newest first: more
    /// may resolve meanwhile, and all that are older than one that has resolved in its turn are then found resolved, too. So
    /// whoever listens sees a later one first only where it has resolved first.
    fn tell_resolved(&self, unresolved: &mut BTreeMap<u64, Receipt>, context: &mut Context<'_>) {
        let ask = |(id, receipt): (&u64, &mut Receipt)| match receipt.poll_unpin(context) {
            Poll::Ready(outcome) => Some((*id, outcome)),
            Poll::Pending => None,
        };
        let resolved: Vec<(u64, Result<()>)> = unresolved.iter_mut().rev().filter_map(ask).collect();
        for (id, outcome) in resolved.into_iter().rev() {
            unresolved.remove(&id);
            self.teller.tell(id, outcome);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_that_resolve_while_they_are_asked_are_told_in_their_order() {
        for round in 0..50 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let teller = Teller(Arc::new(Mutex::new(Arc::new(theirs))));
            let receipts = Receipts { teller, unresolved: Arc::default(), changed: Arc::default() };
            let (completions, pending): (Vec<_>, Vec<_>) = (0..2000).map(|_| Receipt::pending()).unzip();
            let mut unresolved: BTreeMap<u64, Receipt> = (0..2000).zip(pending).collect();
            let resolve = std::thread::spawn(move || {
                for completion in completions {
                    completion.complete(Ok(()));
                }
            });
            let hear = std::thread::spawn(move || {
                std::iter::from_fn(|| wire::receive::<Told>(&ours).unwrap()).map(|told| told.id).collect::<Vec<u64>>()
            });
            while !unresolved.is_empty() {
                receipts.tell_resolved(&mut unresolved, &mut Context::from_waker(Waker::noop()));
            }
            resolve.join().unwrap();
            drop(receipts);
            assert_eq!(hear.join().unwrap(), (0..2000).collect::<Vec<u64>>(), "told, in round {round}");
        }
    }
}
