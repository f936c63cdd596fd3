//! A snapshot on its way out: ranged reads side by side, their chunks in order, and a bound on what waits.
//!
//! Each read is a task of its own, so that a slow consumer does not let connections time out. No chunk leaves here that was
//! not verified, and the last one waits until the digest of all of them agrees: whoever got a whole snapshot got that
//! snapshot.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use eraft_core::{Result, StorageError, StorageErrorKind};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use xxhash_rust::xxh3::Xxh3;

use crate::{S3Options, client::Client, digest::Digest, fetch::fetch, manifest::Manifest, plan::Plan};

/// Puts chunks in order and counts what has left.
struct InOrder {
    manifest: Arc<Manifest>,
    reads: BoxStream<'static, Result<Vec<Bytes>>>,
    ready: VecDeque<Bytes>,
    whole: Xxh3,
    left: usize,
}

/// The plain bytes of a snapshot whose manifest was checked. It never touches the bucket before it is polled, and outlives
/// whatever is published meanwhile.
pub(crate) fn chunks(
    client: Client,
    manifest: Arc<Manifest>,
    options: &S3Options,
) -> BoxStream<'static, Result<Bytes>> {
    let plan = Plan::new(Arc::clone(&manifest), options.read_bytes);
    let of_all = Arc::clone(&manifest);
    let reads = stream::iter(plan).map(move |read| {
        let task = fetch(client.clone(), Arc::clone(&of_all), read);
        let client = client.clone();
        // Spawned here, not when it is first polled: what is in flight gets on while the consumer looks elsewhere.
        let running = client.start(task);
        async move { running.await.unwrap_or_else(|failure| Err(lost(&failure.text))) }
    });
    let reads = reads.buffered(options.reads_in_flight).boxed();
    let left = manifest.chunks.len();
    let in_order = InOrder { manifest, reads, ready: VecDeque::new(), whole: Xxh3::new(), left };
    stream::try_unfold(
        in_order,
        |mut in_order| async move { Ok(in_order.next().await?.map(|chunk| (chunk, in_order))) },
    )
    .boxed()
}

impl InOrder {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.ready.is_empty() {
            match self.reads.next().await {
                Some(chunks) => self.ready.extend(chunks?),
                None => break,
            }
        }
        let chunk = self.ready.pop_front();
        if let Some(chunk) = &chunk {
            self.whole.update(chunk);
            self.left = self.left.saturating_sub(1);
        }
        if self.left == 0 {
            self.check_whole()?;
        }
        Ok(chunk)
    }

    fn check_whole(&self) -> Result<()> {
        let (found, expected) = (Digest::of_all(&self.whole), self.manifest.digest);
        if found == expected {
            return Ok(());
        }
        let detail = format!(
            "{}: its chunks are right one by one, and together their digest is {found}, expected {expected}: the manifest is \
             not that of one snapshot; wipe the node and let it join anew",
            self.manifest.object
        );
        Err(StorageError::new(StorageErrorKind::Corrupt, "reading a snapshot from the bucket", detail))
    }
}

fn lost(text: &str) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, "reading a snapshot from the bucket", text)
}

#[cfg(test)]
mod tests {
    use eraft_core::{GroupId, NodeId};
    use object_store::{ObjectStoreExt as _, memory::InMemory};
    use tokio::runtime::Handle;

    use super::*;
    use crate::{manifest::tests::manifest, metrics::Told};

    #[tokio::test]
    async fn the_last_chunk_is_withheld_until_all_of_them_agree_with_the_whole() {
        let bucket = Arc::new(InMemory::new());
        bucket.put(&manifest().path().unwrap(), Bytes::from_static(b"abcde").into()).await.unwrap();
        let options = S3Options::default();
        let (random, told) = (fastrand::Rng::with_seed(1), Told::new(NodeId(2), GroupId(4)));
        let client = Client::new(bucket, Handle::current(), options.retry, None, random, told);
        let read = |manifest| chunks(client.clone(), Arc::new(manifest), &options);

        let right: Vec<_> = read(manifest()).map(Result::unwrap).collect().await;
        assert_eq!(right, [&b"abc"[..], b"de"]);
        let swapped = Manifest { digest: Digest::of(b"deabc"), ..manifest() };
        let mut wrong = read(swapped);
        assert_eq!(wrong.next().await.unwrap().unwrap(), &b"abc"[..]);
        assert_eq!(wrong.next().await.unwrap().unwrap_err().kind(), StorageErrorKind::Corrupt);
        assert!(wrong.next().await.is_none());
        let of_nothing = |digest| Manifest { digest, size_bytes: 0, chunks: Vec::new(), ..manifest() };
        assert!(read(of_nothing(Digest::of(b""))).next().await.is_none());
        assert!(read(of_nothing(Digest::of(b"x"))).next().await.unwrap().is_err());
    }
}
