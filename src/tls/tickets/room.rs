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
const MOST_SESSIONS: usize = 2048;
/// Tickets kept of one name, which all its addresses share: more than connections to one host are opened at once.
const MOST_TICKETS: usize = 64;
/// Tickets that a name may come to have while there is no room: so many for each of 64 names.
const FAIR_TICKETS: usize = 32;

/// A name, as the store of this number knows it.
pub(super) type Key = (u64, ServerName<'static>);

/// What all stores that share it remember.
///
/// Where it is full, whoever was least recently used makes room, in whatever store: so those that come again and again resume, whoever else
/// there is.
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

#[derive(Default)]
struct Shelf {
    /// The stores that take anything, and what each has of its names.
    stores: HashMap<u64, HashMap<ServerName<'static>, Sessions>>,
    /// All these names, by when they were last used.
    by_use: BTreeMap<u64, Key>,
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
            .field("names", &self.0.lock().by_use.len())
            .finish()
    }
}

impl Sessions {
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
        if self.by_use.len() >= MOST_NAMES
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.remove(&oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key.clone());
        let sessions = Sessions {
            last: self.uses,
            ..Sessions::default()
        };
        let names = self.stores.entry(*store).or_default();
        names.insert(name.clone(), sessions);
        true
    }

    fn change<T>(&mut self, key: &Key, change: impl FnOnce(&mut Sessions) -> T) -> Option<T> {
        let (store, name) = key;
        let sessions = self.stores.get_mut(store)?.get_mut(name)?;
        self.uses += 1;
        self.by_use.remove(&sessions.last);
        self.by_use.insert(self.uses, key.clone());
        sessions.last = self.uses;
        self.sessions -= sessions.count();
        let changed = change(sessions);
        self.sessions += sessions.count();
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
        match self.find(key).filter(|own| own.count() >= FAIR_TICKETS) {
            Some(own) => {
                own.lose_one();
                self.sessions -= 1;
            }
            None => self.make_room(),
        }
        self.sessions < MOST_SESSIONS
    }

    /// The name that was least recently used loses a session. One that has none goes, whatever else is known of it.
    fn make_room(&mut self) {
        while let Some((last, key)) = self.by_use.pop_first() {
            match self.find(&key).filter(|sessions| sessions.count() > 0) {
                Some(sessions) => {
                    sessions.lose_one();
                    self.sessions -= 1;
                    self.by_use.insert(last, key);
                    return;
                }
                None => self.remove(&key),
            };
        }
    }

    /// Closes a store and answers what it had.
    fn forget(&mut self, store: u64) -> Option<HashMap<ServerName<'static>, Sessions>> {
        let names = self.stores.remove(&store)?;
        for sessions in names.values() {
            self.by_use.remove(&sessions.last);
            self.sessions -= sessions.count();
        }
        Some(names)
    }
}
