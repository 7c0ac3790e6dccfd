//! Disks that lie: a bank over one of them must be found out, or the power cuts prove nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bankd::env::{Disk, File, FileSystem, Lock};

/// What a disk says that it has done, and has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
}

/// A disk that lies about one thing and is truthful about everything else.
pub struct LyingDisk {
    pub disk: Arc<dyn Disk>,
    pub lie: Lie,
}

struct LyingFile {
    file: Box<dyn File>,
    lie: Lie,
}

impl LyingDisk {
    fn wrap(&self, file: io::Result<Box<dyn File>>) -> io::Result<Box<dyn File>> {
        let lie = self.lie;
        file.map(|file| Box::new(LyingFile { file, lie }) as Box<dyn File>)
    }
}

impl Disk for LyingDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(self.disk.create(path))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(self.disk.open(path))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(self.disk.open_read(path))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.lie == Lie::SyncDir { Ok(()) } else { self.disk.sync_dir(dir) }
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        self.disk.lock(path, holder)
    }
    fn mode(&self, path: &Path) -> io::Result<u32> {
        self.disk.mode(path)
    }
    fn holder(&self, path: &Path) -> io::Result<Option<String>> {
        self.disk.holder(path)
    }
    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        self.disk.file_system(path)
    }
}

impl File for LyingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        if self.lie == Lie::Sync { Ok(()) } else { self.file.sync() }
    }
    fn evict(&self) -> io::Result<()> {
        self.file.evict()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}
