//! Read-only views of a disk, and the one that leaves even the page cache unchanged: for tools that inspect a store in use.
//!
//! A view states what it shows; every change is refused here, for all of them.
//! Reads may come from the page cache. Only a start, which syncs and evicts, is certain to read the device.
//! Left out: the disk itself, and views of one store (`wal/read/`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, File, FileSystem, Lock};

/// A read-only view of a disk. It is a [`Disk`] that refuses every change.
pub trait ReadView: Send + Sync {
    /// The disk below.
    fn base(&self) -> &dyn Disk;

    /// [`Disk::open_read`] of the view; [`Disk::open`] opens for reading only as well.
    ///
    /// # Errors
    /// As [`Disk::open_read`].
    fn view_file(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// [`Disk::list`] of the view.
    ///
    /// # Errors
    /// As [`Disk::list`].
    fn view_names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.base().list(dir)
    }

    /// [`Disk::exists`] of the view.
    ///
    /// # Errors
    /// As [`Disk::exists`].
    fn view_exists(&self, path: &Path) -> io::Result<bool> {
        self.base().exists(path)
    }
}

impl<V: ReadView> Disk for V {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(refused())
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn File>> {
        Err(refused())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.view_file(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.view_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.view_names(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.view_exists(path)
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

    fn mode(&self, path: &Path) -> io::Result<u32> {
        self.base().mode(path)
    }

    fn holder(&self, path: &Path) -> io::Result<Option<String>> {
        self.base().holder(path)
    }

    fn dir_holder(&self, file: &Path) -> io::Result<Option<String>> {
        self.base().dir_holder(file)
    }

    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        self.base().file_system(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.base().free_space(dir)
    }
}

/// The contents of a read-only file. It is a [`File`] that refuses every change.
pub trait ReadFile: Send + Sync {
    /// [`File::len`].
    ///
    /// # Errors
    /// As [`File::len`].
    fn length(&self) -> io::Result<u64>;

    /// [`File::read_exact_at`].
    ///
    /// # Errors
    /// As [`File::read_exact_at`].
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// The file that receives syncs and evicts; without one they do nothing.
    fn device(&self) -> Option<&dyn File> {
        None
    }
}

impl<F: ReadFile> File for F {
    fn len(&self) -> io::Result<u64> {
        self.length()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_at(buf, offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(refused())
    }

    fn sync(&self) -> io::Result<()> {
        self.device().map_or(Ok(()), File::sync)
    }

    fn evict(&self) -> io::Result<()> {
        self.device().map_or(Ok(()), File::evict)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(refused())
    }
}

/// The view of a whole disk. Syncs and evicts do nothing.
pub struct ReadOnly<'a>(pub &'a dyn Disk);

impl ReadView for ReadOnly<'_> {
    fn base(&self) -> &dyn Disk {
        self.0
    }

    fn view_file(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Untouched(self.0.open_read(path)?.into())))
    }
}

/// A read-only file that several readers can share. Syncs and evicts do nothing.
pub struct Untouched(pub Arc<dyn File>);

impl ReadFile for Untouched {
    fn length(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
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
