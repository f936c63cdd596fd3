//! The table of all commands: what is known of each before its arguments are looked at.
//!
//! A request whose command is not in here is refused, and a client that asks `COMMAND` is told just this.

/// One command; `COMMAND` prints it.
#[derive(Debug)]
pub struct Shape {
    /// Its name, in lower case.
    pub name: &'static str,
    /// How many arguments it takes, its name included; if negative, at least that many.
    pub arity: i64,
    /// What kind it is, in Redis' words.
    pub flags: &'static [&'static str],
    /// Which arguments are keys: the first, the last (-1: of all), the step.
    pub keys: (i64, i64, i64),
}

const NO_KEYS: (i64, i64, i64) = (0, 0, 0);
const ONE_KEY: (i64, i64, i64) = (1, 1, 1);
const ALL_KEYS: (i64, i64, i64) = (1, -1, 1);
const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "denyoom", "fast"];
const ANY_TIME: &[&str] = &["loading", "stale", "fast"];
const ADMIN: &[&str] = &["admin", "loading", "stale"];

/// Every command there is.
pub const COMMANDS: [Shape; 24] = [
    shape("get", 2, READ, ONE_KEY),
    shape("mget", -2, READ, ALL_KEYS),
    shape("exists", -2, READ, ALL_KEYS),
    shape("dbsize", 1, READ, NO_KEYS),
    shape("set", 3, WRITE, ONE_KEY),
    shape("setnx", 3, WRITE, ONE_KEY),
    shape("mset", -3, WRITE, (1, -1, 2)),
    shape("append", 3, WRITE, ONE_KEY),
    shape("incr", 2, WRITE, ONE_KEY),
    shape("incrby", 3, WRITE, ONE_KEY),
    shape("del", -2, &["write"], ALL_KEYS),
    shape("ping", -1, ANY_TIME, NO_KEYS),
    shape("echo", 2, ANY_TIME, NO_KEYS),
    shape("hello", -1, ANY_TIME, NO_KEYS),
    shape("client", -2, ANY_TIME, NO_KEYS),
    shape("select", 2, ANY_TIME, NO_KEYS),
    shape("readonly", 1, ANY_TIME, NO_KEYS),
    shape("readwrite", 1, ANY_TIME, NO_KEYS),
    shape("quit", -1, ANY_TIME, NO_KEYS),
    shape("command", -1, ANY_TIME, NO_KEYS),
    shape("info", -1, ANY_TIME, NO_KEYS),
    shape("cluster", -2, ANY_TIME, NO_KEYS),
    shape("config", -2, ADMIN, NO_KEYS),
    shape("debug", -2, ADMIN, NO_KEYS),
];

const fn shape(name: &'static str, arity: i64, flags: &'static [&'static str], keys: (i64, i64, i64)) -> Shape {
    Shape { name, arity, flags, keys }
}
