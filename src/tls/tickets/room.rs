//! How many sessions there may be, in all stores together, and whose goes when there is no room for another's.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::{self, Debug, Write as _};

use rustls::NamedGroup;
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::fault::planted;
use crate::sync::Mutex;

/// Names of which anything is remembered.
pub(super) const MOST_NAMES: usize = 4096;
/// Sessions of all names. One that a server means well has some 5 KB, most of it a copy of the server's certificates: 40 MB.
const MOST_SESSIONS: usize = 8192;
/// Tickets that a name may come to have while there is no room: so many for each of 256 names.
const FAIR_TICKETS: usize = 32;
/// Sessions that are kept as they come: rustls takes 64 KiB for a ticket and as much for the certificates, so 128 MiB if every server does its worst.
const UNWEIGHED: usize = 1024;
/// What a session beyond those may have, in octets: 112 MiB for all of them.
const MOST_OCTETS: usize = 16 << 10;

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
    /// When it was last used, as a count of uses.
    last: u64,
}

#[derive(Default)]
struct Shelf {
    by_name: HashMap<Key, Sessions>,
    /// The same names, by when they were last used.
    by_use: BTreeMap<u64, Key>,
    /// Counts uses.
    uses: u64,
    /// Of all names.
    sessions: usize,
    /// The stores that take anything.
    open: HashSet<u64>,
    /// Counts stores.
    stores: u64,
}

impl Room {
    /// The number of a new store.
    pub(super) fn open(&self) -> u64 {
        let mut shelf = self.0.lock();
        shelf.stores += 1;
        let store = shelf.stores;
        shelf.open.insert(store);
        store
    }

    /// Whatever that store has goes, and it takes nothing any more.
    pub(super) fn close(&self, store: u64) {
        let mut shelf = self.0.lock();
        if shelf.open.remove(&store) {
            shelf.forget(store);
        }
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

    /// One session more of a name, which `add` puts to the others.
    pub(super) fn add<T: Debug>(&self, key: Key, session: T, add: impl FnOnce(&mut Sessions, T)) {
        let weighed = self.0.lock().sessions < UNWEIGHED;
        if !weighed && !is_light(&session) && !planted("sessions_have_any_weight") {
            return;
        }
        let mut shelf = self.0.lock();
        if shelf.knows(&key) && shelf.has_room_for(&key) {
            shelf.change(&key, |sessions| add(sessions, session));
        }
    }
}

/// Says how many names there are, and shows none.
impl Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("names", &self.0.lock().by_name.len())
            .finish()
    }
}

/// Whether a session has no more octets than it may. rustls does not tell, but shows the ticket and the certificates, in two digits an octet.
fn is_light(session: &impl Debug) -> bool {
    struct Scale(usize);
    impl fmt::Write for Scale {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    write!(Scale(2 * MOST_OCTETS), "{session:?}").is_ok()
}

impl Sessions {
    fn count(&self) -> usize {
        self.tickets.len() + usize::from(self.older.is_some())
    }

    /// The oldest ticket goes first.
    fn lose_one(&mut self) {
        if self.tickets.pop_front().is_none() {
            self.older = None;
        }
    }
}

impl Shelf {
    /// Whether a name has its place, from now on if it had none. A closed store's has not.
    fn knows(&mut self, key: &Key) -> bool {
        if self.by_name.contains_key(key) {
            return true;
        }
        if !self.open.contains(&key.0) {
            return false;
        }
        if self.by_name.len() >= MOST_NAMES {
            self.forget_oldest();
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key.clone());
        let sessions = Sessions {
            last: self.uses,
            ..Sessions::default()
        };
        self.by_name.insert(key.clone(), sessions);
        true
    }

    fn change<T>(&mut self, key: &Key, change: impl FnOnce(&mut Sessions) -> T) -> Option<T> {
        let sessions = self.by_name.get_mut(key)?;
        self.uses += 1;
        self.by_use.remove(&sessions.last);
        self.by_use.insert(self.uses, key.clone());
        sessions.last = self.uses;
        self.sessions -= sessions.count();
        let changed = change(sessions);
        self.sessions += sessions.count();
        Some(changed)
    }

    /// Whether one session more of this name may be kept; if need be, another goes for it.
    fn has_room_for(&mut self, key: &Key) -> bool {
        if self.sessions < MOST_SESSIONS || planted("sessions_have_any_room") {
            return true;
        }
        if planted("a_full_room_takes_nobody_in") {
            return false;
        }
        let own = self
            .by_name
            .get_mut(key)
            .filter(|own| own.count() >= FAIR_TICKETS);
        match own {
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
            let Some(sessions) = self.by_name.get_mut(&key) else {
                continue;
            };
            if sessions.count() > 0 {
                sessions.lose_one();
                self.sessions -= 1;
                self.by_use.insert(last, key);
                return;
            }
            self.by_name.remove(&key);
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_use.pop_first();
        let gone = oldest.and_then(|(_, key)| self.by_name.remove(&key));
        self.sessions -= gone.map_or(0, |sessions| sessions.count());
    }

    fn forget(&mut self, store: u64) {
        let goes = |key: &Key| key.0 == store;
        self.by_use.retain(|_, key| !goes(key));
        let gone = self.by_name.extract_if(|key, _| goes(key));
        let gone: usize = gone.map(|(_, sessions)| sessions.count()).sum();
        self.sessions -= gone;
    }
}
