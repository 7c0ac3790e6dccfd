//! The key file: read, checked for private permissions, made if missing.
//!
//! It is outside the data directory, so that a copy of that directory does not contain the key.
//! Left out: its text form and the use of the key (`bank/auth/credential.rs`).

use std::path::Path;

use zeroize::Zeroizing;

use super::error::StoreError;
use super::store_dir::{StoreEnv, io_error, sync_parent};
use crate::bank::auth::credential::{Key, Party};
use crate::env::Entropy;
use crate::model::entry::Tag;
use crate::model::secret::Secret;

/// The longest key file that is read, in bytes; the text form is far shorter.
const MAX_BYTES: usize = 256;

/// Reads the key.
///
/// # Errors
/// [`StoreError`] if the file is missing, open to other users, or holds no key.
pub fn load(env: &StoreEnv, path: &Path) -> Result<Key, StoreError> {
    let problem = |problem: &str| StoreError::Key { path: path.to_owned(), problem: problem.to_owned() };
    if !env.disk.exists(path).map_err(io_error("look for", path))? {
        return Err(problem(
            "is missing; without it no login can be checked, so restore it from where you keep it, or name it with --key-file",
        ));
    }
    let mode = env.disk.mode(path).map_err(io_error("look at", path))?;
    if mode & 0o077 != 0 {
        return Err(StoreError::LooseMode { path: path.to_owned(), mode });
    }
    let file = env.disk.open_read(path).map_err(io_error("open", path))?;
    let length = file.len().map_err(io_error("look at", path))?;
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BYTES).ok_or_else(|| problem("is too long for a key"))?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    file.read_exact_at(&mut bytes, 0).map_err(io_error("read", path))?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| Key::parse(text).ok())
        .ok_or_else(|| problem("holds no key of the form `bankd-key-v1 ID KEY`"))
}

/// Makes a random key and its file, durably.
///
/// # Errors
/// [`StoreError`] if it cannot be made. The caller has checked that there is none.
pub fn make(env: &StoreEnv, path: &Path) -> Result<Key, StoreError> {
    let mut bits = Zeroizing::new([0; 36]);
    env.entropy.fill(&mut *bits).map_err(io_error("draw random numbers for", path))?;
    let [a, b, c, d, rest @ ..] = *bits;
    let key = Key::new(u32::from_le_bytes([a, b, c, d]), Zeroizing::new(rest));
    // Write a temporary file first: a crash leaves the whole key or none.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    if env.disk.exists(temporary).map_err(io_error("look for", temporary))? {
        env.disk.remove(temporary).map_err(io_error("remove", temporary))?;
    }
    let file = env.disk.create(temporary).map_err(io_error("create", temporary))?;
    file.write_all_at(key.to_text().as_bytes(), 0).map_err(io_error("write", temporary))?;
    file.sync().map_err(io_error("sync", temporary))?;
    env.disk.rename_new(temporary, path).map_err(io_error("rename", temporary))?;
    sync_parent(env, path)?;
    Ok(key)
}

/// A tag of a new PIN or token, with a fresh salt.
pub(super) fn new_tag(key: &Key, entropy: &dyn Entropy, party: Party, name: &str, secret: &Secret) -> std::io::Result<Tag> {
    let mut salt = [0; 16];
    entropy.fill(&mut salt)?;
    Ok(key.new_tag(party, name, salt, secret))
}
