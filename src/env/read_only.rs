//! A read-only view of a disk, which leaves even the page cache unchanged: for tools that inspect a store in use.
//!
//! Reads may come from the page cache. Only a start, which syncs and evicts, is certain to read the device.
//! Left out: the disk itself.

use std::io;
use std::path::Path;

use super::{Disk, File, FileSystem, Lock};

/// A read-only view. Every call that would change something fails; syncs and evicts do nothing.
pub struct ReadOnly<'a>(pub &'a dyn Disk);

impl Disk for ReadOnly<'_> {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn File>> {
        Err(refused())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open_read(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Untouched(self.0.open_read(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path, _: &str) -> io::Result<Lock> {
        Err(refused())
    }

    fn lock_dir(&self, _: &Path, _: &str) -> io::Result<Lock> {
        Err(refused())
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        self.0.mode(path)
    }

    fn holder(&self, path: &Path) -> io::Result<Option<String>> {
        self.0.holder(path)
    }

    fn dir_holder(&self, file: &Path) -> io::Result<Option<String>> {
        self.0.dir_holder(file)
    }

    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        self.0.file_system(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.0.free_space(dir)
    }
}

/// A file opened for reading.
struct Untouched(Box<dyn File>);

impl File for Untouched {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(refused())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn evict(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(refused())
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "this only looks")
}

#[cfg(test)]
mod tests {
    use super::super::sim::{Operation, SimDisk};
    use super::*;

    #[test]
    fn nothing_gets_through_but_looks() {
        let disk = SimDisk::new();
        let path = Path::new("/a");
        disk.create(path).unwrap().write_all_at(b"abc", 0).unwrap();
        let before = disk.operations();
        let view = ReadOnly(&disk);
        let other = Path::new("/b");
        assert!(view.create(other).is_err() && view.create_dir(other).is_err() && view.rename(path, other).is_err());
        assert!(view.remove(path).is_err() && view.lock(other, "me").is_err());
        let file = view.open(path).unwrap();
        assert!(file.write_all_at(b"x", 0).is_err() && file.set_len(0).is_err());
        assert!(file.sync().is_ok() && file.evict().is_ok() && view.sync_dir(Path::new("/")).is_ok());
        assert_eq!(disk.operations(), before + 1, "only the open came through");
        assert_eq!((disk.count(Operation::Sync), disk.count(Operation::Evict)), (0, 0));
        let mut buf = [0; 3];
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!((&buf, file.len().unwrap(), view.list(Path::new("/")).unwrap()), (b"abc", 3, vec!["a".to_owned()]));
    }
}
