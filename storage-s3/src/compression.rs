//! How a chunk is made smaller, and plain again within a bound that is known beforehand.
//!
//! A chunk that would not become smaller is stored as it is: then both of its lengths are equal, and nothing else marks it.

use bytes::Bytes;
use eraft_core::{StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Zstandard's own default: the levels above cost more time than they save of a network's.
const ZSTD_LEVEL: i32 = 3;

/// How the chunks of a snapshot are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Zstandard, level 3.
    #[default]
    Zstd,
    /// LZ4: faster, and less small.
    Lz4,
    /// None: for what is compressed already.
    None,
}

/// What is stored for `plain`.
pub(crate) fn compress(compression: Compression, plain: Bytes) -> Bytes {
    let smaller = match compression {
        Compression::None => None,
        Compression::Lz4 => Some(lz4_flex::block::compress(&plain)),
        // It fails only for want of memory; as it is, the chunk is right all the same.
        Compression::Zstd => zstd::bulk::compress(&plain, ZSTD_LEVEL).ok(),
    };
    match smaller {
        // Both compressors made room for the worst case: what waits for its part must not keep that.
        Some(smaller) if smaller.len() < plain.len() => smaller.into_boxed_slice().into(),
        _ => plain,
    }
}

/// The plain bytes, of which there are `plain_bytes`; no more is ever allocated.
///
/// # Errors
/// Why `stored` cannot be what [`compress`] made.
pub(crate) fn decompress(compression: Compression, stored: Bytes, plain_bytes: usize) -> Result<Bytes, String> {
    if stored.len() == plain_bytes {
        return Ok(stored);
    }
    let plain = match compression {
        Compression::None => return Err(format!("{} bytes, not compressed; expected {plain_bytes}", stored.len())),
        Compression::Lz4 => {
            lz4_flex::block::decompress(&stored, plain_bytes).map_err(|error| format!("it is no LZ4: {error}"))?
        }
        Compression::Zstd => zstd::bulk::decompress(&stored, plain_bytes)
            .map_err(|error| format!("it is no Zstandard of {plain_bytes} bytes at most: {error}"))?,
    };
    if plain.len() != plain_bytes {
        return Err(format!("it holds {} bytes; expected {plain_bytes}", plain.len()));
    }
    Ok(plain.into())
}

/// Runs `work` on a thread that may be kept busy; in place where nothing is compressed.
pub(crate) async fn aside<T: Send + 'static>(
    runtime: &Handle,
    compression: Compression,
    work: impl FnOnce() -> T + Send + 'static,
) -> eraft_core::Result<T> {
    if compression == Compression::None {
        return Ok(work());
    }
    runtime.spawn_blocking(work).await.map_err(|lost| {
        StorageError::new(
            StorageErrorKind::Unavailable,
            "waiting for a blocking thread",
            format!("the work was lost ({lost}): the runtime shuts down, or this is a bug"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 3] = [Compression::Zstd, Compression::Lz4, Compression::None];

    fn noise(length: usize) -> Bytes {
        let mut random = fastrand::Rng::with_seed(1);
        (0..length).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn what_was_compressed_comes_back_and_noise_does_not_grow() {
        for compression in ALL {
            for plain in [Bytes::from(vec![7; 100_000]), noise(5_000), Bytes::from_static(b"x")] {
                let stored = compress(compression, plain.clone());
                assert!(stored.len() <= plain.len());
                assert_eq!(decompress(compression, stored, plain.len()), Ok(plain));
            }
        }
    }

    #[test]
    fn a_compressed_chunk_keeps_no_more_memory_than_it_has_bytes() {
        for compression in [Compression::Zstd, Compression::Lz4] {
            let stored = compress(compression, Bytes::from(vec![7; 1 << 20]));
            let length = stored.len();
            let buffer = Vec::from(stored);
            assert!(buffer.capacity() <= length, "{} for {length} bytes of {compression:?}", buffer.capacity());
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_length_that_was_promised() {
        for compression in [Compression::Zstd, Compression::Lz4] {
            let bomb = compress(compression, Bytes::from(vec![0; 1 << 20]));
            for promised in [1, bomb.len() + 1, (1 << 20) - 1, (1 << 20) + 1] {
                assert!(decompress(compression, bomb.clone(), promised).is_err(), "{compression:?}, {promised}");
            }
        }
    }

    #[test]
    fn no_noise_is_taken_for_a_chunk_or_panics() {
        for compression in ALL {
            for length in 1..200 {
                let _whatever = decompress(compression, noise(length), 300);
            }
        }
    }
}
