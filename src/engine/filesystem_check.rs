//! Refuses directories on which a sync promises nothing: file systems in memory and on the network.
//!
//! Left out: detecting the kind (`env/`), and permissions (`create.rs`).

use std::path::{Path, PathBuf};

use crate::engine::error::StoreError;
use crate::engine::store_dir::{StoreEnv, io_error};
use crate::env::FileSystem;

/// Checks the file system of `dir`, or of the directory in which it would be made. `allow_memory` is for tests, whose
/// stores need not survive the machine.
///
/// # Errors
/// [`StoreError::UnfitPlace`] on the network, and in memory unless that is allowed; [`StoreError::Io`].
pub fn refuse_place(env: &StoreEnv, dir: &Path, allow_memory: bool) -> Result<(), StoreError> {
    let unfit = |file_system, why, hint| Err(StoreError::UnfitPlace { dir: dir.to_owned(), file_system, why, hint });
    let there = nearest(env, dir);
    match env.disk.file_system(&there).map_err(io_error("look at the file system of", &there))? {
        FileSystem::Local => Ok(()),
        FileSystem::Memory(_) if allow_memory => {
            log::warn!("{} is in memory, as allowed: everything in it is lost when the machine stops", dir.display());
            Ok(())
        }
        FileSystem::Memory(name) => {
            unfit(name, "in memory: everything in it is lost when the machine stops", ", or add --allow-tmpfs for a test")
        }
        FileSystem::Network(name) => unfit(name, "on another machine: its locks and syncs cannot be relied on", ""),
        FileSystem::CopyOnWrite(name) => {
            log::warn!(
                "{} is on {name}, which writes over nothing: what is set aside for the log takes space again when it is written, so a full disk can end the daemon; leave room, or choose ext4 or XFS",
                dir.display()
            );
            Ok(())
        }
        FileSystem::PassedThrough(name) => {
            log::warn!("{} is on {name}: whether a sync reaches a disk depends on its provider", dir.display());
            Ok(())
        }
    }
}

/// The directory itself, or its nearest parent that exists. One that cannot be examined counts as existing: the query
/// of its file system then fails with the reason.
fn nearest(env: &StoreEnv, dir: &Path) -> PathBuf {
    let mut above = dir.ancestors().filter(|path| !path.as_os_str().is_empty());
    let found = above.find(|path| !matches!(env.disk.exists(path), Ok(false)));
    found.unwrap_or_else(|| Path::new(if dir.is_absolute() { "/" } else { "." })).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::env::Disk;
    use crate::env::sim::SimDisk;

    #[test]
    fn only_a_disk_of_this_machine_will_do() {
        let disk = SimDisk::new();
        let env = StoreEnv { disk: Arc::new(disk.clone()), ..StoreEnv::os() };
        let judge = |kind, allow| {
            disk.set_file_system(kind);
            refuse_place(&env, Path::new("/not/made/yet"), allow)
        };
        for allow in [false, true] {
            assert!(judge(FileSystem::CopyOnWrite("btrfs"), allow).is_ok());
            assert!(judge(FileSystem::Local, allow).is_ok() && judge(FileSystem::PassedThrough("FUSE"), allow).is_ok());
            let said = judge(FileSystem::Network("NFS"), allow).err().unwrap().to_string();
            assert!(said.contains("/not/made/yet is on NFS, on another machine") && !said.contains("--allow"), "{said}");
        }
        let said = judge(FileSystem::Memory("tmpfs"), false).err().unwrap().to_string();
        assert!(said.contains("in memory") && said.contains("--allow-tmpfs"), "{said}");
        assert!(judge(FileSystem::Memory("tmpfs"), true).is_ok());
    }

    #[test]
    fn the_nearest_directory_is_the_one_that_counts() {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/a")).unwrap();
        let env = StoreEnv { disk: Arc::new(disk), ..StoreEnv::os() };
        assert_eq!(nearest(&env, Path::new("/a/b/c")), Path::new("/a"));
        assert_eq!(nearest(&env, Path::new("/x/y")), Path::new("/"));
        assert_eq!(nearest(&env, Path::new("x/y")), Path::new("."));
    }
}
