//! A disk that holds a directory open, so that paths below it stay valid if the directory is renamed.
//!
//! A store's path is resolved once, when the store is opened. If the store is moved and another one takes its path, all
//! access still goes to the opened store. Left out: paths outside the directory, which are resolved on each call.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::os::{self, OsDisk, OsFile};
use super::{Disk, File, FileSystem, Lock, file_system, locks};

/// A disk with a directory held open. Clones share the handle.
#[derive(Clone)]
pub(super) struct AnchoredDisk {
    directory: Arc<OwnedFd>,
    path: PathBuf,
    /// The disk for all other paths.
    outside: Arc<dyn Disk>,
}

impl AnchoredDisk {
    /// Opens the directory at `path`.
    pub(super) fn new(path: &Path, outside: Arc<dyn Disk>) -> io::Result<Self> {
        let directory = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { directory: Arc::new(directory), path: path.to_owned(), outside })
    }

    /// `path` relative to the directory, if it is the directory or below it.
    fn below<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let rest = path.strip_prefix(&self.path).ok()?;
        let climbs = rest.components().any(|part| matches!(part, std::path::Component::ParentDir));
        (!climbs).then(|| if rest.as_os_str().is_empty() { Path::new(".") } else { rest })
    }

    fn open_at(&self, rest: &Path, flags: OFlags) -> io::Result<std::fs::File> {
        Ok(rustix::fs::openat(&self.directory, rest, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?.into())
    }
}

impl Disk for AnchoredDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let Some(rest) = self.below(path) else { return self.outside.create_dir(path) };
        Ok(rustix::fs::mkdirat(&self.directory, rest, Mode::RWXU)?)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let Some(rest) = self.below(path) else { return self.outside.create(path) };
        Ok(Box::new(OsFile(self.open_at(rest, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let Some(rest) = self.below(path) else { return self.outside.open(path) };
        OsFile::regular(self.open_at(rest, OFlags::RDWR | OFlags::NONBLOCK))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let Some(rest) = self.below(path) else { return self.outside.open_read(path) };
        OsFile::regular(self.open_at(rest, OFlags::RDONLY | OFlags::NONBLOCK))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let Some(rest) = self.below(dir) else { return self.outside.list(dir) };
        let mut names = Vec::new();
        for entry in Dir::new(self.open_at(rest, OFlags::RDONLY | OFlags::DIRECTORY)?)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => return Err(os::no_utf8(&entry.file_name().to_string_lossy())),
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let Some(rest) = self.below(path) else { return self.outside.exists(path) };
        match rustix::fs::statat(&self.directory, rest, AtFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match (self.below(from), self.below(to)) {
            (Some(from), Some(to)) => Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?),
            _ => self.outside.rename(from, to),
        }
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match (self.below(from), self.below(to)) {
            (Some(from), Some(to)) => rename_new_at(&self.directory, from, to),
            _ => self.outside.rename_new(from, to),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let Some(rest) = self.below(path) else { return self.outside.remove(path) };
        Ok(rustix::fs::unlinkat(&self.directory, rest, AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.below(dir) {
            // Uses the held descriptor, and so cannot fail because the table of descriptors is full.
            Some(rest) if rest == Path::new(".") => Ok(rustix::fs::fsync(&self.directory)?),
            Some(rest) => self.open_at(rest, OFlags::RDONLY | OFlags::DIRECTORY)?.sync_all(),
            None => self.outside.sync_dir(dir),
        }
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        let Some(rest) = self.below(path) else { return self.outside.lock(path, holder) };
        locks::lock_file(self.open_at(rest, OFlags::RDWR | OFlags::CREATE)?, holder)
    }

    fn lock_dir(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        match (path.parent().and_then(|dir| self.below(dir)), self.below(path)) {
            (Some(dir), Some(rest)) => {
                let dir = self.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
                locks::lock_dir(dir, &|| self.open_at(rest, OFlags::RDWR | OFlags::CREATE), holder)
            }
            _ => self.outside.lock_dir(path, holder),
        }
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        let Some(rest) = self.below(path) else { return self.outside.mode(path) };
        Ok(Mode::from_raw_mode(rustix::fs::statat(&self.directory, rest, AtFlags::empty())?.st_mode).bits() & 0o7777)
    }

    fn holder(&self, path: &Path) -> io::Result<Option<String>> {
        let Some(rest) = self.below(path) else { return self.outside.holder(path) };
        locks::file_holder(self.open_at(rest, OFlags::RDONLY | OFlags::NONBLOCK))
    }

    fn dir_holder(&self, path: &Path) -> io::Result<Option<String>> {
        match (path.parent().and_then(|dir| self.below(dir)), self.below(path)) {
            (Some(dir), Some(rest)) => {
                let dir = self.open_at(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
                locks::dir_holder(&dir, self.open_at(rest, OFlags::RDONLY | OFlags::NONBLOCK))
            }
            _ => self.outside.dir_holder(path),
        }
    }

    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        match self.below(path) {
            Some(_) => Ok(file_system::of(&rustix::fs::fstatfs(&self.directory)?)),
            None => self.outside.file_system(path),
        }
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        match self.below(dir) {
            Some(_) => Ok(os::free_space(&rustix::fs::fstatvfs(&self.directory)?)),
            None => self.outside.free_space(dir),
        }
    }

    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        if dir == self.path {
            return Ok(Some(Arc::new(self.clone())));
        }
        Ok(Some(Arc::new(Self::new(dir, Arc::new(self.clone()))?)))
    }

    fn by_handle(&self, dir: &Path) -> Option<PathBuf> {
        if dir == self.path {
            return Some(PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd())));
        }
        self.outside.by_handle(dir)
    }
}

/// Renames to an unused name. Both paths are relative to `dir`.
pub(super) fn rename_new_at(dir: impl std::os::fd::AsFd, from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(&dir, from, &dir, to, RenameFlags::NOREPLACE) {
        // A file system without `RENAME_NOREPLACE`: the store's lock prevents other processes from creating the name.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match rustix::fs::statat(&dir, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(os::taken(to)),
            Err(Errno::NOENT) => Ok(rustix::fs::renameat(&dir, from, &dir, to)?),
            Err(error) => Err(error.into()),
        },
        Err(Errno::EXIST) => Err(os::taken(to)),
        renamed => Ok(renamed?),
    }
}

/// The disk of this machine with `dir` held open.
pub(super) fn anchor(dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
    Ok(Some(Arc::new(AnchoredDisk::new(dir, Arc::new(OsDisk))?)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_that_is_moved_stays_the_one_that_is_meant() {
        let root = tempfile::tempdir().unwrap();
        let (here, there) = (root.path().join("here"), root.path().join("there"));
        fs::create_dir(&here).unwrap();
        let disk = OsDisk.anchored(&here).unwrap().unwrap();
        disk.create(&here.join("a")).unwrap().write_all_at(b"mine", 0).unwrap();
        fs::rename(&here, &there).unwrap();
        fs::create_dir(&here).unwrap();
        fs::write(here.join("a"), "another's").unwrap();
        fs::write(here.join("c"), "another's").unwrap();

        let mut read = [0; 4];
        disk.open_read(&here.join("a")).unwrap().read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"mine");
        disk.create(&here.join("b")).unwrap();
        disk.rename_new(&here.join("b"), &here.join("c")).unwrap();
        disk.rename(&here.join("c"), &here.join("a")).unwrap();
        disk.create_dir(&here.join("d")).unwrap();
        disk.sync_dir(&here).unwrap();
        disk.sync_dir(&here.join("d")).unwrap();
        assert_eq!(disk.list(&here).unwrap(), ["a", "d"]);
        assert!(disk.exists(&here.join("a")).unwrap() && !disk.exists(&here.join("c")).unwrap());
        assert_eq!(disk.open(&here.join("a")).unwrap().len().unwrap(), 0);
        disk.remove(&here.join("a")).unwrap();
        let names = |dir: &Path| OsDisk.list(dir).unwrap();
        assert_eq!((names(&here), names(&there)), (vec!["a".to_owned(), "c".to_owned()], vec!["d".to_owned()]));
        assert_eq!(fs::read(here.join("c")).unwrap(), b"another's");
        fs::write(disk.by_handle(&here).unwrap().join("e"), "by handle").unwrap();
        assert!(there.join("e").exists());
        // A path outside is resolved on each call.
        assert!(disk.exists(&there.join("d")).unwrap());
        assert!(disk.exists(&here.join("../there/d")).unwrap());
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_over() {
        let root = tempfile::tempdir().unwrap();
        let path = |name| root.path().join(name);
        let anchored = OsDisk.anchored(root.path()).unwrap().unwrap();
        for disk in [&OsDisk as &dyn Disk, &*anchored] {
            fs::write(path("a"), "new").unwrap();
            fs::write(path("b"), "old").unwrap();
            let refused = disk.rename_new(&path("a"), &path("b")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert!(refused.to_string().contains("would replace"), "{refused}");
            assert_eq!((fs::read(path("a")).unwrap(), fs::read(path("b")).unwrap()), (b"new".to_vec(), b"old".to_vec()));
            fs::remove_file(path("b")).unwrap();
            disk.rename_new(&path("a"), &path("b")).unwrap();
            assert_eq!(fs::read(path("b")).unwrap(), b"new");
        }
    }

    #[test]
    fn a_pipe_with_a_files_name_is_refused_and_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let anchored = OsDisk.anchored(root.path()).unwrap().unwrap();
        for disk in [&OsDisk as &dyn Disk, &*anchored] {
            for opened in [disk.open_read(&pipe), disk.open(&pipe), disk.open_read(root.path())] {
                assert!(opened.is_err());
            }
        }
    }

    #[test]
    fn the_directory_itself_is_locked() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("LOCK");
        let anchored = OsDisk.anchored(root.path()).unwrap().unwrap();
        for (first, second) in [(&OsDisk as &dyn Disk, &*anchored), (&*anchored, &OsDisk as &dyn Disk)] {
            let Lock::Held(held) = first.lock_dir(&path, "first").unwrap() else { panic!("it is free") };
            assert_eq!(second.dir_holder(&path).unwrap().as_deref(), Some("first"));
            // An older program checks only the file's lock.
            assert_eq!(second.holder(&path).unwrap().as_deref(), Some("first"));
            fs::remove_file(&path).unwrap();
            let Lock::Taken { holder } = second.lock_dir(&path, "second").unwrap() else { panic!("the directory is taken") };
            assert_eq!(holder, "another process");
            assert!(second.dir_holder(&path).unwrap().is_some());
            drop(held);
            assert_eq!(second.dir_holder(&path).unwrap(), None);
            let Lock::Held(old) = second.lock(&path, "an older program").unwrap() else { panic!("it is free") };
            let Lock::Taken { holder } = first.lock_dir(&path, "first").unwrap() else { panic!("the file is taken") };
            assert_eq!(holder, "an older program");
            drop(old);
        }
    }
}
