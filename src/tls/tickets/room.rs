//! How many sessions there may be, in all stores together, and whose goes when there is no room for another's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use rustls::NamedGroup;
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::fault::planted;
use crate::sync::Mutex;

/// Names of which anything is remembered.
pub(super) const MOST_NAMES: usize = 4096;
/// Sessions of all names. rustls does not tell how long one is, so each counts for what it may be: a ticket of 64 KiB, and as much of the server's
/// certificates, of which every session has a copy. That is 256 MiB if every server does its worst; one that a server means well has some 5 KB.
pub(crate) const MOST_SESSIONS: usize = 2048;
/// Tickets kept of one name, which all its addresses share: more than connections to one host are opened at once.
const MOST_TICKETS: usize = 64;

/// A name, as the store of this number knows it.
pub(super) type Key = (u64, ServerName<'static>);

/// What all stores that share it remember.
///
/// Where it is full, the name that has most makes room, in whatever store, of several the one that was least recently used: so there is one session for each of as many
/// names, whoever else there is. Where there are more names than that, one of them is drawn: those that come in turn find some of what they left, where the
/// oldest would ever be the one that comes next.
#[derive(Default)]
pub(crate) struct Room(Mutex<Shelf>);

/// What is remembered of a name.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) tickets: VecDeque<Tls13ClientSessionValue>,
    pub(super) older: Option<Tls12ClientSessionValue>,
    pub(super) hint: Option<NamedGroup>,
    /// Tickets that came since a handshake began.
    brought: usize,
    /// When it was last used, as a count of uses.
    last: u64,
}

/// How many sessions a name has, and when it was last used.
type Rank = (usize, u64);

#[derive(Default)]
struct Shelf {
    /// The stores that take anything, and what each has of its names.
    stores: HashMap<u64, HashMap<ServerName<'static>, Sessions>>,
    /// All these names, by how many sessions they have and then by when they were last used.
    ranked: BTreeMap<Rank, Key>,
    /// Counts uses.
    uses: u64,
    /// Of all names.
    sessions: usize,
    /// Counts stores.
    opened: u64,
}

impl Room {
    /// The number of a new store.
    pub(super) fn open(&self) -> u64 {
        let mut shelf = self.0.lock();
        shelf.opened += 1;
        let store = shelf.opened;
        shelf.stores.insert(store, HashMap::new());
        store
    }

    /// Whatever that store has goes, and it takes nothing any more.
    pub(super) fn close(&self, store: u64) {
        let gone = self.0.lock().forget(store);
        drop(gone); // outside the lock
    }

    /// Reads or changes what is known of a name, which is used by that. None: nothing is.
    pub(super) fn change<T>(&self, key: &Key, change: impl FnOnce(&mut Sessions) -> T) -> Option<T> {
        self.0.lock().change(key, change)
    }

    /// Remembers the group that a name agreed on.
    pub(super) fn hint(&self, key: Key, group: NamedGroup) {
        let mut shelf = self.0.lock();
        if shelf.knows(&key) {
            shelf.change(&key, |sessions| sessions.hint = Some(group));
        }
    }

    /// A name's session of TLS 1.2, in place of the last.
    pub(super) fn set_older(&self, key: Key, session: Tls12ClientSessionValue) {
        let mut shelf = self.0.lock();
        shelf.change(&key, |sessions| sessions.older = None);
        if shelf.knows(&key) && shelf.has_room_for(&key) {
            shelf.change(&key, |sessions| sessions.older = Some(session));
        }
    }

    /// One ticket more of a name.
    pub(super) fn add_ticket(&self, key: Key, ticket: Tls13ClientSessionValue) {
        let mut shelf = self.0.lock();
        if shelf.knows(&key) && shelf.may_bring(&key) && shelf.has_room_for(&key) {
            shelf.change(&key, |sessions| sessions.push(ticket));
        }
    }

    /// The newest ticket of a name, for a handshake that begins.
    pub(super) fn take_ticket(&self, key: &Key) -> Option<Tls13ClientSessionValue> {
        self.change(key, |sessions| {
            sessions.brought = 0;
            match planted("the_oldest_ticket_goes_first") {
                true => sessions.tickets.pop_front(),
                false => sessions.tickets.pop_back(),
            }
        })?
    }
}

/// Says how many names there are, and shows none.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("names", &self.0.lock().ranked.len())
            .finish()
    }
}

impl Sessions {
    fn rank(&self) -> Rank {
        (self.count(), self.last)
    }

    fn count(&self) -> usize {
        self.tickets.len() + usize::from(self.older.is_some())
    }

    /// Beyond those that are kept, the oldest ticket goes.
    fn push(&mut self, ticket: Tls13ClientSessionValue) {
        if self.tickets.len() == MOST_TICKETS || planted("the_last_ticket_is_the_only_one") {
            self.tickets.pop_front();
        }
        self.tickets.push_back(ticket);
    }

    /// The oldest ticket goes first.
    fn lose_one(&mut self) {
        if self.tickets.pop_front().is_none() {
            self.older = None;
        }
    }
}

impl Shelf {
    fn find(&mut self, (store, name): &Key) -> Option<&mut Sessions> {
        self.stores.get_mut(store)?.get_mut(name)
    }

    fn remove(&mut self, (store, name): &Key) -> Option<Sessions> {
        let gone = self.stores.get_mut(store)?.remove(name)?;
        self.sessions -= gone.count();
        Some(gone)
    }

    /// Whether a name has its place, from now on if it had none. A closed store's has not.
    fn knows(&mut self, key: &Key) -> bool {
        let (store, name) = key;
        match self.stores.get(store) {
            None => return false,
            Some(names) if names.contains_key(name) => return true,
            Some(_) => {}
        }
        // There are more names than sessions: this one has none.
        if self.ranked.len() >= MOST_NAMES
            && let Some((_, poorest)) = self.ranked.pop_first()
        {
            self.remove(&poorest);
        }
        self.uses += 1;
        let sessions = Sessions {
            last: self.uses,
            ..Sessions::default()
        };
        self.ranked.insert(sessions.rank(), key.clone());
        let names = self.stores.entry(*store).or_default();
        names.insert(name.clone(), sessions);
        true
    }

    fn change<T>(&mut self, key: &Key, change: impl FnOnce(&mut Sessions) -> T) -> Option<T> {
        let (store, name) = key;
        let sessions = self.stores.get_mut(store)?.get_mut(name)?;
        self.uses += 1;
        self.ranked.remove(&sessions.rank());
        self.sessions -= sessions.count();
        sessions.last = self.uses;
        let changed = change(sessions);
        self.sessions += sessions.count();
        self.ranked.insert(sessions.rank(), key.clone());
        Some(changed)
    }

    /// Whether a name's connections may bring one ticket more. With each that begins they may bring as many as are kept: a server that never stops
    /// giving some changes nothing any more.
    fn may_bring(&mut self, key: &Key) -> bool {
        self.find(key).is_some_and(|sessions| {
            sessions.brought += 1;
            sessions.brought <= MOST_TICKETS || planted("a_connection_brings_any_number")
        })
    }

    /// Whether one session more of this name may be kept; if need be, another goes for it.
    fn has_room_for(&mut self, key: &Key) -> bool {
        if self.sessions < MOST_SESSIONS || planted("sessions_have_any_room") {
            return true;
        }
        if planted("a_full_room_takes_nobody_in") {
            return false;
        }
        self.make_room(key);
        self.sessions < MOST_SESSIONS
    }

    /// The name that has most loses a session: this one if no other has more.
    fn make_room(&mut self, key: &Key) {
        let own = self.find(key).map(|own| own.rank());
        let Some((&(most, last), _)) = self.ranked.last_key_value() else {
            return;
        };
        let from = match own {
            Some((count, used)) if count == most => (count, used),
            _ if most == 1 => (1, self.drawn(last)),
            _ => (most, 0),
        };
        let Some((&rank, key)) = self.ranked.range(from..).next() else {
            return;
        };
        let key = key.clone();
        self.ranked.remove(&rank);
        if let Some(sessions) = self.find(&key) {
            sessions.lose_one();
            let rank = sessions.rank();
            self.ranked.insert(rank, key);
            self.sessions -= 1;
        }
    }

    /// A use between the first and the last of those names that have one session. A peer who foresees it wins nothing.
    fn drawn(&self, last: u64) -> u64 {
        let first = self.ranked.range((1, 0)..).next();
        let first = first.map_or(last, |(&(_, first), _)| first);
        first + spread(self.uses) % (last - first + 1)
    }

    /// Closes a store and answers what it had.
    fn forget(&mut self, store: u64) -> Option<HashMap<ServerName<'static>, Sessions>> {
        let names = self.stores.remove(&store)?;
        for sessions in names.values() {
            self.ranked.remove(&sessions.rank());
            self.sessions -= sessions.count();
        }
        Some(names)
    }
}

/// A number that follows from this one and looks drawn: the golden ratio's bits (Knuth's multiplicative hash).
pub(crate) fn spread(nth: u64) -> u64 {
    nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}
