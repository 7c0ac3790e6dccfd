//! The session table: lookup, capacity, and eviction.
//!
//! A session is *idle* if it has no unacknowledged replies, else *busy*. Only idle sessions may be evicted. Three kinds of
//! lists link the slab's slots: all idle sessions and each owner's idle sessions, both in the order of last use, because
//! every entry that leaves a session idle appends it; and each owner's busy sessions. So the victim is near the front of a
//! list: a search skips only idle sessions in use, which are no more than the connections. In the common case a request
//! finds its session busy and leaves it busy, and changes no list.
//! Left out: the contents of a session (`session.rs`), and the values of the caps (`settings.rs`).

pub(super) mod epochs;
pub(super) mod lists;
pub(super) mod session;

use rustc_hash::FxHashMap;

use super::index;
use crate::bank::sessions::lists::{Links, List};
use crate::bank::sessions::session::Session;
use crate::model::types::{Lsn, Owner};

/// Whether there is room for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Free,
    /// There is room if this session is evicted.
    Evict(Lsn),
    /// There is no room: every candidate has unacknowledged replies or is in use.
    None,
}

/// All sessions.
///
/// Invariants: `index` contains exactly the sessions in slots that are not vacant; each session is in its owner's idle or
/// busy list, and in `idle` if it is idle; idle lists ascend in `last_used`; an owner without sessions has no entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    index: FxHashMap<Lsn, u32>,
    slab: Vec<Slot>,
    vacant: Vec<u32>,
    owners: FxHashMap<Owner, Owned>,
    idle: List,
}

/// A slot of the slab, with its list links.
#[derive(Clone, Debug)]
struct Slot {
    session: Session,
    /// Links of the owner's idle or busy list.
    owned: Links,
    /// Links of the list of all idle sessions.
    idle: Links,
}

/// One owner's sessions.
#[derive(Clone, Copy, Debug, Default)]
struct Owned {
    count: u32,
    idle: List,
    busy: List,
}

/// The slot of a session in the table. Valid until the next session is opened or removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotIndex(u32);

impl Sessions {
    /// The number of sessions.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The session that the entry `session` opened.
    #[inline]
    pub(super) fn find(&self, session: Lsn) -> Option<(SlotIndex, &Session)> {
        let at = *self.index.get(&session)?;
        Some((SlotIndex(at), &self.slab.get(index(at))?.session))
    }

    /// The session in a slot.
    #[inline]
    pub(super) fn at(&self, place: SlotIndex) -> Option<&Session> {
        self.slab.get(index(place.0)).map(|slot| &slot.session)
    }

    /// The number of sessions of an owner.
    pub(super) fn count_of(&self, owner: Owner) -> u32 {
        self.owners.get(&owner).map_or(0, |owned| owned.count)
    }

    /// An owner's sessions, oldest first.
    pub(super) fn of(&self, owner: Owner) -> Vec<Lsn> {
        let Some(owned) = self.owners.get(&owner) else { return Vec::new() };
        let lists = [owned.idle, owned.busy].into_iter().flat_map(|list| list.walk(&self.slab, |slot| &slot.owned));
        let mut sessions: Vec<Lsn> = lists.map(|slot| slot.session.opened).collect();
        sessions.sort_unstable();
        sessions
    }

    /// Whether there is room for one more session of `owner` under the owner's `cap` and under `cap_of_all`. The owner's cap is
    /// checked first, because an eviction there makes room under both.
    pub(super) fn room(&self, owner: Owner, cap: u64, cap_of_all: u64, in_use: &mut dyn FnMut(Lsn) -> bool) -> Room {
        let owned = self.owners.get(&owner).copied().unwrap_or_default();
        let victim = if u64::from(owned.count) >= cap {
            first_unused(owned.idle.walk(&self.slab, |slot| &slot.owned), in_use)
        } else if u64::try_from(self.len()).is_ok_and(|len| len < cap_of_all) {
            return Room::Free;
        } else {
            first_unused(self.idle.walk(&self.slab, |slot| &slot.idle), in_use)
        };
        victim.map_or(Room::None, Room::Evict)
    }

    /// Whether the table has a slot for one more session. The limit, slot numbers of 32 bits, is far above any cap.
    pub(super) fn has_place(&self) -> bool {
        self.next_place().is_some()
    }

    /// Opens a session. The caller has checked [`Sessions::has_place`].
    pub(super) fn open(&mut self, opened: Lsn, owner: Owner) {
        self.insert(Session::new(opened, owner));
    }

    /// Reserves memory for `count` more sessions.
    pub(super) fn reserve(&mut self, count: u32) {
        self.slab.reserve_exact(index(count));
        self.index.reserve(index(count));
    }

    /// All sessions, least recently used first.
    pub(super) fn by_last_use(&self) -> Vec<&Session> {
        let sessions = self.slab.iter().map(|slot| &slot.session);
        let mut sessions: Vec<_> = sessions.filter(|session| session.opened.0 > 0).collect();
        sessions.sort_unstable_by_key(|session| session.last_used);
        sessions
    }

    /// Inserts a session that was used after all others. The caller has checked [`Sessions::has_place`].
    pub(super) fn insert(&mut self, session: Session) {
        let (opened, owner) = (session.opened, session.owner);
        assert!(opened.0 > 0 && !self.index.contains_key(&opened), "an entry opens one session");
        let slot = Slot { session, owned: Links::NONE, idle: Links::NONE };
        let Some(at) = self.next_place() else { return };
        self.vacant.pop();
        match self.slab.get_mut(index(at)) {
            Some(vacant) => *vacant = slot,
            None => self.slab.push(slot),
        }
        self.index.insert(opened, at);
        self.owners.entry(owner).or_default().count += 1;
        self.link(at);
    }

    /// Changes a session for the entry `used`, and updates the lists.
    #[inline]
    pub(super) fn update(&mut self, place: SlotIndex, used: Lsn, change: impl FnOnce(&mut Session)) {
        let Some(slot) = self.slab.get_mut(index(place.0)) else { return };
        let was_idle = slot.session.is_idle();
        change(&mut slot.session);
        slot.session.last_used = used;
        let is_idle = slot.session.is_idle();
        if was_idle || is_idle {
            self.unlink(place.0, was_idle);
            self.link(place.0);
        }
    }

    /// Removes a session. Returns whether it existed.
    pub(super) fn remove(&mut self, session: Lsn) -> bool {
        let Some(at) = self.index.remove(&session) else { return false };
        if let Some(slot) = self.slab.get(index(at)) {
            self.unlink(at, slot.session.is_idle());
        }
        if let Some(slot) = self.slab.get_mut(index(at)) {
            let owner = slot.session.owner;
            slot.session = Session::new(Lsn(0), Owner::Nobody);
            if let Some(owned) = self.owners.get_mut(&owner) {
                owned.count -= 1;
                if owned.count == 0 {
                    self.owners.remove(&owner);
                }
            }
        }
        self.vacant.push(at);
        true
    }

    /// Removes every session of an owner.
    pub(super) fn remove_of(&mut self, owner: Owner) {
        for session in self.of(owner) {
            self.remove(session);
        }
    }

    /// Removes every session.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Slots and lists.
impl Sessions {
    /// The slot of the next session: a vacant or a new one.
    fn next_place(&self) -> Option<u32> {
        match self.vacant.last() {
            Some(&at) => Some(at),
            None => u32::try_from(self.slab.len()).ok().filter(|&at| at < u32::MAX),
        }
    }

    /// Appends a session to the lists of its kind.
    fn link(&mut self, at: u32) {
        let Some((owner, is_idle, used)) =
            self.slab.get(index(at)).map(|Slot { session, .. }| (session.owner, session.is_idle(), session.last_used))
        else {
            return;
        };
        if let Some(owned) = self.owners.get_mut(&owner) {
            let list = if is_idle { &mut owned.idle } else { &mut owned.busy };
            list.push_back(&mut self.slab, at, |slot| &mut slot.owned);
        }
        if is_idle {
            assert!(self.idle.last(&self.slab).is_none_or(|slot| slot.session.last_used < used), "in the order of last use");
            self.idle.push_back(&mut self.slab, at, |slot| &mut slot.idle);
        }
    }

    /// Removes a session from the lists of its former kind.
    fn unlink(&mut self, at: u32, was_idle: bool) {
        let Some(owner) = self.slab.get(index(at)).map(|slot| slot.session.owner) else { return };
        if let Some(owned) = self.owners.get_mut(&owner) {
            let list = if was_idle { &mut owned.idle } else { &mut owned.busy };
            list.take_out(&mut self.slab, at, |slot| &mut slot.owned);
        }
        if was_idle {
            self.idle.take_out(&mut self.slab, at, |slot| &mut slot.idle);
        }
    }
}

/// Compares the sessions, regardless of their slots; the lists follow from them.
impl PartialEq for Sessions {
    fn eq(&self, other: &Self) -> bool {
        let mut sessions = self.slab.iter().map(|slot| &slot.session).filter(|session| session.opened.0 > 0);
        self.len() == other.len() && sessions.all(|session| other.find(session.opened).is_some_and(|(_, found)| found == session))
    }
}

fn first_unused<'a>(sessions: impl Iterator<Item = &'a Slot>, in_use: &mut dyn FnMut(Lsn) -> bool) -> Option<Lsn> {
    sessions.map(|slot| slot.session.opened).find(|&session| !in_use(session))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::sessions::session::Recorded;
    use crate::model::amount::Amount;
    use crate::model::command::{Body, Outcome};
    use crate::model::types::{AccountId, RequestNumber, TellerId};

    const A: Owner = Owner::Customer(AccountId(0));
    const B: Owner = Owner::Teller(TellerId(0));

    fn request(sessions: &mut Sessions, session: u64, lsn: u64, acked_below: u64) {
        let body = Body { outcome: Outcome::Done, balance: Amount::ZERO, lsn: Lsn(lsn) };
        let (place, _) = sessions.find(Lsn(session)).unwrap();
        sessions.update(place, Lsn(lsn), |session| session.record(RequestNumber(acked_below), Recorded { command: None, body }));
    }

    fn room(sessions: &Sessions, owner: Owner, cap: u64, cap_of_all: u64, used: &[u64]) -> Room {
        sessions.room(owner, cap, cap_of_all, &mut |session| used.contains(&session.0))
    }

    #[test]
    fn the_least_recently_used_idle_one_goes() {
        let mut sessions = Sessions::default();
        for (opened, owner) in [(1, A), (2, B), (3, A), (4, B), (5, A)] {
            sessions.open(Lsn(opened), owner);
        }
        assert_eq!(room(&sessions, A, 4, 6, &[]), Room::Free);
        assert_eq!(room(&sessions, A, 3, 6, &[]), Room::Evict(Lsn(1)));
        assert_eq!(room(&sessions, B, 2, 6, &[]), Room::Evict(Lsn(2)));
        assert_eq!(room(&sessions, B, 3, 5, &[]), Room::Evict(Lsn(1)));
        assert_eq!(room(&sessions, B, 3, 5, &[1, 2]), Room::Evict(Lsn(3)));
        assert_eq!(room(&sessions, B, 2, 5, &[1, 2, 4]), Room::None);

        request(&mut sessions, 1, 6, 1); // 1 is busy now
        request(&mut sessions, 2, 7, 2); // 2 is idle, but used last
        assert_eq!(room(&sessions, B, 9, 5, &[]), Room::Evict(Lsn(3)));
        assert_eq!(room(&sessions, B, 9, 5, &[3, 4, 5]), Room::Evict(Lsn(2)));
        assert_eq!(room(&sessions, B, 9, 5, &[2, 3, 4, 5]), Room::None);
        assert_eq!(room(&sessions, B, 2, 9, &[]), Room::Evict(Lsn(4)));
        let (place, _) = sessions.find(Lsn(1)).unwrap();
        sessions.update(place, Lsn(8), |session| session.acknowledge(RequestNumber(2)));
        assert_eq!(room(&sessions, B, 9, 5, &[2, 3, 4, 5]), Room::Evict(Lsn(1)));
        assert_eq!(room(&sessions, A, 3, 5, &[3, 5]), Room::Evict(Lsn(1)));
    }

    #[test]
    fn places_are_used_again() {
        let mut sessions = Sessions::default();
        for lsn in 1..=1_000 {
            sessions.open(Lsn(lsn), A);
            request(&mut sessions, lsn, lsn, 0);
            assert_eq!((sessions.remove(Lsn(lsn)), sessions.remove(Lsn(lsn))), (true, false));
        }
        assert_eq!((sessions.len(), sessions.slab.len(), sessions.owners.len()), (0, 1, 0));
        assert!(sessions == Sessions::default());
    }

    #[test]
    fn an_owner_goes_alone() {
        let mut sessions = Sessions::default();
        for (opened, owner) in [(1, A), (2, B), (3, A), (4, B)] {
            sessions.open(Lsn(opened), owner);
        }
        request(&mut sessions, 1, 5, 0);
        assert_eq!((sessions.of(A), sessions.of(B)), (vec![Lsn(1), Lsn(3)], vec![Lsn(2), Lsn(4)]));
        sessions.remove_of(A);
        assert_eq!((sessions.of(A), sessions.of(B), sessions.count_of(A)), (vec![], vec![Lsn(2), Lsn(4)], 0));
        sessions.clear();
        assert_eq!((sessions.len(), sessions.count_of(B)), (0, 0));
    }

    /// Equality ignores slots, but detects different sessions.
    #[test]
    fn equality_is_logical() {
        let (mut one, mut other) = (Sessions::default(), Sessions::default());
        one.open(Lsn(1), A);
        one.open(Lsn(2), A);
        one.remove(Lsn(1));
        other.open(Lsn(2), A);
        assert!(one == other);
        request(&mut one, 2, 3, 0);
        assert!(one != other);
        request(&mut other, 2, 3, 0);
        assert!(one == other);
        other.open(Lsn(4), B);
        assert!(one != other);
        one.open(Lsn(4), A);
        assert!(one != other);
    }
}
