//! What the owner object of a folder says: which open store writes there, and since which epoch.
//!
//! ```text
//! "eraft-s3-owner" | digest of the rest, 16 bytes | versioned MessagePack
//! ```
//!
//! The bytes come from a bucket: a title that does not read as one is told, never guessed at and never taken over.

use std::fmt;

use bytes::Bytes;
use eraft_core::{StoreId, codec};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

const MAGIC: &[u8] = b"eraft-s3-owner";
/// The most bytes of one.
pub(crate) const MAX_TITLE_BYTES: u64 = 4 << 10;
/// The most bytes of a host's name in one.
const MAX_HOST_BYTES: usize = 255;

/// The right to write into a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Title {
    /// Rises with every owner, from 1 on.
    pub(crate) epoch: u64,
    pub(crate) store: StoreId,
    /// Drawn for each opening of a store: a copy of a directory has the same store id.
    pub(crate) incarnation: u64,
    /// For whoever has to find the process.
    pub(crate) process: u32,
    pub(crate) host: String,
}

impl Title {
    /// One of this process.
    pub(crate) fn new(store: StoreId, incarnation: u64) -> Title {
        let mut host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        host.truncate((0..=MAX_HOST_BYTES).rev().find(|end| host.is_char_boundary(*end)).unwrap_or_default());
        Title { epoch: 0, store, incarnation, process: std::process::id(), host }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let body = codec::encode(self);
        [MAGIC, &Digest::of(&body).to_bytes(), &body].concat().into()
    }

    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Title, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as an owner does")?;
        let (digest, body) = rest.split_at_checked(16).ok_or("it ends within its digest")?;
        let expected = Digest::of(body).to_bytes();
        if digest != expected {
            return Err("its digest is not that of its bytes".to_owned());
        }
        let title: Title = codec::decode(body).map_err(|error| error.to_string())?;
        if !(1..u64::MAX).contains(&title.epoch) {
            return Err(format!("its epoch is {}; expected 1 or more", title.epoch));
        }
        Ok(title)
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Title { epoch, store, process, host, .. } = self;
        // Whoever writes to the bucket chose the name of the host.
        let host = host.escape_debug().to_string();
        write!(f, "process {process} on {host}, store {store}, epoch {epoch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_that_was_changed_anywhere_or_cut_is_refused() {
        let title = Title { epoch: 7, ..Title::new(StoreId(9), 3) };
        let bytes = title.encode();
        assert!(bytes.len() as u64 <= MAX_TITLE_BYTES);
        assert_eq!(Title::decode(&bytes), Ok(title.clone()));
        for at in 0..bytes.len() {
            assert!(Title::decode(&bytes[..at]).is_err(), "cut to {at}");
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert!(Title::decode(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
        for epoch in [0, u64::MAX] {
            assert!(Title::decode(&Title { epoch, ..title.clone() }.encode()).is_err(), "epoch {epoch}");
        }
        let host = "h".repeat(MAX_HOST_BYTES);
        assert!(Title { host, ..title }.encode().len() as u64 <= MAX_TITLE_BYTES);
    }
}
