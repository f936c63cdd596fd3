//! The suite out of process sees what it would see in process, and takes no dead host for a well-behaved one.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::{
    collections::HashMap,
    error::Error as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use eraft_conformance::{
    Capability, Engine, Env, Outcome, cases,
    mutants::{Bug, environment},
    remote::{HostCommand, Location, Opener, RemoteEnv, host, is_host},
};
use eraft_core::{ClusterId, Expected, GroupId, Identity, NodeId, Result, Storage, StorageError, StorageErrorKind};
use futures_executor::block_on;
use tokio::sync::Mutex;

/// Which bug the store of a host has: its place in the list.
const BUG: &str = "ERAFT_REMOTE_TEST_BUG";
/// Seeds that a bug may need to show.
const SEEDS: u64 = 5;

/// The suite's own wrong stores, in the memory of the host; without a bug, the one that is right.
#[derive(Default)]
struct InMemory(Mutex<HashMap<PathBuf, Box<dyn Env>>>);

fn bug() -> Option<Bug> {
    let nth: usize = std::env::var(BUG).ok()?.parse().ok()?;
    Bug::ALL.get(nth).copied()
}

#[async_trait]
impl Opener for InMemory {
    async fn create(&self, at: &Location, cluster: ClusterId, node: NodeId) -> Result<Identity> {
        let mut stores = self.0.lock().await;
        // Another seed for every location: store ids are drawn from it.
        let seed = at.seed.wrapping_add(stores.len() as u64 * 1_000_000);
        let store = stores.entry(at.directory.clone()).or_insert_with(|| environment(seed, bug()));
        store.create(cluster, node).await
    }

    async fn open(&self, at: &Location, expected: Expected) -> Result<Box<dyn Engine>> {
        let mut stores = self.0.lock().await;
        // Another seed for every location: store ids are drawn from it.
        let seed = at.seed.wrapping_add(stores.len() as u64 * 1_000_000);
        let store = stores.entry(at.directory.clone()).or_insert_with(|| environment(seed, bug()));
        store.open(expected).await
    }
}

/// What another process makes of an open store: here each has a memory of its own.
const OF_TWO_PROCESSES: [&str; 2] =
    ["line_13_a_second_opener_is_locked_out", "line_12_creating_over_a_store_is_refused"];

/// Bugs that show only to whoever looks at the very moment: between two processes that moment may be over.
const OF_A_MOMENT: [&str; 3] = [
    "line_01_receipts_resolve_in_call_order",
    "line_01_waiters_are_woken_in_call_order",
    "line_10_a_read_is_one_cut_at_a_save_boundary",
];

/// Cases that need neither crash nor fault, nor what two processes share.
fn plain_cases() -> impl Iterator<Item = &'static eraft_conformance::Case> {
    cases::ALL.iter().filter(|case| {
        let plain = case.needs.iter().all(|need| *need == Capability::ManyGroups);
        plain && case.topic != "random" && !OF_TWO_PROCESSES.contains(&case.name)
    })
}

#[test]
fn a_store_that_is_right_passes_every_plain_case_through_another_process() {
    if is_host() {
        return host(Arc::new(InMemory::default()));
    }
    let command = HostCommand::this_test("a_store_that_is_right_passes_every_plain_case_through_another_process");
    for case in plain_cases() {
        let outcome = case.run_under([1], &|seed| remote(seed, InMemory::default(), &command));
        assert!(matches!(outcome, Outcome::Passed { .. }), "{}: {outcome:?}", case.name);
    }
}

#[test]
fn a_wrong_store_fails_its_plain_case_through_another_process() {
    if is_host() {
        return host(Arc::new(InMemory::default()));
    }
    let command = HostCommand::this_test("a_wrong_store_fails_its_plain_case_through_another_process");
    // Each failure is a panic, which would be printed.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut unnoticed = Vec::new();
    let mut tried = 0;
    for case in plain_cases().filter(|case| !OF_A_MOMENT.contains(&case.name)) {
        for (nth, bug) in Bug::ALL.iter().enumerate().filter(|(_, bug)| bug.case() == case.name) {
            tried += 1;
            let command = command.clone().env(BUG, nth.to_string());
            let outcome = case.run_under(1..=SEEDS, &|seed| remote(seed, InMemory::default(), &command));
            if !matches!(outcome, Outcome::Failed { .. }) {
                unnoticed.push((bug.what(), case.name));
            }
        }
    }
    std::panic::set_hook(usual);
    println!("{tried} wrong stores");
    assert!(tried > 10 && unnoticed.is_empty(), "of {tried} wrong stores these went unnoticed: {unnoticed:#?}");
}

/// Opens nothing that works.
struct Fails;

#[async_trait]
impl Opener for Fails {
    async fn create(&self, _at: &Location, _cluster: ClusterId, _node: NodeId) -> Result<Identity> {
        Err(corrupt())
    }

    async fn open(&self, _at: &Location, _expected: Expected) -> Result<Box<dyn Engine>> {
        Ok(Box::new(Fails))
    }
}

#[async_trait]
impl Engine for Fails {
    async fn group(&self, _id: GroupId) -> Result<Arc<dyn Storage>> {
        panic!("the backend has a bug");
    }

    async fn groups(&self) -> Result<Vec<GroupId>> {
        eprintln!("the backend is lost");
        std::process::exit(3)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn corrupt() -> StorageError {
    StorageError::with_source(StorageErrorKind::Corrupt, "looking", "page 7 of /a is torn", "the cause of it")
}

#[test]
fn an_error_arrives_with_its_kind_and_all_its_text() {
    if is_host() {
        return host(Arc::new(Fails));
    }
    let mut env = remote(1, Fails, &HostCommand::this_test("an_error_arrives_with_its_kind_and_all_its_text"));
    let (found, expected) = (block_on(env.create(ClusterId(1), NodeId(1))).unwrap_err(), corrupt());
    let parts = |error: &StorageError| {
        let source = error.source().map(ToString::to_string);
        (error.kind(), error.during().to_owned(), error.detail().to_owned(), source, error.to_string())
    };
    assert_eq!(parts(&found), parts(&expected));
}

#[test]
fn a_host_that_ends_unasked_is_told_with_what_it_said() {
    if is_host() {
        return host(Arc::new(Fails));
    }
    let mut env = remote(1, Fails, &HostCommand::this_test("a_host_that_ends_unasked_is_told_with_what_it_said"));
    let engine = block_on(env.open(Expected::any())).unwrap();
    let told = block_on(engine.groups()).unwrap_err().to_string();
    for word in ["ended unasked", "exit status: 3", "the backend is lost"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    // A case may have expected an error there; it fails all the same.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(env))).unwrap_err();
    assert!(dropped.downcast_ref::<String>().unwrap().contains("ended unasked"));
}

#[test]
fn a_panic_of_the_backend_fails_the_case_with_its_message() {
    if is_host() {
        return host(Arc::new(Fails));
    }
    let command = HostCommand::this_test("a_panic_of_the_backend_fails_the_case_with_its_message");
    let mut env = remote(1, Fails, &command);
    let engine = block_on(env.open(Expected::any())).unwrap();
    let told = block_on(engine.group(GroupId::ZERO)).map(drop).unwrap_err().to_string();
    assert!(told.contains("the backend has a bug"), "{told}");
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(env)));
    assert!(dropped.is_err(), "an environment whose host has died went without a word");
}

#[test]
fn a_second_opener_is_another_process() {
    if is_host() {
        return host(Arc::new(InMemory::default()));
    }
    // Each process has a memory of its own: what the first has created, the second does not find.
    let command = HostCommand::this_test("a_second_opener_is_another_process");
    let mut env = remote(1, InMemory::default(), &command);
    block_on(env.create(ClusterId(1), NodeId(1))).unwrap();
    let first = block_on(env.open(Expected::any())).unwrap();
    let second = block_on(env.open(Expected::any())).map(drop).unwrap_err();
    assert_eq!(second.kind(), StorageErrorKind::NotInitialised, "{second}");
    block_on(first.close()).unwrap();
    block_on(env.open(Expected::any())).unwrap();
}

fn remote(seed: u64, opener: impl Opener, command: &HostCommand) -> Box<dyn Env> {
    Box::new(RemoteEnv::new(seed, Arc::new(opener), command.clone()))
}
