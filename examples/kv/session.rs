//! What one connection has said of itself: the protocol it speaks, and its name.
//!
//! Clients open with this (`HELLO`, `CLIENT SETINFO`, `CLIENT SETNAME`) and some go no further unless it is answered.
//! Nothing of it is replicated, and nothing else of a connection outlives a request.

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;

use super::codec::{Frame, Protocol};

/// The longest name, in bytes, that a connection may give itself.
const MAX_NAME_BYTES: usize = 128;

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    id: i64,
    name: Option<Bytes>,
    protocol: Protocol,
}

/// What a connection says of itself, or asks about itself.
#[derive(Debug)]
pub enum Introduction {
    /// Which protocol it speaks from now on, and its name; without either it only asks.
    Hello {
        /// Another protocol than now.
        protocol: Option<Protocol>,
        /// Another name than now.
        name: Option<Bytes>,
    },
    /// Its name; an empty one is none.
    SetName(Bytes),
    /// What name it has.
    GetName,
    /// What number it has.
    Id,
}

impl Session {
    /// A connection that has said nothing yet, with a number that no other one of this process has.
    pub fn new() -> Session {
        static LAST_ID: AtomicI64 = AtomicI64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        Session { id, name: None, protocol: Protocol::default() }
    }

    /// In what its replies are to be written.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes note, and answers; `leads` is whether this node does.
    pub fn answer(&mut self, introduction: &Introduction, leads: bool) -> Frame {
        match introduction {
            Introduction::Hello { protocol, name } => {
                self.protocol = protocol.unwrap_or(self.protocol);
                if let Some(name) = name {
                    self.rename(name);
                }
                self.greeting(leads)
            }
            Introduction::SetName(name) => {
                self.rename(name);
                Frame::SimpleString("OK".to_owned())
            }
            Introduction::GetName => self.name.clone().map_or(Frame::Null, Frame::BulkString),
            Introduction::Id => Frame::Integer(self.id),
        }
    }

    fn rename(&mut self, name: &Bytes) {
        // Copied, for it came as a part of a buffer that may be a thousand times as long.
        self.name = (!name.is_empty()).then(|| Bytes::copy_from_slice(name));
    }

    fn greeting(&self, leads: bool) -> Frame {
        let text = |text: &'static str| Frame::BulkString(Bytes::from_static(text.as_bytes()));
        let version = match self.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        Frame::Map(vec![
            (text("server"), text("eraft")),
            (text("version"), text(env!("CARGO_PKG_VERSION"))),
            (text("proto"), Frame::Integer(version)),
            (text("id"), Frame::Integer(self.id)),
            (text("mode"), text("cluster")),
            (text("role"), text(if leads { "master" } else { "replica" })),
            (text("modules"), Frame::Array(Vec::new())),
        ])
    }
}

impl Introduction {
    /// What `HELLO` with these arguments says.
    ///
    /// # Errors
    /// The text of the error reply.
    pub fn hello(arguments: &[Bytes]) -> Result<Introduction, String> {
        let Some((version, mut options)) = arguments.split_first() else {
            return Ok(Introduction::Hello { protocol: None, name: None });
        };
        let protocol = match version.as_ref() {
            b"2" => Protocol::Resp2,
            b"3" => Protocol::Resp3,
            _ => return Err("NOPROTO unsupported protocol version".to_owned()),
        };
        let mut name = None;
        while let Some((option, rest)) = options.split_first() {
            match (option.to_ascii_lowercase().as_slice(), rest) {
                (b"setname", [wanted, rest @ ..]) => {
                    name = Some(fit_name(wanted)?);
                    options = rest;
                }
                // To nod at a password that nobody checks would be a promise of safety.
                (b"auth", [_user, _password, ..]) => {
                    return Err("ERR HELLO AUTH called, but there are no users and no passwords here".to_owned());
                }
                _ => return Err("ERR syntax error in HELLO".to_owned()),
            }
        }
        Ok(Introduction::Hello { protocol: Some(protocol), name })
    }

    /// What `CLIENT SETNAME` with this name says.
    ///
    /// # Errors
    /// The text of the error reply.
    pub fn set_name(name: &Bytes) -> Result<Introduction, String> {
        fit_name(name).map(Introduction::SetName)
    }
}

/// `CLIENT SETINFO`: which library speaks is of no interest here, but the answer says whether it was well said.
///
/// # Errors
/// The text of the error reply.
pub fn check_info(option: &str, value: &Bytes) -> Result<(), String> {
    match option {
        "lib-name" | "lib-ver" if is_plain(value) => Ok(()),
        "lib-name" | "lib-ver" => Err(format!("ERR {option} cannot contain spaces, newlines or special characters.")),
        _ => Err("ERR Unrecognized option, expected LIB-NAME or LIB-VER".to_owned()),
    }
}

fn fit_name(name: &Bytes) -> Result<Bytes, String> {
    if !is_plain(name) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("ERR a client's name has at most {MAX_NAME_BYTES} bytes"));
    }
    Ok(name.clone())
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}
