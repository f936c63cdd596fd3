//! What a request becomes: a proposal, a read, or an answer about this node.
//!
//! Requests come in the order in which one client sent them, and their effects and replies keep that order. They are cut
//! into runs of the same kind: all writes of a run are proposed at once, so that they share a save and a round of
//! messages; all reads of a run share one question to the cluster. A run begins when the one before it has its replies,
//! so a `GET` sees the `SET` that it follows and not the one that follows it.

use eraft::{Node, NodeId, ProposeError, ReadError, decode_reply, encode_command};
use futures_util::{StreamExt, stream::FuturesOrdered};
use redis_protocol::{redis_keyslot, resp2::types::BytesFrame as Frame};

use super::{
    info,
    request::{Local, Query, Request},
    store::{Command, Reply, Store},
};
use crate::cluster::Addresses;

/// Answers clients on behalf of one node.
#[derive(Clone, Debug)]
pub struct Service {
    /// The member of the cluster.
    pub node: Node,
    /// What it replicates; only the node changes it.
    pub store: Store,
}

impl Service {
    /// The replies to `requests`, in their order.
    pub async fn answer(&self, requests: &[Request]) -> Vec<Frame> {
        let mut replies = Vec::with_capacity(requests.len());
        for run in requests.chunk_by(|one, next| std::mem::discriminant(one) == std::mem::discriminant(next)) {
            match run.first() {
                Some(Request::Write(_)) => self.write_all(run, &mut replies).await,
                Some(Request::Read(_)) => self.read_all(run, &mut replies).await,
                _ => replies.extend(run.iter().map(|request| self.tell(request))),
            }
        }
        replies
    }

    async fn write_all(&self, run: &[Request], replies: &mut Vec<Frame>) {
        let mut proposals: FuturesOrdered<_> =
            run.iter().filter_map(Request::as_write).map(|command| self.write(command)).collect();
        // A proposal is handed to the node when it is first polled, and these are polled in their order. Under tokio's
        // budget one of them could be told to wait, and the next one pass it: hence without.
        let all_replies = async {
            while let Some(reply) = proposals.next().await {
                replies.push(reply);
            }
        };
        tokio::task::unconstrained(all_replies).await;
    }

    async fn write(&self, command: &Command) -> Frame {
        let command_bytes = match encode_command(command) {
            Ok(bytes) => bytes,
            Err(why) => return error(format!("ERR not written: {why}")),
        };
        let reply = match self.node.propose(command_bytes).await {
            Ok(reply) => reply,
            Err(refused) => return self.not_written(&refused, command.first_key()),
        };
        match decode_reply(&reply) {
            Ok(Reply::Done) => Frame::SimpleString("OK".into()),
            Ok(Reply::Number(number)) => Frame::Integer(number),
            Ok(Reply::Refused(why)) => error(why),
            Err(why) => error(format!("ERR {why}")),
        }
    }

    async fn read_all(&self, run: &[Request], replies: &mut Vec<Frame>) {
        // Asked once for the whole run: whatever was committed before any of these reads began is in the store after it.
        let current = self.node.linearizable_read().await;
        // One view for the run: it is refused as a whole, or answered as of one moment.
        let view = match current {
            Ok(()) => Ok(self.store.whole().await),
            Err(refused) => Err(refused),
        };
        replies.extend(run.iter().filter_map(Request::as_read).map(|query| match (&view, query) {
            (Ok(view), Query::Get(key)) => view.get(key).map_or(Frame::Null, Frame::BulkString),
            (Ok(view), Query::DbSize) => Frame::Integer(i64::try_from(view.key_count()).unwrap_or(i64::MAX)),
            (Err(refused), Query::Get(key)) => self.not_read(refused, key),
            (Err(refused), Query::DbSize) => self.not_read(refused, b""),
        }));
    }

    fn tell(&self, request: &Request) -> Frame {
        match request {
            Request::Local(Local::Ping(None)) => Frame::SimpleString("PONG".into()),
            Request::Local(Local::Ping(Some(word))) => Frame::BulkString(word.clone()),
            Request::Local(Local::KeySlot(key)) => Frame::Integer(redis_keyslot(key).into()),
            Request::Local(Local::Digest) => Frame::SimpleString(format!("{:040x}", self.store.now().digest()).into()),
            Request::Local(Local::About(about)) => info::tell(about, &self.node.status(), &self.store),
            Request::Local(Local::Quit) => Frame::SimpleString("OK".into()),
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

pub(super) fn error(text: impl Into<String>) -> Frame {
    // An error is one line: a line end inside it would be read as the next reply.
    let text: String = text.into().replace(['\r', '\n'], " ");
    Frame::Error(text.into())
}
