//! Sessions to resume, those of each identity and port in a store of their own.

mod room;

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use self::room::{Key, Sessions};
pub(crate) use self::room::{MOST_SESSIONS, Room, spread};
use crate::fault::planted;

/// A store of sessions.
///
/// rustls's own keeps eight tickets of a name, of which a burst of connections soon finds none. Here a ticket is taken out by whoever offers it, the
/// newest first: a server's tickets live equally long, so one that has expired never hides one that has not.
#[derive(Debug)]
pub(crate) struct Tickets {
    store: u64,
    room: Arc<Room>,
    hints: bool,
}

impl Tickets {
    /// An empty store, whose sessions are kept in `room`. With `hints` it remembers which group a name agreed on, whose share rustls then sends first; a browser sends the same
    /// shares however often it comes.
    pub(crate) fn new(hints: bool, room: &Arc<Room>) -> Self {
        Tickets {
            store: room.open(),
            room: Arc::clone(room),
            hints,
        }
    }

    /// Forgets everything, and takes nothing any more: live connections have the store as long as they last.
    pub(crate) fn close(&self) {
        self.room.close(self.store);
    }

    fn key(&self, name: ServerName<'static>) -> Key {
        (self.store, name)
    }

    /// Reads or changes what is known of a name. None: nothing is.
    fn with<T>(&self, name: &ServerName<'_>, change: impl FnOnce(&mut Sessions) -> T) -> Option<T> {
        self.room.change(&self.key(name.to_owned()), change)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        if self.hints || planted("browsers_are_given_hints") {
            self.room.hint(self.key(name), group);
        }
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(name, |sessions| sessions.hint)?
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.room.set_older(self.key(name), value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(name, |sessions| sessions.older.clone())?
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(name, |sessions| sessions.older = None);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.room.add_ticket(self.key(name), value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.room.take_ticket(&self.key(name.clone()))
    }
}

impl Drop for Tickets {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
