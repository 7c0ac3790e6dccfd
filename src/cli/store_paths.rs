//! Where a store's files stand by default.

use std::path::{Path, PathBuf};

/// The data directory where none is named.
pub const DEFAULT_STORE: &str = "data/store";

/// The key file of a data directory: beside it, so that whoever copies the one does not have the other.
pub fn key_file_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// The Unix socket over which the operator speaks to the daemon of a data directory.
pub fn operator_socket(dir: &Path) -> PathBuf {
    dir.join("operator.sock")
}
