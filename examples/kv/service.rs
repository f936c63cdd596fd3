//! What a request becomes: a proposal, a read, or an answer about this node.
//!
//! Requests come in the order in which one client sent them, and their effects and replies keep that order. They are cut
//! into runs of the same kind: all writes of a run are proposed at once, so that they share a save and a round of
//! messages; all reads of a run share one question to the cluster. A run begins when the one before it has its replies,
//! so a `GET` sees the `SET` that it follows and not the one that follows it.

use bytes::Bytes;
use eraft::{Node, NodeId, ProposeError, ReadError, Role, decode_reply, encode_command};
use redis_protocol::redis_keyslot;

use super::{
    codec::{Frame, Protocol},
    info,
    request::{Local, Query, Request},
    session::Session,
    store::{Command, Reply, Store, View},
};
use crate::cluster::Addresses;

/// What one reply may carry. A request names a key in few bytes, a thousand times if it likes, and each may hold a
/// megabyte: so the reply is measured before it is made.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// Answers clients on behalf of one node.
#[derive(Clone, Debug)]
pub struct Service {
    /// The member of the cluster.
    pub node: Node,
    /// What it replicates; only the node changes it.
    pub store: Store,
}

impl Service {
    /// The replies to `requests`, in their order, each with the protocol that was spoken when its turn came.
    pub async fn answer(&self, requests: &[Request], session: &mut Session) -> Vec<(Frame, Protocol)> {
        let mut replies = Vec::with_capacity(requests.len());
        for run in requests.chunk_by(|one, next| std::mem::discriminant(one) == std::mem::discriminant(next)) {
            match run.first() {
                Some(Request::Write(_)) => self.write_all(run, |reply| replies.push((reply, session.protocol()))).await,
                Some(Request::Read(_)) => self.read_all(run, |reply| replies.push((reply, session.protocol()))).await,
                _ => run.iter().for_each(|request| {
                    let reply = self.tell(request, session);
                    replies.push((reply, session.protocol()));
                }),
            }
        }
        replies
    }

    async fn write_all(&self, run: &[Request], mut answer: impl FnMut(Frame)) {
        // A proposal takes its place in the log's order when it is made, whenever its reply is asked for.
        let replies: Vec<_> = run.iter().filter_map(Request::as_write).map(|command| self.write(command)).collect();
        for reply in replies {
            answer(reply.await);
        }
    }

    /// Proposes a command at once; its reply comes later.
    fn write(&self, command: &Command) -> impl Future<Output = Frame> {
        let proposed = encode_command(command).map(|bytes| self.node.propose(bytes));
        async move {
            let reply = match proposed {
                Ok(proposal) => proposal.await,
                Err(why) => return error(format!("ERR not written: {why}")),
            };
            match reply.map(|reply| decode_reply(&reply)) {
                Ok(Ok(Reply::Done)) => Frame::SimpleString("OK".to_owned()),
                Ok(Ok(Reply::Number(number))) => Frame::Integer(number),
                Ok(Ok(Reply::Refused(why))) => error(why),
                Ok(Err(why)) => error(format!("ERR {why}")),
                Err(refused) => self.not_written(&refused, command.first_key()),
            }
        }
    }

    async fn read_all(&self, run: &[Request], answer: impl FnMut(Frame)) {
        // Asked once for the whole run: whatever was committed before any of these reads began is in the store after it.
        let current = self.node.linearizable_read().await;
        // One view for the run: it is refused as a whole, or answered as of one moment.
        let view = match current {
            Ok(()) => Ok(self.store.whole().await),
            Err(refused) => Err(refused),
        };
        let replies = run.iter().filter_map(Request::as_read).map(|query| match &view {
            Ok(view) => look(view, query),
            Err(refused) => self.not_read(refused, query.first_key()),
        });
        replies.for_each(answer);
    }

    fn tell(&self, request: &Request, session: &mut Session) -> Frame {
        match request {
            Request::Local(Local::Ping) => Frame::SimpleString("PONG".to_owned()),
            Request::Local(Local::Echo(word)) => Frame::BulkString(word.clone()),
            Request::Local(Local::Granted | Local::Quit) => Frame::SimpleString("OK".to_owned()),
            Request::Local(Local::Introduction(introduction)) => {
                session.answer(introduction, self.node.status().raft.role == Role::Leader)
            }
            Request::Local(Local::KeySlot(key)) => Frame::Integer(redis_keyslot(key).into()),
            Request::Local(Local::Digest) => Frame::SimpleString(format!("{:040x}", self.store.now().digest())),
            Request::Local(Local::About(about)) => info::tell(about, &self.node.status(), &self.store),
            Request::Refused(why) => error(why.clone()),
            Request::Write(_) | Request::Read(_) => error("ERR this takes agreement"),
        }
    }

    /// A client must be able to tell a write that never happened from one that may have. `MOVED`, `CLUSTERDOWN` and
    /// `TRYAGAIN` say the former: clients send such a command again by themselves, which would count an `INCR` twice.
    /// So an unknown outcome is none of these.
    fn not_written(&self, refused: &ProposeError, key: &[u8]) -> Frame {
        match refused {
            _ if refused.may_have_committed() => {
                error(format!("ERR outcome unknown, the write may or may not have been applied: {refused}"))
            }
            ProposeError::NotLeader { leader } => self.moved(*leader, key),
            ProposeError::Busy => error(format!("TRYAGAIN not written: {refused}")),
            _ => error(format!("ERR not written: {refused}")),
        }
    }

    fn not_read(&self, refused: &ReadError, key: &[u8]) -> Frame {
        match refused {
            ReadError::NotLeader { leader } => self.moved(*leader, key),
            ReadError::Busy => error(format!("TRYAGAIN not read: {refused}")),
            _ => error(format!("ERR not read: {refused}")),
        }
    }

    /// Sends the client where the leader serves clients; every slot is the leader's.
    fn moved(&self, leader: Option<NodeId>, key: &[u8]) -> Frame {
        let status = self.node.status();
        // Knowing only itself, this node has just lost, or not yet opened, its leadership: the client asks again.
        let member = leader.filter(|id| *id != status.raft.id).and_then(|id| status.raft.conf_state.members.get(&id));
        match member.and_then(|member| Addresses::from_context(&member.context).ok()) {
            Some(addresses) => error(format!("MOVED {} {}", redis_keyslot(key), addresses.client)),
            None => error("CLUSTERDOWN no leader is known, ask again soon"),
        }
    }
}

fn look(view: &View<'_>, query: &Query) -> Frame {
    let bulk = |value: Option<Bytes>| value.map_or(Frame::Null, Frame::BulkString);
    match query {
        Query::Get(key) => bulk(view.get(key)),
        Query::GetAll(keys) => {
            let values: Vec<Option<Bytes>> = keys.iter().map(|key| view.get(key)).collect();
            let bytes: usize = values.iter().flatten().map(Bytes::len).sum();
            if bytes > MAX_REPLY_BYTES {
                let why = "ask for fewer keys at once";
                return error(format!("ERR {bytes} bytes are more than one reply carries, {MAX_REPLY_BYTES}: {why}"));
            }
            Frame::Array(values.into_iter().map(bulk).collect())
        }
        Query::Exists(keys) => number(keys.iter().filter(|key| view.get(key).is_some()).count()),
        Query::DbSize => number(view.key_count()),
    }
}

pub(super) fn error(text: impl Into<String>) -> Frame {
    // An error is one line: a line end inside it would be read as the next reply.
    Frame::Error(text.into().replace(['\r', '\n'], " "))
}

pub(super) fn number(number: usize) -> Frame {
    Frame::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
