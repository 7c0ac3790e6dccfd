//! The disk, clocks and random numbers of a real Unix system, and its process settings.
//!
//! Left out: policy. Errors of the system are returned unchanged; the caller decides what they mean.

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

/// With this flag the open of a pipe returns immediately, so that it can be rejected.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
const NO_SUCH_DEVICE: i32 = rustix::io::Errno::NXIO.raw_os_error();

fn open_lock(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NONBLOCK).open(path)
}

/// The directory of a path.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The error for a name that is in use.
pub(super) fn taken(path: &Path) -> io::Error {
    let what = format!("{} is there already, and the rename would replace it", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, what)
}

/// The error for a name that is not UTF-8.
pub(super) fn no_utf8(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a file name that is no UTF-8: {name}"))
}

/// The free bytes, including those reserved for the superuser.
pub(super) const fn free_space(system: &rustix::fs::StatVfs) -> Option<u64> {
    system.f_bfree.checked_mul(system.f_frsize)
}

pub(super) struct OsFile(pub(super) fs::File);

impl OsFile {
    /// Checks that a file opened with [`NONBLOCK`] is a regular one. A pipe, a socket, a device or a directory is
    /// `InvalidData`.
    pub(super) fn regular(opened: io::Result<fs::File>) -> io::Result<Box<dyn File>> {
        let other = || io::Error::new(io::ErrorKind::InvalidData, "it is no regular file");
        match opened {
            Ok(file) if file.metadata()?.is_file() => Ok(Box::new(Self(file))),
            Ok(_) => Err(other()),
            // The errors of opening a socket, a pipe without a reader, and a directory for writing.
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
            // A file system without direct I/O, such as tmpfs.
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
            // A file without a name may have been cut before the lock was taken.
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
        // A clock before 1970 is broken. Bank time never goes back, so zero is a safe value.
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

/// Sets the umask so that new files get no permission bits for group and others.
pub fn restrict_umask() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Opens a file for sequential reading: input named on the command line.
///
/// # Errors
/// Any error of the file system.
pub fn open_stream(path: &Path) -> io::Result<impl Read> {
    fs::File::open(path)
}

/// The canonical path, with links and dots resolved. Components that do not exist are kept unresolved.
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

/// Raises the limit of open file descriptors to the maximum allowed: each connection takes one.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If that fails, fewer connections fit.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The limit of open file descriptors of this process.
#[must_use]
pub fn descriptor_limit() -> usize {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The number of open file descriptors of this process.
///
/// # Errors
/// Any error of the system call.
pub fn open_descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Disables core dumps, because the memory of this process has contained PINs.
pub fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    // A system that refuses to lower the limit has a stricter rule of its own.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
}

/// The time since 1970-01-01 UTC; none for an earlier time.
#[must_use]
pub fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(UNIX_EPOCH).ok()
}

/// Lowers the priority of the calling thread to the minimum.
pub fn lower_thread_priority() {
    // Best effort: on failure the priority stays as it was.
    let _ = rustix::process::nice(19);
}

/// Removes a Unix socket that a killed process left behind. Succeeds if there is none.
///
/// # Errors
/// `AlreadyExists` for anything but a socket; any other error of the file system.
pub fn remove_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket stands there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates a directory with a unique name in the system's directory for temporary files.
///
/// # Errors
/// Any error of the system call.
pub fn make_temporary_dir(purpose: &str) -> io::Result<PathBuf> {
    make_dir_of_chance(&std::env::temp_dir(), purpose)
}

/// Creates a directory with a unique name on a local disk: in the system's directory for temporary files, else in
/// `/var/tmp`. If neither is on a local disk, in the current directory.
///
/// # Errors
/// Any error of the system call.
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

/// Removes a temporary directory with all its contents.
///
/// # Errors
/// Any error of the file system. Part of the contents may be removed then.
pub fn remove_dir_and_content(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// The effective user id of the process at the other end of a Unix socket.
///
/// # Errors
/// Any error of the system call.
pub fn peer_uid(socket: impl std::os::fd::AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// The effective user id of this process.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens a descriptor that only reserves an entry of the descriptor table, to be released when the table is full.
///
/// # Errors
/// Any error of the system call.
pub fn spare_descriptor() -> io::Result<std::os::fd::OwnedFd> {
    Ok(fs::File::open("/dev/null")?.into())
}

/// Whether `error` means that the table of file descriptors of the process or the system is full.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let Lock::Held(held) = OsDisk.lock(&path, "first").unwrap() else { panic!("the lock is free") };
        let Lock::Taken { holder } = OsDisk.lock(&path, "second").unwrap() else { panic!("it is taken") };
        assert_eq!(holder, "first");
        assert_eq!(OsDisk.holder(&path).unwrap().as_deref(), Some("first"));
        drop(held);
        assert_eq!(OsDisk.holder(&path).unwrap(), None);
        assert_eq!(OsDisk.holder(&dir.path().join("absent")).unwrap(), None);
        assert!(matches!(OsDisk.lock(&path, "third").unwrap(), Lock::Held(_)));
    }

    #[test]
    fn file_systems_are_distinguished() {
        assert!(OsDisk.file_system(Path::new("/absent")).is_err());
        assert_eq!(OsDisk.file_system(Path::new("/proc")).unwrap(), FileSystem::Local, "no kind that is known");
        let memory = Path::new("/dev/shm");
        // Only where this exists.
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
