//! Kernel locks on open files and directories: taking them, testing them, reading their holders.
//!
//! Left out: opening the files (`os.rs`, `anchored.rs`).

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

use fs2::FileExt as _;

use super::Lock;

/// Locks an open file and writes `holder` into it.
pub(super) fn lock_file(mut file: fs::File, holder: &str) -> io::Result<Lock> {
    match try_lock(&file) {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(holder.as_bytes())?;
            Ok(Lock::Held(Box::new(file)))
        }
        Err(error) if is_contended(&error) => Ok(Lock::Taken { holder: lock_text(file)? }),
        Err(error) => Err(error),
    }
}

/// Locks an open directory, then the file in it, and writes `holder` into the file.
pub(super) fn lock_dir(dir: fs::File, file: &dyn Fn() -> io::Result<fs::File>, holder: &str) -> io::Result<Lock> {
    match try_lock(&dir) {
        Ok(()) => Ok(match lock_file(file()?, holder)? {
            Lock::Held(file) => Lock::Held(Box::new((dir, file))),
            taken @ Lock::Taken { .. } => taken,
        }),
        Err(error) if is_contended(&error) => Ok(Lock::Taken { holder: text_or_unknown(file())? }),
        Err(error) => Err(error),
    }
}

/// The text that the holder of an open file's lock wrote into it; `None` if the lock is free or there is no file.
pub(super) fn file_holder(file: io::Result<fs::File>) -> io::Result<Option<String>> {
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if is_locked(&file)? { lock_text(file).map(Some) } else { Ok(None) }
}

/// The text that the holder of the lock on a directory, or on only the file, wrote into the file.
pub(super) fn dir_holder(dir: &fs::File, file: io::Result<fs::File>) -> io::Result<Option<String>> {
    if is_locked(dir)? { text_or_unknown(file).map(Some) } else { file_holder(file) }
}

fn try_lock(file: &fs::File) -> io::Result<()> {
    match file.try_lock_exclusive() {
        Err(error) if is_contended(&error) => {
            // `is_locked` of another process holds the lock for a microsecond.
            std::thread::sleep(LOOK);
            file.try_lock_exclusive()
        }
        other => other,
    }
}

fn is_locked(file: &fs::File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_shared(file) {
        Ok(()) => fs2::FileExt::unlock(file).map(|()| false),
        Err(error) if is_contended(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The text of a lock file that may have been removed, or recreated by a process that failed to take the directory's lock.
fn text_or_unknown(file: io::Result<fs::File>) -> io::Result<String> {
    let text = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        opened => lock_text(opened?)?,
    };
    Ok(if text.is_empty() { "another process".to_owned() } else { text })
}

/// The delay before a second and last attempt to take a lock.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn is_contended(error: &io::Error) -> bool {
    error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
}

/// The text in a lock file.
fn lock_text(file: fs::File) -> io::Result<String> {
    let mut text = Vec::new();
    file.take(256).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}
