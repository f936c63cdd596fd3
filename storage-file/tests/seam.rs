//! What both disks do alike: each behaviour runs on the machine's file system and on the simulated one, so that what a
//! store learns from the one holds on the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use eraft_storage_file::fs::{Access, FileKind, Fs, FsFile, read_exact_at, real::RealFs, sim::SimFs, write_all_at};
use rustix::io::Errno;

type Link = Box<dyn Fn(&str, &str)>;

/// A disk with an empty directory to play in.
struct Ground {
    fs: Box<dyn Fs>,
    dir: PathBuf,
    /// Makes a symbolic link `name` to `target`, both within `dir`.
    link: Link,
    _temporary: Option<tempfile::TempDir>,
}

impl Ground {
    fn real() -> Ground {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        let of_links = dir.clone();
        let link = move |name: &str, target: &str| {
            std::os::unix::fs::symlink(of_links.join(target), of_links.join(name)).unwrap();
        };
        Ground { fs: Box::new(RealFs), dir, link: Box::new(link), _temporary: Some(temporary) }
    }

    fn simulated() -> Ground {
        let disk = SimFs::new(1);
        disk.create_dir(Path::new("/play")).unwrap();
        let of_links = disk.clone();
        let link = move |name: &str, _: &str| of_links.plant_symlink(Path::new("/play").join(name)).unwrap();
        Ground { fs: Box::new(disk), dir: PathBuf::from("/play"), link: Box::new(link), _temporary: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a file that holds `bytes`.
    fn put(&self, name: &str, bytes: &[u8]) -> Box<dyn FsFile> {
        let file = self.fs.create_file(&self.at(name)).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
        file
    }

    fn get(&self, name: &str) -> Vec<u8> {
        let file = self.fs.open_file(&self.at(name), Access::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len_bytes().unwrap()).unwrap()];
        read_exact_at(&*file, &mut bytes, 0).unwrap();
        bytes
    }
}

fn kind<T>(outcome: std::io::Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

fn errno<T>(outcome: std::io::Result<T>) -> Option<Errno> {
    outcome.err().and_then(|error| Errno::from_io_error(&error))
}

/// One test per behaviour and disk.
macro_rules! on_both_disks {
    ($($behaviour:ident)*) => {
        mod on_the_real_disk {
            $(#[test] fn $behaviour() { super::$behaviour(&super::Ground::real()); })*
        }
        mod on_the_simulated_disk {
            $(#[test] fn $behaviour() { super::$behaviour(&super::Ground::simulated()); })*
        }
    };
}

on_both_disks! {
    a_write_is_read_back_and_the_end_is_told
    a_write_behind_the_end_leaves_zeros_between
    reading_past_the_end_is_an_error_of_its_own
    nothing_is_created_over_what_exists
    nothing_is_made_or_found_where_its_directory_is_missing
    a_handle_opened_for_reading_does_not_write
    modes_leave_out_everybody_else
    a_directory_is_listed_with_kinds
    a_rename_replaces_a_file
    a_rename_replaces_an_empty_directory_and_no_other
    a_directory_is_not_moved_into_itself
    a_directory_that_holds_something_is_not_removed
    files_and_directories_are_not_taken_for_each_other
    a_removed_file_stays_readable_through_its_handle
    links_are_not_followed
    a_lock_keeps_everybody_else_out_until_it_is_dropped
    syncs_succeed_on_files_and_directories
    free_space_is_told
}

fn a_write_is_read_back_and_the_end_is_told(on: &Ground) {
    let file = on.put("f", b"hello");
    assert_eq!(file.len_bytes().unwrap(), 5);
    let mut found = [0; 8];
    assert_eq!(file.read_at(&mut found, 1).unwrap(), 4);
    assert_eq!(&found[..4], b"ello");
    assert_eq!(file.read_at(&mut found, 5).unwrap(), 0);
    assert_eq!(file.read_at(&mut found, 500).unwrap(), 0);
    let again = on.fs.open_file(&on.at("f"), Access::ReadWrite).unwrap();
    write_all_at(&*again, b"J", 0).unwrap();
    assert_eq!(on.get("f"), b"Jello");
}

fn a_write_behind_the_end_leaves_zeros_between(on: &Ground) {
    let file = on.put("f", b"a");
    write_all_at(&*file, b"b", 3).unwrap();
    assert_eq!(on.get("f"), b"a\0\0b");
}

fn reading_past_the_end_is_an_error_of_its_own(on: &Ground) {
    let file = on.put("f", b"abc");
    assert_eq!(kind(read_exact_at(&*file, &mut [0; 4], 0)), Some(ErrorKind::UnexpectedEof));
}

fn nothing_is_created_over_what_exists(on: &Ground) {
    on.put("f", b"abc");
    on.fs.create_dir(&on.at("d")).unwrap();
    for name in ["f", "d"] {
        assert_eq!(kind(on.fs.create_file(&on.at(name))), Some(ErrorKind::AlreadyExists), "{name}");
        assert_eq!(kind(on.fs.create_dir(&on.at(name))), Some(ErrorKind::AlreadyExists), "{name}");
    }
    assert_eq!(on.get("f"), b"abc");
}

fn nothing_is_made_or_found_where_its_directory_is_missing(on: &Ground) {
    on.put("f", b"");
    let missing = Some(ErrorKind::NotFound);
    assert_eq!(kind(on.fs.create_file(&on.at("d/f"))), missing);
    assert_eq!(kind(on.fs.create_dir(&on.at("d/d"))), missing);
    assert_eq!(kind(on.fs.open_file(&on.at("d"), Access::Read)), missing);
    assert_eq!(kind(on.fs.metadata(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.read_dir(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.sync_dir(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.remove_file(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.remove_dir(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.rename(&on.at("d"), &on.at("e"))), missing);
    assert_eq!(kind(on.fs.lock(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.free_bytes(&on.at("d"))), missing);
    assert_eq!(kind(on.fs.create_file(&on.at("f/f"))), Some(ErrorKind::NotADirectory));
}

fn a_handle_opened_for_reading_does_not_write(on: &Ground) {
    on.put("f", b"abc");
    let file = on.fs.open_file(&on.at("f"), Access::Read).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    file.sync_data().unwrap();
    assert_eq!(on.get("f"), b"abc");
}

fn modes_leave_out_everybody_else(on: &Ground) {
    on.put("f", b"abc");
    on.fs.create_dir(&on.at("d")).unwrap();
    let file = on.fs.metadata(&on.at("f")).unwrap();
    assert_eq!((file.kind, file.len_bytes, file.mode), (FileKind::File, 3, 0o600));
    let dir = on.fs.metadata(&on.at("d")).unwrap();
    assert_eq!((dir.kind, dir.mode), (FileKind::Dir, 0o700));
}

fn a_directory_is_listed_with_kinds(on: &Ground) {
    on.put("f", b"");
    on.fs.create_dir(&on.at("d")).unwrap();
    (on.link)("l", "f");
    let mut found: Vec<_> =
        on.fs.read_dir(&on.dir).unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("d", FileKind::Dir), ("f", FileKind::File), ("l", FileKind::Symlink)];
    assert_eq!(found, expected.map(|(name, kind)| (name.into(), kind)));
}

fn a_rename_replaces_a_file(on: &Ground) {
    on.put("old", b"old");
    on.put("new", b"new");
    on.fs.rename(&on.at("new"), &on.at("old")).unwrap();
    assert_eq!(on.get("old"), b"new");
    assert_eq!(kind(on.fs.metadata(&on.at("new"))), Some(ErrorKind::NotFound));
    on.fs.rename(&on.at("old"), &on.at("old")).unwrap();
    assert_eq!(on.get("old"), b"new");
}

fn a_rename_replaces_an_empty_directory_and_no_other(on: &Ground) {
    for name in ["from", "empty", "full"] {
        on.fs.create_dir(&on.at(name)).unwrap();
    }
    on.put("from/f", b"1");
    on.put("full/f", b"2");
    assert_eq!(kind(on.fs.rename(&on.at("from"), &on.at("full"))), Some(ErrorKind::DirectoryNotEmpty));
    on.fs.rename(&on.at("from"), &on.at("empty")).unwrap();
    assert_eq!((on.get("empty/f"), on.get("full/f")), (b"1".to_vec(), b"2".to_vec()));
}

fn a_directory_is_not_moved_into_itself(on: &Ground) {
    on.fs.create_dir(&on.at("d")).unwrap();
    assert_eq!(kind(on.fs.rename(&on.at("d"), &on.at("d/e"))), Some(ErrorKind::InvalidInput));
}

fn a_directory_that_holds_something_is_not_removed(on: &Ground) {
    on.fs.create_dir(&on.at("d")).unwrap();
    on.put("d/f", b"");
    assert_eq!(kind(on.fs.remove_dir(&on.at("d"))), Some(ErrorKind::DirectoryNotEmpty));
    on.fs.remove_file(&on.at("d/f")).unwrap();
    on.fs.remove_dir(&on.at("d")).unwrap();
    assert!(on.fs.read_dir(&on.dir).unwrap().is_empty());
}

fn files_and_directories_are_not_taken_for_each_other(on: &Ground) {
    on.fs.create_dir(&on.at("d")).unwrap();
    on.put("f", b"");
    for access in [Access::Read, Access::ReadWrite] {
        assert_eq!(kind(on.fs.open_file(&on.at("d"), access)), Some(ErrorKind::IsADirectory));
    }
    assert_eq!(kind(on.fs.lock(&on.at("d"))), Some(ErrorKind::IsADirectory));
    assert_eq!(kind(on.fs.remove_file(&on.at("d"))), Some(ErrorKind::IsADirectory));
    assert_eq!(kind(on.fs.remove_dir(&on.at("f"))), Some(ErrorKind::NotADirectory));
    assert_eq!(kind(on.fs.read_dir(&on.at("f"))), Some(ErrorKind::NotADirectory));
    assert_eq!(kind(on.fs.sync_dir(&on.at("f"))), Some(ErrorKind::NotADirectory));
    assert_eq!(kind(on.fs.rename(&on.at("f"), &on.at("d"))), Some(ErrorKind::IsADirectory));
    assert_eq!(kind(on.fs.rename(&on.at("d"), &on.at("f"))), Some(ErrorKind::NotADirectory));
}

fn a_removed_file_stays_readable_through_its_handle(on: &Ground) {
    let file = on.put("f", b"abc");
    on.fs.remove_file(&on.at("f")).unwrap();
    on.put("f", b"other");
    let mut found = [0; 3];
    read_exact_at(&*file, &mut found, 0).unwrap();
    assert_eq!(&found, b"abc");
}

fn links_are_not_followed(on: &Ground) {
    on.put("f", b"abc");
    (on.link)("l", "f");
    for access in [Access::Read, Access::ReadWrite] {
        assert_eq!(errno(on.fs.open_file(&on.at("l"), access)), Some(Errno::LOOP));
    }
    assert_eq!(errno(on.fs.lock(&on.at("l"))), Some(Errno::LOOP));
    assert_eq!(kind(on.fs.create_file(&on.at("l"))), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(on.fs.sync_dir(&on.at("l"))), Some(ErrorKind::NotADirectory));
    assert_eq!(on.fs.metadata(&on.at("l")).unwrap().kind, FileKind::Symlink);
    on.fs.remove_file(&on.at("l")).unwrap();
    assert_eq!(on.get("f"), b"abc");
}

fn a_lock_keeps_everybody_else_out_until_it_is_dropped(on: &Ground) {
    on.put("LOCK", b"");
    on.put("OTHER", b"");
    let held = on.fs.lock(&on.at("LOCK")).unwrap();
    assert_eq!(kind(on.fs.lock(&on.at("LOCK"))), Some(ErrorKind::WouldBlock));
    let _other = on.fs.lock(&on.at("OTHER")).unwrap();
    drop(held);
    let _again = on.fs.lock(&on.at("LOCK")).unwrap();
}

fn syncs_succeed_on_files_and_directories(on: &Ground) {
    let file = on.put("f", b"abc");
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    on.fs.sync_dir(&on.dir).unwrap();
}

fn free_space_is_told(on: &Ground) {
    assert!(on.fs.free_bytes(&on.dir).unwrap() > 0);
}
