//! The real disk, clocks and random numbers of a Unix system.
//!
//! Left out: any policy. Errors pass through as the system gives them; who calls decides what they mean.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fs2::FileExt as _;

use super::locks::{dir_holder, file_holder, is_contended, lock_dir, lock_file};
use super::{Clock, Disk, Entropy, File, FileSystem, Lock, Standing, anchored, file_system};

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        OsFile::regular(OpenOptions::new().read(true).write(true).custom_flags(NONBLOCK).open(path))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        OsFile::regular(OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().into_string();
            names.push(name.map_err(|name| no_utf8(&name.to_string_lossy()))?);
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        anchored::rename_new_at(rustix::fs::CWD, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        lock_file(open_lock(path)?, holder)
    }

    fn lock_dir(&self, file: &Path, holder: &str) -> io::Result<Lock> {
        lock_dir(fs::File::open(parent(file))?, &|| open_lock(file), holder)
    }

    fn holder(&self, path: &Path) -> io::Result<Option<String>> {
        file_holder(fs::File::open(path))
    }

    fn dir_holder(&self, file: &Path) -> io::Result<Option<String>> {
        match fs::File::open(parent(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            dir => dir_holder(&dir?, fs::File::open(file)),
        }
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is a symbolic link that leads to nothing"));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no name"))?;
        Ok(fs::canonicalize(dir)?.join(name))
    }

    fn file_system(&self, path: &Path) -> io::Result<FileSystem> {
        Ok(file_system::of(&rustix::fs::statfs(path)?))
    }

    fn free_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        Ok(free_space(&rustix::fs::statvfs(dir)?))
    }

    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        anchored::anchor(dir)
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
    }
}

/// A pipe of a file's name is opened at once, to be refused.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
const NO_SUCH_DEVICE: i32 = rustix::io::Errno::NXIO.raw_os_error();

fn open_lock(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NONBLOCK).open(path)
}

/// The directory that a path's last name is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// That a name is taken, as an error.
pub(super) fn taken(path: &Path) -> io::Error {
    let what = format!("{} is there already, and the rename would replace it", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}

/// That a name is no text, as an error.
pub(super) fn no_utf8(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a file name that is no UTF-8: {name}"))
}

/// How much is free, what only the superuser may take included.
pub(super) const fn free_space(system: &rustix::fs::StatVfs) -> Option<u64> {
    system.f_bfree.checked_mul(system.f_frsize)
}

pub(super) struct OsFile(pub(super) fs::File);

impl OsFile {
    /// The file that was opened without waiting, if it is one. A pipe, a socket, a device or a directory of a file's name is
    /// `InvalidData`.
    pub(super) fn regular(opened: io::Result<fs::File>) -> io::Result<Box<dyn File>> {
        let other = || io::Error::new(io::ErrorKind::InvalidData, "it is no regular file");
        match opened {
            Ok(file) if file.metadata()?.is_file() => Ok(Box::new(Self(file))),
            Ok(_) => Err(other()),
            // A socket has no end to open, a pipe may have no reader, and a directory cannot be written to.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory || error.raw_os_error() == Some(NO_SUCH_DEVICE) => Err(other()),
            Err(error) => Err(error),
        }
    }
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_direct(&self, direct: bool) -> io::Result<bool> {
        use rustix::fs::OFlags;
        let flags = rustix::fs::fcntl_getfl(&self.0)?;
        let wanted = if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
        match rustix::fs::fcntl_setfl(&self.0, wanted) {
            Ok(()) => Ok(direct),
            // A file system without it, tmpfs for one.
            Err(rustix::io::Errno::INVAL) if direct => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn evict(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    fn forbid_read_ahead(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::Random)?)
    }

    fn announce_reader(&self) -> io::Result<bool> {
        match fs2::FileExt::try_lock_shared(&self.0) {
            // Whoever removed it may have cut it before the lock was taken.
            Ok(()) => Ok(self.0.metadata()?.nlink() > 0),
            Err(error) if is_contended(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_unread(&self) -> io::Result<bool> {
        match self.0.try_lock_exclusive() {
            Ok(()) => Ok(self.0.metadata()?.nlink() == 0),
            Err(error) if is_contended(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock_exclusive() {
            Ok(()) => Ok(true),
            Err(error) if is_contended(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn standing(&self, path: &Path) -> io::Result<Standing> {
        let own = self.0.metadata()?;
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Elsewhere),
            found => found?,
        };
        Ok(match own.nlink() {
            _ if (own.dev(), own.ino()) != (found.dev(), found.ino()) => Standing::Elsewhere,
            _ if !own.is_file() => Standing::NoFile,
            1 => Standing::Only,
            names => Standing::Several(names),
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub struct OsClock {
    start: Instant,
}

impl Default for OsClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for OsClock {
    fn wall(&self) -> Duration {
        // A clock before 1970 is a broken clock: bank time never goes back, so zero is as good as any.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buf: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buf).map_err(io::Error::from)
    }
}

/// The files of every client process stay private: new files get no bits for group and others.
pub fn restrict_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// A file to be read from front to end, for input that a person names on the command line.
///
/// # Errors
/// What the file system says.
pub fn open_stream(path: &Path) -> io::Result<impl Read> {
    fs::File::open(path)
}

/// The one name of what a path leads to, links and dots resolved; of what is not there yet, as far as it is there.
#[must_use]
pub fn canonical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = absolute.ancestors().find_map(|above| {
        let rest = absolute.strip_prefix(above).ok()?;
        let there = fs::canonicalize(above).ok()?;
        Some(if rest.as_os_str().is_empty() { there } else { there.join(rest) })
    });
    resolved.unwrap_or(absolute)
}

/// Allows as many open descriptors as the system lets this process have: each connection takes one.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where that is refused, fewer connections fit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// How many descriptors this process may have open.
#[must_use]
pub fn descriptor_limit() -> usize {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many descriptors this process has open.
///
/// # Errors
/// What the system says.
pub fn open_descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Keeps the memory of this process, which has seen PINs, out of core dumps.
pub fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // A system that refuses even this has a stricter rule of its own.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}

/// Lets every other thread go before the calling one.
pub fn lower_thread_priority() {
    // Only a wish: where it is not granted, work goes on as before.
    let _ = rustix::process::nice(19);
}

/// Removes a Unix socket that a killed process left behind; nothing there is fine.
///
/// # Errors
/// What the system says, and `AlreadyExists` for anything that is no socket.
pub fn remove_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket stands there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new directory of its own for this process, in the system's place for temporary files.
///
/// # Errors
/// What the system says.
pub fn make_temporary_dir(purpose: &str) -> io::Result<PathBuf> {
    make_dir_of_chance(&std::env::temp_dir(), purpose)
}

/// The same on a disk of this machine: where temporary files go; if that is in memory, in `/var/tmp`; if that is too, here.
///
/// # Errors
/// What the system says.
pub fn make_temporary_dir_on_disk(purpose: &str) -> io::Result<PathBuf> {
    let places = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let on_disk = places.into_iter().find(|place| matches!(OsDisk.file_system(place), Ok(FileSystem::Local | FileSystem::CopyOnWrite(_))));
    make_dir_of_chance(&on_disk.map_or_else(std::env::current_dir, Ok)?, purpose)
}

fn make_dir_of_chance(parent: &Path, purpose: &str) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    OsEntropy.fill(&mut random)?;
    let path = parent.join(format!("bankd-{purpose}-{:016x}", u64::from_le_bytes(random)));
    OsDisk.create_dir(&path)?;
    Ok(path)
}

/// Removes a directory and everything in it; for a temporary one.
///
/// # Errors
/// What the system says; some of it may be gone then.
pub fn remove_dir_and_content(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// The uid of the process on the other end of a Unix socket.
///
/// # Errors
/// What the system says.
pub fn peer_uid(socket: impl std::os::fd::AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// The uid of this process.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A descriptor that does nothing but take a place in the table, to be given up when the table is full.
///
/// # Errors
/// What the system says.
pub fn spare_descriptor() -> io::Result<std::os::fd::OwnedFd> {
    Ok(fs::File::open("/dev/null")?.into())
}

/// Whether an error says that the table of open descriptors is full.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let Lock::Held(held) = OsDisk.lock(&path, "first").unwrap() else { panic!("nobody has it") };
        let Lock::Taken { holder } = OsDisk.lock(&path, "second").unwrap() else { panic!("it is taken") };
        assert_eq!(holder, "first");
        assert_eq!(OsDisk.holder(&path).unwrap().as_deref(), Some("first"));
        drop(held);
        assert_eq!(OsDisk.holder(&path).unwrap(), None);
        assert_eq!(OsDisk.holder(&dir.path().join("absent")).unwrap(), None);
        assert!(matches!(OsDisk.lock(&path, "third").unwrap(), Lock::Held(_)));
    }

    #[test]
    fn file_systems_are_told_apart() {
        assert!(OsDisk.file_system(Path::new("/absent")).is_err());
        assert_eq!(OsDisk.file_system(Path::new("/proc")).unwrap(), FileSystem::Local, "no kind that is known");
        let memory = Path::new("/dev/shm");
        // Where there is such a thing at all.
        if let Ok(kind) = OsDisk.file_system(memory)
            && kind != OsDisk.file_system(Path::new("/dev")).unwrap()
        {
            assert_eq!(kind, FileSystem::Memory("tmpfs"));
        }
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
        for name in ["pipe", "socket", "directory", "link"] {
            for opened in [OsDisk.open(&path(name)), OsDisk.open_read(&path(name))] {
                assert_eq!(opened.err().map(|error| error.kind()), Some(io::ErrorKind::InvalidData), "{name}");
            }
        }
        assert_eq!(OsDisk.open_read(&path("absent")).err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn files_are_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = OsDisk.create(&path).unwrap();
        file.write_all_at(b"abc", 5).unwrap();
        file.sync().unwrap();
        file.evict().unwrap();
        OsDisk.sync_dir(dir.path()).unwrap();
        assert_eq!(OsDisk.mode(&path).unwrap() & 0o077, 0);
        let mut buf = [1; 8];
        OsDisk.open_read(&path).unwrap().read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"\0\0\0\0\0abc");
        assert_eq!(OsDisk.create(&path).err().map(|e| e.kind()), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(OsDisk.list(dir.path()).unwrap(), ["f"]);
    }
}
