//! A client of its own: small, blocking, and without opinions, so that a test sees every reply as it was sent.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A simple string.
    Status(String),
    /// An error.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string.
    Bulk(String),
    /// No value.
    Nil,
    /// Several replies.
    Array(Vec<Reply>),
    /// Keys and values, which only RESP3 has.
    Map(Vec<(Reply, Reply)>),
}

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects; every wait on it is bounded by `timeout`.
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Client> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// This end's address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Sends one command and waits for its reply.
    pub fn call(&mut self, arguments: &[&str]) -> io::Result<Reply> {
        self.send(&[arguments])?;
        self.reply()
    }

    /// Sends commands without waiting.
    pub fn send(&mut self, commands: &[&[&str]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for arguments in commands {
            write!(bytes, "*{}\r\n", arguments.len())?;
            for argument in *arguments {
                write!(bytes, "${}\r\n{argument}\r\n", argument.len())?;
            }
        }
        self.send_raw(&bytes)
    }

    /// Sends these very bytes.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Waits for the next reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let length = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(length()?),
            "$" if rest == "-1" => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(length()?).map_err(io::Error::other)? + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(String::from_utf8(bytes).map_err(io::Error::other)?)
            }
            "_" => Reply::Nil,
            "%" => Reply::Map((0..length()?).map(|_| Ok((self.reply()?, self.reply()?))).collect::<io::Result<_>>()?),
            "*" => Reply::Array((0..length()?).map(|_| self.reply()).collect::<io::Result<_>>()?),
            _ => return Err(io::Error::other(format!("not RESP: {line:?}"))),
        })
    }
}
