//! Intrusive doubly linked lists in a slab: append, remove and iterate in O(1) a step, without allocation.
//!
//! An element can be in as many lists as it has [`Links`]. Left out: the use of the lists (`sessions/mod.rs`).

use crate::bank::index;

/// The index for "no element".
const NONE: u32 = u32::MAX;

/// An element's neighbours in one list. Unspecified while it is not in that list.
#[derive(Clone, Copy, Debug)]
pub(in crate::bank) struct Links {
    prev: u32,
    next: u32,
}

impl Links {
    /// Not in a list.
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
    /// Appends an element that is not in the list. `links` returns an element's links for this list.
    pub(in crate::bank) fn push_back<T>(&mut self, slab: &mut [T], at: u32, links: fn(&mut T) -> &mut Links) {
        set(slab, at, links, Links { prev: self.tail, next: NONE });
        match slab.get_mut(index(self.tail)) {
            Some(before) => links(before).next = at,
            None => self.head = at,
        }
        self.tail = at;
    }

    /// Removes an element of this list.
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

    /// The last element.
    pub(in crate::bank) fn last<T>(self, slab: &[T]) -> Option<&T> {
        slab.get(index(self.tail))
    }

    /// Iterates over the elements from the front.
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

    /// Compares with a vector, for every order of removing and re-adding four elements.
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
