//! What a failed call to the bucket means: whether it can pass, and what is told of it.
//!
//! What servers answer is never quoted: a refused signature comes back with the request that was signed, and in it a session
//! token. A status and S3's own word for the failure tell enough. The errors of `object_store` are no sources of ours for the
//! same reason.

use std::error::Error as _;

use eraft_core::{StorageError, StorageErrorKind};
use object_store::{Error, path::Path};

/// What the caller does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing is there.
    Absent,
    /// Something is there already, or something else than was expected.
    Exists,
    /// It may be over soon: try again.
    Passing,
    /// It stays until somebody acts.
    Lasting,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: Why,
    pub(crate) text: String,
    /// Whether the server answered; where it did not, the request may still be on its way, and be done at any later time.
    pub(crate) answered: bool,
}

impl Failure {
    /// Nobody answered.
    pub(crate) fn passing(text: impl Into<String>) -> Failure {
        Failure { why: Why::Passing, text: text.into(), answered: false }
    }

    pub(crate) fn lasting(text: impl Into<String>) -> Failure {
        Failure { why: Why::Lasting, text: text.into(), answered: true }
    }

    pub(crate) fn of(error: &Error) -> Failure {
        let full = error.to_string();
        let why = match error {
            // A bucket that does not exist says nothing about what was in it.
            Error::NotFound { .. } if full.contains("NoSuchBucket") => Why::Lasting,
            Error::NotFound { .. } => Why::Absent,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => Why::Exists,
            Error::Generic { .. } => generic(status(&full), code(&full)),
            Error::JoinError { .. } => Why::Passing,
            _ => Why::Lasting,
        };
        // A gateway's answer is not that of the server behind it.
        let answered = match error {
            Error::Generic { .. } => marked(&full).is_some() && !matches!(status(&full), Some(502 | 504)),
            _ => !matches!(error, Error::JoinError { .. }),
        };
        Failure { why, text: told(error, &full), answered }
    }

    /// The same as an error of the store's: the bucket is away, and nothing that is stored is in doubt.
    pub(crate) fn unavailable(&self, during: &str, path: &Path) -> StorageError {
        let what = match self.why {
            Why::Passing => "was tried as often as it may be; try again later",
            Why::Absent | Why::Exists | Why::Lasting => {
                "is not tried again; mend the bucket, the credentials or the options"
            }
        };
        let detail = format!("{path}: {}; it {what}", self.text);
        StorageError::new(StorageErrorKind::Unavailable, during, detail)
    }
}

/// What is neither of those that `object_store` tells apart. An error may come within an answer of 200, of one object of
/// several or of a completion: then there is S3's own word and no status. Where there is neither, nobody answered.
fn generic(status: Option<u16>, code: Option<&str>) -> Why {
    match (status, code) {
        (None, Some("NoSuchKey" | "NoSuchUpload")) => Why::Absent,
        (_, Some(code)) if is_of_the_way(code) => Why::Passing,
        (Some(status), _) if can_pass(status) => Why::Passing,
        (None, Some("InternalError" | "SlowDown" | "ServiceUnavailable")) | (None, None) => Why::Passing,
        _ => Why::Lasting,
    }
}

/// Statuses that say "not now".
fn can_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// What S3 says, with the status 400, of a request that was cut, held up or changed on the way.
fn is_of_the_way(code: &str) -> bool {
    matches!(code, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch")
}

/// What stands before the server's own words.
const MARKS: [&str; 3] = [STATUS, "error response: ", OF_ONE];
const STATUS: &str = "status code: ";
const OF_ONE: &str = "failed for key ";

/// The mark that comes first, with what is before and behind it.
fn marked(text: &str) -> Option<(&'static str, &str, &str)> {
    let found =
        MARKS.into_iter().filter_map(|mark| text.split_once(mark).map(|(before, behind)| (mark, before, behind)));
    found.min_by_key(|(_, before, _)| before.len())
}

/// S3's own word for the failure: one word, or it is none.
fn code(text: &str) -> Option<&str> {
    let (mark, _, behind) = marked(text)?;
    let code = match mark {
        OF_ONE => behind.rsplit_once("(code: ")?.1.strip_suffix(')')?,
        _ => behind.split_once("<Code>")?.1.split_once("</Code>")?.0,
    };
    Some(code).filter(|code| code.len() < 100 && code.chars().all(|char| char.is_ascii_alphanumeric()))
}

/// The status within the text of an error; `object_store` gives it in no other way.
fn status(text: &str) -> Option<u16> {
    let (_, _, behind) = marked(text).filter(|(mark, _, _)| *mark == STATUS)?;
    behind.get(..3)?.parse().ok()
}

/// What may be told: everything up to where the server's own words begin, and S3's code out of those.
fn told(error: &Error, full: &str) -> String {
    let mut text = match marked(full) {
        Some((STATUS, before, behind)) => {
            format!("{before}{STATUS}{}", behind.split([':', '<']).next().unwrap_or_default())
        }
        Some((OF_ONE, before, _)) => format!("{before}failed"),
        Some((_, before, _)) => format!("{before}an error"),
        None => full.split('<').next().unwrap_or_default().to_owned(),
    };
    if let Some(code) = code(full) {
        text = format!("{} ({code})", text.trim_end());
    }
    // What is below a broken connection is the operating system's word, and nobody's secret.
    let mut cause = error.source();
    while let Some(error) = cause {
        let below = error.to_string();
        if !full.contains(&below) && !below.contains('<') && below.len() < 300 {
            text = format!("{text}: {below}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.into() }
    }

    fn not_found(text: &str) -> Error {
        Error::NotFound { path: "a".into(), source: text.into() }
    }

    #[test]
    fn only_what_can_pass_is_passing() {
        let of = |text: &str| Failure::of(&generic(text)).why;
        for status in ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests", "408 x"] {
            assert_eq!(of(&format!("Server returned non-2xx status code: {status}: ")), Why::Passing, "{status}");
        }
        for status in ["400 Bad Request", "405 x", "501"] {
            let expected = if status == "501" { Why::Passing } else { Why::Lasting };
            assert_eq!(of(&format!("Server returned non-2xx status code: {status}: ")), expected, "{status}");
        }
        for (code, expected) in
            [("RequestTimeout", Why::Passing), ("BadDigest", Why::Passing), ("InvalidPart", Why::Lasting)]
        {
            let text =
                format!("Server returned non-2xx status code: 400 Bad Request: <Error><Code>{code}</Code></Error>");
            assert_eq!(of(&text), expected, "{code}");
        }
        assert_eq!(of("connection reset by peer"), Why::Passing);
        for (code, expected) in [
            ("InternalError", Why::Passing),
            ("SlowDown", Why::Passing),
            ("ServiceUnavailable", Why::Passing),
            ("RequestTimeout", Why::Passing),
            ("AccessDenied", Why::Lasting),
            ("ObjectLocked", Why::Lasting),
            ("NoSuchKey", Why::Absent),
        ] {
            let of_one =
                format!("DeleteObjects request failed for key a: a status code: 503 (code: SlowDown) (code: {code})");
            assert_eq!(of(&of_one), expected, "{of_one}");
            let whole = format!("Server returned error response: <Error><Code>{code}</Code></Error>");
            assert_eq!(of(&whole), expected, "{whole}");
        }
        assert_eq!(Failure::of(&not_found("x")).why, Why::Absent);
        assert_eq!(Failure::of(&not_found("<Code>NoSuchBucket</Code>")).why, Why::Lasting);
        let denied = Error::PermissionDenied { path: "a".into(), source: "x".into() };
        assert_eq!(Failure::of(&denied).why, Why::Lasting);
        let precondition = Error::Precondition { path: "a".into(), source: "x".into() };
        assert_eq!(Failure::of(&precondition).why, Why::Exists);
    }

    #[test]
    fn what_a_server_answers_is_not_quoted() {
        let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>PUT\n\
                    x-amz-security-token:TOKEN</CanonicalRequest><AWSAccessKeyId>KEY</AWSAccessKeyId></Error>";
        for before in ["Server returned non-2xx status code: 403 Forbidden: ", "Server returned error response: "] {
            let source = format!("Error performing PUT http://s3/b/a in 1ms - {before}{body}");
            for error in [
                generic(&source),
                not_found(&source),
                Error::PermissionDenied { path: "a".into(), source: source.clone().into() },
            ] {
                let failure = Failure::of(&error);
                let error = failure.unavailable("uploading", &Path::from("a"));
                let text = format!("{failure:?} {error} {error:?}");
                assert!(text.contains("SignatureDoesNotMatch") && text.contains("http://s3/b/a"), "{text}");
                assert!(!text.contains("TOKEN") && !text.contains("KEY"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_said_of_one_object_of_several_is_not_quoted() {
        let said = "DeleteObjects request failed for key a: x-amz-security-token:TOKEN\nKEY (code: AccessDenied)";
        let failure = Failure::of(&generic(said));
        assert_eq!(failure.text, "Generic S3 error: DeleteObjects request failed (AccessDenied)");
        let failure = Failure::of(&generic("DeleteObjects request failed for key a: x (code: a KEY of mine)"));
        assert_eq!(failure.text, "Generic S3 error: DeleteObjects request failed");
    }
}
