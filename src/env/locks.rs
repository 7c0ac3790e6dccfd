//! Locks of the kernel on open files and directories: taken, asked for, and whose they are.
//!
//! Left out: how a file is found (`os.rs`, `anchored.rs`).

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

use fs2::FileExt as _;

use super::Lock;

/// Locks an open file, and writes into it who has it.
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

/// Locks an open directory, and then the file in it, which says who has both.
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

/// What the holder of an open file's lock wrote into it; a file that is not there has no holder.
pub(super) fn file_holder(file: io::Result<fs::File>) -> io::Result<Option<String>> {
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if is_locked(&file)? { lock_text(file).map(Some) } else { Ok(None) }
}

/// What the holder of an open directory's lock, or of the file's alone, wrote into the file.
pub(super) fn dir_holder(dir: &fs::File, file: io::Result<fs::File>) -> io::Result<Option<String>> {
    if is_locked(dir)? { text_or_unknown(file).map(Some) } else { file_holder(file) }
}

fn try_lock(file: &fs::File) -> io::Result<()> {
    match file.try_lock_exclusive() {
        Err(error) if is_contended(&error) => {
            // Whoever asks for the holder has the lock for a microsecond.
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

/// The text of a lock file that may have been removed, or made again by whoever came too late.
fn text_or_unknown(file: io::Result<fs::File>) -> io::Result<String> {
    let text = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        opened => lock_text(opened?)?,
    };
    Ok(if text.is_empty() { "another process".to_owned() } else { text })
}

/// How long a lock that is taken is given to come free, before it counts as taken.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn is_contended(error: &io::Error) -> bool {
    error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
}

/// What the holder of a lock wrote into its file.
fn lock_text(file: fs::File) -> io::Result<String> {
    let mut text = Vec::new();
    file.take(256).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}
