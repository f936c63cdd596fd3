//! What a client can ask for: arguments become a [`Request`], whose kind says how it is answered.

use bytes::Bytes;

use super::{
    commands::{COMMANDS, Shape},
    session::{self, Introduction},
    store::{self, Command},
};

/// What is told of the arguments of a command that is not known, in bytes; the same in Redis.
const MAX_TOLD_BYTES: usize = 128;
/// Names, sections and settings are compared by no more than this.
const MAX_WORD_BYTES: usize = 64;

/// One request, by what it takes to answer it.
#[derive(Debug)]
pub enum Request {
    /// Goes through the log.
    Write(Command),
    /// Is answered from the store here, once that is known to be current.
    Read(Query),
    /// Is answered by this node about itself.
    Local(Local),
    /// Is no request that we know; the text is the reply.
    Refused(String),
}

/// Something to be read.
#[derive(Debug)]
pub enum Query {
    /// The value of a key.
    Get(Bytes),
    /// The values of these keys, all of the same moment.
    GetAll(Vec<Bytes>),
    /// How many of these keys there are; one that is named twice counts twice.
    Exists(Vec<Bytes>),
    /// How many keys there are.
    DbSize,
}

impl Query {
    /// The key that stands for the whole query where a cluster client asks for one.
    pub fn first_key(&self) -> &[u8] {
        match self {
            Query::Get(key) => key,
            Query::GetAll(keys) | Query::Exists(keys) => keys.first().map_or(b"", |key| key),
            Query::DbSize => b"",
        }
    }
}

/// Something that needs no agreement.
#[derive(Debug)]
pub enum Local {
    /// Whether the node lives.
    Ping,
    /// The same word back.
    Echo(Bytes),
    /// What there is nothing to do about: whoever asked for it has it already.
    Granted,
    /// What a connection says of itself.
    Introduction(Introduction),
    /// The slot of a key.
    KeySlot(Bytes),
    /// A digest of everything in the store here, current or not: equal on two nodes that hold the same.
    Digest,
    /// What this node knows of itself and of its cluster.
    About(About),
    /// Closes the connection.
    Quit,
}

/// Something that a node knows by itself.
#[derive(Debug)]
pub enum About {
    /// One section of what it knows of itself, or all of them.
    Info(Option<String>),
    /// What commands there are.
    Commands,
    /// What is known of these commands.
    CommandInfo(Vec<String>),
    /// How many commands there are.
    CommandCount,
    /// The commands' names.
    CommandList,
    /// Their documentation, which redis-cli asks for when it starts: there is none.
    CommandDocs,
    /// Who serves which slots, as a table.
    ClusterSlots,
    /// Who serves which slots, as a table of a later kind.
    ClusterShards,
    /// Who is in the cluster, as text.
    ClusterNodes,
    /// How the cluster is, as text.
    ClusterInfo,
    /// This node's id.
    ClusterMyId,
    /// The settings whose names fit one of these patterns.
    ConfigGet(Vec<String>),
}

impl Request {
    /// The request that `arguments` make.
    ///
    /// # Errors
    /// The text of the error reply, when they make none.
    pub fn parse(arguments: Vec<Bytes>) -> Result<Request, String> {
        let mut arguments = arguments.into_iter();
        let called = arguments.next().unwrap_or_default();
        let name = word(&called);
        let shape = COMMANDS.iter().find(|shape| shape.name == name);
        let shape = shape.ok_or_else(|| unknown(&called, arguments.as_slice()))?;
        check_arity(shape, arguments.len())?;
        let mut next = || arguments.next().unwrap_or_default();
        Ok(match shape.name {
            "set" => Request::Write(Command::Set { key: next(), value: next() }),
            "setnx" => Request::Write(Command::SetIfAbsent { key: next(), value: next() }),
            "append" => Request::Write(Command::Append { key: next(), tail: next() }),
            "incr" => Request::Write(Command::Incr { key: next() }),
            "incrby" => {
                let (key, by) = (next(), store::integer(&next()).ok_or(store::NOT_A_NUMBER)?);
                Request::Write(Command::IncrBy { key, by })
            }
            "del" => Request::Write(Command::Del { keys: arguments.collect() }),
            "mset" => Request::Write(Command::SetAll { pairs: pairs(arguments.as_slice())? }),
            "get" => Request::Read(Query::Get(next())),
            "mget" => Request::Read(Query::GetAll(arguments.collect())),
            "exists" => Request::Read(Query::Exists(arguments.collect())),
            "dbsize" => Request::Read(Query::DbSize),
            _ => Request::Local(Local::parse(shape.name, arguments.as_slice())?),
        })
    }

    /// The command, if this is a write.
    pub fn as_write(&self) -> Option<&Command> {
        match self {
            Request::Write(command) => Some(command),
            _ => None,
        }
    }

    /// What is asked for, if this is a read.
    pub fn as_read(&self) -> Option<&Query> {
        match self {
            Request::Read(query) => Some(query),
            _ => None,
        }
    }
}

impl Local {
    fn parse(name: &str, arguments: &[Bytes]) -> Result<Local, String> {
        let words: Vec<String> = arguments.iter().take(2).map(|argument| word(argument)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match (name, words.as_slice(), arguments) {
            ("ping", [], _) => Local::Ping,
            ("ping" | "echo", _, [echo]) => Local::Echo(echo.clone()),
            ("hello", ..) => Local::Introduction(Introduction::hello(arguments)?),
            ("client", ["setname", _], [_, name]) => Local::Introduction(Introduction::set_name(name)?),
            ("client", ["getname"], _) => Local::Introduction(Introduction::GetName),
            ("client", ["id"], _) => Local::Introduction(Introduction::Id),
            ("client", ["setinfo", option], [_, _, value]) => {
                session::check_info(option, value).map(|()| Local::Granted)?
            }
            ("select", ["0"], _) | ("readonly" | "readwrite", ..) => Local::Granted,
            ("select", ..) => return Err("ERR SELECT is not allowed in cluster mode".to_owned()),
            ("debug", ["digest"], _) => Local::Digest,
            ("quit", ..) => Local::Quit,
            ("cluster", ["keyslot", _], [_, key]) => Local::KeySlot(key.clone()),
            _ => Local::About(About::parse(name, &words, arguments)?),
        })
    }
}

impl About {
    fn parse(name: &str, words: &[&str], arguments: &[Bytes]) -> Result<About, String> {
        let rest = || arguments.iter().skip(1).map(|argument| word(argument)).collect();
        Ok(match (name, words, arguments) {
            ("info", [], _) => About::Info(None),
            ("info", [section], _) => About::Info(Some((*section).to_owned())),
            ("command", [] | ["info"], _) => About::Commands,
            ("command", ["info", ..], _) => About::CommandInfo(rest()),
            ("command", ["count"], _) => About::CommandCount,
            ("command", ["list"], _) => About::CommandList,
            ("command", ["docs", ..], _) => About::CommandDocs,
            ("cluster", ["slots"], _) => About::ClusterSlots,
            ("cluster", ["shards"], _) => About::ClusterShards,
            ("cluster", ["nodes"], _) => About::ClusterNodes,
            ("cluster", ["info"], _) => About::ClusterInfo,
            ("cluster", ["myid"], _) => About::ClusterMyId,
            ("config", ["get", ..], [_, _, ..]) => About::ConfigGet(rest()),
            ("client", ["setname" | "getname" | "id" | "setinfo", ..], _)
            | ("cluster", ["keyslot" | "slots" | "shards" | "nodes" | "info" | "myid", ..], _)
            | ("command", ["count" | "list", ..], _)
            | ("config", ["get"], _)
            | ("debug", ["digest", ..], _) => {
                return Err(wrong_number(&format!("{name}|{}", words.first().unwrap_or(&""))));
            }
            ("client" | "cluster" | "command" | "config" | "debug", [sub, ..], _) => {
                return Err(format!("ERR unknown subcommand '{}' for '{name}'", told(sub.as_bytes())));
            }
            _ => return Err(wrong_number(name)),
        })
    }
}

fn check_arity(shape: &Shape, arguments: usize) -> Result<(), String> {
    let given = i64::try_from(arguments).unwrap_or(i64::MAX).saturating_add(1);
    let fits = if shape.arity < 0 { given >= -shape.arity } else { given == shape.arity };
    if fits { Ok(()) } else { Err(wrong_number(shape.name)) }
}

/// Keys and values by turns.
fn pairs(arguments: &[Bytes]) -> Result<Vec<(Bytes, Bytes)>, String> {
    let (pairs, rest) = arguments.as_chunks();
    if !rest.is_empty() {
        return Err(wrong_number("mset"));
    }
    Ok(pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect())
}

/// In Redis' words, by which some clients know that a command is missing.
fn unknown(called: &[u8], arguments: &[Bytes]) -> String {
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", told(called));
    let most = text.len() + MAX_TOLD_BYTES;
    for argument in arguments {
        if text.len() >= most {
            break;
        }
        text.extend(["'", &told(argument), "' "]);
    }
    text
}

fn wrong_number(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// A client's bytes as they may stand in an error: short, and nothing in them that a terminal would obey.
fn told(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..MAX_TOLD_BYTES).unwrap_or(bytes));
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A name as it is compared: short, in lower case, whatever bytes came.
fn word(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument.get(..MAX_WORD_BYTES).unwrap_or(argument)).to_lowercase()
}
