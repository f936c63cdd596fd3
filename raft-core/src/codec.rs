//! How metadata becomes bytes: one version byte, then MessagePack. (The ancestor's `encodeState`.)
//!
//! Entries' payloads never pass through here. Decoding takes bytes from disks and peers: it never panics, allocates
//! no more than the input justifies, and accepts exactly what [`encode`] makes, to the last byte.

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

/// `value` as versioned MessagePack.
#[doc(alias = "encodeState")]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Bytes {
    let mut bytes = vec![VERSION];
    #[expect(clippy::expect_used, reason = "writing plain data to memory: it can fail only for types we do not have")]
    rmp_serde::encode::write(&mut bytes, value).expect("plain metadata always encodes");
    bytes.into()
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
