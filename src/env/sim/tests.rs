//! Tests that the simulated disk follows its fault model.

use super::*;

const EIO: i32 = 5;

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.peek(&path(name))
}

#[test]
fn what_is_synced_survives_and_the_rest_may_not() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    file.write_all_at(&[1; 1024], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(&[2; 512], 512).unwrap();
    let kept = disk.snapshot();
    kept.crash_with(&mut |_| true);
    assert_eq!(content(&kept, "a").unwrap(), [[1; 512], [2; 512]].concat());
    disk.crash_with(&mut |_| false);
    assert_eq!(content(&disk, "a").unwrap(), [1; 1024]);
    assert!(file.sync().is_err(), "the handle died with the machine");
}

#[test]
fn a_name_needs_its_directory_synced_whatever_its_content() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    file.write_all_at(&[1; 10], 0).unwrap();
    file.sync().unwrap();
    let lost = disk.snapshot();
    lost.crash_with(&mut |_| false);
    assert_eq!(content(&lost, "a"), None);
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.rename(&path("a"), &path("b")).unwrap();
    let old = disk.snapshot();
    old.crash_with(&mut |_| false);
    assert_eq!((content(&old, "a").is_some(), content(&old, "b").is_some()), (true, false));
    disk.crash_with(&mut |_| true);
    assert_eq!((content(&disk, "a").is_some(), content(&disk, "b").is_some()), (false, true));
}

#[test]
fn a_length_may_stop_half_way() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(&[1; 2048], 0).unwrap();
    let mut asked = 0;
    disk.crash_with(&mut |what| {
        asked += u64::from(what == Unsynced::Length);
        what == Unsynced::Sector || asked == 2
    });
    assert_eq!(content(&disk, "a").unwrap(), [1; 1024]);
}

#[test]
fn after_a_failed_sync_the_page_cache_lies_until_it_is_evicted() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    file.write_all_at(&[1; 512], 0).unwrap();
    file.sync().unwrap();
    file.write_all_at(&[2; 512], 0).unwrap();
    disk.fail(Fault { at: 0, only: Some(Operation::Sync), is_sticky: false, errno: EIO });
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(EIO));
    file.sync().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), [2; 512], "still in the page cache");
    file.evict().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), [1; 512], "the device never had it");
    file.write_all_at(&[3; 512], 0).unwrap();
    file.sync().unwrap();
    file.evict().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), [3; 512], "what is written again is dirty again");
}

#[test]
fn faults_come_when_they_are_due_and_stay_if_they_are_sticky() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    let at = disk.operations() + 2;
    disk.fail(Fault { at, only: None, is_sticky: false, errno: EIO });
    file.write_all_at(&[1], 0).unwrap();
    assert!(file.len().is_err());
    assert!(file.len().is_ok());
    disk.fail(Fault { at: 0, only: Some(Operation::Rename), is_sticky: true, errno: 30 });
    assert!(file.len().is_ok());
    assert!(disk.rename(&path("a"), &path("b")).is_err() && disk.rename(&path("a"), &path("b")).is_err());
    disk.heal();
    disk.rename(&path("a"), &path("b")).unwrap();
    assert_eq!(disk.count(Operation::Rename), 3);
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    disk.set_capacity(Some(1000));
    file.write_all_at(&[1; 1000], 0).unwrap();
    assert_eq!(file.write_all_at(&[1; 1000], 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_all_at(&[2; 10], 990).unwrap();
    disk.remove(&path("a")).unwrap();
    disk.create(&path("b")).unwrap().write_all_at(&[1; 1000], 0).unwrap();
}

#[test]
fn a_lock_dies_with_its_holder() {
    let disk = disk();
    let Lock::Held(held) = disk.lock(&path("LOCK"), "one").unwrap() else { panic!("the lock is free") };
    let Lock::Taken { holder } = disk.lock(&path("LOCK"), "two").unwrap() else { panic!("it is taken") };
    assert_eq!(holder, "one");
    assert_eq!(disk.holder(&path("LOCK")).unwrap().as_deref(), Some("one"));
    disk.kill();
    let Lock::Held(next) = disk.lock(&path("LOCK"), "two").unwrap() else { panic!("the holder died") };
    drop(held);
    assert!(matches!(disk.lock(&path("LOCK"), "three").unwrap(), Lock::Taken { .. }), "a dead holder frees nothing");
    drop(next);
    assert!(matches!(disk.lock(&path("LOCK"), "three").unwrap(), Lock::Held(_)));
}

#[test]
fn reads_and_cuts_are_exact() {
    let disk = disk();
    let file = disk.create(&path("a")).unwrap();
    file.write_all_at(&[7; 5000], 4090).unwrap();
    let mut buf = [0; 8];
    file.read_exact_at(&mut buf, 4086).unwrap();
    assert_eq!(buf, [0, 0, 0, 0, 7, 7, 7, 7]);
    assert_eq!(file.read_exact_at(&mut buf, 9083).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    file.set_len(4092).unwrap();
    file.set_len(5000).unwrap();
    assert_eq!(content(&disk, "a").unwrap()[4088..4096], [0, 0, 7, 7, 0, 0, 0, 0]);
    let reader = disk.open_read(&path("a")).unwrap();
    assert!(reader.write_all_at(&[1], 0).is_err(), "opened for reading");
}

#[test]
fn the_same_seed_crashes_the_same_way_and_seeds_differ() {
    let make = |seed| {
        let disk = disk();
        let file = disk.create(&path("a")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(&[0; 8192], 0).unwrap();
        file.sync().unwrap();
        file.write_all_at(&[1; 8192], 0).unwrap();
        disk.crash(seed);
        content(&disk, "a").unwrap()
    };
    let results: Vec<_> = (0..64).map(make).collect();
    assert_eq!(results, (0..64).map(make).collect::<Vec<_>>());
    assert!(results.contains(&vec![0; 8192]) && results.contains(&vec![1; 8192]));
    let mut distinct = results;
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 16, "{}", distinct.len());
}
