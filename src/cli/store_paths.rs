//! Where a store's files stand by default, and where they may.

use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;

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

/// Whether the store may be in memory.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PlaceOption {
    /// Take a store on a file system in memory, which dies with the machine (for tests)
    #[arg(long, env = "BANKD_ALLOW_TMPFS", value_parser = FalseyValueParser::new())]
    pub allow_tmpfs: bool,
}
