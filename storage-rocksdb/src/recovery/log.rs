//! The judgement of RocksDB's log and manifest.
//!
//! Every record of the log is synced before the next is written, so at most the last is torn, whatever a crash does: a bad
//! record that a good one follows is damage. Of the manifest the same is held, though edits may share a sync there. Those of one
//! flush are known, and what a crash has kept of them says nothing of one that it has lost, while the log is still there that the
//! flush was to let go. Others that RocksDB has put under one sync are not known: where a power cut tears an earlier one of
//! them and keeps a later one, a store is refused that has lost nothing.
//!
//! What RocksDB would do instead depends on its mode of recovery: refuse a torn record that lost a middle page, or read a
//! damaged length as the end of the file and open without all that follows. So a torn tail is cut off here, and RocksDB opens in
//! the mode that forgives nothing.

use std::path::{Path, PathBuf};

use eraft_core::{Result, StorageError};

use super::{
    scan::{BLOCK_BYTES, Found, Kind, Scanner},
    tables::Tables,
};
use crate::{error, files};

/// How files of RocksDB's log end.
pub(crate) const LOG_SUFFIX: &str = ".log";

/// What may be opened, and how.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Torn tails: the file, and where its good records end.
    torn: Vec<(PathBuf, u64)>,
    /// The last sequence number in the log.
    pub(crate) last_sequence: u64,
    /// How long the log is, all its files together.
    pub(crate) log_bytes: u64,
    /// The tables that the manifest names.
    pub(crate) tables: Tables,
}

/// Reads log and manifest of the database in `db`. Changes nothing.
///
/// # Errors
/// `Corrupt` for damage, naming file and offset.
pub(crate) fn judge(db: &Path) -> Result<Judgement> {
    let mut judgement = Judgement::default();
    let manifest = manifest(db)?;
    let found = scan(&manifest, Kind::Manifest)?;
    if found.records == 0 {
        return Err(error::corrupt(&manifest, 0, "no record of the manifest verifies; expected one at least"));
    }
    let logs = logs(db)?;
    let is_older = |log: u64| logs.iter().any(|(number, _, len_bytes)| *number < log && *len_bytes > 0);
    if let Some((bad, _)) = found.bad.zip(found.rest_of_group).filter(|(_, log)| !is_older(*log)) {
        let detail =
            "the edit does not verify, but others of a flush follow it whose log is gone: they were whole once";
        return Err(error::corrupt(&manifest, bad, detail));
    }
    judgement.take(&manifest, &found)?;
    judgement.tables = found.tables;
    judgement.log_bytes = logs.iter().map(|(_, _, len_bytes)| *len_bytes).sum();
    let last = logs.iter().rposition(|(_, _, len_bytes)| *len_bytes > 0);
    for (nth, (_, path, _)) in logs.iter().enumerate() {
        let found = scan(path, Kind::Log)?;
        if let Some((bad, later)) = found.bad.zip(last).filter(|(_, last)| nth < *last) {
            let later = logs.get(later).map(|(_, path, _)| path.display().to_string()).unwrap_or_default();
            return Err(error::corrupt(path, bad, format!("the record does not verify, but {later} follows it")));
        }
        judgement.take(path, &found)?;
        let Some((first, last)) = found.sequences else { continue };
        if first <= judgement.last_sequence {
            let detail = format!("the file begins at change {first}; expected one after {}", judgement.last_sequence);
            return Err(error::corrupt(path, 0, detail));
        }
        judgement.last_sequence = last;
    }
    Ok(judgement)
}

impl Judgement {
    fn take(&mut self, path: &Path, found: &Found) -> Result<()> {
        match (found.bad, found.confirmed) {
            (Some(bad), Some(good)) => {
                let detail = format!("the record does not verify, but the one at {good} does: it was whole once");
                Err(error::corrupt(path, bad, detail))
            }
            (Some(_), None) => {
                self.torn.push((path.to_owned(), found.end));
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Cuts torn tails off.
    pub(crate) fn cut(&self) -> Result<()> {
        for (path, end) in &self.torn {
            tracing::info!(file = %path.display(), end, "a torn record is cut off");
            files::cut(path, *end).map_err(|source| failed(path, source))?;
        }
        Ok(())
    }
}

fn scan(path: &Path, kind: Kind) -> Result<Found> {
    let mut scanner = Scanner::new(kind);
    files::read_blocks(path, BLOCK_BYTES, |block| scanner.block(block)).map_err(|source| failed(path, source))?;
    Ok(scanner.finish())
}

/// The manifest that `CURRENT` names.
fn manifest(db: &Path) -> Result<PathBuf> {
    const MAX_BYTES: u64 = 64;
    let current = db.join("CURRENT");
    let bytes = files::read(&current, MAX_BYTES).map_err(|source| missing(&current, source))?;
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let digits = |name: &&str| {
        let number = name.strip_prefix("MANIFEST-").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let name = name.filter(digits).ok_or_else(|| {
        error::corrupt(&current, 0, format!("{:?}; expected the name of a manifest", String::from_utf8_lossy(&bytes)))
    })?;
    let path = db.join(name);
    match files::find(&path) {
        Ok(Some(_)) => Ok(path),
        Ok(None) => Err(error::corrupt(&path, 0, "the file is missing; CURRENT names it")),
        Err(source) => Err(failed(&path, source)),
    }
}

/// The files of the log in the order in which they were written: number, path, length.
fn logs(db: &Path) -> Result<Vec<(u64, PathBuf, u64)>> {
    let number = |name: &str| name.strip_suffix(LOG_SUFFIX).and_then(|number| number.parse::<u64>().ok());
    let files = files::files(db, |name| number(name).is_some()).map_err(|source| missing(db, source))?;
    let numbered = files.into_iter().filter_map(|(name, path, found)| Some((number(&name)?, path, found.len_bytes)));
    let mut logs: Vec<_> = numbered.collect();
    logs.sort();
    Ok(logs)
}

fn missing(path: &Path, source: std::io::Error) -> StorageError {
    match source.kind() {
        std::io::ErrorKind::NotFound => error::corrupt(path, 0, "it is missing; a store always has it"),
        _ => failed(path, source),
    }
}

fn failed(path: &Path, source: std::io::Error) -> StorageError {
    error::io("judging the log of the database", path, source)
}
