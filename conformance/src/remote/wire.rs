//! What the two processes say to each other: questions with a number, and their answers, in frames of MessagePack.
//!
//! Whatever a question opens (an engine, the handle of a group, a writer, a reader) goes by the question's number from
//! then on. An answer's value is encoded by itself; which type it has, the question says.

use std::{
    error::Error as _,
    io::{self, Read},
    os::unix::net::UnixStream,
};

use bytes::Bytes;
use eraft_core::{
    ClusterId, Expected, GroupId, LogIndex, NodeId, RaftStateUpdate, Result, SnapshotMeta, StagedSnapshot,
    StorageError, StorageErrorKind, codec,
};
use rustix::net::SendFlags;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Location;

/// No save of the suite comes near it: a longer frame is a mistake.
const MAX_FRAME_BYTES: u32 = 256 << 20;

/// One question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) id: u64,
    pub(super) request: Request,
}

/// What is asked. The value that answers it stands beside it; where none stands, it is `()`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// [`Identity`](eraft_core::Identity)
    Create {
        location: Location,
        cluster: ClusterId,
        node: NodeId,
    },
    Open {
        location: Location,
        expected: Expected,
    },
    Group {
        engine: u64,
        id: GroupId,
    },
    /// `Vec<GroupId>`
    Groups {
        engine: u64,
    },
    CloseEngine {
        engine: u64,
    },
    Save {
        group: u64,
        update: RaftStateUpdate,
        publish: Option<StagedSnapshot>,
    },
    Stage {
        group: u64,
        meta: SnapshotMeta,
    },
    Discard {
        group: u64,
        staged: StagedSnapshot,
    },
    /// [`RaftState`](eraft_core::RaftState)
    ReadState {
        group: u64,
    },
    /// `Vec<Entry>`
    ReadEntries {
        group: u64,
        start: LogIndex,
        end: LogIndex,
        max_bytes: u64,
    },
    /// `Option<(SnapshotMeta, u64)>`: what the reader begins with
    ReadSnapshot {
        group: u64,
    },
    /// [`Sizes`]
    Sizes {
        group: u64,
    },
    CloseGroup {
        group: u64,
    },
    Write {
        writer: u64,
        chunk: Bytes,
    },
    /// [`StagedSnapshot`]
    Finish {
        writer: u64,
    },
    Abort {
        writer: u64,
    },
    /// `Option<Bytes>`
    NextChunk {
        reader: u64,
    },
    /// Whatever goes by this number is dropped; answered by nothing.
    Drop {
        object: u64,
    },
}

/// What a store tells at once.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sizes {
    pub(super) raft_state: u64,
    pub(super) snapshot: u64,
    pub(super) room: u64,
}

/// One answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) id: u64,
    pub(super) outcome: std::result::Result<Bytes, Failure>,
}

/// An error with its kind and all its text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    kind: StorageErrorKind,
    during: String,
    detail: String,
    source: Option<String>,
}

impl Told {
    pub(super) fn new<T: Serialize>(id: u64, outcome: Result<T>) -> Told {
        Told { id, outcome: outcome.map(|value| codec::encode(&value)).map_err(|error| Failure::of(&error)) }
    }
}

impl Failure {
    fn of(error: &StorageError) -> Failure {
        Failure {
            kind: error.kind(),
            during: error.during().to_owned(),
            detail: error.detail().to_owned(),
            source: error.source().map(ToString::to_string),
        }
    }

    /// The error, as it was over there.
    pub(super) fn into_error(self) -> StorageError {
        match self.source {
            None => StorageError::new(self.kind, self.during, self.detail),
            Some(source) => StorageError::with_source(self.kind, self.during, self.detail, source),
        }
    }
}

/// Sends one frame: the length of the body, and the body. By `sendto`, so that a fault that hits writes to files never
/// hits an answer.
pub(super) fn send<T: Serialize>(socket: &UnixStream, message: &T) -> io::Result<()> {
    let body = codec::encode(message);
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MAX_FRAME_BYTES);
    let length = length.ok_or_else(|| io::Error::other(format!("a frame of {} bytes", body.len())))?;
    for mut part in [&length.to_le_bytes()[..], &body] {
        while !part.is_empty() {
            let sent = rustix::io::retry_on_intr(|| rustix::net::send(socket, part, SendFlags::NOSIGNAL))?;
            part = part.get(sent..).unwrap_or_default();
        }
    }
    Ok(())
}

/// Receives one frame; `None` where the other side has ended between two.
pub(super) fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match socket.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::other(format!("a frame of {length} bytes: something else writes to the socket")));
    }
    let mut body = vec![0; length as usize];
    socket.read_exact(&mut body)?;
    codec::decode(&body).map(Some).map_err(io::Error::other)
}
