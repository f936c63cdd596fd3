//! A test that hangs: its binary is ended, so that the run goes on, and the report names it.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};

/// The longest silence of a test binary. Each test says its line when it ends, and the longest takes a few minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The same for the long versions, some of which take more than half an hour.
pub(crate) const PATIENCE_LONG: Duration = Duration::from_secs(2 * 60 * 60);

/// The lines of `output` without their newlines, as they come; the channel ends with it.
pub(crate) fn lines(output: impl Read + Send + 'static) -> Receiver<Result<String>> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            let read = match output.read_until(b'\n', &mut line).context("reading cargo's output") {
                Ok(0) => return,
                Ok(_) => Ok(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()),
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.send(read).is_err() || failed {
                return;
            }
        }
    });
    lines
}

/// Kills every process below `parent`, and not itself: whoever holds its output open is among them.
pub(crate) fn end_what_it_started(parent: u32) -> Result<()> {
    let mut below = vec![parent];
    let mut next = 0;
    while let Some(parent) = below.get(next).copied() {
        below.extend(children(parent)?);
        next += 1;
    }
    for process in below.iter().skip(1).filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?)) {
        let _it_has_ended = rustix::process::kill_process(process, Signal::KILL);
    }
    Ok(())
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc").context("/proc")?.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile has no file any more.
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        let of = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
        if of == Some(parent) {
            children.push(id);
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_hanging_binary_started_is_ended_and_its_parent_goes_on() {
        // The parent waits, as cargo does, for a child that waits for one of its own; all of them hold the pipe.
        let script = "sh -c 'sleep 1000 & wait'; echo it went on";
        let mut parent = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines(parent.stdout.take().unwrap());
        while children(parent.id()).unwrap().iter().all(|child| children(*child).unwrap().is_empty()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        end_what_it_started(parent.id()).unwrap();
        assert_eq!(lines.recv().unwrap().unwrap(), "it went on");
        assert!(lines.recv().is_err(), "nobody holds the output open");
        assert_eq!(parent.wait().unwrap().signal(), None);
    }
}
