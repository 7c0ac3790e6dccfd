//! Reads the log of a stopped store: its entries, chain heads and torn tails.
//!
//! The first batch of a start states the end of the log that the start found; any bytes behind that end are void. Left out:
//! decoding (`log_bytes.rs`), and any distinction of damage beyond "this is no log".

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::env::Disk;
use crate::model::entry::Entry;
use crate::model::types::{Chain, Lsn, StoreId};
use crate::prove::check::log_bytes;
use crate::prove::check::log_bytes::{BLOCK, Batch};

/// The content of a log.
#[derive(Debug, Default)]
pub struct LogImage {
    /// The store's id.
    pub store: StoreId,
    /// Every entry with its LSN; LSNs are contiguous from 1.
    pub entries: Vec<(Lsn, Entry)>,
    /// The chain head after each batch, by the LSN of its last entry.
    pub chains: BTreeMap<Lsn, Chain>,
    /// How many batches, seals included.
    pub batches: u64,
    /// How many starts wrote a batch.
    pub incarnations: u64,
    /// How many ends have non-zero bytes behind them: those that later starts found, and the last.
    pub torn: u64,
    /// The end of the log: segment and offset.
    pub end: (u64, u64),
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// The system returned an error.
    #[error("{file}: {source}")]
    Io {
        /// The file's name.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not part of a valid log.
    #[error("{file}: {what}")]
    NoLog {
        /// The file's name.
        file: String,
        /// What is wrong.
        what: String,
    },
}

/// Reads the log in `dir`. Its writer must have ended.
///
/// # Errors
/// [`LogReadError`].
pub fn read_log(disk: &dyn Disk, dir: &Path) -> Result<LogImage, LogReadError> {
    let name = "MANIFEST";
    let (store, first, highest) =
        log_bytes::manifest(&read(disk, dir, name)?).ok_or_else(|| no_log(name, "neither of its slots is whole"))?;
    let mut segments = BTreeMap::new();
    for sequence in first..=highest {
        let (name, bytes) = read_segment(disk, dir, sequence)?;
        let header = log_bytes::segment(&bytes).ok_or_else(|| no_log(&name, "its header is not whole"))?;
        if header.store != store || header.sequence != sequence || usize::try_from(header.size) != Ok(bytes.len()) {
            return Err(no_log(&name, "its header does not fit it"));
        }
        segments.insert(sequence, bytes);
    }
    Ok(walk(store, &segments))
}

/// A segment's file name.
#[must_use]
pub fn segment_name(sequence: u64) -> String {
    format!("{sequence:010}.seg")
}

fn walk(store: [u8; 16], segments: &BTreeMap<u64, Vec<u8>>) -> LogImage {
    let mut image = LogImage { store: StoreId(store), ..LogImage::default() };
    let starts = starts(store, segments);
    let mut next = Expected { store, number: 1, lsn: 1, chain: [0; 32], incarnation: None };
    let first = segments.keys().next().copied().unwrap_or(1);
    let mut at = (first, BLOCK);
    loop {
        let vouched = starts.get(&at).and_then(|found| {
            let fits = |start: &&(u64, Batch)| start.0 > at.0 && next.accepts(&start.1, true);
            found.iter().find(fits)
        });
        let found = match vouched {
            Some((segment, batch)) => {
                if !is_void(segments, at) {
                    image.torn += 1;
                }
                Some(((*segment, BLOCK), batch.clone()))
            }
            None => in_order(segments, at, &next),
        };
        let Some((place, batch)) = found else { break };
        if next.incarnation != Some(batch.incarnation) {
            image.incarnations += 1;
        }
        next.accept(&batch);
        at = (place.0, place.1.saturating_add(batch.extent));
        image.batches += 1;
        for (lsn, entry) in (batch.first_lsn..).zip(batch.entries) {
            image.entries.push((Lsn(lsn), entry));
        }
        image.chains.insert(Lsn(next.lsn.saturating_sub(1)), Chain(next.chain));
    }
    if !is_void(segments, at) {
        image.torn += 1;
    }
    image.end = (at.0, u64::try_from(at.1).unwrap_or(u64::MAX));
    image
}

/// The header fields that the next batch must have.
struct Expected {
    store: [u8; 16],
    number: u64,
    lsn: u64,
    chain: [u8; 32],
    incarnation: Option<(u64, u64)>,
}

impl Expected {
    fn accepts(&self, batch: &Batch, is_start: bool) -> bool {
        let follows =
            batch.store == self.store && batch.number == self.number && batch.first_lsn == self.lsn && batch.chain_before == self.chain;
        let fits = match (self.incarnation, is_start) {
            (None, _) => true,
            (Some((counter, _)), true) => batch.incarnation.0 > counter,
            (Some(incarnation), false) => batch.incarnation == incarnation,
        };
        follows && fits
    }

    fn accept(&mut self, batch: &Batch) {
        self.number = batch.number.saturating_add(1);
        self.lsn = self.lsn.saturating_add(u64::try_from(batch.entries.len()).unwrap_or(u64::MAX));
        self.chain = batch.chain_after;
        self.incarnation = Some(batch.incarnation);
    }
}

/// The first batches of incarnations, by the end of the log that they state.
fn starts(store: [u8; 16], segments: &BTreeMap<u64, Vec<u8>>) -> BTreeMap<(u64, usize), Vec<(u64, Batch)>> {
    let mut starts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (sequence, bytes) in segments {
        let Some(Ok(batch)) = bytes.get(BLOCK..).map(log_bytes::batch) else { continue };
        if let Some(vouched) = batch.voucher.filter(|vouched| {
            batch.store == store && vouched.chain == batch.chain_before && vouched.batch.checked_add(1) == Some(batch.number)
        }) && let Ok(offset) = usize::try_from(vouched.offset)
        {
            starts.entry((vouched.segment, offset)).or_default().push((*sequence, batch));
        }
    }
    starts
}

/// The next batch of the same incarnation: at `at`, or first in the next segment if the rest of this one is zero.
fn in_order(segments: &BTreeMap<u64, Vec<u8>>, at: (u64, usize), next: &Expected) -> Option<((u64, usize), Batch)> {
    let look = |place: (u64, usize)| {
        let batch = log_bytes::batch(segments.get(&place.0)?.get(place.1..)?).ok()?;
        (batch.voucher.is_none() && next.accepts(&batch, false)).then_some((place, batch))
    };
    if let Some(found) = look(at) {
        return Some(found);
    }
    if is_void(segments, at) { look((at.0.saturating_add(1), BLOCK)) } else { None }
}

/// Whether all bytes from `at` to the segment's end are zero.
fn is_void(segments: &BTreeMap<u64, Vec<u8>>, at: (u64, usize)) -> bool {
    let rest = segments.get(&at.0).and_then(|bytes| bytes.get(at.1..)).unwrap_or_default();
    rest.iter().all(|byte| *byte == 0)
}

fn read(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Vec<u8>, LogReadError> {
    let failed = |source| LogReadError::Io { file: name.to_owned(), source };
    let file = disk.open_read(&dir.join(name)).map_err(failed)?;
    let length = usize::try_from(file.len().map_err(failed)?).map_err(|_| no_log(name, "it is too long"))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).map_err(failed)?;
    Ok(bytes)
}

/// The name and the bytes of a segment's file; decompressed if there is only a compressed file.
fn read_segment(disk: &dyn Disk, dir: &Path, sequence: u64) -> Result<(String, Vec<u8>), LogReadError> {
    let name = segment_name(sequence);
    match read(disk, dir, &name) {
        Err(LogReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let name = format!("{name}.zst");
            let compressed = read(disk, dir, &name)?;
            // Decompressed as a whole, without the file's index; the batches have checksums of their own.
            let bytes = zstd::stream::decode_all(compressed.as_slice()).map_err(|error| no_log(&name, &error.to_string()))?;
            Ok((name, bytes))
        }
        plain => plain.map(|bytes| (name, bytes)),
    }
}

fn no_log(file: &str, what: &str) -> LogReadError {
    LogReadError::NoLog { file: file.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::env::sim::SimDisk;
    use crate::model::command::Command;
    use crate::model::entry::{Action, Origin};
    use crate::model::types::{AccountId, BankTime, Owner, RequestNumber};
    use crate::wal::{self, Log, Preparer, SegmentSizes};

    const SIZES: SegmentSizes = SegmentSizes { first: 64 << 10, max: 128 << 10 };

    fn entry(number: u64) -> Entry {
        let amount = crate::model::amount::Amount::new(number).unwrap();
        let command = match number % 3 {
            0 => Command::Transfer { from: AccountId(1), to: AccountId(2), amount },
            _ => Command::Deposit { account: AccountId(1), amount },
        };
        Entry {
            owner: Owner::Customer(AccountId(1)),
            origin: Origin::Session { session: Lsn(9), number: RequestNumber(number), acked_below: RequestNumber(1) },
            action: Action::Request(command),
        }
    }

    /// Writes a log over three incarnations and several segments, with torn tails between them.
    fn written() -> (Arc<SimDisk>, &'static Path, u64, Chain) {
        let (disk, dir) = (Arc::new(SimDisk::new()), Path::new("/store"));
        disk.create_dir(dir).unwrap();
        let mut number = 0;
        let mut chain = Chain::default();
        for life in 0..3_u64 {
            let mut log = if life == 0 {
                Log::create(disk.clone(), dir, StoreId([3; 16]), SIZES, 1, Preparer::Inline).unwrap()
            } else {
                let image = read_log(&*disk, dir).unwrap();
                let torn = disk.open(&dir.join(segment_name(image.end.0))).unwrap();
                torn.write_all_at(&[7; 700], image.end.1).unwrap();
                torn.sync().unwrap();
                let recovered = wal::recover(&*disk, dir, &mut |_| Ok(())).unwrap();
                assert!(recovered.torn.is_some());
                Log::start(disk.clone(), dir, recovered, SIZES, life, Preparer::Inline).unwrap()
            };
            for _ in 0..40 {
                for _ in 0..60 {
                    number += 1;
                    match entry(number).action {
                        // Some entries have a record of their own, most share one.
                        Action::Request(command) if number % 7 != 1 && log.pending() > 0 => log.join(1, |out| command.encode_into(out)),
                        _ => log.append(|out| entry(number).encode_into(out)),
                    }
                    .unwrap();
                }
                log.commit(BankTime(number), 0).unwrap();
            }
            log.commit(BankTime(number), 0).unwrap();
            if life == 0 {
                log.publish().unwrap();
            }
            chain = log.chain();
        }
        (disk, dir, number, chain)
    }

    #[test]
    fn what_the_log_wrote_is_read_by_another_hand() {
        let (disk, dir, number, chain) = written();
        let image = read_log(&*disk, dir).unwrap();
        assert_eq!((image.entries.len() as u64, image.incarnations, image.torn, image.batches), (number, 3, 2, 123));
        assert!(image.entries.iter().zip(1..).all(|((lsn, read), number)| *lsn == Lsn(number) && *read == entry(number)));
        assert_eq!(image.chains.last_key_value(), Some((&Lsn(number), &chain)));
        assert!(image.end.0 > 3, "the log went on from segment to segment");
        for sequence in 1..image.end.0 {
            let go_on = std::sync::atomic::AtomicBool::new(false);
            wal::compress(&*disk, dir, StoreId([3; 16]), sequence, &go_on).unwrap().unwrap();
        }
        let compressed = read_log(&*disk, dir).unwrap();
        assert!(compressed.entries == image.entries && compressed.chains == image.chains && compressed.end == image.end);
        assert_eq!((compressed.incarnations, compressed.torn, compressed.batches), (image.incarnations, image.torn, image.batches));
    }

    #[test]
    fn a_changed_byte_ends_the_log_there() {
        let (disk, dir, number, _) = written();
        let name = dir.join(segment_name(1));
        for offset in [BLOCK as u64 + 20, BLOCK as u64 + 300, 3 * BLOCK as u64 - 1] {
            let before = {
                let mut byte = [0];
                disk.open_read(&name).unwrap().read_exact_at(&mut byte, offset).unwrap();
                byte
            };
            disk.open(&name).unwrap().write_all_at(&[before[0] ^ 1], offset).unwrap();
            let image = read_log(&*disk, dir).unwrap();
            assert!((image.entries.len() as u64) < number, "offset {offset}");
            disk.open(&name).unwrap().write_all_at(&before, offset).unwrap();
        }
        disk.remove(&name).unwrap();
        assert!(matches!(read_log(&*disk, dir), Err(LogReadError::Io { .. })));
    }
}
