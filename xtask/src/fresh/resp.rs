//! As much of a Redis client as it takes to see that a cluster answers: it sends words, follows `MOVED`, and asks again while
//! no leader is known.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const MAX_REPLY_BYTES: u64 = 1 << 20;

/// The reply to `words`, first asked at `address`.
pub(super) fn ask(address: &str, words: &[&str]) -> Result<String> {
    let started = Instant::now();
    let mut address = address.to_owned();
    loop {
        let reply = call(&address, words).with_context(|| format!("{} at {address}", words.join(" ")))?;
        if let Some(elsewhere) = reply.strip_prefix("-MOVED ").and_then(|rest| rest.split(' ').nth(1)) {
            address = elsewhere.to_owned();
        } else if !reply.starts_with("-CLUSTERDOWN") && !reply.starts_with("-TRYAGAIN") {
            return Ok(reply);
        } else {
            std::thread::sleep(PAUSE);
        }
        if started.elapsed() > PATIENCE {
            bail!("{} at {address}: still {reply} after {PATIENCE:?}", words.join(" "));
        }
    }
}

fn call(address: &str, words: &[&str]) -> Result<String> {
    let mut stream = TcpStream::connect(address).context("cannot connect")?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    read_reply(&mut BufReader::new(stream))
}

/// The text of a bulk string, or the line of any other reply.
fn read_reply(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    stream.take(MAX_REPLY_BYTES).read_line(&mut line).context("no reply")?;
    let line = line.trim_end();
    let Some(length) = line.strip_prefix('$') else { return Ok(line.to_owned()) };
    let length: u64 = length.parse().with_context(|| format!("a reply of length {length}"))?;
    let mut text = String::new();
    stream.take(length.min(MAX_REPLY_BYTES)).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::read_reply;

    #[test]
    fn replies_are_read() {
        assert_eq!(read_reply(&mut "+OK\r\n".as_bytes()).unwrap(), "+OK");
        assert_eq!(read_reply(&mut "$5\r\nhello\r\n".as_bytes()).unwrap(), "hello");
        assert!(read_reply(&mut "$-1\r\n".as_bytes()).is_err());
    }
}
