//! The other end of a host: its process, what it says on its way down, and the questions that it owes an answer.
//!
//! A host that ends unasked is a failed test, whatever the case thought of the errors that followed: the reason is kept,
//! with what the process said, until somebody asks for it.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use eraft_core::{Completion, Receipt, Result, StorageError, StorageErrorKind, codec};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{
    host::ASKED,
    wire::{self, Ask, Request, Told},
};

/// What is kept of what a process says.
const MAX_SAID_LINES: usize = 200;

/// How a host is started.
#[derive(Clone, Debug)]
pub struct HostCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// A host, and the questions that it has not answered yet.
pub(super) struct Process {
    child: Mutex<Child>,
    socket: Mutex<UnixStream>,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
    /// It was killed on purpose.
    killed: AtomicBool,
    /// It ended by itself: how.
    died: OnceLock<String>,
    listeners: Mutex<Vec<JoinHandle<()>>>,
    said: Arc<Mutex<Vec<String>>>,
    /// What holds its lock: an engine that is neither closed nor dropped, or a handle of it.
    holding: Mutex<Weak<Hold>>,
}

/// One engine's lock, held by whatever shares this.
#[derive(Debug, Default)]
pub(super) struct Hold {
    closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    ended: bool,
    waiters: HashMap<u64, Waiter>,
}

/// Who waits for an answer.
enum Waiter {
    Call(oneshot::Sender<Result<Bytes>>),
    Save(Completion),
    Thread(SyncSender<Result<Bytes>>),
}

impl HostCommand {
    /// A program of the author's that calls [`host`](super::host) where [`is_host`](super::is_host) says so.
    pub fn new(program: impl Into<PathBuf>) -> HostCommand {
        HostCommand { program: program.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> HostCommand {
        self.arguments.push(argument.into());
        self
    }

    /// With one more variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> HostCommand {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// This very test, which libtest knows by `name`, in another process.
    ///
    /// # Panics
    /// Where the system does not say what program this is.
    pub fn this_test(name: &str) -> HostCommand {
        let program = std::env::current_exe().expect("the path of this program");
        ["--exact", name, "--nocapture", "--test-threads=1"]
            .into_iter()
            .fold(HostCommand::new(program), HostCommand::arg)
    }
}

impl Process {
    pub(super) fn start(host: &HostCommand) -> Arc<Process> {
        let (socket, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = Command::new(&host.program);
        command.args(&host.arguments).envs(host.environment.iter().cloned()).env(ASKED, "1");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {host:?}: {error}"));
        // The command holds the other end of the socket, which must end with the child.
        drop(command);
        let (stderr, said) = (child.stderr.take().expect("standard error is a pipe"), Arc::default());
        let process = Arc::new(Process {
            child: Mutex::new(child),
            socket: Mutex::new(socket.try_clone().expect("another handle of a socket")),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            killed: AtomicBool::new(false),
            died: OnceLock::new(),
            listeners: Mutex::default(),
            said,
            holding: Mutex::default(),
        });
        let (to_stderr, to_answers) = (process.said.clone(), process.clone());
        let stderr = std::thread::spawn(move || keep(stderr, &to_stderr));
        let answers = std::thread::spawn(move || to_answers.listen(&socket, stderr));
        lock(&process.listeners).push(answers);
        process
    }

    /// The number of the process.
    pub(super) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// From now on its end is no surprise, whatever befalls it.
    pub(super) fn doom(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Ends it in the middle of whatever it does. When this returns it holds nothing any more, everything that it had told
    /// has been heard, and whatever still waits has been told that it is gone.
    pub(super) fn kill(&self) {
        self.doom();
        {
            let mut child = lock(&self.child);
            let _it_may_have_ended = child.kill();
            let _how = child.wait();
        }
        for listener in lock(&self.listeners).drain(..) {
            let _panic_of_a_reader = listener.join();
        }
    }

    /// How it ended, if nobody had asked it to.
    pub(super) fn death(&self) -> Option<&str> {
        self.died.get().map(String::as_str)
    }

    /// What it has said on its standard error.
    pub(super) fn said(&self) -> String {
        lock(&self.said).join("\n")
    }

    /// Whether an engine holds its lock here.
    pub(super) fn holds_a_lock(&self) -> bool {
        lock(&self.holding).upgrade().is_some_and(|hold| !hold.closed.load(Ordering::SeqCst))
    }

    /// From now on an engine does.
    pub(super) fn hold(&self) -> Arc<Hold> {
        let hold = Arc::new(Hold::default());
        *lock(&self.holding) = Arc::downgrade(&hold);
        hold
    }

    /// Asks, and waits for the answer, which comes with the question's number.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<(u64, T)> {
        let (sender, receiver) = oneshot::channel();
        let id = self.send(request, Waiter::Call(sender));
        let answer = receiver.await.unwrap_or_else(|_lost| Err(self.gone()))?;
        Ok((id, value(&answer)?))
    }

    /// The same for a thread that may block for the moment that it takes.
    pub(super) fn ask_now<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.send(request, Waiter::Thread(sender));
        value(&receiver.recv().unwrap_or_else(|_lost| Err(self.gone()))?)
    }

    /// Asks for a save.
    pub(super) fn save(&self, request: Request) -> Receipt {
        let (completion, receipt) = Receipt::pending();
        self.send(request, Waiter::Save(completion));
        receipt
    }

    /// Drops whatever goes by this number over there.
    pub(super) fn forget(&self, object: u64) {
        let ask = Ask { id: self.next.fetch_add(1, Ordering::SeqCst), request: Request::Drop { object } };
        let _it_has_ended = wire::send(&lock(&self.socket), &ask);
    }

    /// The order of these calls is the order over there.
    fn send(&self, request: Request, waiter: Waiter) -> u64 {
        let socket = lock(&self.socket);
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        {
            let mut waiting = lock(&self.waiting);
            if waiting.ended {
                drop(waiting);
                waiter.answer(Err(self.gone()));
                return id;
            }
            waiting.waiters.insert(id, waiter);
        }
        // Where it fails the listener finds the end, too, and answers.
        let _it_has_ended = wire::send(&socket, &Ask { id, request });
        id
    }

    /// Hears its answers until it ends.
    fn listen(&self, socket: &UnixStream, stderr: JoinHandle<()>) {
        let why = loop {
            match wire::receive::<Told>(socket) {
                Ok(Some(Told { id, outcome })) => self.hear(id, outcome.map_err(wire::Failure::into_error)),
                Ok(None) => break "its socket has ended".to_owned(),
                Err(error) => break format!("what it says cannot be understood: {error}"),
            }
        };
        if !self.killed.load(Ordering::SeqCst) {
            let _it_may_have_ended = lock(&self.child).kill();
            let how = lock(&self.child).wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            let _panic_of_a_reader = stderr.join();
            let _first =
                self.died.set(format!("the host process ended unasked ({how}; {why}); it said:\n{}", self.said()));
        }
        let waiters = {
            let mut waiting = lock(&self.waiting);
            waiting.ended = true;
            std::mem::take(&mut waiting.waiters)
        };
        for waiter in waiters.into_values() {
            waiter.answer(Err(self.gone()));
        }
    }

    fn hear(&self, id: u64, outcome: Result<Bytes>) {
        let waiter = lock(&self.waiting).waiters.remove(&id);
        if waiter.is_none_or(|waiter| !waiter.answer(outcome)) {
            // Whoever asked has gone away meanwhile; what was opened for it must not stay open.
            self.forget(id);
        }
    }

    fn gone(&self) -> StorageError {
        let how = self.death().unwrap_or("the process that had the store open was killed");
        StorageError::new(StorageErrorKind::Io, "asking another process", how)
    }
}

impl Hold {
    /// The engine has been closed, whatever came of it.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

impl Waiter {
    /// Whether anybody was still waiting.
    fn answer(self, outcome: Result<Bytes>) -> bool {
        match self {
            Waiter::Call(sender) => sender.send(outcome).is_ok(),
            Waiter::Thread(sender) => sender.send(outcome).is_ok(),
            Waiter::Save(completion) => {
                completion.complete(outcome.map(drop));
                true
            }
        }
    }
}

fn value<T: DeserializeOwned>(answer: &[u8]) -> Result<T> {
    codec::decode(answer).map_err(|error| {
        StorageError::new(StorageErrorKind::Io, "asking another process", format!("its answer is none: {error}"))
    })
}

/// Keeps the last of what a process says.
fn keep(stderr: ChildStderr, said: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        let mut said = lock(said);
        if said.len() == MAX_SAID_LINES {
            said.remove(0);
        }
        said.push(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
