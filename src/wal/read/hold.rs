//! A snapshot view of a log in use: every segment that the manifest named at one moment stays readable, even if it is
//! compressed or dropped meanwhile.
//!
//! All files are opened first, and read through their descriptors. A daemon that drops a segment removes only its name: the
//! bytes stay readable through an open descriptor. The segment in use still grows in this view; later segments are not in it.
//! Left out: which of its batches are sealed (`inspect.rs`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::{Disk, File, ReadFile, ReadView, Untouched};
use crate::model::invariant::{to_len, to_u64};
use crate::wal::WalError;
use crate::wal::format::compressed::{compressed_name, sequence_of_any};
use crate::wal::format::manifest;
use crate::wal::format::manifest::Manifest;
use crate::wal::format::segment::file_name;

/// The most attempts to open everything while files are being compressed or dropped.
const LOOKS: usize = 100;
/// The most files that are held, oldest segments first, because only those are dropped. Each takes a descriptor.
const MOST: usize = 512;

/// The view. It is read-only.
pub struct Hold {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The held files by name.
    files: BTreeMap<String, Arc<dyn File>>,
    /// The names in the directory, without segments that the manifest did not name at that moment.
    names: Vec<String>,
}

impl Hold {
    /// Opens the manifest, the segments that it names, and every checkpoint of the store in `dir`. `disk` must announce the
    /// reader on every open file ([`File::announce_reader`]), as [`crate::env::ThrottledDisk`] does.
    ///
    /// # Errors
    /// As [`crate::wal::recover`] for an unreadable manifest; [`WalError::Io`].
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, WalError> {
        let mut looks = 0;
        loop {
            looks += 1;
            match Self::try_new(&disk, dir) {
                Err(WalError::Damaged { .. } | WalError::Io { .. }) if looks < LOOKS => {}
                other => return other,
            }
        }
    }

    fn try_new(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, WalError> {
        let listed = disk.list(dir).map_err(WalError::io("list", dir.display().to_string()))?;
        if !listed.iter().any(|name| name == manifest::NAME) {
            return Err(WalError::NoStore { dir: dir.display().to_string() });
        }
        let frozen = read_whole(disk.as_ref(), dir)?;
        let mut hold = Self { disk: Arc::clone(disk), dir: dir.to_owned(), files: BTreeMap::new(), names: Vec::new() };
        hold.files.insert(manifest::NAME.to_owned(), Arc::new(Bytes(frozen)));
        let (Manifest { first_retained, highest, .. }, _) = Manifest::read(&hold, dir)?;
        for sequence in first_retained..=highest {
            let (name, file) = hold.segment(sequence)?;
            match file {
                Some(file) if hold.files.len() < MOST => drop(hold.files.insert(name.clone(), file)),
                _ => {}
            }
            hold.names.push(name);
        }
        for name in listed.into_iter().filter(|name| sequence_of_any(name).is_none()) {
            if name.ends_with(".ckpt")
                && let Ok(file) = disk.open_read(&dir.join(&name))
            {
                hold.files.insert(name.clone(), Arc::from(file));
            }
            hold.names.push(name);
        }
        hold.names.sort_unstable();
        Ok(hold)
    }

    /// Opens a segment, compressed or not. Returns its file name and the open file.
    fn segment(&self, sequence: u64) -> Result<(String, Option<Arc<dyn File>>), WalError> {
        let plain = file_name(sequence);
        let mut missing = None;
        for name in [plain, compressed_name(sequence)] {
            match self.disk.open_read(&self.dir.join(&name)) {
                Ok(file) => return Ok((name, Some(Arc::from(file)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.get_or_insert_with(|| WalError::open(&name, error));
                }
                Err(error) => return Err(WalError::open(&name, error)),
            }
        }
        Err(missing.unwrap_or(WalError::Misuse("a segment without a name")))
    }

    fn held(&self, path: &Path) -> Option<&Arc<dyn File>> {
        let name = path.file_name()?.to_str()?;
        self.files.get(name).filter(|_| path.parent() == Some(self.dir.as_path()))
    }
}

fn read_whole(disk: &dyn Disk, dir: &Path) -> Result<Vec<u8>, WalError> {
    let file = disk.open_read(&dir.join(manifest::NAME)).map_err(|source| WalError::open(manifest::NAME, source))?;
    let length = file.len().map_err(WalError::io("measure", manifest::NAME))?;
    let mut bytes = vec![0; to_len(length.min(1 << 20))];
    file.read_exact_at(&mut bytes, 0).map_err(WalError::io("read", manifest::NAME))?;
    Ok(bytes)
}

impl ReadView for Hold {
    fn base(&self) -> &dyn Disk {
        &*self.disk
    }

    fn view_file(&self, path: &Path) -> io::Result<Box<dyn File>> {
        match self.held(path) {
            Some(file) => Ok(Box::new(Untouched(Arc::clone(file)))),
            None => self.disk.open_read(path),
        }
    }

    fn view_names(&self, dir: &Path) -> io::Result<Vec<String>> {
        if dir == self.dir { Ok(self.names.clone()) } else { self.disk.list(dir) }
    }

    fn view_exists(&self, path: &Path) -> io::Result<bool> {
        if self.held(path).is_some() { Ok(true) } else { self.disk.exists(path) }
    }
}

/// A read-only file in memory.
struct Bytes(Vec<u8>);

impl ReadFile for Bytes {
    fn length(&self) -> io::Result<u64> {
        Ok(to_u64(self.0.len()))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let from = to_len(offset);
        let found = self.0.get(from..from.saturating_add(buf.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    }
}
