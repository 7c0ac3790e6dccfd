//! A part of the index: one immutable redb file for consecutive entries of the log.
//!
//! Its name has its first entry, the entry behind its last, and the CRC-32 of the file in hexadecimal. Three tables:
//! `rows` (`postings.rs`); `places`, the positions of some batches by the LSN of their first entry, with their bank time; and
//! `meta`, one row with the end of the log that the part reaches.
//! Left out: how entries become postings (`tail.rs`), and which parts there are (`index.rs`).

use std::path::Path;

use redb::{Builder, Database, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition};

use super::error::IndexError;
use super::postings::{Key, Packed, RowKey, RowReader, Slice};
use super::storage::FileStorage;
use crate::env::{Disk, File};
use crate::model::bytes::Take;
use crate::model::invariant::to_len;
use crate::model::types::{BankTime, Chain, Lsn, StoreId};
use crate::wal::{Anchor, Incarnation, LogEnd, Position};

/// The version of the layout of a part.
const VERSION: u16 = 1;
/// Bytes of pages that an open part keeps in memory.
const CACHE: usize = 64 << 10;
/// Bytes of pages that are kept in memory while a part is written.
const WRITE_CACHE: usize = 4 << 20;
/// The file name of a part that is not finished.
const UNFINISHED: &str = "statements-unfinished.redb";

const ROWS: TableDefinition<'_, RowKey, &[u8]> = TableDefinition::new("rows");
const PLACES: TableDefinition<'_, u64, (u64, u64, u64)> = TableDefinition::new("places");
const META: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("meta");

/// The position of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The LSN of its first entry.
    pub(super) first: Lsn,
    /// Its position.
    pub(super) at: Position,
    /// Its bank time.
    pub(super) time: BankTime,
}

/// The entries that a part covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first entry.
    pub(super) first: Lsn,
    /// The end of the log that it reaches.
    pub(super) anchor: Anchor,
    /// The number of accounts there.
    pub(super) accounts: u32,
}

impl Extent {
    /// The first entry behind it.
    pub(super) const fn next(&self) -> Lsn {
        self.anchor.end.next_lsn
    }

    /// The entry before the first: LSNs in its rows count from there.
    pub(super) const fn before(&self) -> Lsn {
        Lsn(self.first.0.saturating_sub(1))
    }

    /// The number of entries.
    pub(super) const fn entries(&self) -> u64 {
        self.next().0.saturating_sub(self.first.0)
    }
}

/// An open part.
pub(super) struct Part {
    /// What it covers.
    pub(super) extent: Extent,
    /// Its file's name.
    pub(super) name: String,
    db: ReadOnlyDatabase,
}

/// A slice of a part that is not decoded yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlicePlace {
    row: RowKey,
    /// The number of slices of the same key before it in the row.
    nth: usize,
}

/// The tables of a part that is being written.
pub(super) struct PartTables<'a> {
    rows: redb::Table<'a, RowKey, &'static [u8]>,
    places: redb::Table<'a, u64, (u64, u64, u64)>,
}

impl PartTables<'_> {
    /// Adds a row; rows come in order.
    pub(super) fn row(&mut self, row: RowKey, bytes: &[u8]) -> Result<(), IndexError> {
        Ok(self.rows.insert(row, bytes).map(drop)?)
    }

    /// Adds a place; places come in order.
    pub(super) fn place(&mut self, place: &Place) -> Result<(), IndexError> {
        Ok(self.places.insert(place.first.0, (place.at.segment, place.at.offset, place.time.0)).map(drop)?)
    }
}

impl Part {
    /// Writes a part, as `fill` fills it, and opens it.
    ///
    /// # Errors
    /// [`IndexError`]; what was written so far is removed by the next one.
    pub(super) fn write(
        disk: &dyn Disk,
        dir: &Path,
        store: StoreId,
        extent: Extent,
        fill: impl FnOnce(&mut PartTables<'_>) -> Result<(), IndexError>,
    ) -> Result<Self, IndexError> {
        let path = dir.join(UNFINISHED);
        if disk.exists(&path)? {
            disk.remove(&path)?;
        }
        let db: Database = Builder::new().set_cache_size(WRITE_CACHE).create_with_backend(FileStorage::new(disk.create(&path)?)?)?;
        let transaction = db.begin_write()?;
        {
            let (rows, places) = (transaction.open_table(ROWS)?, transaction.open_table(PLACES)?);
            fill(&mut PartTables { rows, places })?;
            transaction.open_table(META)?.insert(0, encode(store, &extent).as_slice())?;
        }
        transaction.commit()?;
        drop(db);
        let crc = checksum(&*disk.open_read(&path)?)?;
        let name = format!("statements-{:020}-{:020}-{crc:08x}.redb", extent.first.0, extent.next().0);
        if disk.exists(&dir.join(&name))? {
            disk.remove(&dir.join(&name))?;
        }
        disk.rename(&path, &dir.join(&name))?;
        Self::open(disk, dir, &name, store)
    }

    /// Opens the part with that file name.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] for another store's part, or another version's; [`IndexError::Io`].
    pub(super) fn open(disk: &dyn Disk, dir: &Path, name: &str, store: StoreId) -> Result<Self, IndexError> {
        let storage = FileStorage::new(disk.open_read(&dir.join(name))?)?;
        let db = Builder::new().set_cache_size(CACHE).open_read_only_with_backend(storage)?;
        let meta = db.begin_read()?.open_table(META)?.get(0)?.map(|row| row.value().to_vec());
        let extent = meta
            .and_then(|meta| decode(&meta, store))
            .ok_or_else(|| IndexError::damaged(name, "its meta row is not one of this store and version"))?;
        if bounds(name).is_none_or(|(first, next, _)| (first, next) != (extent.first, extent.next())) {
            return Err(IndexError::damaged(name, "its name is not that of its entries"));
        }
        Ok(Self { extent, name: name.to_owned(), db })
    }

    /// Compares the file with the checksum in its name.
    ///
    /// # Errors
    /// [`IndexError::Damaged`]; [`IndexError::Io`].
    pub(super) fn verify(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), IndexError> {
        let crc = checksum(&*disk.open_read(&dir.join(name))?)?;
        if bounds(name).is_some_and(|(.., named)| named == crc) {
            Ok(())
        } else {
            Err(IndexError::damaged(name, "its checksum does not hold"))
        }
    }

    /// The slices of a key, in order: place, net effect, number of postings.
    pub(super) fn slices(&self, key: Key) -> Result<Vec<(SlicePlace, i64, u64)>, IndexError> {
        let rows = self.db.begin_read()?.open_table(ROWS)?;
        let mut found = Vec::new();
        // The row that begins at or before the key may hold it, and so may those that begin with it.
        let from = match rows.range(..(key.0, 0))?.next_back().transpose()? {
            Some((row, _)) => row.value(),
            None => (key.0, 0),
        };
        for row in rows.range(from..=(key.0, u64::MAX))? {
            let (row, bytes) = row?;
            let (row, mut nth) = (row.value(), 0);
            self.each(row, bytes.value(), &mut |packed| {
                if packed.key == key {
                    found.push((SlicePlace { row, nth }, packed.net, packed.count));
                    nth += 1;
                }
                Ok(packed.key <= key)
            })?;
        }
        Ok(found)
    }

    /// One slice of a key.
    pub(super) fn slice(&self, key: Key, place: SlicePlace) -> Result<Slice, IndexError> {
        let rows = self.db.begin_read()?.open_table(ROWS)?;
        let bytes = rows.get(place.row)?.ok_or_else(|| IndexError::damaged(&self.name, "a row is missing"))?;
        let (mut found, mut nth) = (None, 0);
        self.each(place.row, bytes.value(), &mut |packed| {
            if packed.key == key {
                if nth == place.nth {
                    found = packed.unpack();
                }
                nth += 1;
            }
            Ok(nth <= place.nth)
        })?;
        found.ok_or_else(|| IndexError::damaged(&self.name, "a slice is not whole"))
    }

    /// The slices of the rows from `from` on, of as many rows as hold `most` slices, and the row behind them.
    pub(super) fn some(&self, from: RowKey, most: usize, into: &mut Vec<(Key, Slice)>) -> Result<Option<RowKey>, IndexError> {
        for row in self.db.begin_read()?.open_table(ROWS)?.range(from..)? {
            let (row, bytes) = row?;
            if into.len() >= most {
                return Ok(Some(row.value()));
            }
            self.each(row.value(), bytes.value(), &mut |packed| {
                into.push((packed.key, packed.unpack().ok_or_else(|| IndexError::damaged(&self.name, "a slice is not whole"))?));
                Ok(true)
            })?;
        }
        Ok(None)
    }

    /// The place of the batch with that entry, or of one before it in the same segment.
    pub(super) fn place(&self, lsn: Lsn) -> Result<Place, IndexError> {
        let places = self.db.begin_read()?.open_table(PLACES)?;
        let found = places.range(..=lsn.0)?.next_back().transpose()?;
        found.map(|(first, at)| place(first.value(), at.value())).ok_or_else(|| IndexError::damaged(&self.name, "a place is missing"))
    }

    /// Every place, in order.
    pub(super) fn places(&self, visit: &mut dyn FnMut(Place) -> Result<(), IndexError>) -> Result<(), IndexError> {
        for row in self.db.begin_read()?.open_table(PLACES)?.iter()? {
            let (first, at) = row?;
            visit(place(first.value(), at.value()))?;
        }
        Ok(())
    }

    /// Visits the slices of a row until `visit` returns false.
    fn each(&self, row: RowKey, bytes: &[u8], visit: &mut dyn FnMut(&Packed<'_>) -> Result<bool, IndexError>) -> Result<(), IndexError> {
        let damaged = || IndexError::damaged(&self.name, "a row is not whole");
        let mut reader = RowReader::new(row, bytes, self.extent.before()).ok_or_else(damaged)?;
        while let Some(packed) = reader.next() {
            if !visit(&packed.ok_or_else(damaged)?)? {
                break;
            }
        }
        Ok(())
    }
}

/// Whether that is the file name of a part, finished or not.
pub(super) fn is_of_index(name: &str) -> bool {
    name == UNFINISHED || bounds(name).is_some()
}

/// First entry, entry behind the last, and checksum in a part's file name; `None` for another name.
pub(super) fn bounds(name: &str) -> Option<(Lsn, Lsn, u32)> {
    let mut words = name.strip_prefix("statements-")?.strip_suffix(".redb")?.split('-');
    let (first, next, crc) = (words.next()?, words.next()?, words.next()?);
    (words.next().is_none() && first.len() == 20 && next.len() == 20 && crc.len() == 8).then_some(())?;
    Some((Lsn(first.parse().ok()?), Lsn(next.parse().ok()?), u32::from_str_radix(crc, 16).ok()?))
}

const fn place(first: u64, (segment, offset, time): (u64, u64, u64)) -> Place {
    Place { first: Lsn(first), at: Position { segment, offset }, time: BankTime(time) }
}

fn checksum(file: &dyn File) -> std::io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let (length, mut offset, mut buffer) = (file.len()?, 0, vec![0; 1 << 20]);
    while offset < length {
        let count = to_len((length - offset).min(1 << 20));
        let Some(part) = buffer.get_mut(..count) else { break };
        file.read_exact_at(part, offset)?;
        hasher.update(part);
        offset += 1 << 20;
    }
    Ok(hasher.finalize())
}

fn encode(store: StoreId, extent: &Extent) -> Vec<u8> {
    let Extent { first, anchor: Anchor { last_batch, end }, accounts } = extent;
    let mut meta = VERSION.to_le_bytes().to_vec();
    meta.extend_from_slice(&store.0);
    meta.extend_from_slice(&accounts.to_le_bytes());
    meta.extend_from_slice(&end.chain.0);
    for field in [
        first.0,
        end.next_lsn.0,
        end.batch_number,
        last_batch.segment,
        last_batch.offset,
        end.position.segment,
        end.position.offset,
        end.incarnation.counter,
        end.incarnation.random,
        end.bank_time.0,
    ] {
        meta.extend_from_slice(&field.to_le_bytes());
    }
    meta
}

fn decode(meta: &[u8], store: StoreId) -> Option<Extent> {
    let mut take = Take(meta);
    (take.u16()? == VERSION && StoreId(take.array()?) == store).then_some(())?;
    let (accounts, chain, first) = (take.u32()?, Chain(take.array()?), Lsn(take.u64()?));
    let (next_lsn, batch_number) = (Lsn(take.u64()?), take.u64()?);
    let last_batch = Position { segment: take.u64()?, offset: take.u64()? };
    let position = Position { segment: take.u64()?, offset: take.u64()? };
    let incarnation = Incarnation { counter: take.u64()?, random: take.u64()? };
    let end = LogEnd { position, batch_number, chain, next_lsn, bank_time: BankTime(take.u64()?), incarnation };
    (take.0.is_empty() && first < next_lsn).then_some(Extent { first, anchor: Anchor { last_batch, end }, accounts })
}
