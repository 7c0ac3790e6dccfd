//! Makes the index again from the log of a stopped store.
//!
//! Left out: the index of a running daemon, which keeps its own (`thread.rs`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::error::IndexError;
use super::follow::Place;
use super::index::{Index, join};
use crate::engine::error::StoreError;
use crate::engine::inspect::judge;
use crate::engine::store_dir::{StoreEnv, take_lock};
use crate::model::types::Lsn;

/// An index that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// The first entry in it.
    pub first: Lsn,
    /// The last entry in it.
    pub last: Lsn,
    /// The number of its files.
    pub parts: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes the index of the stopped store in `dir`, and makes it again by replaying the log.
///
/// # Errors
/// [`StoreError`] as [`crate::engine::open`], but for the key; [`StoreError::Index`] if the index cannot be written.
pub fn index(env: &StoreEnv, dir: &Path) -> Result<Indexed, StoreError> {
    let env = &env.anchored(dir)?;
    judge::look_for_store(env, dir)?;
    let _lock = take_lock(env, dir)?;
    let recovered = judge::judge(env, &*env.disk, dir)?.recovered;
    let place = Place { disk: &*env.disk, dir, store: recovered.store };
    let made = || -> Result<Indexed, IndexError> {
        let mut index = Index::open_checked(&place, &recovered.end)?;
        index.clear(&place)?;
        let never = AtomicBool::new(false);
        let mut failed = None;
        place.build(None, &recovered.end, &never, &mut |part| {
            index.push(part);
            while let Some(parts) = index.to_join().filter(|_| failed.is_none()) {
                match join(&place, &parts, &never) {
                    Ok(joined) => index.replace(&place, joined),
                    Err(error) => failed = Some(error),
                }
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        let mut bytes = 0_u64;
        for part in &index.parts {
            bytes = bytes.saturating_add(place.disk.open_read(&dir.join(&part.name))?.len()?);
        }
        let first = index.parts.first().map_or(Lsn(1), |part| part.extent.first);
        Ok(Indexed { first, last: Lsn(recovered.end.next_lsn.0.saturating_sub(1)), parts: index.parts.len(), bytes })
    };
    made().map_err(StoreError::Index)
}
