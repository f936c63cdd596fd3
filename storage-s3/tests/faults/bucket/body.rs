//! What becomes of a body on its way: whole, cut, reset, slow, or with a bit flipped.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use object_store::client::{HttpError, HttpErrorKind, HttpResponseBody};

/// Bytes that a slow connection moves in a second.
const SLOW_BYTES_PER_SECOND: usize = 1_000;

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Whole,
    /// It ends at its half.
    Short,
    /// The connection is reset at its half.
    Reset,
    Slow,
    /// With one bit flipped, drawn by the seed.
    Flip(u64),
}

pub(super) fn on_its_way(body: Bytes, way: Way) -> HttpResponseBody {
    let half = body.slice(..body.len() / 2);
    match way {
        Way::Whole => body.into(),
        Way::Short => half.into(),
        Way::Flip(seed) => flipped(&body, seed).into(),
        Way::Reset => frames(vec![Ok(half), Err(reset())]),
        Way::Slow => slow(body),
    }
}

/// The same bytes but for one bit.
pub(super) fn flipped(body: &Bytes, seed: u64) -> Bytes {
    let mut bytes = body.to_vec();
    if !bytes.is_empty() {
        let mut random = fastrand::Rng::with_seed(seed);
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
    }
    bytes.into()
}

/// As long as so many bytes take on a slow connection.
pub(super) async fn wait_for(bytes: usize) {
    tokio::time::sleep(Duration::from_secs(1) * u32::try_from(bytes / SLOW_BYTES_PER_SECOND).expect("a small body"))
        .await;
}

fn slow(body: Bytes) -> HttpResponseBody {
    let pieces = stream::unfold(body, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(SLOW_BYTES_PER_SECOND.min(rest.len()));
        wait_for(SLOW_BYTES_PER_SECOND).await;
        Some((Ok(http_body::Frame::data(piece)), rest))
    });
    HttpResponseBody::new(StreamBody::new(pieces))
}

fn frames(frames: Vec<Result<Bytes, HttpError>>) -> HttpResponseBody {
    let frames = frames.into_iter().map(|frame| frame.map(http_body::Frame::data));
    HttpResponseBody::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())))
}

/// What the client makes of a connection that is reset.
pub(super) fn reset() -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, io::Error::from(io::ErrorKind::ConnectionReset))
}
