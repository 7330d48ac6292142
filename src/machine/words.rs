//! The words a machine and its driver exchange.

use std::net::IpAddr;

use super::id::{ConnId, DialId, Ticket};
use crate::clock::Moment;
use crate::event::{CloseReason, Protocol};
use crate::identity::{IdentityId, Require};

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// Everything beside host and port that must be equal.
    pub identity: IdentityId,
    /// Which protocols will do.
    pub require: Require,
    /// The one remote address that will do, if the caller named one. It need not be among the resolved ones.
    pub pin: Option<IpAddr>,
}

impl Want {
    /// Whether a connection with these properties serves this want.
    pub(super) fn accepts(&self, identity: IdentityId, ip: IpAddr, protocol: Protocol) -> bool {
        self.identity == identity
            && self.pin.is_none_or(|pin| pin == ip)
            && match self.require {
                Require::Any => true,
                Require::Http1 => protocol == Protocol::Http1,
                Require::Http2 => protocol == Protocol::Http2,
            }
    }
}

/// The use of one connection: all of it on HTTP/1.1, one stream of it on HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lease must be released"]
pub struct Lease {
    /// The connection.
    pub conn: ConnId,
    /// Whether it had been dialled before; false for the first caller that its dial was made for.
    pub hit: bool,
}

/// The answer to [`Machine::acquire`](super::Machine::acquire).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lease must be released, a ticket cancelled or taken"]
pub enum Acquire {
    /// Here it is.
    Lease(Lease),
    /// Stand in line with this ticket: a grant or a refusal comes as an [`Action`].
    Wait(Ticket),
    /// Every address is blocked, the first of them until then.
    Blocked {
        /// When the first block ends.
        until: Moment,
    },
    /// The line is full.
    Full,
    /// The machine is closed.
    Closed,
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an action that is not done leaves somebody waiting"]
pub enum Action {
    /// Ask the resolver and answer with `resolved` or `resolve_failed`. Not repeated while it is under way.
    Resolve,
    /// Dial, as soon as the [`Ledger`](super::Ledger) grants its permits and `begin` confirms.
    Dial(DialOrder),
    /// Nobody wants this dial: leave the Ledger's line, or abort it. Its id is void.
    Abandon(DialId),
    /// This ticket has a lease: wake its owner, who calls `take` or `cancel`.
    Grant(Ticket, Lease),
    /// This ticket is void, for this reason: wake its owner.
    Refuse(Ticket, Refusal),
    /// This connection is over. Comes exactly once for each, whichever road it ends by.
    Close {
        /// The connection. Its slot may be given away at the next `dialled` or `adopt`.
        conn: ConnId,
        /// Its remote address, whose permits go back to the Ledger.
        ip: IpAddr,
        /// Why.
        reason: CloseReason,
    },
}

/// Where to dial, in the order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialOrder {
    /// The right to dial.
    pub dial: DialId,
    /// For whom.
    pub identity: IdentityId,
    /// What to offer by ALPN.
    pub require: Require,
    /// Addresses, best first; never empty.
    pub candidates: Vec<IpAddr>,
    /// So many of them, the first ones, the origin holds nothing against. None if it goes to the others on purpose.
    pub clean: usize,
    /// Until when it holds something against each of the others.
    pub held: Vec<Moment>,
    /// Whether it goes to a blocked address on purpose: the one probe of an origin whose addresses are all blocked, or a recheck.
    pub probe: bool,
    /// Whether it is the one probe of an address that the whole pool avoids.
    pub pool_probe: bool,
}

/// Where a dial has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The address that was dialled.
    pub ip: IpAddr,
    /// Where the tunnel ends that goes on from there, if one does, as far as that is known.
    pub end: Option<IpAddr>,
    /// Whether it began in another network than this, or took another way than the address's own: then it says nothing of the address.
    pub elsewhere: bool,
}

/// Why a ticket will not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The dial that was to serve it failed; the error is the one given to `dial_failed`.
    DialFailed(DialId),
    /// The name could not be resolved.
    ResolveFailed,
    /// The name resolved to no address.
    NoAddress,
    /// Every address is blocked, the first of them until then.
    Blocked {
        /// When the first block ends.
        until: Moment,
    },
    /// The machine was closed.
    Closed,
}

/// Whom a failed attempt blames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The address, for every origin: no TCP connection came about.
    Tcp,
    /// The address, for this origin: TLS failed.
    Tls,
    /// The address, for this origin: it spoke the wrong protocol, or the right one wrongly.
    Protocol,
    /// The address, for this origin: it answered that we are blocked (403).
    Status,
    /// Nobody: out of descriptors or ports, cancelled, or a timer that fired too late.
    Local,
}

/// In which state a lease comes home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Known to be clean.
    Reusable,
    /// The same, and nothing was read or written: to its peer it has been idle all the while.
    Untouched,
    /// Not known to be clean yet: nobody may have it before the driver has looked again.
    Aside,
    /// To be closed; on HTTP/2 once its other leases are home.
    Close(CloseReason),
}

/// Which idle connection to give up; see [`Machine::evict_idle`](super::Machine::evict_idle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evict {
    /// Only one to this address.
    pub ip: Option<IpAddr>,
    /// Only one idle since then or longer.
    pub not_after: Moment,
}

/// The answer to [`Machine::evict_idle`](super::Machine::evict_idle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Evicted {
    /// This one was given up; its `Close` action says so too.
    Closed(ConnId),
    /// The longest idle is idle only since then.
    Younger(Moment),
    /// None is idle.
    None,
}

/// What is known of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// The connection.
    pub conn: ConnId,
    /// For whom it was dialled.
    pub identity: IdentityId,
    /// Its remote address.
    pub ip: IpAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Leases out.
    pub leases: u32,
    /// Leases that may be out at once, as far as is known.
    pub capacity: u32,
    /// Since when it is idle; none while it is leased, or while the peer counts streams in all its places.
    pub idle_since: Option<Moment>,
    /// When its lifetime ends.
    pub expires: Moment,
    /// Why it will close when its last lease comes home, if it will.
    pub retired: Option<CloseReason>,
}

/// Counts of one machine. The first six are of now, the others since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections ready to be handed out that nobody uses.
    pub idle: u32,
    /// Connections with a lease out.
    pub leased: u32,
    /// Leases out.
    pub leases: u32,
    /// Connections that are neither: under inspection or suspect.
    pub held: u32,
    /// Dials that hold a permit.
    pub dialling: u32,
    /// Tickets in line, those with a lease that nobody has taken yet not among them.
    pub waiting: u32,
    /// Leases of a connection that had been dialled before.
    pub hits: u64,
    /// Leases that their dial was made for.
    pub misses: u64,
    /// Dials that brought a connection.
    pub dialled: u64,
    /// Dials that failed.
    pub dial_failures: u64,
    /// Connections that ended.
    pub closed: u64,
}

/// Counts of one address of one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpCounts {
    /// Connections.
    pub connections: u32,
    /// Of these, ready and unused.
    pub idle: u32,
    /// Of these, unused and not to be used yet.
    pub aside: u32,
    /// Leases out.
    pub leases: u32,
}
