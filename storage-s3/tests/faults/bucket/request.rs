//! A request to S3, taken apart: what it asks for, of which object, with which bytes.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::{client::HttpRequest, path::Path};

use super::plan::Operation;

/// Path-style: the bucket comes first.
const BUCKET: &str = "/bucket";

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) operation: Operation,
    /// The object; for a listing, the prefix.
    pub(super) path: Path,
    pub(super) body: Bytes,
    pub(super) upload: String,
    /// As S3 counts parts: from 1; 0 where it is none.
    pub(super) part: usize,
    pub(super) range: Option<String>,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
}

impl Request {
    /// # Panics
    /// For what the server behind it does not serve.
    pub(super) async fn read(request: HttpRequest) -> Request {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let asks = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let key = head.uri.path().strip_prefix(BUCKET).expect("there is one bucket").trim_start_matches('/');
        let path = value("prefix").map_or_else(|| key.to_owned(), |prefix| prefix.replace('+', "%20"));
        let operation = match head.method.as_str() {
            "PUT" if asks("partNumber") => Operation::PutPart,
            "PUT" => Operation::Put,
            "POST" if asks("uploads") => Operation::CreateMultipart,
            "POST" if asks("uploadId") => Operation::Complete,
            "DELETE" if asks("uploadId") => Operation::Abort,
            "DELETE" => Operation::Delete,
            "GET" if asks("list-type") => Operation::List,
            "GET" => Operation::Get,
            "HEAD" => Operation::Head,
            other => panic!("{other} {} is not served", head.uri),
        };
        let header = |name: &str| Some(head.headers.get(name)?.to_str().expect("it is text").to_owned());
        Request {
            operation,
            path: Path::from_url_path(path).expect("a path that object_store encoded"),
            body: body.collect().await.expect("a body in memory").to_bytes(),
            upload: value("uploadId").unwrap_or_default().to_owned(),
            part: value("partNumber").map_or(0, |part| part.parse().expect("a number")),
            range: header("range"),
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
        }
    }
}
