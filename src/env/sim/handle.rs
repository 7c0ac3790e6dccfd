//! An open file of the simulated disk: counts operations, injects faults, and becomes invalid in a crash.
//!
//! Left out: the contents of a file and what a crash leaves of them (`image.rs`).

use std::io;

use super::image::{SimFile, length};
use super::{File, Operation, SimDisk};

/// An open file.
pub(super) struct Handle {
    pub(super) disk: SimDisk,
    pub(super) id: u64,
    pub(super) epoch: u64,
    pub(super) is_writable: bool,
}

impl Handle {
    /// Counts an operation and runs it on the file; for an injected fault `failed` runs instead.
    fn run<T>(
        &self,
        operation: Operation,
        run: impl FnOnce(&mut SimFile) -> io::Result<T>,
        failed: impl FnOnce(&mut SimFile, u64),
    ) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.epoch != self.epoch {
            return Err(io::Error::other("a file handle from before the crash"));
        }
        let begun = state.begin(operation);
        let number = state.operations;
        let file = state.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        match begun {
            Ok(()) => run(file),
            Err(error) => {
                failed(file, number);
                Err(error)
            }
        }
    }

    /// Rejects writes through a read-only handle, and growth beyond the capacity.
    fn check_growth(&self, to: u64) -> io::Result<()> {
        if !self.is_writable {
            return Err(io::Error::from_raw_os_error(9)); // EBADF
        }
        let state = self.disk.state();
        let length = state.files.get(&self.id).map_or(0, SimFile::len);
        if state.has_space(to.saturating_sub(length)) { Ok(()) } else { Err(io::Error::from_raw_os_error(28)) } // ENOSPC
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        self.run(Operation::Len, |file| Ok(file.len()), |_, _| {})
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.run(Operation::Read, |file| if file.read(offset, buf) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }, |_, _| {})
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_growth(offset.saturating_add(length(bytes)))?;
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
        self.run(
            Operation::Write,
            |file| {
                file.write(offset, bytes);
                Ok(())
            },
            |file, number| file.write(offset, if number % 2 == 0 { bytes } else { half }),
        )
    }

    fn sync(&self) -> io::Result<()> {
        self.run(
            Operation::Sync,
            |file| {
                file.sync();
                Ok(())
            },
            |file, _| file.fail_sync(),
        )
    }

    fn evict(&self) -> io::Result<()> {
        self.run(
            Operation::Evict,
            |file| {
                file.evict();
                Ok(())
            },
            |_, _| {},
        )
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check_growth(length)?;
        self.run(
            Operation::SetLen,
            |file| {
                file.set_len(length);
                Ok(())
            },
            |_, _| {},
        )
    }
}
