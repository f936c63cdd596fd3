//! Which request meets which fault, and what was seen of the requests.

use std::collections::BTreeMap;

use object_store::path::Path;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    /// It is answered with this status, and nothing is done.
    Status(u16),
    /// It is done, and answered with this status.
    StatusDone(u16),
    /// `200 OK` over a body that says `InternalError`, as S3 answers to a completion that it gave up.
    ErrorInBody,
    /// Nothing is done, and nothing is answered, ever.
    Hang,
    /// It is done, and nothing is answered, ever.
    HangDone,
    /// The connection is reset: in the midst of the body that comes down, or else before all of the request has come up.
    Reset,
    /// It is done, and the connection closed without an answer.
    ResetDone,
    /// The body ends at its half, and nobody says so: on the way down, or before it is stored.
    Short,
    /// The body moves at 1 kB/s.
    Slow,
    /// One byte of the body, drawn by the seed, has one bit flipped: on the way down, or before it is stored.
    Flip,
    /// A listing as it was before the last three changes.
    Stale,
}

impl Fault {
    /// Every one of them, each status that a server may answer included.
    pub(crate) const ALL: [Fault; 18] = [
        Fault::Status(500),
        Fault::StatusDone(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::Status(400),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(409),
        Fault::Status(412),
        Fault::ErrorInBody,
        Fault::Hang,
        Fault::HangDone,
        Fault::Reset,
        Fault::ResetDone,
        Fault::Short,
        Fault::Slow,
        Fault::Flip,
        Fault::Stale,
    ];

    /// Whether a request of this kind can meet it at all.
    pub(crate) fn befalls(self, operation: Operation) -> bool {
        use Operation::{Complete, Get, List, Put, PutPart};
        match self {
            Fault::Short | Fault::Slow | Fault::Flip => matches!(operation, Get | Put | PutPart),
            Fault::ErrorInBody => operation == Complete,
            Fault::Stale => operation == List,
            // What only reads has no effect that could come before or after.
            _ if self.is_done() => operation.changes(),
            _ => true,
        }
    }

    /// Whether the same request, sent again, may be served. What was stored wrong stays wrong.
    pub(crate) fn passes_for(self, operation: Operation) -> bool {
        match self {
            Fault::Status(403 | 404 | 409 | 412) => false,
            Fault::Short | Fault::Flip => operation == Operation::Get,
            _ => true,
        }
    }

    /// Whether what was asked for is done all the same.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Fault::StatusDone(_) | Fault::HangDone | Fault::ResetDone)
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Put,
    CreateMultipart,
    PutPart,
    Complete,
    Abort,
    Get,
    Head,
    Delete,
    List,
}

impl Operation {
    fn changes(self) -> bool {
        !matches!(self, Operation::Get | Operation::Head | Operation::List)
    }
}

/// One request, as it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) path: Path,
    /// Which part it sends, counted from 1; else 0.
    pub(crate) part: usize,
    pub(crate) fault: Option<Fault>,
}

/// The planned faults, and the requests that there were, in their order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    at: BTreeMap<usize, Fault>,
    from: Option<(usize, Fault)>,
    pub(super) calls: Vec<Call>,
}

impl Plan {
    pub(super) fn add(&mut self, index: usize, fault: Fault) {
        self.at.insert(index, fault);
    }

    pub(super) fn add_from(&mut self, index: usize, fault: Fault) {
        self.from = Some((index, fault));
    }

    pub(super) fn heal(&mut self) {
        self.at.clear();
        self.from = None;
    }

    /// Counts a request, and says its index and what it meets.
    pub(super) fn meet(&mut self, operation: Operation, path: &Path, part: usize) -> (usize, Option<Fault>) {
        let index = self.calls.len();
        let lasting = self.from.filter(|(from, _)| index >= *from).map(|(_, fault)| fault);
        let fault = self.at.get(&index).copied().or(lasting).filter(|fault| fault.befalls(operation));
        self.calls.push(Call { operation, path: path.clone(), part, fault });
        (index, fault)
    }
}
