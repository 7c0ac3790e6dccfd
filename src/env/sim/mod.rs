//! A simulated disk in memory, with deterministic fault injection: everything that a real disk may do within its contract.
//!
//! Fault model:
//! - Two images. The *live* image is the page cache, which calls read and write; the *durable* image is the device. `sync`
//!   copies a file's content and length to the durable image, `sync_dir` a directory's names; nothing else does.
//! - A crash ([`SimDisk::crash`]) leaves the durable image plus any subset of the changes since: 512-byte sectors, each with
//!   its latest content; creations, renames and removals of names, each call atomic; changes of lengths, in full or by
//!   half. Sectors kept beyond a length that was not kept are lost. Handles and locks become invalid. A killed process
//!   ([`SimDisk::kill`]) loses only handles and locks.
//! - Faults ([`SimDisk::fail`]): a chosen operation fails, once or from then on. A failed write has written all or the first
//!   half of its bytes to the live image. A failed `sync` leaves the page cache inconsistent with the device: dirty bytes
//!   still read back, a later `sync` succeeds without writing them, and after `evict` the device's content is read. Any
//!   other failed call has changed nothing. A full disk ([`SimDisk::set_capacity`]) rejects growth of files.
//! - Corruption ([`SimDisk::poke`]): both images change without a call of the program.
//!
//! Left out: torn sectors (half old, half new), misdirected writes, timing, and permissions of directories.

mod handle;
mod image;
mod random;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::handle::Handle;
use self::image::SimFile;
pub use self::random::Random;
use super::{Disk, File, FileSystem, Lock};

/// The kinds of operations. Each call of a [`Disk`] or [`File`] method counts as one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Operation {
    CreateDir,
    Create,
    Open,
    List,
    Exists,
    Rename,
    Remove,
    SyncDir,
    Lock,
    Mode,
    Holder,
    FileSystem,
    Len,
    Read,
    Write,
    Sync,
    Evict,
    SetLen,
}

/// An injected failure.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The number of the operation that fails, from 1. [`SimDisk::operations`] returns the number of operations so far.
    pub at: u64,
    /// If set, only operations of this kind fail: the first one from `at` on.
    pub only: Option<Operation>,
    /// Whether every such operation from then on fails, too.
    pub is_sticky: bool,
    /// The error number: 5 for EIO, 28 for ENOSPC, 122 for EDQUOT, 30 for EROFS.
    pub errno: i32,
}

/// A change that was not durable at a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// One sector of a file.
    Sector,
    /// One create, rename or remove.
    Name,
    /// The length of a file. If the whole change is not kept, there is a second query for half of it.
    Length,
}

/// A simulated disk. Clones share it; [`SimDisk::snapshot`] copies it.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(u64),
}

/// The name changes of one call: each name and its new node.
type Renaming = Vec<(PathBuf, Option<Node>)>;

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    /// Name changes since the last sync of their directory, in order.
    unsynced_names: Vec<(PathBuf, Renaming)>,
    files: BTreeMap<u64, SimFile>,
    next_file: u64,
    locks: BTreeMap<PathBuf, String>,
    /// Handles of earlier epochs are invalid.
    epoch: u64,
    operations: u64,
    counts: BTreeMap<Operation, u64>,
    fault: Option<Fault>,
    capacity: Option<u64>,
    file_system: FileSystem,
}

impl SimDisk {
    /// Creates an empty disk, on which only `/` exists.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies the disk with its content, state and pending fault. Cheap: pages are shared until written. Open handles still
    /// refer to the original.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// A power failure and restart. The seed determines which unsynced changes are kept; over many seeds none, all, and every
    /// fraction in between are frequent.
    pub fn crash(&self, seed: u64) {
        let mut random = Random::new(seed);
        // The probability in eighths that a change is kept; redrawn for each name and length, and now and then for sectors.
        let mut chance = [0, 1, 4, 7, 8].get(random.index(5)).copied().unwrap_or(4);
        self.crash_with(&mut |what| {
            if what != Unsynced::Sector || random.below(64) == 0 {
                chance = [0, 1, 4, 7, 8].get(random.index(5)).copied().unwrap_or(4);
            }
            random.below(8) < chance
        });
    }

    /// Like [`SimDisk::crash`], but `keep` decides for each change whether it is kept. The order is fixed: names first, then
    /// files in order of creation, for each file the length before the sectors in ascending order.
    pub fn crash_with(&self, keep: &mut dyn FnMut(Unsynced) -> bool) {
        let mut state = self.state();
        for (_, renaming) in std::mem::take(&mut state.unsynced_names) {
            if keep(Unsynced::Name) {
                apply(&mut state.durable_names, renaming);
            }
        }
        state.names = state.durable_names.clone();
        let referenced: Vec<u64> = state.names.values().filter_map(|node| node.file()).collect();
        state.files.retain(|id, _| referenced.contains(id));
        for file in state.files.values_mut() {
            file.crash(keep);
        }
        state.end_epoch();
    }

    /// Ends the process but not the machine: handles and locks become invalid, the page cache stays.
    pub fn kill(&self) {
        self.state().end_epoch();
    }

    /// Schedules a failure. Replaces the pending one.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Cancels the pending failure.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Limits the total length of all files in bytes; `None` removes the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Sets the kind that [`Disk::file_system`] returns.
    pub fn set_file_system(&self, kind: FileSystem) {
        self.state().file_system = kind;
    }

    /// The number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The number of operations of one kind so far.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().counts.get(&operation).copied().unwrap_or(0)
    }

    /// The live content of a file. Does not count as an operation.
    #[must_use]
    pub fn peek(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.names.get(path)?.file()?;
        Some(state.files.get(&id)?.bytes())
    }

    /// Changes a file on the device and in the page cache, growing it if needed. Returns false if there is no such file. Does
    /// not count as an operation.
    pub fn poke(&self, path: &Path, offset: u64, bytes: &[u8]) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(path).and_then(|node| node.file()) else { return false };
        state.files.get_mut(&id).is_some_and(|file| {
            file.rot(offset, bytes);
            true
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, operation: Operation) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.begin(operation)?;
        Ok(state)
    }

    fn handle(&self, path: &Path, is_writable: bool) -> io::Result<Box<dyn File>> {
        let state = self.begin(Operation::Open)?;
        match state.names.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(id)) => Ok(Box::new(Handle { disk: self.clone(), id: *id, epoch: state.epoch, is_writable })),
        }
    }
}

impl State {
    /// Counts an operation, and fails it if a fault is due.
    fn begin(&mut self, operation: Operation) -> io::Result<()> {
        self.operations = self.operations.saturating_add(1);
        let count = self.counts.entry(operation).or_default();
        *count = count.saturating_add(1);
        match self.fault {
            Some(fault) if self.operations >= fault.at && fault.only.is_none_or(|only| only == operation) => {
                if !fault.is_sticky {
                    self.fault = None;
                }
                Err(io::Error::from_raw_os_error(fault.errno))
            }
            _ => Ok(()),
        }
    }

    fn end_epoch(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
        self.locks.clear();
    }

    /// Changes names in the live image, and records the change for the directory's next sync.
    fn rename(&mut self, dir: &Path, renaming: Renaming) {
        apply(&mut self.names, renaming.clone());
        self.unsynced_names.push((dir.to_owned(), renaming));
    }

    fn rename_file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = *self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let dir = self.parent(to)?;
        if from.parent() != Some(&dir) || node == Node::Dir {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "only files are renamed, and only within a directory"));
        }
        self.rename(&dir, vec![(from.to_owned(), None), (to.to_owned(), Some(node))]);
        Ok(())
    }

    fn make_file(&mut self, path: &Path) -> io::Result<u64> {
        let dir = self.parent(path)?;
        let id = self.next_file;
        self.next_file = id.saturating_add(1);
        self.files.insert(id, SimFile::default());
        self.rename(&dir, vec![(path.to_owned(), Some(Node::File(id)))]);
        Ok(id)
    }

    /// The directory of a path. It must exist.
    fn parent(&self, path: &Path) -> io::Result<PathBuf> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let exists = dir.parent().is_none() || self.names.get(dir) == Some(&Node::Dir);
        if exists { Ok(dir.to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Whether the files may grow by `growth` bytes in total.
    fn has_space(&self, growth: u64) -> bool {
        let used = self.names.values().filter_map(|node| self.files.get(&node.file()?)).map(SimFile::len).sum::<u64>();
        self.capacity.is_none_or(|capacity| growth == 0 || used.saturating_add(growth) <= capacity)
    }
}

impl Node {
    const fn file(self) -> Option<u64> {
        match self {
            Self::File(id) => Some(id),
            Self::Dir => None,
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, renaming: Renaming) {
    for (name, node) in renaming {
        match node {
            Some(node) => names.insert(name, node),
            None => names.remove(&name),
        };
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::CreateDir)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let dir = state.parent(path)?;
        state.rename(&dir, vec![(path.to_owned(), Some(Node::Dir))]);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.begin(Operation::Create)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.make_file(path)?;
        Ok(Box::new(Handle { disk: self.clone(), id, epoch: state.epoch, is_writable: true }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.handle(path, true)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.handle(path, false)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.begin(Operation::List)?;
        if dir.parent().is_some() && state.names.get(dir) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.begin(Operation::Exists)?.names.contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::Rename)?;
        state.rename_file(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::Rename)?;
        if state.names.contains_key(to) { Err(super::os::taken(to)) } else { state.rename_file(from, to) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::Remove)?;
        match state.names.get(path) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) => {}
        }
        let dir = state.parent(path)?;
        state.rename(&dir, vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.begin(Operation::SyncDir)?;
        for (of, renaming) in std::mem::take(&mut state.unsynced_names) {
            if of == dir {
                apply(&mut state.durable_names, renaming);
            } else {
                state.unsynced_names.push((of, renaming));
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        let mut state = self.begin(Operation::Lock)?;
        if let Some(holder) = state.locks.get(path) {
            return Ok(Lock::Taken { holder: holder.clone() });
        }
        let id = match state.names.get(path).copied() {
            None => state.make_file(path)?,
            Some(Node::File(id)) => id,
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
        };
        if let Some(file) = state.files.get_mut(&id) {
            file.set_len(0);
            file.write(0, holder.as_bytes());
        }
        state.locks.insert(path.to_owned(), holder.to_owned());
        Ok(Lock::Held(Box::new(Held { disk: self.clone(), path: path.to_owned(), epoch: state.epoch })))
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        match self.begin(Operation::Mode)?.names.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::Dir) => Ok(0o700),
            Some(Node::File(_)) => Ok(0o600),
        }
    }

    fn holder(&self, path: &Path) -> io::Result<Option<String>> {
        Ok(self.begin(Operation::Holder)?.locks.get(path).cloned())
    }

    fn file_system(&self, _: &Path) -> io::Result<FileSystem> {
        Ok(self.begin(Operation::FileSystem)?.file_system)
    }
}

/// A lock that is held.
struct Held {
    disk: SimDisk,
    path: PathBuf,
    epoch: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.epoch == self.epoch {
            state.locks.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
