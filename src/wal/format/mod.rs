//! The bytes of the log: manifest, segments, batches, records. `docs/log-format.md` describes them.

pub(super) mod batch;
pub(super) mod bytes;
pub(super) mod compressed;
pub(super) mod manifest;
pub(super) mod record;
pub(super) mod segment;
