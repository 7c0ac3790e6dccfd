//! The environment: files, clocks and random numbers, as traits that are passed in at construction.
//!
//! All other modules use disk, clocks and randomness only through these traits, so that a simulator can replace them.
//! `std::fs`, `fs2`, `rustix` and clocks are used in this module and nowhere else.
//! Left out: sockets, which the event loop and the client use directly.

pub mod alarm;
mod anchored;
mod file_system;
mod locks;
pub mod os;
pub mod process;
mod read_only;
pub mod sim;
pub mod terminal;
mod throttled_disk;
pub mod worker;

pub use crate::env::throttled_disk::ThrottledDisk;
pub use read_only::{ReadFile, ReadOnly, ReadView, Untouched};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The environment of a program: its disk, its clocks, its random numbers.
#[derive(Clone)]
pub struct Env {
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Its clocks: monotonic for deadlines, wall for times of day.
    pub clock: Arc<dyn Clock>,
    /// Its random numbers.
    pub entropy: Arc<dyn Entropy>,
}

impl Env {
    /// The environment of this machine.
    #[must_use]
    pub fn os() -> Self {
        Self { disk: Arc::new(os::OsDisk), clock: Arc::new(os::OsClock::default()), entropy: Arc::new(os::OsEntropy) }
    }
}

/// A file system. [`Disk::sync_dir`] makes names durable, [`File::sync`] makes content durable; neither implies the other.
pub trait Disk: Send + Sync {
    /// Creates a directory, accessible by its owner only (mode 0700). Its parent must exist.
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` if the parent does not exist; any other error of the file system.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates a file, readable and writable by its owner only (mode 0600).
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` if the parent does not exist; any other error of the file system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` if it is not a regular file; any other error of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading only.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` if it is not a regular file; any other error of the file system.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The names of a directory's entries, sorted.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` for a name that is not UTF-8; any other error of the file system.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether a file or directory of that name exists.
    ///
    /// # Errors
    /// Any error of the file system.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Renames a file, replacing an existing file of the new name. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`; any other error of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file to an unused name. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists` if the new name is in use: then nothing was changed; any other error of the file system.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.exists(to)? { Err(os::taken(to)) } else { self.rename(from, to) }
    }

    /// Removes a file. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`; any other error of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory's names durable.
    ///
    /// # Errors
    /// Any error of the file system. Never retry: end the process.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on a file, creates the file if necessary, and writes `holder` into it for other processes to
    /// read. The lock is held until the value is dropped or the process ends in any way.
    ///
    /// # Errors
    /// Any error of the file system.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock>;

    /// Like [`Disk::lock`], but locks the file's directory as well, so that removing the file does not release the lock.
    ///
    /// # Errors
    /// Any error of the file system.
    fn lock_dir(&self, file: &Path, holder: &str) -> io::Result<Lock> {
        self.lock(file, holder)
    }

    /// The permission bits of a file or directory, for checks that they are strict enough; 0 if the file system has none.
    ///
    /// # Errors
    /// Any error of the file system.
    fn mode(&self, path: &Path) -> io::Result<u32>;

    /// The text that the holder of the lock on a file wrote into it; `None` if the lock is free or there is no file. Changes
    /// nothing.
    ///
    /// # Errors
    /// Any error of the file system but `NotFound`.
    fn holder(&self, path: &Path) -> io::Result<Option<String>>;

    /// A file's path with all symbolic links resolved. The file need not exist.
    ///
    /// # Errors
    /// `NotFound` for a dangling link or a missing directory; any other error of the file system.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// The text that the holder of a lock by [`Disk::lock_dir`] or [`Disk::lock`] wrote into the file; `None` if the lock is
    /// free. Changes nothing.
    ///
    /// # Errors
    /// Any error of the file system.
    fn dir_holder(&self, file: &Path) -> io::Result<Option<String>> {
        self.holder(file)
    }

    /// The kind of file system that a file or directory is on.
    ///
    /// # Errors
    /// Any error of the file system.
    fn file_system(&self, path: &Path) -> io::Result<FileSystem>;

    /// An upper bound of the free bytes in a directory's file system; `None` if unknown.
    ///
    /// # Errors
    /// Any error of the file system.
    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let _ = dir;
        Ok(None)
    }

    /// The same disk with a directory held open: the directory and everything below it are accessed by that handle, even if the
    /// directory is renamed. `None` if names cannot change outside the program's control.
    ///
    /// # Errors
    /// Any error of the file system.
    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        let _ = dir;
        Ok(None)
    }

    /// A path to a directory held by [`Disk::anchored`] that stays valid if the directory is renamed, for system calls that
    /// accept only paths. `None` if the directory is not held.
    fn by_handle(&self, dir: &Path) -> Option<PathBuf> {
        let _ = dir;
        None
    }
}

/// The relation of an open file to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The path is the only name of the file.
    Only,
    /// The path names another file, or no file.
    Elsewhere,
    /// The path names the file, which has this many names in all (hard links).
    Several(u64),
    /// The path names it, but it is not a regular file.
    NoFile,
}

/// The kind of a file system, which determines how far locks and syncs can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileSystem {
    /// On a local disk, as far as is known.
    #[default]
    Local,
    /// In memory, with its name: nothing survives a reboot.
    Memory(&'static str),
    /// On another machine, with its name: locks and syncs are only as reliable as the network and its caches.
    Network(&'static str),
    /// A local copy-on-write file system, with its name: overwriting allocates new space.
    CopyOnWrite(&'static str),
    /// Provided by another program or a host system, with its name: the effect of a sync depends on it.
    PassedThrough(&'static str),
}

/// The result of an attempt to take a lock.
pub enum Lock {
    /// The lock was taken. Dropping the value releases it.
    Held(Box<dyn Send>),
    /// Another process holds the lock.
    Taken {
        /// The text that the holder wrote: its process id.
        holder: String,
    },
}

/// An open file. It has no cursor: every access states its offset.
pub trait File: Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// Any error of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// Any error of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file is too short; any other error of the file system.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file if needed.
    ///
    /// # Errors
    /// Any error of the file system. The content is then unknown; on the commit path, end the process.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Switches direct I/O, which bypasses the page cache, on or off. Returns whether it is on: then addresses, offsets and
    /// lengths of writes must be multiples of 4 KiB. Has no effect if the file system does not support it.
    ///
    /// # Errors
    /// Any error of the file system.
    fn set_direct(&self, direct: bool) -> io::Result<bool> {
        let _ = direct;
        Ok(false)
    }

    /// Makes content and length durable (`fdatasync`).
    ///
    /// # Errors
    /// Any error of the file system. Never retry, because after a failed sync the page cache may differ from the device: end
    /// the process.
    fn sync(&self) -> io::Result<()>;

    /// Drops the file's clean pages from the page cache, so that the next read comes from the device. A hint.
    ///
    /// # Errors
    /// Any error of the file system.
    fn evict(&self) -> io::Result<()>;

    /// Disables read-ahead. A hint.
    ///
    /// # Errors
    /// Any error of the file system.
    fn forbid_read_ahead(&self) -> io::Result<()> {
        Ok(())
    }

    /// Marks the file as being read until it is closed, for [`File::is_unread`]. Returns whether the file still has a name: one
    /// without is about to be cut.
    ///
    /// # Errors
    /// Any error of the file system.
    fn announce_reader(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether the file has no announced reader and can get none any more.
    ///
    /// # Errors
    /// Any error of the file system.
    fn is_unread(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Takes an exclusive lock on the file, independent of the path by which it was opened. Returns false if another process
    /// holds it. The lock is held until the file is closed.
    ///
    /// # Errors
    /// Any error of the file system.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// The relation of the file to `path`. [`Standing::Only`] on a disk without links.
    ///
    /// # Errors
    /// Any error of the file system.
    fn standing(&self, path: &Path) -> io::Result<Standing> {
        let _ = path;
        Ok(Standing::Only)
    }

    /// Truncates or zero-extends the file to `length` bytes. Files of a store are never truncated in place while they have a
    /// name; the client's journal truncates its torn tail.
    ///
    /// # Errors
    /// Any error of the file system.
    fn set_len(&self, length: u64) -> io::Result<()>;
}

/// The two clocks of a machine.
pub trait Clock: Send + Sync {
    /// The time since 1970-01-01 UTC; may jump in either direction.
    fn wall(&self) -> Duration;

    /// The time since a fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Unpredictable random numbers.
pub trait Entropy: Send + Sync {
    /// Fills `buf` with random bytes.
    ///
    /// # Errors
    /// Any error of the system's random number generator.
    fn fill(&self, buf: &mut [u8]) -> io::Result<()>;
}
