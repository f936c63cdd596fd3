//! Bytes and lengths of one file.

use std::path::Path;

use eraft_storage_file::fs::{
    Access, Fs,
    sim::{Policy, SimFs},
};

use crate::{disk_with_file, first_byte, outcomes, remove, sync_dir, write};

#[test]
fn synced_bytes_survive_every_crash() {
    for seed in 0..100 {
        let (disk, file) = disk_with_file(seed);
        write(&*file, &[7; 2000], 0);
        file.sync_data().unwrap();
        disk.crash();
        assert_eq!(disk.read_file("/f").unwrap(), [7; 2000], "seed {seed}");
        disk.crash();
        assert_eq!(disk.read_file("/f").unwrap(), [7; 2000], "seed {seed}, again");
    }
}

#[test]
fn an_unsynced_sector_is_kept_or_lost_and_each_sector_by_itself() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 1024], 0);
    file.sync_data().unwrap();
    write(&*file, &[2; 1024], 0);
    let seen = outcomes(&disk, |disk| {
        let bytes = disk.read_file("/f").unwrap();
        assert_eq!(bytes.len(), 1024);
        // No sector is ever torn within, and a sector with synced content is never zeroed or garbled.
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        (bytes[0], bytes[512])
    });
    assert_eq!(Vec::from_iter(seen), [(1, 1), (1, 2), (2, 1), (2, 2)]);
}

#[test]
fn a_sector_may_fall_back_to_any_version_since_its_sync() {
    let (disk, file) = disk_with_file(1);
    for version in 1..=4 {
        write(&*file, &[version; 512], 0);
        if version == 1 {
            file.sync_data().unwrap();
        }
    }
    assert_eq!(Vec::from_iter(outcomes(&disk, |disk| first_byte(disk, "/f"))), [Some(1), Some(2), Some(3), Some(4)]);
}

#[test]
fn a_later_write_may_survive_where_an_earlier_one_is_lost() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[0; 8192], 0);
    file.sync_data().unwrap();
    write(&*file, &[1; 512], 0);
    write(&*file, &[2; 512], 4096);
    let seen = outcomes(&disk, |disk| {
        let bytes = disk.read_file("/f").unwrap();
        (bytes[0], bytes[4096], disk.reach().writes_reordered)
    });
    assert!(seen.contains(&(0, 2, 1)), "{seen:?}");
    assert!(seen.iter().all(|(first, second, reordered)| (*reordered == 1) == (*first == 0 && *second == 2)));
}

#[test]
fn a_lost_sector_without_synced_content_may_read_as_zeros_noise_or_another_files_bytes() {
    let (disk, file) = disk_with_file(1);
    let other = disk.create_file(Path::new("/other")).unwrap();
    sync_dir(&disk, "/");
    write(&*other, &[9; 512], 0);
    other.sync_data().unwrap();
    write(&*file, &[1; 512], 0);
    let seen = outcomes(&disk, |disk| match disk.read_file("/f").unwrap() {
        bytes if bytes.is_empty() => "short",
        bytes if bytes == [1; 512] => "new",
        bytes if bytes == [0; 512] => "zeros",
        bytes if bytes == [9; 512] => "stale",
        _ => "noise",
    });
    assert_eq!(Vec::from_iter(seen), ["new", "noise", "short", "stale", "zeros"]);
}

#[test]
fn the_synced_part_of_a_sector_survives_an_unsynced_append_to_it() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 100], 0);
    file.sync_data().unwrap();
    write(&*file, &[2; 100], 100);
    let seen = outcomes(&disk, |disk| {
        let bytes = disk.read_file("/f").unwrap();
        assert_eq!(bytes[..100], [1; 100]);
        (bytes.len(), bytes.get(100).copied())
    });
    // The append there, lost, or there in length alone.
    assert_eq!(Vec::from_iter(seen), [(100, None), (200, Some(0)), (200, Some(2))]);
}

#[test]
fn an_unsynced_length_may_be_lost_with_all_bytes_behind_it() {
    let (disk, file) = disk_with_file(1);
    for sector in 0..3 {
        write(&*file, &[1; 512], sector * 512);
    }
    let lengths = outcomes(&disk, |disk| disk.read_file("/f").unwrap().len());
    assert_eq!(Vec::from_iter(lengths), [0, 512, 1024, 1536]);
}

#[test]
fn a_hole_that_was_never_written_reads_as_zeros_after_a_crash() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 512], 4096);
    let holes = outcomes(&disk, |disk| disk.read_file("/f").unwrap().iter().take(4096).any(|byte| *byte != 0));
    assert_eq!(Vec::from_iter(holes), [false]);
}

#[test]
fn syncing_one_file_makes_no_other_durable() {
    let (disk, file) = disk_with_file(1);
    let other = disk.create_file(Path::new("/other")).unwrap();
    sync_dir(&disk, "/");
    write(&*other, &[1; 512], 0);
    write(&*file, &[1; 512], 0);
    file.sync_all().unwrap();
    disk.crash_with(Policy::LOSE);
    assert_eq!((first_byte(&disk, "/f"), first_byte(&disk, "/other")), (Some(1), None));
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_durable() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 512], 0);
    disk.kill();
    disk.drop_caches();
    assert_eq!(disk.read_file("/f").unwrap(), [1; 512]);
    disk.crash_with(Policy::LOSE);
    assert_eq!(disk.read_file("/f").unwrap(), [0; 0]);
}

#[test]
fn what_survived_a_kill_is_durable_once_it_is_synced_through_a_new_handle() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 512], 0);
    disk.kill();
    disk.open_file(Path::new("/f"), Access::Read).unwrap().sync_data().unwrap();
    disk.crash_with(Policy::LOSE);
    assert_eq!(disk.read_file("/f").unwrap(), [1; 512]);
}

#[test]
fn handles_and_locks_end_with_a_crash_and_with_a_kill() {
    for end in [SimFs::crash, SimFs::kill] {
        let (disk, file) = disk_with_file(1);
        let lock = disk.lock(Path::new("/f")).unwrap();
        end(&disk);
        assert!(file.read_at(&mut [0], 0).is_err());
        assert!(file.write_at(&[0], 0).is_err());
        assert!(file.sync_data().is_err());
        let _next = disk.lock(Path::new("/f")).unwrap();
        drop(lock);
        assert!(disk.lock(Path::new("/f")).is_err(), "the dead process's guard let go of a lock that is not its own");
    }
}

#[test]
fn a_directed_crash_loses_or_keeps_all_of_a_kind() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 512], 0);
    let after = |policy| {
        let fork = disk.fork(2);
        fork.crash_with(policy);
        fork.read_file("/f").unwrap()
    };
    assert_eq!(after(Policy::LOSE), [0; 0]);
    assert_eq!(after(Policy::KEEP), [1; 512]);
    assert_eq!(after(Policy::LOSE_DATA), [0; 512]);
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let run = |seed| {
        let (disk, file) = disk_with_file(seed);
        for sector in 0..64 {
            write(&*file, &[1; 700], sector * 600);
        }
        disk.crash();
        (disk.read_file("/f").unwrap(), disk.reach())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn the_counters_tell_that_writes_were_torn_and_lengths_lost() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 5120], 0);
    let torn = outcomes(&disk, |disk| (disk.reach().writes_torn, disk.reach().lengths_lost));
    assert_eq!(Vec::from_iter(torn), [(0, 0), (0, 1), (1, 0)]);
}

#[test]
fn a_removed_file_stays_readable_through_its_handle_and_takes_room_until_it_is_closed() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 512], 0);
    remove(&disk, "/f");
    sync_dir(&disk, "/");
    assert_eq!(file.read_at(&mut [0; 512], 0).unwrap(), 512);
    assert_eq!(disk.used_bytes(), 512);
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
}
