//! The judge: goes through a record in its order, and finds every statement that left before what it vouches for was
//! durable.
//!
//! | What leaves | must be durable before |
//! |---|---|
//! | a reply that a write is done, or that shows what a write wrote | the write, on a majority |
//! | `AppendEntries` with a commit index | every entry up to it, on a majority |
//! | `Appended` | every entry of this leader up to the matched one, on the node that says it |
//! | a vote, a request for votes | that vote in that term, there |
//! | any other message but a pre-vote or a request for one | its term, there |

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use eraft_core::{NodeId, Term};
use eraft_transport_grpc::proto::{self, message::Body};

use super::{
    calls::Call,
    disks::{Disk, Fact},
    load::{Memory, Request},
    marks,
    streams::{self, Reply, Said, Statement},
};

/// A node as others see it.
#[derive(Clone, Debug)]
pub struct Place {
    pub data: PathBuf,
    pub client: SocketAddr,
    pub peer: SocketAddr,
}

/// How often what was judged has occurred. A run in which something did not occur has not shown it.
#[derive(Debug, Default)]
pub struct Figures {
    /// Replies that a write is done.
    pub done: u64,
    /// Replies that showed what a write had written.
    pub shown: u64,
    /// Acknowledgements that vouched for a command that their node had not vouched for before.
    pub appended: u64,
    /// Commit indexes that vouched for a command that their node had not vouched for before.
    pub committed: u64,
    pub votes: u64,
    pub candidacies: u64,
    /// Other messages whose term had to be durable.
    pub terms: u64,
    pub syncs: u64,
    /// What left too early.
    pub early: Vec<String>,
}

struct Judge<'a> {
    memory: &'a Memory,
    disks: Vec<Disk>,
    /// What the entries of each leader, by its term, hold.
    sent: BTreeMap<u64, BTreeMap<u64, Vec<u32>>>,
    /// What each node has vouched for.
    appended: BTreeSet<(u64, u32)>,
    committed: BTreeSet<u32>,
    figures: Figures,
}

/// Judges what the nodes at `places`, numbered from 1, have done and said.
pub fn judge(calls: &[Call], places: &[Place], memory: &Memory) -> Figures {
    let [clients, peers] = [|place: &Place| place.client, |place: &Place| place.peer]
        .map(|address| places.iter().map(address).collect::<Vec<_>>());
    let disks = places.iter().map(|place| Disk::new(&place.data, places.len() as u64)).collect();
    let figures = Figures::default();
    let (sent, appended, committed) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut judge = Judge { memory, disks, sent, appended, committed, figures };
    // A call that began and ended on one line began first.
    let begun = calls.iter().enumerate().map(|(number, call)| (call.begun, false, number));
    let ended = calls.iter().enumerate().filter_map(|(number, call)| Some((call.ended?, true, number)));
    let mut moments: Vec<_> = begun.chain(ended).collect();
    moments.sort_unstable();
    let mut statements = streams::read(calls, &peers, &clients).into_iter().peekable();
    for (line, has_ended, number) in moments {
        while let Some(statement) = statements.next_if(|statement| statement.line <= line) {
            judge.hear(&statement);
        }
        for disk in &mut judge.disks {
            if has_ended { disk.end(number, &calls[number]) } else { disk.begin(number, &calls[number]) }
        }
    }
    judge.figures.syncs = judge.disks.iter().map(|disk| disk.syncs).sum();
    judge.figures
}

impl Judge<'_> {
    fn hear(&mut self, statement: &Statement) {
        match &statement.said {
            Said::Message(message) => self.hear_message(statement.line, message),
            Said::Reply { node, client, place, reply } => {
                let asked = self.memory.get(&(*node, *client)).and_then(|asked| asked.get(*place));
                self.hear_reply(statement.line, asked, reply);
            }
        }
    }

    fn hear_reply(&mut self, line: usize, asked: Option<&Request>, reply: &Reply) {
        let vouched = match (asked, reply) {
            (Some(Request::Write(mark)), Reply::Done) => {
                self.figures.done += 1;
                vec![*mark]
            }
            (Some(Request::Read), Reply::Value(value)) => {
                self.figures.shown += 1;
                marks(value)
            }
            _ => vec![],
        };
        self.demand_majority(line, &vouched, || format!("{asked:?} was answered {reply:?}"));
    }

    fn hear_message(&mut self, line: usize, message: &proto::Message) {
        let Some(body) = &message.body else { return };
        let (from, term) = (message.from, Term(message.term));
        match body {
            Body::RequestPreVote(_) | Body::PreVote(_) => return,
            Body::Vote(vote) if vote.granted => {
                self.figures.votes += 1;
                self.demand_vote(line, from, term, message.to);
            }
            Body::RequestVote(_) => {
                self.figures.candidacies += 1;
                self.demand_vote(line, from, term, from);
            }
            Body::AppendEntries(append) => {
                let sent = self.sent.entry(term.0).or_default();
                sent.extend(append.entries.iter().map(|entry| (entry.index, marks(&entry.payload))));
                let vouched: Vec<u32> = sent.range(..=append.commit).flat_map(|(_, marks)| marks).copied().collect();
                let new: Vec<u32> = vouched.into_iter().filter(|mark| self.committed.insert(*mark)).collect();
                self.figures.committed += u64::from(!new.is_empty());
                self.demand_majority(line, &new, || format!("node {from} sent commit index {}", append.commit));
            }
            Body::Appended(appended) => self.hear_appended(line, message, appended.matched),
            _ => {}
        }
        // The founders' first entry is of term 1, and was saved before the record began.
        if term > Term(1) {
            self.figures.terms += 1;
            if !self.disk(from).holds_term(term) {
                self.early(line, &format!("node {from} sent {body:?}, and {term:?} was not durable there"));
            }
        }
    }

    fn hear_appended(&mut self, line: usize, message: &proto::Message, matched: u64) {
        let sent = self.sent.entry(message.term).or_default();
        let vouched: Vec<u32> = sent.range(..=matched).flat_map(|(_, marks)| marks).copied().collect();
        let new: Vec<u32> = vouched.into_iter().filter(|mark| self.appended.insert((message.from, *mark))).collect();
        self.figures.appended += u64::from(!new.is_empty());
        for mark in new {
            if !self.disk(message.from).holds(Fact::Command(mark)) {
                let said =
                    format!("node {} acknowledged {matched}, and command {mark} was not durable there", message.from);
                self.early(line, &said);
            }
        }
    }

    fn demand_vote(&mut self, line: usize, node: u64, term: Term, vote: u64) {
        if !self.disk(node).holds(Fact::Vote(term, Some(NodeId(vote)))) {
            self.early(line, &format!("node {node} told its vote for {vote} in {term:?}, which was not durable"));
        }
    }

    fn demand_majority(&mut self, line: usize, marks: &[u32], what: impl Fn() -> String) {
        for mark in marks {
            let holders = self.disks.iter().filter(|disk| disk.holds(Fact::Command(*mark))).count();
            if holders <= self.disks.len() / 2 {
                self.early(line, &format!("{}: command {mark} was durable on {holders} nodes", what()));
            }
        }
    }

    fn disk(&self, node: u64) -> &Disk {
        &self.disks[usize::try_from(node).unwrap() - 1]
    }

    fn early(&mut self, line: usize, what: &str) {
        self.figures.early.push(format!("line {}: {what}", line + 1));
    }
}
