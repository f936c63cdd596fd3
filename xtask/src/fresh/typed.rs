//! A command that was typed in the room: what it prints is shown at once, and read line by line.

use std::io::{BufRead, BufReader, PipeReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than any build on a slow machine is silent.
const SILENCE: Duration = Duration::from_secs(30 * 60);

/// The running command.
#[derive(Debug)]
pub(super) struct Typed {
    child: Child,
    lines: Receiver<String>,
}

impl Typed {
    /// Starts it; both of its outputs are one stream, as in a terminal.
    pub(super) fn start(mut command: Command) -> Result<Typed> {
        let (reader, writer) = std::io::pipe().context("a pipe for what it prints")?;
        command.stdin(Stdio::null()).stdout(writer.try_clone().context("a second end of the pipe")?).stderr(writer);
        let child = command.spawn().context("it did not start")?;
        drop(command); // it holds our ends of the pipe: the reader would wait for them for ever
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in lines_of(reader) {
                println!("  {line}");
                let _nobody_reads_any_more = sender.send(line);
            }
        });
        Ok(Typed { child, lines })
    }

    /// What it prints next; `None` once it has closed its outputs.
    pub(super) fn next_line(&mut self) -> Result<Option<String>> {
        match self.lines.recv_timeout(SILENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("it has printed nothing for {SILENCE:?}"),
        }
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::INT).context("cannot send it SIGINT")
    }

    /// How it ended, within `patience`.
    pub(super) fn wait_for(&mut self, patience: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                bail!("it has not ended after {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How it ended.
    pub(super) fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("waiting for it")
    }
}

fn lines_of(reader: PipeReader) -> impl Iterator<Item = String> {
    let parts = BufReader::new(reader).split(b'\n').map_while(Result::ok);
    parts.map(|line| String::from_utf8_lossy(&line).into_owned())
}

/// Nothing that was typed goes on when nobody looks at it any more.
impl Drop for Typed {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _ = self.child.wait();
    }
}
