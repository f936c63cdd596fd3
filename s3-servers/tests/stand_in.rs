//! The stand-in does what a real server does, as far as we need it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use eraft_s3_servers::{Access, stand_in::StandIn};
use object_store::{Error, ObjectStoreExt, PutPayload, multipart::MultipartStore, path::Path};

#[tokio::test]
async fn object_stores_own_tests_pass_on_the_stand_in() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    support::object_stores_own_tests(server.access()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_conditional_writes_to_the_stand_in_one_wins() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    support::of_many_creates_one_wins(&server.access().client()).await;
    support::of_many_replacements_one_wins(&server.access().client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_stores_on_the_stand_in_one_owns_a_folder() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    support::of_two_stores_one_owns_a_folder(server.access()).await;
}

#[tokio::test]
async fn the_stand_in_refuses_whoever_has_not_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    let path = Path::from("secret");
    server.access().client().put(&path, "x".into()).await.unwrap();
    let wrong = Access { secret_key: "another".into(), ..server.access().clone() };
    let stranger = Access { access_key: "somebody".into(), ..server.access().clone() };
    let nobody = server.access().builder().with_skip_signature(true).build().unwrap();
    for client in [wrong.client(), stranger.client(), nobody] {
        let refused = client.get(&path).await.unwrap_err();
        assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
        let refused = client.put(&path, "y".into()).await.unwrap_err();
        assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    }
    assert_eq!(server.access().client().get(&path).await.unwrap().bytes().await.unwrap(), "x");
}

#[tokio::test]
async fn what_the_stand_in_was_given_is_there_when_it_is_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    let (path, address) = (Path::from("kept"), server.address());
    let first = server.access().client().put(&path, "x".into()).await.unwrap();
    drop(server);
    let server = StandIn::start_at(directory.path(), address).unwrap();
    let found = server.access().client().get(&path).await.unwrap();
    assert_eq!(found.meta.e_tag, first.e_tag);
    assert_eq!(found.bytes().await.unwrap(), "x");
}

#[tokio::test]
async fn an_upload_that_is_over_is_unknown_to_the_stand_in() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(directory.path()).unwrap();
    let (client, path) = (server.access().client(), Path::from("in/parts"));
    let id = client.create_multipart(&path).await.unwrap();
    let part = client.put_part(&path, &id, 0, PutPayload::from_static(b"part")).await.unwrap();
    client.complete_multipart(&path, &id, vec![part.clone()]).await.unwrap();
    let again = client.complete_multipart(&path, &id, vec![part]).await.unwrap_err();
    assert!(matches!(again, Error::NotFound { .. }), "{again:?}");
    let late = client.put_part(&path, &id, 1, PutPayload::from_static(b"late")).await.unwrap_err();
    assert!(matches!(late, Error::NotFound { .. }), "{late:?}");
    let id = client.create_multipart(&path).await.unwrap();
    client.put_part(&path, &id, 0, PutPayload::from_static(b"part")).await.unwrap();
    client.abort_multipart(&path, &id).await.unwrap();
    let parts = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = parts.filter(|name| name.to_string_lossy().contains("upload")).collect();
    assert!(left.is_empty(), "left of uploads that are over: {left:?}");
}
