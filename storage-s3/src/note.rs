//! The note of an upload in parts: its id, in a small object beside the one that is being uploaded.
//!
//! Parts of an upload that nobody ends cost money and are in no listing. So before its first part an upload notes its id, and
//! whoever finds the note later aborts by it. An upload whose id got lost with the reply to its creation has no note: a rule
//! of the bucket's own, for uploads older than some days, is for those.

use bytes::Bytes;
use eraft_core::codec;
use object_store::{MultipartId, PutPayload};

use crate::{client::Client, failure::Failure, names::Names};

/// The most bytes of a note.
const MAX_NOTE_BYTES: u64 = 8 << 10;

/// Writes it.
pub(crate) async fn write(client: &Client, names: &Names, id: &MultipartId) -> Result<(), Failure> {
    client.put(&names.note, PutPayload::from(codec::encode(id))).await
}

/// Ends the upload that a note is of, which may have been ended before, and removes the note.
pub(crate) async fn settle(client: &Client, names: &Names) -> Result<(), Failure> {
    let Some(note) = client.read_small(&names.note, MAX_NOTE_BYTES).await? else { return Ok(()) };
    let id: MultipartId = decode(&note.bytes).ok_or_else(|| {
        Failure::lasting("its note is damaged: end the upload by the bucket's own means, and remove it")
    })?;
    client.abort_multipart(&names.object, &id).await?;
    client.delete(&names.note).await
}

fn decode(bytes: &Bytes) -> Option<MultipartId> {
    codec::decode(bytes).ok().filter(|id: &MultipartId| !id.is_empty())
}
