//! Creations, renames and removals: what a crash undoes, what a directory's sync holds, and which mixes are possible.

use std::path::Path;

use eraft_storage_file::fs::{Fs, sim::Policy, sim::SimFs};

use crate::{create, disk_with_file, first_byte, outcomes, remove, rename, sync_dir, write};

/// Puts a file with one durable byte in place; its name is not synced.
fn put(disk: &SimFs, path: &str, byte: u8) {
    let file = create(disk, path);
    write(&*file, &[byte], 0);
    file.sync_all().unwrap();
}

fn make_dir(disk: &SimFs, path: &str) {
    disk.create_dir(Path::new(path)).unwrap();
}

#[test]
fn an_unsynced_creation_may_be_undone_though_the_file_was_synced() {
    let disk = SimFs::new(1);
    put(&disk, "/f", 1);
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [None, Some(1)]);
    sync_dir(&disk, "/");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [Some(1)]);
}

#[test]
fn a_removed_file_may_come_back_with_its_old_content() {
    let disk = SimFs::new(1);
    put(&disk, "/f", 1);
    sync_dir(&disk, "/");
    remove(&disk, "/f");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [None, Some(1)]);
    sync_dir(&disk, "/");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [None]);
}

#[test]
fn a_recreated_name_may_lead_to_the_old_file_the_new_one_or_nothing() {
    let disk = SimFs::new(1);
    put(&disk, "/f", 1);
    sync_dir(&disk, "/");
    remove(&disk, "/f");
    put(&disk, "/f", 2);
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [None, Some(1), Some(2)]);
    sync_dir(&disk, "/");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [Some(2)]);
}

#[test]
fn a_renamed_file_has_its_old_or_its_new_name_never_both_and_never_none() {
    let disk = SimFs::new(1);
    put(&disk, "/old", 1);
    sync_dir(&disk, "/");
    rename(&disk, "/old", "/new");
    let look = |disk: &SimFs| (first_byte(disk, "/old"), first_byte(disk, "/new"));
    assert_eq!(Vec::from_iter(outcomes(&disk, look)), [(None, Some(1)), (Some(1), None)]);
    sync_dir(&disk, "/");
    assert_eq!(Vec::from_iter(outcomes(&disk, look)), [(None, Some(1))]);
}

#[test]
fn a_rename_over_a_file_leaves_the_old_file_or_the_new_one_under_its_name() {
    let disk = SimFs::new(1);
    put(&disk, "/f", 1);
    sync_dir(&disk, "/");
    put(&disk, "/tmp", 2);
    rename(&disk, "/tmp", "/f");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [Some(1), Some(2)]);
}

#[test]
fn a_rename_may_outrun_the_bytes_of_its_file() {
    let disk = SimFs::new(1);
    let file = create(&disk, "/tmp");
    write(&*file, &[1], 0);
    rename(&disk, "/tmp", "/f");
    sync_dir(&disk, "/");
    let seen = outcomes(&disk, |disk| disk.read_file("/f").unwrap());
    assert!(seen.contains(&vec![]) && seen.contains(&vec![1]), "{seen:?}");
}

#[test]
fn a_rename_between_directories_is_durable_once_either_of_them_is_synced() {
    for synced in ["/a", "/b"] {
        let disk = SimFs::new(1);
        make_dir(&disk, "/a");
        make_dir(&disk, "/b");
        put(&disk, "/a/f", 1);
        sync_dir(&disk, "/a");
        sync_dir(&disk, "/");
        rename(&disk, "/a/f", "/b/f");
        let look = |disk: &SimFs| (first_byte(disk, "/a/f"), first_byte(disk, "/b/f"));
        assert_eq!(Vec::from_iter(outcomes(&disk, look)), [(None, Some(1)), (Some(1), None)]);
        sync_dir(&disk, synced);
        assert_eq!(Vec::from_iter(outcomes(&disk, look)), [(None, Some(1))], "{synced}");
    }
}

#[test]
fn a_name_that_a_rename_left_is_filled_only_together_with_the_rename() {
    let disk = SimFs::new(1);
    put(&disk, "/f", 1);
    sync_dir(&disk, "/");
    rename(&disk, "/f", "/saved");
    put(&disk, "/f", 2);
    let look = |disk: &SimFs| (first_byte(disk, "/f"), first_byte(disk, "/saved"));
    let possible = [(None, Some(1)), (Some(1), None), (Some(2), Some(1))];
    assert_eq!(Vec::from_iter(outcomes(&disk, look)), possible, "the first file must be somewhere");
}

#[test]
fn operations_on_different_names_fall_independently_of_their_order() {
    let disk = SimFs::new(1);
    put(&disk, "/first", 1);
    put(&disk, "/second", 2);
    let seen = outcomes(&disk, |disk| (first_byte(disk, "/first"), first_byte(disk, "/second")));
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_directorys_own_name_is_its_parents_to_sync() {
    let disk = SimFs::new(1);
    make_dir(&disk, "/d");
    put(&disk, "/d/f", 1);
    sync_dir(&disk, "/d");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/d/f"))), [None, Some(1)]);
    sync_dir(&disk, "/");
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/d/f"))), [Some(1)]);
}

#[test]
fn a_parents_sync_makes_no_name_within_the_directory_durable() {
    let disk = SimFs::new(1);
    make_dir(&disk, "/d");
    put(&disk, "/d/f", 1);
    sync_dir(&disk, "/");
    disk.crash_with(Policy::LOSE);
    assert_eq!(disk.paths(), [Path::new("/d")]);
}

#[test]
fn a_renamed_directory_takes_along_what_it_holds() {
    let disk = SimFs::new(1);
    make_dir(&disk, "/tmp");
    put(&disk, "/tmp/f", 1);
    sync_dir(&disk, "/tmp");
    sync_dir(&disk, "/");
    rename(&disk, "/tmp", "/d");
    let seen = outcomes(&disk, |disk| (first_byte(disk, "/tmp/f"), first_byte(disk, "/d/f")));
    assert_eq!(Vec::from_iter(seen), [(None, Some(1)), (Some(1), None)]);
}

#[test]
fn a_removed_directory_may_come_back_with_what_was_removed_from_it() {
    let disk = SimFs::new(1);
    make_dir(&disk, "/d");
    put(&disk, "/d/f", 1);
    sync_dir(&disk, "/d");
    sync_dir(&disk, "/");
    remove(&disk, "/d/f");
    disk.remove_dir(Path::new("/d")).unwrap();
    disk.crash_with(Policy::LOSE);
    assert_eq!(first_byte(&disk, "/d/f"), Some(1));
}

#[test]
fn a_failed_directory_sync_makes_nothing_durable_but_a_later_one_may() {
    let disk = SimFs::new(1);
    put(&disk, "/f", 1);
    disk.fail_nth(eraft_storage_file::fs::sim::Call::SyncDir, 1, eraft_storage_file::fs::sim::Fault::Io);
    assert!(disk.sync_dir(Path::new("/")).is_err());
    assert_eq!(outcomes(&disk, |disk| first_byte(disk, "/f")).len(), 2);
    sync_dir(&disk, "/");
    assert_eq!(outcomes(&disk, |disk| first_byte(disk, "/f")).len(), 1);
}

#[test]
fn the_counters_tell_what_was_undone() {
    let (disk, _file) = disk_with_file(1);
    put(&disk, "/created", 1);
    rename(&disk, "/f", "/renamed");
    remove(&disk, "/renamed");
    disk.crash_with(Policy::LOSE);
    let reach = disk.reach();
    assert_eq!((reach.creates_undone, reach.renames_undone, reach.removes_undone), (1, 1, 1));
}
