//! The encoding of manifest, segments, batches and records, as described in `docs/log-format.md`.

pub(super) mod batch;
pub(super) mod bytes;
pub(super) mod compressed;
pub(super) mod manifest;
pub(super) mod record;
pub(super) mod segment;
