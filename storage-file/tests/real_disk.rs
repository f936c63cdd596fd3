//! What only the real disk can show: modes under a hostile umask (which belongs to the whole process, so this file is one
//! of its own), a trap in a file's place, and that a sync is one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests, and one that starts a process"
)]

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use eraft_conformance::machine::{self, Fault};
use eraft_storage_file::fs::{Access, Fs, read_exact_at, real::RealFs, write_all_at};
use rustix::fs::{CWD, FileType, Mode, mknodat};

#[test]
fn modes_are_the_same_under_any_umask_and_a_pipe_is_no_file() {
    let temporary = tempfile::tempdir().unwrap();
    let (file, dir, pipe) = (temporary.path().join("f"), temporary.path().join("d"), temporary.path().join("p"));
    for umask in [0o000, 0o077, 0o777] {
        rustix::process::umask(Mode::from_raw_mode(umask));
        drop(RealFs.create_file(&file).unwrap());
        RealFs.create_dir(&dir).unwrap();
        assert_eq!(RealFs.metadata(&file).unwrap().mode, 0o600, "file under umask {umask:o}");
        assert_eq!(RealFs.metadata(&dir).unwrap().mode, 0o700, "directory under umask {umask:o}");
        RealFs.remove_file(&file).unwrap();
        RealFs.remove_dir(&dir).unwrap();
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));

    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // Neither may hang until somebody opens the other end.
    for access in [Access::Read, Access::ReadWrite] {
        assert_eq!(RealFs.open_file(&pipe, access).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_sync_reaches_the_kernel_and_what_it_answers_is_passed_on() {
    // Files under /proc look regular and cannot be synced: whoever hears no refusal has not asked.
    let file = RealFs.open_file(std::path::Path::new("/proc/self/comm"), Access::Read).unwrap();
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(file.sync_all().unwrap_err().kind(), ErrorKind::InvalidInput);
    let directory = std::path::Path::new("/proc");
    assert_eq!(RealFs.sync_dir(directory).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// Where a process that is interrupted plays, given to it in its environment.
const PLAYGROUND: &str = "ERAFT_INTERRUPTED_IN";

/// Every call of the seam but syncs, each once.
fn every_call(dir: &Path) -> io::Result<()> {
    let (file, moved, made) = (dir.join("f"), dir.join("g"), dir.join("d"));
    let open = RealFs.create_file(&file)?;
    write_all_at(&*open, b"abc", 0)?;
    assert_eq!(open.len_bytes()?, 3);
    drop(open);
    RealFs.rename(&file, &moved)?;
    read_exact_at(&*RealFs.open_file(&moved, Access::Read)?, &mut [0; 3], 0)?;
    drop(RealFs.lock(&moved)?);
    assert_eq!(RealFs.metadata(&moved)?.len_bytes, 3);
    RealFs.create_dir(&made)?;
    assert_eq!(RealFs.read_dir(dir)?.len(), 2);
    RealFs.free_bytes(dir)?;
    RealFs.remove_dir(&made)?;
    RealFs.remove_file(&moved)
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupted_call_is_made_again_but_never_a_sync() {
    let test = "an_interrupted_call_is_made_again_but_never_a_sync";
    if let Some(dir) = std::env::var_os(PLAYGROUND).map(PathBuf::from) {
        every_call(&dir).unwrap();
        let file = RealFs.create_file(&dir.join("s")).unwrap();
        let syncs = [file.sync_data(), file.sync_all(), RealFs.sync_dir(&dir)];
        let kinds: Vec<_> = syncs.into_iter().filter_map(Result::err).map(|error| error.kind()).collect();
        return println!("interrupted: {kinds:?}");
    }
    if let Err(reason) = machine::can_trace() {
        return machine::skip(test, machine::STRACE, &reason);
    }
    let calls: [(&[&str], &str); 11] = [
        (&["openat"], "[]"),
        (&["pwrite64"], "[]"),
        (&["pread64"], "[]"),
        (&["statx", "newfstatat", "fstat"], "[]"),
        (&["fchmod", "chmod", "fchmodat"], "[]"),
        (&["mkdir", "mkdirat"], "[]"),
        (&["rename", "renameat", "renameat2"], "[]"),
        (&["unlink", "unlinkat", "rmdir"], "[]"),
        (&["flock", "getdents64", "statfs", "fstatfs"], "[]"),
        (&["fdatasync"], "[Interrupted]"),
        (&["fsync"], "[Interrupted]"),
    ];
    for (calls, expected) in calls {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        let paths: Vec<PathBuf> =
            std::iter::once(dir.clone()).chain(["f", "g", "d", "s"].map(|name| dir.join(name))).collect();
        let fault = Fault { calls, effect: "error=EINTR:when=1", paths: &paths };
        let mut process = fault.starting(std::env::current_exe().unwrap());
        process.args(["--exact", test, "--nocapture"]).env(PLAYGROUND, &dir);
        let output = process.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let told = format!("{calls:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains(&format!("interrupted: {expected}")), "{told}");
    }
}
