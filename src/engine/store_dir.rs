//! A store's directory and its environment: the lock, durable names, and errors with their paths.
//!
//! Left out: creating and opening a store (`create.rs`, `open.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{io, process};

use super::error::StoreError;
use crate::engine::maintenance::Keeping;
use crate::engine::progress::{NoProgress, ProgressSink};
use crate::env::{Clock, Disk, Entropy, Lock, ThrottledDisk};
use crate::wal::Preparer;

pub(super) const LOCK: &str = "LOCK";
pub(super) const CREATING: &str = "CREATING";

/// The environment of a store.
#[derive(Clone)]
pub struct StoreEnv {
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Its random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// How segments are made: ahead of need by a thread, or inline when needed (simulations, creation).
    pub preparer: Preparer,
    /// Maintenance of finished segments.
    pub keeping: Keeping,
    /// Receives the progress of long reads.
    pub watch: Arc<dyn ProgressSink>,
}

impl StoreEnv {
    /// The environment of this machine.
    #[must_use]
    pub fn os() -> Self {
        use crate::env::os;
        Self {
            disk: Arc::new(os::OsDisk),
            clock: Arc::new(os::OsClock::default()),
            entropy: Arc::new(os::OsEntropy),
            preparer: Preparer::Background,
            keeping: Keeping::default(),
            watch: Arc::new(NoProgress),
        }
    }

    /// The same environment for a read-only tool on the store in `dir`: with a throttled disk if a daemon runs, whose
    /// commits go first.
    pub(super) fn beside(&self, dir: &Path) -> Result<Self, StoreError> {
        let mut env = self.anchored(dir)?;
        if env.holder(dir)?.is_some() {
            env.disk = Arc::new(ThrottledDisk(env.disk));
        }
        Ok(env)
    }

    /// The same environment with `dir` held open, if it exists: it stays the same directory even after a rename.
    pub(super) fn anchored(&self, dir: &Path) -> Result<Self, StoreError> {
        let mut env = self.clone();
        match self.disk.anchored(dir) {
            Ok(Some(disk)) => env.disk = disk,
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("open", dir)(error)),
        }
        Ok(env)
    }

    /// The holder of the lock of the store in `dir`, by its own description.
    pub(super) fn holder(&self, dir: &Path) -> Result<Option<String>, StoreError> {
        let lock = dir.join(LOCK);
        self.disk.dir_holder(&lock).map_err(io_error("look at the lock", &lock))
    }
}

/// A store's directory, held open until this value is dropped.
#[derive(Clone)]
pub struct HeldDir {
    path: PathBuf,
    _disk: Arc<dyn Disk>,
}

impl HeldDir {
    /// The directory `dir` of a disk that holds it open; none of any other disk.
    pub(super) fn of(disk: &Arc<dyn Disk>, dir: &Path) -> Option<Self> {
        disk.by_handle(dir).map(|path| Self { path, _disk: disk.clone() })
    }

    /// A path by which the kernel finds it for this process, even after a rename.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn take_lock(env: &StoreEnv, dir: &Path) -> Result<Box<dyn Send>, StoreError> {
    let path = dir.join(LOCK);
    match env.disk.lock_dir(&path, &format!("process {}", process::id())).map_err(io_error("lock", &path))? {
        Lock::Held(lock) => Ok(lock),
        Lock::Taken { holder } => Err(StoreError::InUse { dir: dir.to_owned(), holder }),
    }
}

/// Makes `dir` and its missing parents, each name synced.
pub(super) fn make_dir(env: &StoreEnv, dir: &Path) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for path in dir.ancestors().filter(|path| path.parent().is_some()) {
        if env.disk.exists(path).map_err(io_error("look at", path))? {
            break;
        }
        missing.push(path);
    }
    for path in missing.into_iter().rev() {
        env.disk.create_dir(path).map_err(io_error("create", path))?;
        sync_parent(env, path)?;
    }
    Ok(())
}

/// Makes the name of `path` durable.
pub fn sync_parent(env: &StoreEnv, path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    env.disk.sync_dir(parent).map_err(io_error("sync", parent))
}

/// Adds the call and the path to an I/O error.
pub fn io_error(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| StoreError::Io { call, path, source }
}
