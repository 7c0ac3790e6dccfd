//! A view of a disk for background work: one small request at a time, so that a commit waits for at most one of them.
//!
//! A device processes requests in order. Two requests of 4 MB, as the kernel's read-ahead issues them, delay a commit of one
//! block by 4 ms. The writeback at a sync and the discard of a large file's blocks cause similar delays.
//! Left out: the rate of the background work, and its processor time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::env::{Disk, File, FileSystem, Lock};

/// The size of a request in bytes. The device needs about as long for it as for one sync.
const PIECE: usize = 256 << 10;

/// The bytes by which a removed file is truncated at a time. On ext4 mounted with `discard` the file system discards freed
/// blocks, and the device takes 10 ms for 50 MiB.
const CUT: u64 = 1 << 20;

/// A throttled view of a disk. It also syncs after each piece written; the guarantee of [`File::sync`] is unchanged.
pub struct ThrottledDisk(pub Arc<dyn Disk>);

impl Disk for ThrottledDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        slowly(self.0.create(path)?)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        slowly(self.0.open(path)?)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.0.open_read(path)?;
        // A file that is being removed counts as removed.
        if file.announce_reader()? { slowly(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let file = self.0.open(path)?;
        let is_large = file.len()? > CUT;
        self.0.remove(path)?;
        if is_large {
            if let Some(dir) = path.parent() {
                // After a power cut the file must not reappear truncated.
                self.0.sync_dir(dir)?;
            }
            // The name is removed: if truncation fails, closing the file frees its space.
            let _ = shrink(file.as_ref());
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        self.0.lock(path, holder)
    }

    fn lock_dir(&self, file: &Path, holder: &str) -> io::Result<Lock> {
        self.0.lock_dir(file, holder)
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

    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn Disk>>> {
        Ok(self.0.anchored(dir)?.map(|disk| Arc::new(Self(disk)) as Arc<dyn Disk>))
    }

    fn by_handle(&self, dir: &Path) -> Option<PathBuf> {
        self.0.by_handle(dir)
    }
}

/// An open file, read and written in pieces.
struct Slow {
    file: Box<dyn File>,
    /// The number of bytes written since the last sync.
    unsynced: AtomicUsize,
}

fn slowly(file: Box<dyn File>) -> io::Result<Box<dyn File>> {
    file.forbid_read_ahead()?;
    Ok(Box::new(Slow { file, unsynced: AtomicUsize::new(0) }))
}

impl File for Slow {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        for piece in buf.chunks_mut(PIECE) {
            self.file.read_exact_at(piece, offset)?;
            offset = offset.saturating_add(length(piece));
        }
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], mut offset: u64) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.file.write_all_at(piece, offset)?;
            offset = offset.saturating_add(length(piece));
            let unsynced = self.unsynced.load(Ordering::Relaxed).saturating_add(piece.len());
            self.unsynced.store(unsynced, Ordering::Relaxed);
            if unsynced >= PIECE {
                self.sync()?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.unsynced.store(0, Ordering::Relaxed);
        self.file.sync()
    }

    fn evict(&self) -> io::Result<()> {
        self.file.evict()
    }

    fn forbid_read_ahead(&self) -> io::Result<()> {
        self.file.forbid_read_ahead()
    }

    fn announce_reader(&self) -> io::Result<bool> {
        self.file.announce_reader()
    }

    fn is_unread(&self) -> io::Result<bool> {
        self.file.is_unread()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}

/// Frees a removed file's space piece by piece, unless the file has a reader.
fn shrink(file: &dyn File) -> io::Result<()> {
    if file.is_unread()? {
        let mut length = file.len()?;
        while length > CUT {
            length -= CUT;
            file.set_len(length)?;
            // Without a sync the file system's journal would collect the pieces and free them together.
            file.sync()?;
        }
    }
    Ok(())
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::os::OsDisk;
    use crate::env::sim::{Fault, Operation, SimDisk, Unsynced};

    #[test]
    fn large_requests_come_in_pieces_and_give_the_same_bytes() {
        let disk = SimDisk::new();
        let view = ThrottledDisk(Arc::new(disk.clone()));
        let file = view.create(Path::new("/a")).unwrap();
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        file.write_all_at(&bytes, 7).unwrap();
        assert_eq!((disk.count(Operation::Write), disk.count(Operation::Sync)), (4, 3), "what is short of a piece waits");
        file.write_all_at(&bytes[..PIECE - 6], 7 + 3 * u64::try_from(PIECE).unwrap()).unwrap();
        assert_eq!(disk.count(Operation::Sync), 3, "one byte short of a piece");
        file.write_all_at(&bytes[..1], 0).unwrap();
        assert_eq!(disk.count(Operation::Sync), 4);
        let mut read = vec![0; 3 * PIECE];
        view.open_read(Path::new("/a")).unwrap().read_exact_at(&mut read, 7).unwrap();
        assert!(read == bytes[..3 * PIECE]);
        assert!(file.read_exact_at(&mut read, 8 + u64::try_from(PIECE).unwrap()).is_err(), "beyond the end");
    }

    #[test]
    fn what_is_removed_shrinks_unless_somebody_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let view = ThrottledDisk(disk.clone());
        let path = dir.path().join("f");
        let bytes = vec![7; 3 << 20];
        let write = || disk.create(&path).unwrap().write_all_at(&bytes, 0).unwrap();

        write();
        let (reader, other) = (view.open_read(&path).unwrap(), disk.open_read(&path).unwrap());
        view.remove(&path).unwrap();
        let mut read = vec![0; bytes.len()];
        reader.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes && !disk.exists(&path).unwrap());
        assert_eq!(other.len().unwrap(), 3 << 20);

        write();
        let unannounced = disk.open_read(&path).unwrap();
        view.remove(&path).unwrap();
        assert_eq!(unannounced.len().unwrap(), CUT, "no reader was announced");
        assert!(!unannounced.announce_reader().unwrap(), "too late");
        assert!(view.remove(&path).is_err());
    }

    #[test]
    fn nothing_is_cut_before_the_name_is_gone_for_good() {
        let path = Path::new("/a");
        let disk = SimDisk::new();
        let file = disk.create(path).unwrap();
        file.write_all_at(&vec![7; 3 << 20], 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let began = disk.operations();
        let whole = disk.snapshot();
        ThrottledDisk(Arc::new(disk.clone())).remove(path).unwrap();
        let ended = disk.operations();
        assert!(disk.count(Operation::SetLen) == 2 && disk.count(Operation::SyncDir) == 2);
        for at in began + 1..=ended {
            for keeps_names in [false, true] {
                let disk = whole.snapshot();
                disk.fail(Fault { at, only: None, is_sticky: true, errno: 5 });
                let _ = ThrottledDisk(Arc::new(disk.clone())).remove(path);
                disk.heal();
                // A power cut. Lengths survive; names may or may not.
                disk.crash_with(&mut |unsynced| keeps_names || unsynced != Unsynced::Name);
                let found = disk.peek(path).map(|bytes| bytes.len());
                assert!(found.is_none_or(|length| length == 3 << 20), "operation {at}: {found:?} bytes are left");
            }
        }
    }
}
