//! Planned faults, full disks, lost power, and the counters.

use std::{io::ErrorKind, path::Path};

use eraft_storage_file::fs::{
    Fs,
    sim::{Call, Fault, Policy, SimFs},
};

use crate::{create, disk_with_file, first_byte, outcomes, sync_dir, write};

#[test]
fn only_the_planned_call_fails() {
    let (disk, file) = disk_with_file(1);
    disk.fail_nth(Call::Write, 2, Fault::Io);
    file.write_at(&[1], 0).unwrap();
    assert_eq!(file.write_at(&[1], 0).unwrap_err().raw_os_error(), Some(5));
    file.write_at(&[1], 0).unwrap();
}

#[test]
fn a_lasting_fault_ends_when_the_disk_is_healed() {
    let (disk, file) = disk_with_file(1);
    disk.fail_from(Call::Write, 2, Fault::ReadOnly);
    file.write_at(&[1], 0).unwrap();
    for _ in 0..3 {
        assert_eq!(file.write_at(&[1], 0).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    disk.heal();
    file.write_at(&[1], 0).unwrap();
}

#[test]
fn every_kind_of_call_can_fail_and_then_has_done_nothing() {
    let path = Path::new("/d/f");
    type Attempt = fn(&SimFs, &Path) -> std::io::Result<()>;
    let attempts: [(Call, Attempt); 11] = [
        (Call::CreateDir, |disk, _| disk.create_dir(Path::new("/new"))),
        (Call::CreateFile, |disk, _| disk.create_file(Path::new("/new")).map(drop)),
        (Call::Open, |disk, path| disk.open_file(path, eraft_storage_file::fs::Access::Read).map(drop)),
        (Call::ReadDir, |disk, _| disk.read_dir(Path::new("/")).map(drop)),
        (Call::Metadata, |disk, path| disk.metadata(path).map(drop)),
        (Call::Rename, |disk, path| disk.rename(path, Path::new("/new"))),
        (Call::RemoveFile, Fs::remove_file),
        (Call::RemoveDir, |disk, _| disk.remove_dir(Path::new("/empty"))),
        (Call::SyncDir, |disk, _| disk.sync_dir(Path::new("/"))),
        (Call::Lock, |disk, path| disk.lock(path).map(drop)),
        (Call::Read, |disk, path| {
            disk.open_file(path, eraft_storage_file::fs::Access::Read)?.read_at(&mut [0], 0).map(drop)
        }),
    ];
    for (call, attempt) in attempts {
        let disk = SimFs::new(1);
        disk.create_dir(Path::new("/d")).unwrap();
        disk.create_dir(Path::new("/empty")).unwrap();
        drop(create(&disk, "/d/f"));
        let before = disk.paths();
        disk.fail_nth(call, 1, Fault::Io);
        assert_eq!(attempt(&disk, path).unwrap_err().raw_os_error(), Some(5), "{call:?}");
        assert_eq!(disk.paths(), before, "{call:?}");
        attempt(&disk, path).unwrap_or_else(|error| panic!("{call:?} stays failed: {error}"));
    }
}

#[test]
fn a_failed_write_may_have_taken_a_part() {
    let taken = (0..50).map(|seed| {
        let (disk, file) = disk_with_file(seed);
        disk.fail_nth(Call::Write, 1, Fault::NoSpace);
        assert_eq!(file.write_at(&[1; 100], 0).unwrap_err().kind(), ErrorKind::StorageFull);
        file.len_bytes().unwrap()
    });
    let taken: std::collections::BTreeSet<u64> = taken.collect();
    assert!(taken.len() > 5 && taken.iter().all(|bytes| *bytes <= 100), "{taken:?}");
}

#[test]
fn short_reads_and_writes_handle_a_part_and_the_helpers_complete_them() {
    let (disk, file) = disk_with_file(1);
    disk.fail_from(Call::Write, 1, Fault::Short);
    disk.fail_from(Call::Read, 1, Fault::Short);
    let taken = file.write_at(&[1; 100], 0).unwrap();
    assert!((1..100).contains(&taken), "{taken}");
    write(&*file, &[2; 100], 0);
    let mut found = [0; 100];
    let given = file.read_at(&mut found, 0).unwrap();
    assert!((1..100).contains(&given), "{given}");
    eraft_storage_file::fs::read_exact_at(&*file, &mut found, 0).unwrap();
    assert_eq!(found, [2; 100]);
}

#[test]
fn an_interrupted_call_is_made_again_at_once_but_a_sync_has_failed() {
    let (disk, file) = disk_with_file(1);
    let path = Path::new("/f");
    for call in [Call::Write, Call::Read, Call::Metadata, Call::Open] {
        disk.fail_nth(call, 1, Fault::Interrupted);
        let before = disk.counters().of(call);
        match call {
            Call::Write => assert_eq!(file.write_at(&[1; 100], 0).unwrap(), 100),
            Call::Read => assert_eq!(file.read_at(&mut [0; 100], 0).unwrap(), 100),
            Call::Metadata => assert_eq!(disk.metadata(path).unwrap().len_bytes, 100),
            _ => drop(disk.open_file(path, eraft_storage_file::fs::Access::Read).unwrap()),
        }
        assert_eq!(disk.counters().of(call) - before, 2, "{call:?}");
    }
    for call in [Call::SyncData, Call::SyncAll, Call::SyncDir] {
        disk.fail_nth(call, 1, Fault::Interrupted);
        let synced = match call {
            Call::SyncData => file.sync_data(),
            Call::SyncAll => file.sync_all(),
            _ => disk.sync_dir(Path::new("/")),
        };
        assert_eq!(synced.unwrap_err().kind(), ErrorKind::Interrupted, "{call:?}");
    }
}

#[test]
fn what_a_failed_sync_lost_stays_readable_and_no_later_sync_makes_it_durable() {
    let mut lost_sectors = 0;
    for seed in 0..50 {
        let (disk, file) = disk_with_file(seed);
        write(&*file, &[1; 1024], 0);
        file.sync_data().unwrap();
        write(&*file, &[2; 1024], 0);
        disk.fail_nth(Call::SyncData, 1, Fault::Io);
        assert!(file.sync_data().is_err());
        assert_eq!(disk.read_file("/f").unwrap(), [2; 1024], "the cache still has it");
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        disk.crash_with(Policy::KEEP);
        let bytes = disk.read_file("/f").unwrap();
        lost_sectors += u64::from(bytes[0] == 1) + u64::from(bytes[512] == 1);
        let told = disk.reach().sectors_lost_by_failed_sync;
        assert_eq!(told, u64::from(bytes[0] == 1) + u64::from(bytes[512] == 1), "seed {seed}");
    }
    assert!((20..80).contains(&lost_sectors), "of 100 sectors {lost_sectors} were lost");
}

#[test]
fn what_a_failed_sync_lost_is_durable_once_it_is_written_again_and_synced() {
    for seed in 0..50 {
        let (disk, file) = disk_with_file(seed);
        write(&*file, &[2; 1024], 0);
        disk.fail_nth(Call::SyncData, 1, Fault::Io);
        assert!(file.sync_data().is_err());
        write(&*file, &[2; 1024], 0);
        file.sync_data().unwrap();
        disk.crash_with(Policy::LOSE);
        assert_eq!(disk.read_file("/f").unwrap(), [2; 1024], "seed {seed}");
    }
}

#[test]
fn a_failed_sync_takes_nothing_from_what_was_synced_before() {
    for seed in 0..50 {
        let (disk, file) = disk_with_file(seed);
        write(&*file, &[1; 1024], 0);
        file.sync_data().unwrap();
        write(&*file, &[1; 1024], 0);
        disk.fail_nth(Call::SyncData, 1, Fault::Io);
        assert!(file.sync_data().is_err());
        // Dirty again, and lost: the sectors fall back to what was synced, which is what was written all along.
        write(&*file, &[1; 1024], 0);
        disk.crash_with(Policy::LOSE);
        assert_eq!(disk.read_file("/f").unwrap(), [1; 1024], "seed {seed}");
    }
}

#[test]
fn dropping_the_caches_shows_what_a_failed_sync_lost() {
    let seen: std::collections::BTreeSet<_> = (0..50)
        .map(|seed| {
            let (disk, file) = disk_with_file(seed);
            write(&*file, &[1; 512], 0);
            file.sync_data().unwrap();
            write(&*file, &[2; 512], 0);
            disk.fail_nth(Call::SyncData, 1, Fault::Io);
            assert!(file.sync_data().is_err());
            disk.kill();
            assert_eq!(first_byte(&disk, "/f"), Some(2));
            disk.drop_caches();
            first_byte(&disk, "/f")
        })
        .collect();
    assert_eq!(Vec::from_iter(seen), [Some(1), Some(2)]);
}

#[test]
fn a_length_that_a_failed_sync_lost_is_not_brought_back_by_a_sync_alone() {
    let lengths = (0..50).map(|seed| {
        let (disk, file) = disk_with_file(seed);
        write(&*file, &[1; 512], 0);
        disk.fail_nth(Call::SyncAll, 1, Fault::Interrupted);
        assert_eq!(file.sync_all().unwrap_err().kind(), ErrorKind::Interrupted);
        file.sync_all().unwrap();
        disk.crash_with(Policy::KEEP);
        disk.read_file("/f").unwrap().len()
    });
    assert_eq!(Vec::from_iter(lengths.collect::<std::collections::BTreeSet<_>>()), [0, 512]);
}

#[test]
fn a_full_disk_takes_what_fits_then_nothing_and_overwriting_goes_on() {
    let (disk, file) = disk_with_file(1);
    disk.set_capacity_bytes(Some(1000));
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 1000);
    assert_eq!(file.write_at(&[1; 700], 0).unwrap(), 700);
    assert_eq!(file.write_at(&[1; 700], 700).unwrap(), 300);
    assert_eq!(file.write_at(&[1; 700], 1000).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_at(&[2; 1000], 0).unwrap(), 1000);
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 0);
    disk.remove_file(Path::new("/f")).unwrap();
    drop(file);
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 1000);
}

#[test]
fn once_the_power_is_cut_every_call_fails_until_the_crash() {
    let (disk, file) = disk_with_file(1);
    disk.cut_power_after(2);
    write(&*file, &[1; 512], 0);
    file.read_at(&mut [0], 0).unwrap();
    file.sync_data().unwrap();
    assert!(!disk.power_is_off());
    assert!(file.write_at(&[2; 512], 0).is_err());
    assert!(disk.power_is_off());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(disk.metadata(Path::new("/f")).is_err());
    disk.crash();
    assert_eq!(disk.read_file("/f").unwrap(), [1; 512]);
    disk.metadata(Path::new("/f")).unwrap();
}

#[test]
fn calls_and_bytes_are_counted() {
    let (disk, file) = disk_with_file(1);
    let before = disk.counters();
    write(&*file, &[1; 100], 0);
    file.read_at(&mut [0; 200], 50).unwrap();
    file.sync_data().unwrap();
    let after = disk.counters();
    assert_eq!(after.written_bytes - before.written_bytes, 100);
    assert_eq!(after.read_bytes - before.read_bytes, 50);
    assert_eq!((after.of(Call::Write), after.of(Call::Read), after.of(Call::SyncData)), (1, 1, 1));
    assert_eq!(after.mutating() - before.mutating(), 2, "a read changes nothing");
}

#[test]
fn a_fork_goes_its_own_way() {
    let (disk, file) = disk_with_file(1);
    write(&*file, &[1; 512], 0);
    let fork = disk.fork(2);
    fork.crash_with(Policy::LOSE);
    assert_eq!(disk.read_file("/f").unwrap(), [1; 512]);
    drop(create(&fork, "/g"));
    sync_dir(&fork, "/");
    assert_eq!(disk.paths(), [Path::new("/f")]);
    assert_eq!(outcomes(&disk, |disk| disk.paths().len()).into_iter().collect::<Vec<_>>(), [1]);
}
