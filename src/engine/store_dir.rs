//! A store's directory and the environment that it stands in: the lock, durable names, and errors with their paths.
//!
//! Left out: what creation and a start do there (`create.rs`, `open.rs`).

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

/// The world that a store lives in.
#[derive(Clone)]
pub struct StoreEnv {
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Its random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Who makes segments: a thread ahead of need, or whoever needs one (simulations, creation).
    pub preparer: Preparer,
    /// What becomes of finished segments.
    pub keeping: Keeping,
    /// Who is told how far a long reading of it is.
    pub watch: Arc<dyn ProgressSink>,
}

impl StoreEnv {
    /// This machine.
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

    /// The same world for whoever only looks at the store in `dir`: gently, if a daemon has it, whose commits go first.
    pub(super) fn beside(&self, dir: &Path) -> Result<Self, StoreError> {
        let mut env = self.anchored(dir)?;
        if env.holder(dir)?.is_some() {
            env.disk = Arc::new(ThrottledDisk(env.disk));
        }
        Ok(env)
    }

    /// The same world with `dir` held, if it is there: whatever becomes of its name, it stays the directory that it is now.
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

    /// Who has the lock of the store in `dir`, as he says himself.
    pub(super) fn holder(&self, dir: &Path) -> Result<Option<String>, StoreError> {
        let lock = dir.join(LOCK);
        self.disk.dir_holder(&lock).map_err(io_error("look at the lock", &lock))
    }
}

/// A store's directory, held for as long as this value lives.
#[derive(Clone)]
pub struct HeldDir {
    path: PathBuf,
    _disk: Arc<dyn Disk>,
}

impl HeldDir {
    /// The directory `dir` of a disk that holds it open; none of one that does not.
    pub(super) fn of(disk: &Arc<dyn Disk>, dir: &Path) -> Option<Self> {
        disk.by_handle(dir).map(|path| Self { path, _disk: disk.clone() })
    }

    /// A path by which this process's kernel finds it, whatever becomes of its name.
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

/// Makes `dir` and what is missing above it, each name synced.
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

/// Names the call and the path of an I/O error.
pub fn io_error(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path: PathBuf = path.to_owned();
    move |source| StoreError::Io { call, path, source }
}
