//! What a client can ask for: arguments become a [`Request`], whose kind says how it is answered.

use bytes::Bytes;

use super::store::Command;

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
    /// How many keys there are.
    DbSize,
}

/// Something that needs no agreement.
#[derive(Debug)]
pub enum Local {
    /// Whether the node lives; the answer is the argument, if there is one.
    Ping(Option<Bytes>),
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
    /// How many commands there are.
    CommandCount,
    /// Their documentation, which redis-cli asks for when it starts: there is none.
    CommandDocs,
    /// Who serves which slots, as a table.
    ClusterSlots,
    /// Who is in the cluster, as text.
    ClusterNodes,
    /// This node's id.
    ClusterMyId,
    /// A setting, which redis-benchmark asks for when it starts.
    ConfigGet(String),
}

/// What is known of a command before its arguments are looked at; `COMMAND` prints it.
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

/// Every command there is.
pub const COMMANDS: [Shape; 12] = [
    Shape { name: "ping", arity: -1, flags: &["fast"], keys: (0, 0, 0) },
    Shape { name: "get", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1) },
    Shape { name: "set", arity: 3, flags: &["write"], keys: (1, 1, 1) },
    Shape { name: "del", arity: -2, flags: &["write"], keys: (1, -1, 1) },
    Shape { name: "incr", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1) },
    Shape { name: "dbsize", arity: 1, flags: &["readonly", "fast"], keys: (0, 0, 0) },
    Shape { name: "info", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0) },
    Shape { name: "command", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0) },
    Shape { name: "cluster", arity: -2, flags: &["loading", "stale"], keys: (0, 0, 0) },
    Shape { name: "config", arity: -2, flags: &["admin", "stale"], keys: (0, 0, 0) },
    Shape { name: "debug", arity: -2, flags: &["admin", "stale"], keys: (0, 0, 0) },
    Shape { name: "quit", arity: -1, flags: &["fast"], keys: (0, 0, 0) },
];

impl Request {
    /// The request that `arguments` make.
    ///
    /// # Errors
    /// The text of the error reply, when they make none.
    pub fn parse(arguments: Vec<Bytes>) -> Result<Request, String> {
        let mut arguments = arguments.into_iter();
        let name = word(&arguments.next().unwrap_or_default());
        let shape = COMMANDS.iter().find(|shape| shape.name == name);
        let shape = shape.ok_or_else(|| format!("ERR unknown command '{}'", name.escape_default()))?;
        let given = i64::try_from(arguments.len()).unwrap_or(i64::MAX).saturating_add(1);
        if if shape.arity < 0 { given < -shape.arity } else { given != shape.arity } {
            return Err(wrong_number(&name));
        }
        let mut next = || arguments.next().unwrap_or_default();
        Ok(match shape.name {
            "set" => Request::Write(Command::Set { key: next(), value: next() }),
            "incr" => Request::Write(Command::Incr { key: next() }),
            "del" => Request::Write(Command::Del { keys: arguments.collect() }),
            "get" => Request::Read(Query::Get(next())),
            "dbsize" => Request::Read(Query::DbSize),
            _ => Request::Local(Local::parse(shape.name, arguments.collect())?),
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
    fn parse(name: &str, arguments: Vec<Bytes>) -> Result<Local, String> {
        let words: Vec<String> = arguments.iter().take(3).map(|argument| word(argument)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match (name, words.as_slice()) {
            ("ping", []) => Local::Ping(None),
            ("ping", [_]) => Local::Ping(arguments.into_iter().next()),
            ("info", []) => Local::About(About::Info(None)),
            ("info", [section]) => Local::About(About::Info(Some((*section).to_owned()))),
            ("command", []) => Local::About(About::Commands),
            ("command", ["count"]) => Local::About(About::CommandCount),
            ("command", ["docs", ..]) => Local::About(About::CommandDocs),
            ("cluster", ["slots"]) => Local::About(About::ClusterSlots),
            ("cluster", ["nodes"]) => Local::About(About::ClusterNodes),
            ("cluster", ["myid"]) => Local::About(About::ClusterMyId),
            ("cluster", ["keyslot", _]) => Local::KeySlot(arguments.into_iter().nth(1).unwrap_or_default()),
            ("config", ["get", setting]) => Local::About(About::ConfigGet((*setting).to_owned())),
            ("debug", ["digest"]) => Local::Digest,
            ("quit", _) => Local::Quit,
            ("command" | "cluster" | "config" | "debug", [sub, ..]) => {
                return Err(format!("ERR unknown subcommand '{}' for '{name}'", sub.escape_default()));
            }
            _ => return Err(wrong_number(name)),
        })
    }
}

fn wrong_number(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// A name as it is compared: short, in lower case, whatever bytes came.
fn word(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument.get(..64).unwrap_or(argument)).to_lowercase()
}
