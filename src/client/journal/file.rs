//! The journal's file: resolves its path, locks it, and replaces it by a new one.
//!
//! The lock is on the file itself, so that it is the same for every path to the file; a file that replaces it is locked
//! before the rename. The lock file beside it is locked as well, for earlier versions, which know only that one.
//! A file with a second name (a hard link) is refused: a rewrite would leave old content under the other name.
//! Left out: the file's content (`journal/mod.rs`).

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::journal::JournalError;
use crate::client::journal::format;
use crate::client::journal::record::Record;
use crate::client::retry::Deadline;
use crate::env::Env;
use crate::env::{Disk, File, Lock, Standing};

/// The pause between attempts to take a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(25);

/// A journal's file, locked until it is dropped.
pub(in crate::client) struct JournalFile {
    /// The file's own path, without links.
    pub(in crate::client) path: PathBuf,
    pub(in crate::client) file: Box<dyn File>,
    pub(in crate::client) locks: Vec<Box<dyn Send>>,
}

/// Finds and locks the file, or creates it if missing; an empty file becomes a new journal. Waits for another process until
/// the deadline.
///
/// # Errors
/// [`JournalError`], with the path as `named`.
pub(in crate::client) fn take(env: &Env, named: &Path, deadline: &Deadline) -> Result<JournalFile, JournalError> {
    let disk = env.disk.as_ref();
    let failed = |what: &'static str| move |error: io::Error| JournalError::Io { path: named.to_owned(), what, why: error.to_string() };
    make_dirs(disk, parent(named)).map_err(failed("given its directory"))?;
    loop {
        let path = disk.real_path(named).map_err(failed("found"))?;
        let mut locks = vec![lock_beside(disk, named, deadline)?];
        if path != named && sibling(&path, ".lock") != disk.real_path(&sibling(named, ".lock")).map_err(failed("locked"))? {
            locks.push(lock_beside(disk, &path, deadline)?);
        }
        if !disk.exists(&path).map_err(failed("looked for"))? {
            let file = replace(disk, &path, 1, &[]).map_err(failed("created"))?;
            return Ok(JournalFile { path, file, locks });
        }
        let mut file = disk.open(&path).map_err(failed("opened"))?;
        let is_locked = file.try_lock().map_err(failed("locked"))?;
        match file.standing(&path).and_then(usable).map_err(failed("used"))? {
            true if is_locked => {
                if file.is_empty().map_err(failed("read"))? {
                    file = replace(disk, &path, 1, &[]).map_err(failed("created"))?;
                }
                return Ok(JournalFile { path, file, locks });
            }
            // The file was replaced between open and lock, or another process holds the lock.
            _ => drop((file, locks)),
        }
        match deadline.remaining() {
            Some(left) => std::thread::sleep(PAUSE.min(left)),
            None => return Err(JournalError::InUse { path: named.to_owned(), holder: "another process".to_owned() }),
        }
    }
}

/// Writes a new file with these records, locks it, and durably replaces the one at `path` by it.
///
/// # Errors
/// An I/O error; `WouldBlock` if another process has locked the new file. The old file may be replaced already.
pub(in crate::client) fn replace(disk: &dyn Disk, path: &Path, generation: u64, records: &[(Record, bool)]) -> io::Result<Box<dyn File>> {
    let fresh = sibling(path, ".new");
    if disk.exists(&fresh)? {
        disk.remove(&fresh)?;
    }
    let mut bytes = format::header(generation).to_vec();
    for (record, is_told) in records {
        let put = format::put(std::slice::from_ref(record), *is_told, &mut bytes);
        assert_eq!(put, 1, "records that were read fit");
    }
    let file = disk.create(&fresh)?;
    if !file.try_lock()? {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has locked the new file"));
    }
    file.write_all_at(&bytes, 0)?;
    file.sync()?;
    disk.rename(&fresh, path)?;
    disk.sync_dir(parent(path))?;
    Ok(file)
}

/// Whether the file is the one at its path; false if another file is there.
///
/// # Errors
/// If the file has several names (hard links), or is not a regular file.
pub(in crate::client) fn usable(standing: Standing) -> io::Result<bool> {
    match standing {
        Standing::Only => Ok(true),
        Standing::Elsewhere => Ok(false),
        Standing::Several(names) => {
            Err(io::Error::other(format!("the file has {names} names (hard links), and only one would be kept up; remove the others")))
        }
        Standing::NoFile => Err(io::Error::other("it is no regular file")),
    }
}

fn lock_beside(disk: &dyn Disk, path: &Path, deadline: &Deadline) -> Result<Box<dyn Send>, JournalError> {
    let beside = sibling(path, ".lock");
    loop {
        match disk.lock(&beside, &format!("process {}", std::process::id())) {
            Ok(Lock::Held(lock)) => return Ok(lock),
            Ok(Lock::Taken { holder }) => match deadline.remaining() {
                Some(left) => std::thread::sleep(PAUSE.min(left)),
                None => return Err(JournalError::InUse { path: path.to_owned(), holder }),
            },
            Err(error) => return Err(JournalError::Io { path: path.to_owned(), what: "locked", why: error.to_string() }),
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// Creates a directory and its missing parents, and syncs each name.
fn make_dirs(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    // The root and the working directory exist.
    if dir.parent().is_none_or(|above| above.as_os_str().is_empty() && dir == Path::new(".")) || disk.exists(dir)? {
        return Ok(());
    }
    let above = parent(dir);
    make_dirs(disk, above)?;
    match disk.create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => disk.sync_dir(above),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::client::journal::Journal;
    use crate::client::journal::record::samples::{id, intent, settled};

    fn soon() -> Deadline {
        Deadline::after(&Env::os().clock, Duration::from_secs(20))
    }

    fn at_once() -> Deadline {
        Deadline::after(&Env::os().clock, Duration::ZERO)
    }

    fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("journal"), dir.path().join("elsewhere/link"));
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        symlink("../journal", &link).unwrap();
        (dir, file, link)
    }

    #[test]
    fn a_link_and_its_file_have_one_lock() {
        let (_dir, file, link) = scene();
        let (mut by_file, mut by_link) = (Journal::new(&Env::os(), &file), Journal::new(&Env::os(), &link));
        drop(by_file.open(&soon()).unwrap());
        let held = by_file.open(&soon()).unwrap();
        assert!(matches!(by_link.open(&at_once()).err(), Some(JournalError::InUse { .. })));
        drop(held);
        let held = by_link.open(&soon()).unwrap();
        assert!(matches!(by_file.open(&at_once()).err(), Some(JournalError::InUse { .. })));
        drop(held);
    }

    #[test]
    fn the_file_itself_is_locked_whatever_becomes_of_the_lock_files() {
        let (dir, file, _) = scene();
        let (mut one, mut other) = (Journal::new(&Env::os(), &file), Journal::new(&Env::os(), &file));
        let held = one.open(&soon()).unwrap();
        fs::remove_file(dir.path().join("journal.lock")).unwrap();
        assert!(matches!(other.open(&at_once()).err(), Some(JournalError::InUse { .. })));
        drop(held);
        other.open(&soon()).unwrap();
    }

    #[test]
    fn a_rewriting_leaves_a_link_a_link_and_carries_the_lock_over() {
        let (dir, file, link) = scene();
        let mut by_link = Journal::new(&Env::os(), &link);
        fs::write(&file, b"").unwrap();
        let mut open = by_link.open(&soon()).unwrap();
        open.intend(intent(1)).unwrap();
        open.settle(id(1), settled()).unwrap();
        open.rewrite().unwrap();
        fs::remove_file(dir.path().join("journal.lock")).unwrap();
        let mut by_file = Journal::new(&Env::os(), &file);
        assert!(matches!(by_file.open(&at_once()).err(), Some(JournalError::InUse { .. })), "the new file is locked, too");
        open.intend(intent(2)).unwrap();
        drop(open);
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(by_file.open(&soon()).unwrap().requests().count(), 2);
    }

    #[test]
    fn whoever_waited_for_a_file_that_was_replaced_goes_on_with_the_new_one() {
        let (_dir, file, _) = scene();
        let mut one = Journal::new(&Env::os(), &file);
        let mut open = one.open(&soon()).unwrap();
        let waiting = {
            let file = file.clone();
            std::thread::spawn(move || {
                let mut other = Journal::new(&Env::os(), &file);
                let mut open = other.open(&soon()).unwrap();
                open.intend(intent(2)).unwrap();
            })
        };
        std::thread::sleep(Duration::from_millis(60));
        open.intend(intent(1)).unwrap();
        open.rewrite().unwrap();
        drop(open);
        waiting.join().unwrap();
        assert_eq!(one.open(&soon()).unwrap().requests().count(), 2);
    }

    #[test]
    fn what_cannot_be_made_safe_is_refused() {
        let (dir, file, _) = scene();
        let refused = |path: &Path| match Journal::new(&Env::os(), path).open(&at_once()).err() {
            Some(JournalError::Io { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        drop(Journal::new(&Env::os(), &file).open(&soon()).unwrap());
        let second = dir.path().join("second");
        fs::hard_link(&file, &second).unwrap();
        assert!(refused(&file).contains("2 names") && refused(&second).contains("2 names"));
        fs::remove_file(&second).unwrap();
        let dangling = dir.path().join("dangling");
        symlink("nothing", &dangling).unwrap();
        assert!(refused(&dangling).contains("leads to nothing"), "{}", refused(&dangling));
        assert!(refused(Path::new("/dev/null")).contains("no regular file"));
    }

    #[test]
    fn a_file_that_is_moved_away_or_linked_while_in_use_takes_no_new_request() {
        let (dir, file, _) = scene();
        let mut journal = Journal::new(&Env::os(), &file);
        let mut open = journal.open(&soon()).unwrap();
        open.intend(intent(1)).unwrap();
        fs::hard_link(&file, dir.path().join("second")).unwrap();
        assert!(open.intend(intent(2)).is_err());
        fs::remove_file(dir.path().join("second")).unwrap();
        open.intend(intent(2)).unwrap();
        fs::rename(&file, dir.path().join("away")).unwrap();
        assert!(open.intend(intent(3)).is_err());
        open.settle(id(1), settled()).unwrap();
    }

    #[test]
    fn an_empty_file_is_a_new_journal() {
        let (_dir, file, _) = scene();
        fs::write(&file, b"").unwrap();
        assert_eq!(crate::client::journal::audit::told(&*Env::os().disk, &file).unwrap(), []);
        let mut journal = Journal::new(&Env::os(), &file);
        journal.open(&soon()).unwrap().intend(intent(1)).unwrap();
        assert_eq!(journal.open(&soon()).unwrap().requests().count(), 1);
    }
}
