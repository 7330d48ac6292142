//! Lanes: the connections of one origin that are alike, by identity, address and protocol.

use std::net::IpAddr;

use super::conns::{List, State};
use super::words::Want;
use crate::event::Protocol;
use crate::identity::IdentityId;

/// Connections that serve the same wants. A host has few of them, so they are searched one by one.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) identity: IdentityId,
    pub(super) ip: IpAddr,
    pub(super) protocol: Protocol,
    /// Nobody uses these.
    pub(super) idle: List,
    /// Somebody uses these, and another may (HTTP/2).
    pub(super) open: List,
    /// Nobody uses these, and nobody may yet.
    pub(super) aside: List,
    /// Connections that hold a place under the host's limit; a lane without any is vacant.
    pub(super) conns: u32,
    pub(super) leases: u32,
    /// Of `conns`, those that may be handed out again.
    pub(super) sound: u32,
    /// Of `sound`, those that wait for SETTINGS.
    pub(super) pending: u32,
    /// Of `sound`, those under inspection.
    pub(super) inspected: u32,
}

impl Lane {
    pub(super) const fn new(identity: IdentityId, ip: IpAddr, protocol: Protocol) -> Self {
        Lane {
            identity,
            ip,
            protocol,
            idle: List::EMPTY,
            open: List::EMPTY,
            aside: List::EMPTY,
            conns: 0,
            leases: 0,
            sound: 0,
            pending: 0,
            inspected: 0,
        }
    }

    /// Whether what it holds is what `want` asks for.
    pub(super) fn suits(&self, want: &Want) -> bool {
        self.conns > 0 && self.serves(want)
    }

    /// As [`suits`](Lane::suits), for one that is known to hold something.
    #[inline]
    pub(super) fn serves(&self, want: &Want) -> bool {
        want.accepts(self.identity, self.ip, self.protocol)
    }

    /// The list in which connections of that state stand, if they stand in one.
    pub(super) const fn list_of(&mut self, state: State) -> Option<&mut List> {
        match state {
            State::Idle => Some(&mut self.idle),
            State::Open => Some(&mut self.open),
            State::Aside => Some(&mut self.aside),
            _ => None,
        }
    }

    /// Whether it has one ready.
    pub(super) const fn offers(&self) -> bool {
        self.idle.len > 0 || self.open.len > 0
    }
}
