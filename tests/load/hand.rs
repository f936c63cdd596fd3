//! A client that is led by hand: a test says what it asks next, and of whom. It remembers as the others do.

use std::time::Duration;

use super::{Load, writer::number_in};
use crate::{
    history::{Act, Operation},
    processes::{Client, Reply, wait_until},
};

/// How long it waits for a reply: a wrong one comes at once, but for a machine that stalls.
const PATIENCE: Duration = Duration::from_secs(3);

/// The client, with a key that is its own in this round.
pub struct Hand<'a> {
    load: &'a mut Load,
    key: String,
    last: i64,
}

/// A read under way.
pub struct Asked {
    client: Client,
    call: Duration,
}

impl<'a> Hand<'a> {
    pub fn new(load: &'a mut Load, name: &str) -> Hand<'a> {
        let key = format!("{name}-{}", load.round);
        let last = load.by_hand.count(&key);
        Hand { load, key, last }
    }

    /// Writes what was never written before, at whichever node takes it; returns it once it is acknowledged.
    pub fn write(&mut self) -> i64 {
        self.write_among(&[0, 1, 2])
    }

    /// The same at one of these nodes.
    pub fn write_among(&mut self, places: &[usize]) -> i64 {
        wait_until("a write is taken", || places.iter().find_map(|place| self.write_at(*place)))
    }

    /// Reads at one of these nodes, once one of them answers.
    pub fn read_among(&mut self, places: &[usize]) -> i64 {
        wait_until("a read is answered", || places.iter().find_map(|place| self.read_at(*place)))
    }

    /// Writes what was never written before, at this node; returns it if it is acknowledged.
    pub fn write_at(&mut self, place: usize) -> Option<i64> {
        self.last += 1;
        let value = self.last;
        let call = self.load.watch.now();
        let reply = self.client(place).and_then(|mut client| client.call(&["SET", &self.key, &value.to_string()]).ok());
        let end = (reply == Some(Reply::Status("OK".to_owned()))).then(|| self.load.watch.now());
        // Whatever else was said, or nothing: that it may have been done is always true enough.
        self.load.add(&self.key, Operation { act: Act::Write(value), call, end });
        end.map(|_| value)
    }

    /// Reads at this node; none where it does not answer.
    pub fn read_at(&mut self, place: usize) -> Option<i64> {
        let asked = self.ask_at(place)?;
        self.told(asked)?
    }

    /// Asks this node for what it reads there, without waiting for the reply.
    pub fn ask_at(&mut self, place: usize) -> Option<Asked> {
        let mut client = self.client(place)?;
        let call = self.load.watch.now();
        client.send(&[&["GET", &self.key]]).ok()?;
        Some(Asked { client, call })
    }

    /// The reply to it, if there is one; in it what it tells of the key, if it does not refuse to.
    pub fn told(&mut self, mut asked: Asked) -> Option<Option<i64>> {
        let reply = asked.client.reply().ok()?;
        let end = Some(self.load.watch.now());
        let told = number_in(&reply);
        if let Some(read) = told {
            self.load.add(&self.key, Operation { act: Act::Read(read), call: asked.call, end });
        }
        Some(told)
    }

    fn client(&self, place: usize) -> Option<Client> {
        Client::connect(&self.load.addresses[place], PATIENCE).ok()
    }
}
