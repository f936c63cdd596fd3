//! What a simulated disk is told to fail at, and when its power goes.

use std::{collections::BTreeMap, io};

use rustix::io::Errno;

/// The kinds of calls that can be counted and failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// [`Fs::create_dir`](crate::fs::Fs::create_dir).
    CreateDir,
    /// [`Fs::create_file`](crate::fs::Fs::create_file).
    CreateFile,
    /// [`Fs::open_file`](crate::fs::Fs::open_file).
    Open,
    /// [`Fs::read_dir`](crate::fs::Fs::read_dir).
    ReadDir,
    /// [`Fs::metadata`](crate::fs::Fs::metadata) and [`FsFile::len_bytes`](crate::fs::FsFile::len_bytes).
    Metadata,
    /// [`Fs::rename`](crate::fs::Fs::rename).
    Rename,
    /// [`Fs::remove_file`](crate::fs::Fs::remove_file).
    RemoveFile,
    /// [`Fs::remove_dir`](crate::fs::Fs::remove_dir).
    RemoveDir,
    /// [`Fs::sync_dir`](crate::fs::Fs::sync_dir).
    SyncDir,
    /// [`Fs::lock`](crate::fs::Fs::lock).
    Lock,
    /// [`FsFile::read_at`](crate::fs::FsFile::read_at).
    Read,
    /// [`FsFile::write_at`](crate::fs::FsFile::write_at).
    Write,
    /// [`FsFile::sync_data`](crate::fs::FsFile::sync_data).
    SyncData,
    /// [`FsFile::sync_all`](crate::fs::FsFile::sync_all).
    SyncAll,
}

impl Call {
    /// Whether it changes what is stored, or what of it is durable.
    pub fn is_mutating(self) -> bool {
        !matches!(self, Call::Open | Call::ReadDir | Call::Metadata | Call::Lock | Call::Read)
    }

    /// Whether it makes something durable.
    pub fn is_sync(self) -> bool {
        matches!(self, Call::SyncDir | Call::SyncData | Call::SyncAll)
    }
}

/// What happens to a call that is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`: the device failed.
    Io,
    /// `ENOSPC`: the disk is full.
    NoSpace,
    /// `EROFS`: the file system has become read-only.
    ReadOnly,
    /// `EINTR`: a signal came. The seam makes the call again at once, and that counts as another; but a sync has failed.
    Interrupted,
    /// `EMFILE`: too many open files.
    TooManyFiles,
    /// No failure: a read or a write handles only a part, at least a byte. Other calls go on as usual.
    Short,
}

impl Fault {
    pub(super) fn error(self) -> Option<io::Error> {
        let errno = match self {
            Fault::Io => Errno::IO,
            Fault::NoSpace => Errno::NOSPC,
            Fault::ReadOnly => Errno::ROFS,
            Fault::Interrupted => Errno::INTR,
            Fault::TooManyFiles => Errno::MFILE,
            Fault::Short => return None,
        };
        Some(errno.into())
    }
}

/// What is to fail, and the count of calls that decides when.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    /// Mutating calls that still succeed before the power goes.
    power_left: Option<u64>,
    power_is_off: bool,
    calls: BTreeMap<Call, u64>,
}

#[derive(Clone, Debug)]
struct Rule {
    call: Call,
    /// Calls of the kind that come before the one to fail.
    spared: u64,
    fault: Fault,
    lasts: bool,
}

impl Plan {
    pub(super) fn fail(&mut self, call: Call, nth: u64, fault: Fault, lasts: bool) {
        self.rules.push(Rule { call, spared: nth.saturating_sub(1), fault, lasts });
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
    }

    pub(super) fn cut_power_after(&mut self, mutating_calls: u64) {
        self.power_left = Some(mutating_calls);
    }

    pub(super) fn power_is_off(&self) -> bool {
        self.power_is_off
    }

    pub(super) fn restore_power(&mut self) {
        (self.power_left, self.power_is_off) = (None, false);
    }

    /// Counts a call and says what becomes of it: an error for a machine without power, else the fault planned, if any.
    pub(super) fn meet(&mut self, call: Call) -> io::Result<Option<Fault>> {
        if call.is_mutating()
            && let Some(left) = &mut self.power_left
        {
            self.power_is_off |= *left == 0;
            *left = left.saturating_sub(1);
        }
        if self.power_is_off {
            return Err(io::Error::other("the power is off"));
        }
        *self.calls.entry(call).or_default() += 1;
        let mut met = None;
        self.rules.retain_mut(|rule| {
            if rule.call != call {
                return true;
            }
            if rule.spared > 0 {
                rule.spared -= 1;
                return true;
            }
            met = met.or(Some(rule.fault));
            rule.lasts
        });
        if met == Some(Fault::Interrupted) && !call.is_sync() {
            *self.calls.entry(call).or_default() += 1;
            met = None;
        }
        Ok(met)
    }

    pub(super) fn calls(&self) -> &BTreeMap<Call, u64> {
        &self.calls
    }
}
