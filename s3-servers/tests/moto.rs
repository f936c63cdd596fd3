//! What moto's server does and does not do, so that a test on it is not believed to show more than it can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use eraft_conformance::machine;
use eraft_s3_servers::{Access, moto::Moto};
use object_store::{Error, ObjectStoreExt, path::Path};

/// The server, or the line that says why the test is skipped.
fn moto(test: &str) -> Option<Moto> {
    match Moto::interpreter() {
        Ok(_) => Some(Moto::start().unwrap()),
        Err(reason) => {
            machine::skip(test, "moto", &reason);
            None
        }
    }
}

#[tokio::test]
async fn object_stores_own_tests_pass_on_moto() {
    let Some(server) = moto("object_stores_own_tests_pass_on_moto") else { return };
    support::object_stores_own_tests(server.access()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_conditional_writes_to_moto_one_wins() {
    let Some(server) = moto("of_many_conditional_writes_to_moto_one_wins") else { return };
    support::of_many_creates_one_wins(&server.access().client()).await;
    support::of_many_replacements_one_wins(&server.access().client()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_stores_on_moto_one_owns_a_folder() {
    let Some(server) = moto("of_two_stores_on_moto_one_owns_a_folder") else { return };
    support::of_two_stores_one_owns_a_folder(server.access()).await;
}

#[tokio::test]
async fn moto_believes_any_signature_and_forgets_all_when_it_ends() {
    let Some(server) = moto("moto_believes_any_signature_and_forgets_all_when_it_ends") else { return };
    let path = Path::from("open");
    let wrong = Access { secret_key: "another".into(), ..server.access().clone() };
    wrong.client().put(&path, "x".into()).await.unwrap();
    assert_eq!(server.access().client().get(&path).await.unwrap().bytes().await.unwrap(), "x");
    drop(server);
    let server = Moto::start().unwrap();
    let forgotten = server.access().client().head(&path).await.unwrap_err();
    assert!(matches!(forgotten, Error::NotFound { .. }), "{forgotten:?}");
}
