//! Where a store's files stand by default, and where they may.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use bankd::env::os;

use clap::builder::FalseyValueParser;

use crate::cli::support::failure::{Exit, Failure};

/// The data directory where none is named.
pub const DEFAULT_STORE: &str = "data/store";

/// Reads a data directory from the command line: its one name, whichever of its names was typed.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks for")]
pub fn data_dir(text: &str) -> Result<PathBuf, Infallible> {
    Ok(os::canonical(Path::new(text)))
}

/// The key file that was named, or the one of a data directory: beside it, so that whoever copies the one does not have the
/// other.
///
/// # Errors
/// [`Failure`] for one inside of the data directory, exit code 2.
pub fn key_file(named: Option<PathBuf>, dir: &Path) -> Result<PathBuf, Failure> {
    let path = named.unwrap_or_else(|| {
        let mut name = dir.as_os_str().to_owned();
        name.push(".key");
        PathBuf::from(name)
    });
    if os::canonical(&path).starts_with(dir) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "the key file {} is inside the store {}, so that every copy of the store holds the key of its PINs; name one elsewhere with --key-file",
                path.display(),
                dir.display()
            ),
        ));
    }
    Ok(path)
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
