//! Doubly linked lists threaded through a slab: push, take out and walk, each step O(1), nothing allocated.
//!
//! Left out: what the lists are for (`sessions/mod.rs`). An element may be in as many lists as it has [`Links`] for.

use crate::bank::index;

/// "No element".
const NONE: u32 = u32::MAX;

/// An element's place in one list. Meaningless while it is in none.
#[derive(Clone, Copy, Debug)]
pub(in crate::bank) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    /// In no list.
    pub(in crate::bank) const NONE: Self = Self { prev: NONE, next: NONE };
}

/// The two ends of a list.
#[derive(Clone, Copy, Debug)]
pub(in crate::bank) struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE }
    }
}

impl List {
    /// Appends an element that is not in the list. `links` finds its place for this list in an element.
    pub(in crate::bank) fn push_back<T>(&mut self, slab: &mut [T], at: u32, links: fn(&mut T) -> &mut Links) {
        set(slab, at, links, Links { prev: self.tail, next: NONE });
        match slab.get_mut(index(self.tail)) {
            Some(before) => links(before).next = at,
            None => self.head = at,
        }
        self.tail = at;
    }

    /// Takes an element of this list out of it.
    pub(in crate::bank) fn take_out<T>(&mut self, slab: &mut [T], at: u32, links: fn(&mut T) -> &mut Links) {
        let Some(place) = slab.get_mut(index(at)).map(|element| *links(element)) else { return };
        match slab.get_mut(index(place.prev)) {
            Some(before) => links(before).next = place.next,
            None => self.head = place.next,
        }
        match slab.get_mut(index(place.next)) {
            Some(after) => links(after).prev = place.prev,
            None => self.tail = place.prev,
        }
        set(slab, at, links, Links::NONE);
    }

    /// The element at the end.
    pub(in crate::bank) fn last<T>(self, slab: &[T]) -> Option<&T> {
        slab.get(index(self.tail))
    }

    /// The elements from the front.
    pub(in crate::bank) fn walk<T>(self, slab: &[T], links: fn(&T) -> &Links) -> impl Iterator<Item = &T> {
        let mut at = self.head;
        std::iter::from_fn(move || {
            let element = slab.get(index(at))?;
            at = links(element).next;
            Some(element)
        })
    }
}

fn set<T>(slab: &mut [T], at: u32, links: fn(&mut T) -> &mut Links, place: Links) {
    assert!(index(at) < slab.len(), "an element of the slab");
    if let Some(element) = slab.get_mut(index(at)) {
        *links(element) = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of taking out four elements, with one pushed again in between, against a plain vector.
    #[test]
    fn against_a_vector() {
        for order in 0..256_u32 {
            let mut slab: Vec<(u32, Links)> = (0..4).map(|at| (at, Links::NONE)).collect();
            let (mut list, mut model) = (List::default(), Vec::new());
            for at in 0..4 {
                list.push_back(&mut slab, at, |element| &mut element.1);
                model.push(at);
            }
            for step in 0..4 {
                let at = order >> (2 * step) & 3;
                match model.iter().position(|&kept| kept == at) {
                    Some(place) => {
                        list.take_out(&mut slab, at, |element| &mut element.1);
                        model.remove(place);
                    }
                    None => {
                        list.push_back(&mut slab, at, |element| &mut element.1);
                        model.push(at);
                    }
                }
                assert_eq!(list.walk(&slab, |element| &element.1).map(|element| element.0).collect::<Vec<_>>(), model);
                let backwards = std::iter::successors(list.last(&slab), |element| slab.get(index(element.1.prev)));
                assert_eq!(backwards.map(|element| element.0).collect::<Vec<_>>(), model.iter().rev().copied().collect::<Vec<_>>());
            }
        }
    }
}
