//! Sessions to resume, of one identity and port.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

use crate::fault::planted;
use crate::sync::Mutex;

#[cfg(test)]
mod tests;

/// Names whose sessions are remembered; with one more, the least recently used goes.
const MOST_NAMES: usize = 256;
/// Tickets kept of one name, which all its addresses share: more than connections to one host are opened at once.
const MOST_TICKETS: usize = 64;

/// A store of sessions.
///
/// rustls's own keeps eight tickets of a name, of which a burst of connections soon finds none. Here a ticket is taken out by whoever offers it, the
/// newest first: a server's tickets live equally long, so one that has expired never hides one that has not.
pub(crate) struct Tickets {
    names: Mutex<Names>,
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
    tickets: VecDeque<Tls13ClientSessionValue>,
    older: Option<Tls12ClientSessionValue>,
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
}

impl Tickets {
    /// An empty store. With `hints` it remembers which group a name agreed on, whose share rustls then sends first; a browser sends the same
    /// shares however often it comes.
    pub(crate) fn new(hints: bool) -> Self {
        Tickets {
            names: Mutex::default(),
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
        self.names.lock().entry(name).older = Some(value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.names.lock().known(&name.to_owned())?.older.clone()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(sessions) = self.names.lock().known(name) {
            sessions.older = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut names = self.names.lock();
        let tickets = &mut names.entry(name).tickets;
        if tickets.len() == MOST_TICKETS || planted("the_last_ticket_is_the_only_one") {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut names = self.names.lock();
        let tickets = &mut names.known(name)?.tickets;
        match planted("the_oldest_ticket_goes_first") {
            true => tickets.pop_front(),
            false => tickets.pop_back(),
        }
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
