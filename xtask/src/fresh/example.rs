//! README's first command: it must print what README says, serve whoever connects from outside, and end at Ctrl-C.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{resp, room::Room};

const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the example until a node leads, writes and reads by way of two of its nodes, and ends it.
pub(super) fn try_out(room: &Room, command: &str) -> Result<String> {
    let mut typed = room.type_in(command)?;
    let mut clients = Vec::new();
    loop {
        let Some(line) = typed.next_line()? else {
            bail!("it ended before a node led ({})", typed.wait()?);
        };
        clients.extend(client_address(&line));
        if line.contains(" leads (term ") {
            break;
        }
    }
    let [first, second, ..] = clients.as_slice() else {
        bail!("it named {} addresses for clients, expected three", clients.len())
    };
    let written = said(first, &["SET", "greeting", "hello"])?;
    ensure!(written == "+OK", "expected OK");
    let read = said(second, &["GET", "greeting"])?;
    ensure!(read == "hello", "expected hello");

    typed.interrupt()?;
    let status = typed.wait_for(END_TIMEOUT).context("Ctrl-C")?;
    ensure!(status.success(), "Ctrl-C ended it with {status}");
    Ok(format!("a node led; SET by way of {first}, GET by way of {second}; Ctrl-C ended it"))
}

/// What a node replies, shown as in a terminal of its own.
fn said(address: &str, words: &[&str]) -> Result<String> {
    let reply = resp::ask(address, words)?;
    println!("from outside, at {address}: {} -> {reply}", words.join(" "));
    Ok(reply)
}

/// Of a line such as `  node 1   clients 127.0.0.1:7001   pid 18375     data eraft-data/n1`.
fn client_address(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    (words.next() == Some("node")).then_some(())?;
    words.find(|word| *word == "clients")?;
    words.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::client_address;

    #[test]
    fn the_addresses_are_read_off_the_first_screen() {
        let line = "  node 1   clients 127.0.0.1:7001   pid 18375     data eraft-data/n1";
        assert_eq!(client_address(line).as_deref(), Some("127.0.0.1:7001"));
        assert_eq!(client_address("node 3 leads (term 2)"), None);
    }
}
