//! Where the faults are: between the client's requests and the server's answers.

use std::{io, sync::Arc};

use async_trait::async_trait;
use object_store::{
    ObjectStore,
    client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
    multipart::MultipartStore,
};

use super::{
    Faults,
    body::{self, Way, reset},
    plan::{Fault, Operation},
    request::Request,
    server::{Answer, Server},
};

#[derive(Debug)]
pub(super) struct Service<S> {
    server: Arc<Server<S>>,
    faults: Faults,
}

impl<S> Service<S> {
    pub(super) fn new(server: Arc<Server<S>>, faults: Faults) -> Service<S> {
        Service { server, faults }
    }
}

#[async_trait]
impl<S: ObjectStore + MultipartStore> HttpService for Service<S> {
    /// Gives way before and after the effect, so that whoever gives a request up does so on either side of it.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = Request::read(request).await;
        let (index, fault) = self.faults.plan().meet(request.operation, &request.path, request.part);
        tokio::task::yield_now().await;
        let answered = self.meet(request, fault, self.faults.seed ^ index as u64).await;
        tokio::task::yield_now().await;
        answered
    }
}

impl<S: ObjectStore + MultipartStore> Service<S> {
    async fn meet(&self, mut request: Request, fault: Option<Fault>, seed: u64) -> Result<HttpResponse, HttpError> {
        let down = request.operation == Operation::Get;
        let way = match fault {
            None => Way::Whole,
            Some(Fault::Status(status)) => return Ok(answered(Answer::error(status), Way::Whole)),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Reset) if !down => return Err(reset()),
            Some(Fault::Stale) => return Ok(answered(self.server.stale(&request), Way::Whole)),
            Some(Fault::Reset) => Way::Reset,
            Some(Fault::Short) if down => Way::Short,
            Some(Fault::Slow) if down => Way::Slow,
            Some(Fault::Flip) if down => Way::Flip(seed),
            Some(Fault::ErrorInBody) => {
                return Ok(answered(Answer { status: 200, ..Answer::error(500) }, Way::Whole));
            }
            Some(Fault::Short) => {
                request.body.truncate(request.body.len() / 2);
                Way::Whole
            }
            Some(Fault::Flip) => {
                request.body = body::flipped(&request.body, seed);
                Way::Whole
            }
            Some(Fault::Slow) => {
                body::wait_for(request.body.len()).await;
                Way::Whole
            }
            Some(Fault::StatusDone(_) | Fault::HangDone | Fault::ResetDone) => Way::Whole,
        };
        let answer = self.server.answer(&request).await;
        match fault {
            Some(Fault::StatusDone(status)) => Ok(answered(Answer::error(status), Way::Whole)),
            Some(Fault::HangDone) => std::future::pending().await,
            // A server that closes without an answer: the client calls this a request that was not sent, and is wrong.
            Some(Fault::ResetDone) => Err(HttpError::new(HttpErrorKind::Request, closed())),
            _ => Ok(answered(answer, way)),
        }
    }
}

fn answered(answer: Answer, way: Way) -> HttpResponse {
    let length = answer.body.len();
    let mut response = HttpResponse::new(body::on_its_way(answer.body, way));
    *response.status_mut() = answer.status.try_into().expect("a status");
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response.headers_mut().entry("content-length").or_insert_with(|| length.into());
    response
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed before message completed")
}
