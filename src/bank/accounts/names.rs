//! Names of one kind (accounts, or tellers) and the way from a name to its dense id.
//!
//! All names stand behind one another in one arena; a hash table of ids finds them. Names are chosen by clients, so
//! the table hashes with the standard library's keyed hasher; nothing ever walks the table, so the key changes
//! no outcome. Left out: what stands behind an id (`accounts/mod.rs`, `tellers.rs`). Names are never removed.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::bank::index;

/// The bytes of a name for which memory is taken ahead. More than that is taken as it comes.
const USUAL: usize = 16;

/// The names of one kind, by id.
///
/// Invariants: `ends` ascends and ends at the arena's length; the table holds every id below `ends.len()` once;
/// no two ids have the same name.
#[derive(Clone, Debug, Default)]
pub(in crate::bank) struct Names {
    arena: String,
    /// Where each name ends in the arena; it begins where the one before ends.
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// How many there are, which is also the next id; none if ids have run out.
    pub(in crate::bank) fn next_id(&self) -> Option<u32> {
        u32::try_from(self.ends.len()).ok()
    }

    /// The name of that id.
    pub(in crate::bank) fn name(&self, id: u32) -> Option<&str> {
        name_in(&self.arena, &self.ends, id)
    }

    /// The id of that name; upper and lower case differ.
    pub(in crate::bank) fn find(&self, name: &str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(name), |&id| self.name(id) == Some(name)).copied()
    }

    /// Gives a new name the next id. The caller has seen that [`Names::find`] does not know it.
    pub(in crate::bank) fn add(&mut self, id: u32, name: &str) {
        assert!(self.find(name).is_none() && self.next_id() == Some(id), "a new name under the next id");
        self.arena.push_str(name);
        self.ends.push(self.arena.len());
        let Self { arena, ends, table, hasher } = self;
        table.insert_unique(hasher.hash_one(name), id, |&other| hasher.hash_one(name_in(arena, ends, other).unwrap_or("")));
    }

    /// Takes memory for so many more names, of a usual length.
    pub(in crate::bank) fn reserve(&mut self, count: usize) {
        let Self { arena, ends, table, hasher } = self;
        // An arena that grows leaves memory behind that is as large as itself.
        arena.reserve(count.saturating_mul(USUAL));
        ends.reserve_exact(count);
        table.reserve(count, |&id| hasher.hash_one(name_in(arena, ends, id).unwrap_or("")));
    }

    /// Bytes taken from the allocator, near enough to plan with.
    #[cfg(test)]
    pub(in crate::bank) fn bytes(&self) -> usize {
        self.arena.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.allocation_size()
    }
}

/// The same names under the same ids; the tables follow from them.
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
