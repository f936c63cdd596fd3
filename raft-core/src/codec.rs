//! How metadata becomes bytes: one version byte, then MessagePack. (The ancestor's `encodeState`.)
//!
//! Entries' payloads pass through here only where the user chose the typed adapter. Decoding takes bytes from disks and
//! peers: it never panics, and refuses bytes that are left over. It allocates no more than the input justifies, but for the
//! lists within it: each reserves what it claims to hold, a mebibyte at most. It does not promise that a value has one
//! encoding: whoever compares encodings compares what [`encode`] made, not what came in.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// The version that this build writes.
pub const VERSION: u8 = 1;

/// Why bytes are not metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by another version of this software.
    #[error("metadata has version {found}, this build reads version {VERSION}")]
    Version {
        /// The version byte that was found.
        found: u8,
    },
    /// Not what `encode` makes.
    #[error("malformed metadata: {0}")]
    Malformed(String),
}

/// Why a value of the user's is not encoded: its own `Serialize` says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be encoded: {0}")]
pub struct EncodeError(String);

/// `value` as versioned MessagePack; for types of ours, which always encode.
#[doc(alias = "encodeState")]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Bytes {
    #[expect(clippy::expect_used, reason = "writing plain data to memory: it can fail only for types we do not have")]
    try_encode(value).expect("plain metadata always encodes")
}

/// The same for types of the user's.
///
/// # Errors
/// What their `Serialize` answers.
pub fn try_encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, EncodeError> {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write(&mut bytes, value).map_err(|error| EncodeError(error.to_string()))?;
    Ok(bytes.into())
}

/// The value that [`encode`] made `bytes` from.
///
/// # Errors
/// [`DecodeError::Version`] for another version, [`DecodeError::Malformed`] for anything else, trailing bytes included.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (version, mut body) =
        bytes.split_first().ok_or_else(|| DecodeError::Malformed("it is empty, expected a version byte".into()))?;
    if *version != VERSION {
        return Err(DecodeError::Version { found: *version });
    }
    let value = rmp_serde::from_read(&mut body).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if !body.is_empty() {
        return Err(DecodeError::Malformed(format!("{} bytes follow its end", body.len())));
    }
    Ok(value)
}
