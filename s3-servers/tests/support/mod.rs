//! What every server must do, whoever wrote it: object_store's own tests, conditions that hold when many write at once, and one
//! owner of a folder where two take it.

use std::sync::Arc;

use eraft_conformance::make::{append, entries, meta};
use eraft_core::{
    ClusterId, Expected, GroupId, MemoryDisk, MemoryStorage, NodeId, Result, StagedSnapshot, Storage as _,
    StorageErrorKind,
};
use eraft_s3_servers::Access;
use eraft_storage_s3::{S3Options, S3Storage};
use futures_util::future::join_all;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
    aws::{AmazonS3, Checksum},
    integration::{
        get_nonexistent_object, get_opts, list_paginated, list_uses_directories_correctly, list_with_delimiter,
        list_with_offset_exclusivity, multipart, multipart_out_of_order, multipart_put_part_out_of_order,
        multipart_race_condition, multipart_with_opts, put_get_attributes, put_get_delete_list, put_opts,
        rename_and_copy, stream_get,
    },
    path::Path,
};

/// How many write at once, and how often.
const WRITERS: usize = 16;
const ROUNDS: usize = 12;

/// object_store's tests of an S3 server, as its own run against real ones does them; the bucket is empty.
pub(crate) async fn object_stores_own_tests(access: &Access) {
    let client = &access.client();
    put_get_delete_list(client).await;
    list_with_offset_exclusivity(client).await;
    get_opts(client).await;
    list_uses_directories_correctly(client).await;
    list_with_delimiter(client).await;
    rename_and_copy(client).await;
    stream_get(client).await;
    multipart(client, client).await;
    multipart_with_opts(client, client).await;
    multipart_put_part_out_of_order(client, client).await;
    multipart_race_condition(client, true).await;
    multipart_out_of_order(client).await;
    put_get_attributes(client).await;
    list_paginated(client, client).await;
    put_opts(&patient(access), true).await;
    let absent = get_nonexistent_object(client, None).await.unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
    put_get_delete_list(&access.builder().with_unsigned_payload(true).build().unwrap()).await;
    put_get_delete_list(&access.builder().with_checksum_algorithm(Checksum::SHA256).build().unwrap()).await;
}

/// A client that asks again as any user's does: moto answers 500 to who reads an object that is replaced meanwhile.
fn patient(access: &Access) -> AmazonS3 {
    access.builder().with_retry(RetryConfig::default()).build().unwrap()
}

/// Of many who create one object exactly one is told that it did, and it is that one's.
pub(crate) async fn of_many_creates_one_wins(client: &AmazonS3) {
    for round in 0..ROUNDS {
        let path = Path::from(format!("creates/{round}"));
        race(client, &path, "created", PutMode::Create).await;
        client.delete(&path).await.unwrap();
    }
}

/// Of many who replace the same version exactly one is told that it did.
pub(crate) async fn of_many_replacements_one_wins(client: &AmazonS3) {
    let path = Path::from("replacements");
    let mut tag = client.put(&path, "first".into()).await.unwrap().e_tag;
    for round in 0..ROUNDS {
        // New words in each round: a tag is a digest of the content, and would fit again where the content comes again.
        let words = format!("round {round}");
        tag = race(client, &path, &words, PutMode::Update(UpdateVersion { e_tag: tag, version: None })).await;
    }
    client.delete(&path).await.unwrap();
}

/// Of two stores that take one folder at once exactly one has it afterwards, and the other one is told so.
pub(crate) async fn of_two_stores_one_owns_a_folder(access: &Access) {
    let rounds = if std::env::var("ERAFT_LONG").is_ok_and(|long| long == "1") { 1_000 } else { 25 };
    for round in 0..rounds {
        let name = format!("races-{}/{round}", std::process::id());
        let (first, second) = (twin(access, &name).await, twin(access, &name).await);
        let outcomes: [_; 2] = tokio::join!(stage(&first, 1), stage(&second, 1)).into();
        assert!(outcomes.iter().any(Result::is_ok), "{name}: {outcomes:?}");
        let again: [_; 2] = tokio::join!(stage(&first, 2), stage(&second, 2)).into();
        let lost: Vec<_> = again.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert_eq!(lost.len(), 1, "{name}: {again:?}");
        assert_eq!(lost[0].kind(), StorageErrorKind::Poisoned, "{name}: {}", lost[0]);
    }
    println!("{rounds} races for a folder, and one owner after each");
}

/// One of two stores that bear the same id, as a directory and its copy do.
async fn twin(access: &Access, prefix: &str) -> S3Storage<MemoryStorage> {
    let disk = MemoryDisk::new(1);
    MemoryStorage::create(&disk, ClusterId(7), NodeId(1)).unwrap();
    let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
    let options = S3Options { prefix: prefix.to_owned(), ..S3Options::default() };
    let store = S3Storage::over(local, GroupId::ZERO, Arc::new(access.client()), options).await.unwrap();
    store.save_raft_state(append(entries(1, 1, 9))).await.unwrap();
    store
}

async fn stage(store: &S3Storage<MemoryStorage>, index: u64) -> Result<StagedSnapshot> {
    let mut writer = store.stage_snapshot(meta(1, index)).await?;
    writer.write("a snapshot".into()).await?;
    writer.finish().await
}

/// The winner's tag.
async fn race(client: &AmazonS3, path: &Path, words: &str, mode: PutMode) -> Option<String> {
    let write = async |writer: usize| {
        let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
        (writer, client.put_opts(path, format!("{words} by {writer}").into(), options).await)
    };
    let mut winners = Vec::new();
    for (writer, outcome) in join_all((0..WRITERS).map(write)).await {
        match outcome {
            Ok(put) => winners.push((writer, put.e_tag)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(other) => panic!("writer {writer}: {other}"),
        }
    }
    assert_eq!(winners.len(), 1, "{path}: these were all told that they wrote it: {winners:?}");
    let (winner, tag) = winners.remove(0);
    let found = client.get(path).await.unwrap().bytes().await.unwrap();
    assert_eq!(found, format!("{words} by {winner}"));
    tag
}
