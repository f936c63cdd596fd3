//! moto's server, a program that others wrote: it honours preconditions, checks no signature, and keeps nothing over a restart.
//!
//! It comes from PyPI into an environment under the target directory, and stays there for the next run, which then needs no
//! network. It is one process with everything in memory.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{Access, lifeline::Lifeline};

/// moto looks whether a condition holds and then stores, without a lock. There is no I/O in between, so its threads take turns
/// there only where Python has them do so by the clock: every five milliseconds, or, as here, hardly ever.
const SERVE: &str = "import sys; sys.setswitchinterval(60); from moto.server import main; main(sys.argv[1:])";

/// A process that serves, until it is dropped or this process ends.
#[derive(Debug)]
pub struct Moto {
    access: Access,
    process: Child,
    _lifeline: Lifeline,
}

impl Moto {
    /// The interpreter of an environment that has moto; it is made where it is not there yet.
    ///
    /// # Errors
    /// Why there is none: no Python, or it could not be fetched.
    pub fn interpreter() -> Result<PathBuf, String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
        // Beside what cargo has built: `target/debug/deps/<test>`.
        let place = built.ancestors().nth(3).ok_or("no target directory")?.join("moto");
        let (installer, wanted) = (here.join("../xtask/from_pypi.py"), here.join("moto.txt"));
        let installed = Command::new("python3").arg(installer).arg(wanted).arg(&place).stdin(Stdio::null()).output();
        let output = installed.map_err(|absent| format!("python3: {absent}"))?;
        if output.status.success() {
            return Ok(place.join("bin/python"));
        }
        Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no message").to_owned())
    }

    /// Starts it at a port of 127.0.0.1 that the system chooses.
    ///
    /// # Errors
    /// Why it does not serve.
    pub fn start() -> Result<Moto, String> {
        let mut command = Command::new(Moto::interpreter()?);
        command.args(["-c", SERVE, "--host", "127.0.0.1", "--port", "0"]);
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("moto: {error}"))?;
        let lifeline = Lifeline::new("kill -9 \"$1\"", &[&process.id().to_string()]).map_err(|error| error.to_string());
        let mut said = BufReader::new(process.stderr.take().ok_or("moto's standard error")?);
        let port = port(&mut said).ok_or("moto ended, or told no port")?;
        // It tells every request; nobody must have it wait until somebody reads that.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let access = Access::local(port);
        access.make_bucket()?;
        Ok(Moto { access, process, _lifeline: lifeline? })
    }

    /// How to use its bucket.
    pub fn access(&self) -> &Access {
        &self.access
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The port that it tells on standard error.
fn port(said: &mut impl BufRead) -> Option<u16> {
    for line in said.lines().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            return digits.parse().ok();
        }
    }
    None
}
