//! The world outside: files, time and chance, as traits that are passed in at construction.
//!
//! Everything above reaches the disk, a clock or randomness through these, so that a simulator can stand in for
//! them. `std::fs`, `fs2`, `rustix` and clocks appear below this module and nowhere else.
//! Left out: sockets, which only the event loop and the client know.

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
pub use read_only::ReadOnly;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The environment of a program: its disk, its clocks, its random numbers.
#[derive(Clone)]
pub struct Env {
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Deadlines by the monotonic clock, times of day by the wall clock.
    pub clock: Arc<dyn Clock>,
    /// Its random numbers.
    pub entropy: Arc<dyn Entropy>,
}

impl Env {
    /// This machine's.
    #[must_use]
    pub fn os() -> Self {
        Self { disk: Arc::new(os::OsDisk), clock: Arc::new(os::OsClock::default()), entropy: Arc::new(os::OsEntropy) }
    }
}

/// A file system. Names become durable by [`Disk::sync_dir`], content by [`File::sync`]; neither implies the other.
pub trait Disk: Send + Sync {
    /// Makes a directory, readable by its owner only (mode 0700). Its parents must exist.
    ///
    /// # Errors
    /// What the file system says, `AlreadyExists` included.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a new file, readable and writable by its owner only (mode 0600).
    ///
    /// # Errors
    /// What the file system says, `AlreadyExists` included.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// What the file system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading only.
    ///
    /// # Errors
    /// What the file system says.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The names of a directory's files and directories, sorted.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` for a name that is no UTF-8.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is a file or directory of that name.
    ///
    /// # Errors
    /// What the file system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Renames a file, replacing any other of the new name. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file to a name that is free. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the file system says; `AlreadyExists` if there is something of the new name, and nothing has changed then.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.exists(to)? { Err(os::taken(to)) } else { self.rename(from, to) }
    }

    /// Removes a file. Durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory's names durable.
    ///
    /// # Errors
    /// What the file system says. Never retry: end the process.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on a file, making the file if there is none, and writes `holder` into it for whoever
    /// comes second. Held until the value is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// What the file system says.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock>;

    /// [`Disk::lock`] of the file and of the directory that it is in: removing the file frees nothing.
    ///
    /// # Errors
    /// What the file system says.
    fn lock_dir(&self, file: &Path, holder: &str) -> io::Result<Lock> {
        self.lock(file, holder)
    }

    /// The permission bits of a file or directory (0 where the file system has none), to refuse loose ones.
    ///
    /// # Errors
    /// What the file system says.
    fn mode(&self, path: &Path) -> io::Result<u32>;

    /// What the holder of the lock on a file wrote into it, if anybody holds it. Changes nothing.
    ///
    /// # Errors
    /// What the file system says; a file that is not there is held by nobody.
    fn holder(&self, path: &Path) -> io::Result<Option<String>>;

    /// A file's own path, with every symbolic link followed; of a file that is not there yet, the one that it will have.
    ///
    /// # Errors
    /// What the file system says; `NotFound` for a link that leads to nothing.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    /// What the holder of a lock by [`Disk::lock_dir`], or of one on the file alone, wrote into the file, if there is a holder.
    /// Changes nothing.
    ///
    /// # Errors
    /// What the file system says.
    fn dir_holder(&self, file: &Path) -> io::Result<Option<String>> {
        self.holder(file)
    }

    /// What kind of file system a file or directory is on.
    ///
    /// # Errors
    /// What the file system says.
    fn file_system(&self, path: &Path) -> io::Result<FileSystem>;

    /// How many bytes the file system of a directory has free at most, where it says so. What fits may be less.
    ///
    /// # Errors
    /// What the file system says.
    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let _ = dir;
        Ok(None)
    }

    /// The same disk with a directory held open: from then on the directory and everything below it are found by that handle,
    /// whatever becomes of its name. None where names cannot change behind the program's back.
    ///
    /// # Errors
    /// What the file system says.
    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        let _ = dir;
        Ok(None)
    }

    /// A path by which the kernel finds a directory that is held, whatever becomes of its name; for calls that take nothing
    /// but paths. None if it is not held.
    fn by_handle(&self, dir: &Path) -> Option<PathBuf> {
        let _ = dir;
        None
    }
}

/// How an open file and a path stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The path names the file, and nothing else does.
    Only,
    /// The path names another file, or none.
    Elsewhere,
    /// The path names the file, and there are this many names in all (hard links).
    Several(u64),
    /// The path names it, but it is no regular file.
    NoFile,
}

/// What may be expected of a sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileSystem {
    /// One of a disk of this machine, as far as can be told.
    #[default]
    Local,
    /// In memory, of that name: nothing in it survives the machine.
    Memory(&'static str),
    /// On another machine, of that name: locks and syncs are only as good as the network and its caches.
    Network(&'static str),
    /// A disk of this machine, of that name, which writes over nothing: bytes that are written again take space again.
    CopyOnWrite(&'static str),
    /// Passed through by another program or another system, of that name: what a sync does is theirs to say.
    PassedThrough(&'static str),
}

/// What came of asking for a lock.
pub enum Lock {
    /// It is ours for as long as this value lives.
    Held(Box<dyn Send>),
    /// Another process has it, and left this text.
    Taken {
        /// What the holder wrote: its process id.
        holder: String,
    },
}

/// An open file. No cursor: every access names its offset.
pub trait File: Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// What the file system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// What the file system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills all of `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file is too short; otherwise what the file system says.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, growing the file if needed.
    ///
    /// # Errors
    /// What the file system says. The content is unknown then; on the commit path, end the process.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Asks that writes go past the page cache from now on, or through it again. Gives whether they go past it: memory,
    /// offsets and lengths must be multiples of 4 KiB then. Where a file system cannot, nothing changes.
    ///
    /// # Errors
    /// What the file system says.
    fn set_direct(&self, direct: bool) -> io::Result<bool> {
        let _ = direct;
        Ok(false)
    }

    /// Makes content and length durable (`fdatasync`).
    ///
    /// # Errors
    /// What the file system says. Never retry: the page cache lies after a failed sync, so end the process.
    fn sync(&self) -> io::Result<()>;

    /// Drops the file's clean pages from the page cache, so that the next read asks the device. A hint.
    ///
    /// # Errors
    /// What the file system says.
    fn evict(&self) -> io::Result<()>;

    /// Asks that reads bring in what they ask for and nothing behind it. A hint.
    ///
    /// # Errors
    /// What the file system says.
    fn forbid_read_ahead(&self) -> io::Result<()> {
        Ok(())
    }

    /// Tells whoever asks [`File::is_unread`] that the file is read here, for as long as it is open. Gives whether it still
    /// has a name: one without is about to be cut.
    ///
    /// # Errors
    /// What the file system says.
    fn announce_reader(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether nobody announced that the file is read, and nobody can any more.
    ///
    /// # Errors
    /// What the file system says.
    fn is_unread(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Takes an exclusive lock on the file itself, by whatever path it was opened; false where another process has it. Held
    /// until the file is closed.
    ///
    /// # Errors
    /// What the file system says.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// How `path` and the file stand to each other. Where there are no links, the path names it.
    ///
    /// # Errors
    /// What the file system says.
    fn standing(&self, path: &Path) -> io::Result<Standing> {
        let _ = path;
        Ok(Standing::Only)
    }

    /// Cuts or zero-extends the file to `length` bytes. Of a file that has a name, only the client's journal does that,
    /// to its torn tail.
    ///
    /// # Errors
    /// What the file system says.
    fn set_len(&self, length: u64) -> io::Result<()>;
}

/// The two clocks of a machine.
pub trait Clock: Send + Sync {
    /// Since 1970-01-01 UTC; may jump either way.
    fn wall(&self) -> Duration;

    /// Since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Chance that cannot be guessed.
pub trait Entropy: Send + Sync {
    /// Fills `buf` with random bytes.
    ///
    /// # Errors
    /// What the system says.
    fn fill(&self, buf: &mut [u8]) -> io::Result<()>;
}
