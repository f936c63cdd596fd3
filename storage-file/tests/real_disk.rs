//! What only the real disk can show: modes under a hostile umask (which belongs to the whole process, so this file is one
//! of its own), a trap in a file's place, and that a sync is one.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::ErrorKind;

use eraft_storage_file::fs::{Access, Fs, real::RealFs};
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
