//! A server in a container can be stopped, paused and started again, where it was and with what it had; and it goes with the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests of real processes"
)]

mod support;

use std::{process::Command, time::Duration};

use eraft_conformance::machine;
use eraft_s3_servers::{
    container::{self, Container, OWN_IMAGE},
    fixture,
};
use object_store::{ObjectStoreExt, path::Path};

/// The stand-in in a container of its own, or the line that says why the test is skipped.
fn stand_in(test: &str) -> Option<Container> {
    let there = match container::engine() {
        Ok(()) if container::has(OWN_IMAGE) => return Some(Container::start(OWN_IMAGE).unwrap()),
        Ok(()) => format!("no image {OWN_IMAGE}: cargo xtask s3-image makes it"),
        Err(why) => why,
    };
    machine::skip(test, "docker", &there);
    None
}

#[tokio::test]
async fn object_stores_own_tests_pass_on_the_stand_in_in_its_container() {
    let Some(server) = stand_in("object_stores_own_tests_pass_on_the_stand_in_in_its_container") else { return };
    support::object_stores_own_tests(server.access()).await;
    support::of_many_creates_one_wins(&server.access().client()).await;
    support::of_many_replacements_one_wins(&server.access().client()).await;
    support::of_two_stores_one_owns_a_folder(server.access()).await;
}

#[tokio::test]
async fn a_container_that_was_stopped_or_paused_is_found_where_it_was_with_what_it_had() {
    let test = "a_container_that_was_stopped_or_paused_is_found_where_it_was_with_what_it_had";
    let Some(server) = stand_in(test) else { return };
    let (client, path) = (server.access().client(), Path::from("kept"));
    client.put(&path, "x".into()).await.unwrap();
    server.stop();
    client.head(&path).await.unwrap_err();
    server.start_again();
    assert_eq!(client.get(&path).await.unwrap().bytes().await.unwrap(), "x");
    server.pause();
    let asked = tokio::time::timeout(Duration::from_millis(500), client.head(&path)).await;
    assert!(asked.is_err(), "a paused server has answered: {asked:?}");
    server.unpause();
    assert_eq!(client.get(&path).await.unwrap().bytes().await.unwrap(), "x");
}

#[test]
fn a_container_goes_with_what_started_it() {
    let Some(server) = stand_in("a_container_goes_with_what_started_it") else { return };
    let port = server.access().endpoint.rsplit(':').next().unwrap().to_owned();
    let running = || {
        let filter = format!("name=eraft-s3-{}-{port}$", std::process::id());
        let listed = Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]).output().unwrap();
        !listed.stdout.is_empty()
    };
    assert!(running());
    drop(server);
    assert!(!running());
}

#[tokio::test]
async fn the_fixture_gives_a_bucket_that_can_be_written_to() {
    let access = fixture::server().access();
    let path = Path::from(format!("fixture/{}", std::process::id()));
    access.client().put(&path, "x".into()).await.unwrap();
    access.client().delete(&path).await.unwrap();
}
