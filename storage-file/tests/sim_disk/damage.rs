//! Damage at rest.

use std::path::Path;

use eraft_storage_file::fs::{
    Access, FileKind, Fs,
    sim::{Policy, SimFs},
};

use crate::{create, disk_with_file, first_byte, sync_dir, write};

#[test]
fn a_flipped_bit_is_read_back_at_once_and_after_a_crash() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[0; 600], 0);
    file.sync_data().unwrap();
    disk.flip("/f", 513, 0b100).unwrap();
    let mut found = [0; 1];
    file.read_at(&mut found, 513).unwrap();
    assert_eq!(found, [0b100]);
    disk.crash();
    assert_eq!(disk.read_file("/f").unwrap()[513], 0b100);
    assert!(disk.flip("/f", 600, 1).is_err());
}

#[test]
fn a_planted_file_is_durable_and_replaces_what_stood_there() {
    let disk = SimFs::new(1);
    let old = create(&disk, "/f");
    write(&*old, &[1], 0);
    disk.plant_file("/f", &[2]).unwrap();
    assert_eq!(first_byte(&disk, "/f"), Some(2));
    disk.crash_with(Policy::LOSE);
    assert_eq!(first_byte(&disk, "/f"), Some(2));
}

#[test]
fn an_uprooted_directory_does_not_come_back() {
    let disk = SimFs::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    drop(create(&disk, "/d/f"));
    sync_dir(&disk, "/d");
    sync_dir(&disk, "/");
    disk.uproot("/d").unwrap();
    disk.crash();
    assert!(disk.paths().is_empty());
}

#[test]
fn a_planted_link_is_seen_as_one_and_never_followed() {
    let disk = SimFs::new(1);
    disk.plant_symlink("/link").unwrap();
    assert_eq!(disk.metadata(Path::new("/link")).unwrap().kind, FileKind::Symlink);
    assert!(disk.open_file(Path::new("/link"), Access::Read).is_err());
}

#[test]
fn a_set_mode_is_told() {
    let (disk, _file) = disk_with_file(1);
    disk.set_mode("/f", 0o666).unwrap();
    assert_eq!(disk.metadata(Path::new("/f")).unwrap().mode, 0o666);
}
