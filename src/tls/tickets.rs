//! Sessions to resume, of one identity and port.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::fault::planted;
use crate::sync::{AtomicU64, Mutex, Ordering};

#[cfg(test)]
mod tests;

/// Names whose sessions are remembered; with one more, the least recently used goes.
const MOST_NAMES: usize = 256;
/// Tickets kept of one name, which all its addresses share: more than connections to one host are opened at once.
const MOST_TICKETS: usize = 64;
/// Sessions kept in one [`Room`]. rustls does not tell how large one is: it holds a ticket and the server's certificates, and takes no handshake message that is
/// longer than 64 KiB. So that is 256 MiB if every server does its worst, and about 8 MiB of what servers send.
const MOST_SESSIONS: u64 = 2048;

/// How many sessions there may be, in all stores that share it.
#[derive(Debug, Default)]
pub(crate) struct Room(AtomicU64);

impl Room {
    /// Whether one more has no place.
    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MOST_SESSIONS && !planted("sessions_have_any_room")
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        // Counted before it is looked at: of two who come at once, both may find it full, and never may both find the last place.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        (before < MOST_SESSIONS || planted("sessions_have_any_room")).then_some(place)
    }
}

/// The place of one session, which is free again once this is dropped.
struct Place(Arc<Room>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session, and its place.
struct Kept<T> {
    session: T,
    _place: Place,
}

/// A store of sessions.
///
/// rustls's own keeps eight tickets of a name, of which a burst of connections soon finds none. Here a ticket is taken out by whoever offers it, the
/// newest first: a server's tickets live equally long, so one that has expired never hides one that has not.
pub(crate) struct Tickets {
    names: Mutex<Names>,
    room: Arc<Room>,
    hints: bool,
}

#[derive(Default)]
struct Names {
    by_name: HashMap<ServerName<'static>, Sessions>,
    /// Counts uses.
    uses: u64,
}

#[derive(Default)]
struct Sessions {
    tickets: VecDeque<Kept<Tls13ClientSessionValue>>,
    older: Option<Kept<Tls12ClientSessionValue>>,
    hint: Option<NamedGroup>,
    /// When it was last used, as a count of uses.
    last: u64,
}

impl Names {
    fn known(&mut self, name: &ServerName<'static>) -> Option<&mut Sessions> {
        self.uses += 1;
        let sessions = self.by_name.get_mut(name)?;
        sessions.last = self.uses;
        Some(sessions)
    }

    fn entry(&mut self, name: ServerName<'static>) -> &mut Sessions {
        if !self.by_name.contains_key(&name) {
            self.make_room();
        }
        self.uses += 1;
        let sessions = self.by_name.entry(name).or_default();
        sessions.last = self.uses;
        sessions
    }

    fn make_room(&mut self) {
        if self.by_name.len() < MOST_NAMES {
            return;
        }
        let oldest = self.by_name.iter().min_by_key(|(_, sessions)| sessions.last);
        if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
            self.by_name.remove(&oldest);
        }
    }

    /// A place for one more session. Where the room is full, the name that was least recently used loses one of its own; with none, the others have them all.
    fn place(&mut self, room: &Arc<Room>) -> Option<Place> {
        if let Some(place) = room.take() {
            return Some(place);
        }
        let with_some = self.by_name.values_mut().filter(|sessions| sessions.is_some());
        with_some.min_by_key(|sessions| sessions.last)?.lose_one();
        room.take()
    }
}

impl Sessions {
    fn is_some(&self) -> bool {
        !self.tickets.is_empty() || self.older.is_some()
    }

    /// The oldest ticket goes first.
    fn lose_one(&mut self) {
        if self.tickets.pop_front().is_none() {
            self.older = None;
        }
    }
}

impl Tickets {
    /// An empty store, whose sessions have their places in `room`. With `hints` it remembers which group a name agreed on, whose share rustls then sends first; a browser sends the same
    /// shares however often it comes.
    pub(crate) fn new(hints: bool, room: &Arc<Room>) -> Self {
        Tickets {
            names: Mutex::default(),
            room: Arc::clone(room),
            hints,
        }
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        if self.hints || planted("browsers_are_given_hints") {
            self.names.lock().entry(name).hint = Some(group);
        }
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.names.lock().known(&name.to_owned())?.hint
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        let mut names = self.names.lock();
        names.entry(name.clone()).older = None;
        let place = names.place(&self.room);
        names.entry(name).older = place.map(|place| Kept {
            session: value,
            _place: place,
        });
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.names
            .lock()
            .known(&name.to_owned())?
            .older
            .as_ref()
            .map(|kept| kept.session.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(sessions) = self.names.lock().known(name) {
            sessions.older = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut names = self.names.lock();
        let tickets = &mut names.entry(name.clone()).tickets;
        if tickets.len() == MOST_TICKETS || planted("the_last_ticket_is_the_only_one") {
            tickets.pop_front();
        }
        if let Some(place) = names.place(&self.room) {
            let kept = Kept {
                session: value,
                _place: place,
            };
            names.entry(name).tickets.push_back(kept);
        }
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut names = self.names.lock();
        let tickets = &mut names.known(name)?.tickets;
        let kept = match planted("the_oldest_ticket_goes_first") {
            true => tickets.pop_front(),
            false => tickets.pop_back(),
        };
        kept.map(|kept| kept.session)
    }
}

/// Says how many names there are, and shows none.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("names", &self.names.lock().by_name.len())
            .finish()
    }
}
