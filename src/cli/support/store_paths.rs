//! Default paths of a store's files, and which paths are allowed.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use bankd::env::os;

use clap::builder::FalseyValueParser;

use crate::cli::support::failure::{Exit, Failure};

/// The default data directory.
pub const DEFAULT_STORE: &str = "data/store";

/// Parses a data directory on the command line, and returns its canonical path.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks for")]
pub fn data_dir(text: &str) -> Result<PathBuf, Infallible> {
    Ok(os::canonical(Path::new(text)))
}

/// The named key file, or the default one of a data directory. It is beside the directory, so that a copy of the store does
/// not contain the key.
///
/// # Errors
/// [`Failure`] with exit code 2 for a key file inside the data directory.
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

/// The Unix socket of the operator's connection to the daemon of a data directory.
pub fn operator_socket(dir: &Path) -> PathBuf {
    dir.join("operator.sock")
}

/// The option that allows a store in memory.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PlaceOption {
    /// Allow a store on an in-memory file system, which is lost when the machine stops (for tests)
    #[arg(long, env = "BANKD_ALLOW_TMPFS", value_parser = FalseyValueParser::new())]
    pub allow_tmpfs: bool,
}
