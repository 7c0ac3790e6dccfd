//! A simulated disk in memory: what a real one may do wrong within its promises, on demand and repeatably.
//!
//! Fault model:
//! - Two images. The *live* one is what calls see, as through a page cache; the *durable* one is what the device has.
//!   `sync` copies a file's content and length over, `sync_dir` a directory's names; nothing else does.
//! - A crash ([`SimDisk::crash`]) leaves the durable image plus any subset of: 512-byte sectors written since, each
//!   whole in its latest content or not at all; names created, renamed or removed since, each such call whole or not
//!   at all; lengths changed since, fully, half-way or not. Sectors that were kept beyond a length that was not are
//!   lost. Handles and locks die. A killed process ([`SimDisk::kill`]) loses only handles and locks.
//! - Faults ([`SimDisk::fail`]): a chosen operation fails, once or from then on. A failed write has written all or the
//!   first half of its bytes to the live image; any other failed call has changed nothing. After a failed `sync` the
//!   page cache lies: what was dirty still reads back, a later `sync` succeeds without writing it, and `evict`
//!   brings the device's content to light. A full disk ([`SimDisk::set_capacity`]) refuses to let files grow.
//! - Rot ([`SimDisk::poke`]): both images change behind everybody's back.
//!
//! Left out: garbled sectors (half old, half new), misdirected writes, timing, real directories' permissions.

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

/// What is asked of a disk; each call counts as one operation.
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

/// A failure to come.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which operation fails, by its number: the first is 1. See [`SimDisk::operations`] for how many there were.
    pub at: u64,
    /// Only operations of this kind fail: the first one from `at` on.
    pub only: Option<Operation>,
    /// Every such operation from then on fails, too.
    pub is_sticky: bool,
    /// The error's number: 5 for EIO, 28 for ENOSPC, 122 for EDQUOT, 30 for EROFS.
    pub errno: i32,
}

/// Something that was not yet durable when the machine crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// One sector of some file.
    Sector,
    /// One create, rename or remove.
    Name,
    /// The length of some file; asked again for the half of it if the whole is not kept.
    Length,
}

/// The disk. Clones share it; [`SimDisk::snapshot`] makes another one.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(u64),
}

/// A call that changed names: what each name stands for afterwards.
type Renaming = Vec<(PathBuf, Option<Node>)>;

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names since their directory was synced, in order.
    unsynced_names: Vec<(PathBuf, Renaming)>,
    files: BTreeMap<u64, SimFile>,
    next_file: u64,
    locks: BTreeMap<PathBuf, String>,
    /// Handles of earlier epochs are dead.
    epoch: u64,
    operations: u64,
    counts: BTreeMap<Operation, u64>,
    fault: Option<Fault>,
    capacity: Option<u64>,
    file_system: FileSystem,
}

impl SimDisk {
    /// An empty disk, on which only `/` exists.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk of its own with the same content, state and coming faults; cheap, since pages are shared until written.
    /// Handles of this disk stay this disk's.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// The power fails and comes back. The seed decides what was kept of everything that was not synced; over many
    /// seeds nothing, everything, and all densities between are frequent.
    pub fn crash(&self, seed: u64) {
        let mut random = Random::new(seed);
        // Of eight: the chance that something is kept, drawn anew for each kind now and then.
        let mut chance = [0, 1, 4, 7, 8].get(random.index(5)).copied().unwrap_or(4);
        self.crash_with(&mut |what| {
            if what != Unsynced::Sector || random.below(64) == 0 {
                chance = [0, 1, 4, 7, 8].get(random.index(5)).copied().unwrap_or(4);
            }
            random.below(8) < chance
        });
    }

    /// Like [`SimDisk::crash`], but `keep` decides, in a fixed order: names first, then files in order of creation,
    /// each file's length before its sectors from the first on.
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

    /// The process dies, the machine goes on: handles and locks are gone, the page cache stays.
    pub fn kill(&self) {
        self.state().end_epoch();
    }

    /// Lets an operation fail. Replaces any failure that was to come.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// No failure is to come any more.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Limits the sum of all files' lengths, in bytes, or lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Says of what kind it is from now on.
    pub fn set_file_system(&self, kind: FileSystem) {
        self.state().file_system = kind;
    }

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many there were of one kind.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().counts.get(&operation).copied().unwrap_or(0)
    }

    /// The live content of a file. Counts as no operation.
    #[must_use]
    pub fn peek(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.names.get(path)?.file()?;
        Some(state.files.get(&id)?.bytes())
    }

    /// Changes a file on the device and in the page cache, growing it if needed: `false` if there is none. Counts as
    /// no operation.
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
    /// Counts an operation, and lets it fail if its time has come.
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

    /// Changes names in the live image, and remembers that for the directory's next sync.
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

    /// The directory that a name is in, which must exist.
    fn parent(&self, path: &Path) -> io::Result<PathBuf> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let exists = dir.parent().is_none() || self.names.get(dir) == Some(&Node::Dir);
        if exists { Ok(dir.to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Whether all files together may grow by so many bytes.
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

/// A lock that somebody has.
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
