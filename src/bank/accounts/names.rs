//! The names of accounts or of tellers, with a map from each name to its dense id.
//!
//! All names are stored in one arena, and a hash table of ids finds them. Clients choose names, so the table uses the
//! standard library's keyed hasher against collision attacks. The table is never iterated, so the key affects no outcome.
//! Names are never removed. Left out: the data of an id (`accounts/mod.rs`, `tellers.rs`).

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::bank::index;

/// The length of a name, in bytes, for which memory is reserved.
const USUAL: usize = 16;

/// The names of one kind, by id.
///
/// Invariants: `ends` ascends, and its last value is the arena's length; the table contains every id below `ends.len()`
/// once; no two ids have the same name.
#[derive(Clone, Debug, Default)]
pub(in crate::bank) struct Names {
    arena: String,
    /// The end of each name in the arena. A name begins at the end of the previous one.
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// The number of names, which is also the next id; `None` if there are no ids left.
    pub(in crate::bank) fn next_id(&self) -> Option<u32> {
        u32::try_from(self.ends.len()).ok()
    }

    /// The name of an id.
    pub(in crate::bank) fn name(&self, id: u32) -> Option<&str> {
        name_in(&self.arena, &self.ends, id)
    }

    /// The id of a name. Case-sensitive.
    pub(in crate::bank) fn find(&self, name: &str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(name), |&id| self.name(id) == Some(name)).copied()
    }

    /// Adds a new name under the next id. The caller has checked with [`Names::find`] that it is free.
    pub(in crate::bank) fn add(&mut self, id: u32, name: &str) {
        assert!(self.find(name).is_none() && self.next_id() == Some(id), "a new name under the next id");
        self.arena.push_str(name);
        self.ends.push(self.arena.len());
        let Self { arena, ends, table, hasher } = self;
        table.insert_unique(hasher.hash_one(name), id, |&other| hasher.hash_one(name_in(arena, ends, other).unwrap_or("")));
    }

    /// Reserves memory for `count` more names of usual length.
    pub(in crate::bank) fn reserve(&mut self, count: usize) {
        let Self { arena, ends, table, hasher } = self;
        // Growing the arena later would leave a freed block as large as itself.
        arena.reserve(count.saturating_mul(USUAL));
        ends.reserve_exact(count);
        table.reserve(count, |&id| hasher.hash_one(name_in(arena, ends, id).unwrap_or("")));
    }

    /// The approximate memory use in bytes.
    #[cfg(test)]
    pub(in crate::bank) fn bytes(&self) -> usize {
        self.arena.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }
}

/// Compares names and ids; the tables follow from them.
impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.arena == other.arena
    }
}

fn name_in<'a>(arena: &'a str, ends: &[usize], id: u32) -> Option<&'a str> {
    let end = *ends.get(index(id))?;
    let start = match index(id).checked_sub(1) {
        Some(before) => *ends.get(before)?,
        None => 0,
    };
    arena.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_under_its_own_id() {
        let mut names = Names::default();
        for id in 0..5_000 {
            let name = format!("name-{id}");
            assert_eq!(names.find(&name), None);
            names.add(id, &name);
        }
        for id in 0..5_000 {
            let name = format!("name-{id}");
            assert_eq!(names.find(&name), Some(id));
            assert_eq!(names.name(id), Some(name.as_str()));
        }
        assert_eq!((names.find("name-5000"), names.name(5_000), names.next_id()), (None, None, Some(5_000)));
    }

    #[test]
    fn neighbours_in_the_arena_are_not_confused() {
        let mut names = Names::default();
        for (id, name) in ["ab", "c", "a", "bc", "É", "é"].into_iter().enumerate() {
            names.add(u32::try_from(id).unwrap(), name);
        }
        assert_eq!((names.find("abc"), names.find("b"), names.find("")), (None, None, None));
        assert_eq!((names.find("a"), names.find("bc"), names.find("é"), names.find("A")), (Some(2), Some(3), Some(5), None));
    }
}
