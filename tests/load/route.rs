//! The way from one client to the leader, as the nodes point it out.

use std::{io, sync::atomic::Ordering::SeqCst, thread, time::Duration};

use super::{Board, CALL_TIMEOUT};
use crate::processes::{Client, Reply};

/// How long a client waits before it asks again where nobody leads, or nobody listens.
const PAUSE: Duration = Duration::from_millis(20);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done, and this is the reply.
    Reply(Reply),
    /// It may or may not have been done.
    Lost,
    /// It was not done, and the round is over.
    RoundOver,
}

/// Where a client sends what it asks.
pub struct Route<'a> {
    addresses: &'a [String],
    at: String,
    connection: Option<Client>,
}

impl Route<'_> {
    /// To begin with, to the node at `place` (modulo their number).
    pub fn new(addresses: &[String], place: usize) -> Route<'_> {
        Route { addresses, at: addresses[place % addresses.len()].clone(), connection: None }
    }

    /// Sends one command to whoever leads. It is sent again only where the answer says that it was not done.
    pub fn ask(&mut self, command: &[&str], board: &Board) -> Answer {
        while !board.stop.load(SeqCst) {
            let Some(connection) = self.connection() else { continue };
            board.in_flight.fetch_add(1, SeqCst);
            let reply = connection.call(command);
            board.in_flight.fetch_sub(1, SeqCst);
            match reply {
                Ok(Reply::Error(refused)) if refused.starts_with("MOVED") => {
                    let (_, leader) = refused.rsplit_once(' ').unwrap();
                    leader.clone_into(&mut self.at);
                    self.connection = None;
                }
                Ok(Reply::Error(refused)) if never_done(&refused) => self.look_elsewhere(),
                Ok(Reply::Error(refused)) if refused.starts_with("ERR outcome unknown") => return Answer::Lost,
                Ok(Reply::Error(refused)) => panic!("{command:?} was answered {refused:?}"),
                Ok(reply) => return Answer::Reply(reply),
                Err(lost) => {
                    assert_ne!(lost.kind(), io::ErrorKind::Other, "not an answer: {lost}");
                    self.look_elsewhere();
                    return Answer::Lost;
                }
            }
        }
        Answer::RoundOver
    }

    /// Goes on at the node at `place`, whoever leads.
    pub fn turn_to(&mut self, place: usize) {
        if self.at != self.addresses[place] {
            self.addresses[place].clone_into(&mut self.at);
            self.connection = None;
        }
    }

    fn connection(&mut self) -> Option<&mut Client> {
        if self.connection.is_none() {
            match Client::connect(&self.at, CALL_TIMEOUT) {
                Ok(connection) => self.connection = Some(connection),
                Err(_) => self.look_elsewhere(),
            }
        }
        self.connection.as_mut()
    }

    fn look_elsewhere(&mut self) {
        thread::sleep(PAUSE);
        self.connection = None;
        let here = self.addresses.iter().position(|address| *address == self.at).unwrap_or(0);
        self.at.clone_from(&self.addresses[(here + 1) % self.addresses.len()]);
    }
}

fn never_done(refused: &str) -> bool {
    ["CLUSTERDOWN", "TRYAGAIN", "ERR not written", "ERR not read"].iter().any(|prefix| refused.starts_with(prefix))
}
