//! A client of whoever leads.
//!
//! A machine that stalls for a second may see another leader at any moment, and a test that is not about elections goes on
//! with that one.

use std::time::Duration;

use super::{Client, Reply, Trio, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// The client, which finds the next leader by itself. What it asks is asked again where one steps down or a reply is lost:
/// it must be safe to do twice.
pub struct AtLeader<'a> {
    trio: &'a Trio,
    client: Option<Client>,
}

impl<'a> AtLeader<'a> {
    pub fn of(trio: &'a Trio) -> AtLeader<'a> {
        AtLeader { trio, client: None }
    }

    /// The first reply that is no error.
    pub fn call(&mut self, words: &[&str]) -> Reply {
        self.until(&words.join(" "), |client| client.call(words).ok().filter(|reply| !matches!(reply, Reply::Error(_))))
    }

    /// What `ask` makes of a leader, once that is something.
    pub fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Client) -> Option<T>) -> T {
        wait_until(what, || {
            let client = match &mut self.client {
                Some(client) => client,
                none => none.insert(Client::connect(&self.trio.nodes[self.trio.leader().0].client, PATIENCE).ok()?),
            };
            let found = ask(client);
            if found.is_none() {
                self.client = None;
            }
            found
        })
    }
}
