//! What a machine may do: plain numbers, copied in.

use std::time::Duration;

pub use crate::config::{AllBlocked, H2Growth as Growth, Selection};

/// How long a failed address is avoided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PenaltyTerms {
    /// After the first failure.
    pub base: Duration,
    /// At most, however often it fails.
    pub max: Duration,
    /// After a status that means "you are blocked" (403).
    pub status: Duration,
    /// How many addresses are remembered; the one that is free soonest is forgotten first.
    pub entries: usize,
    /// Whether each connection is asked before it counts. Without that, one that comes about says nothing of what its address told us before.
    pub validated: bool,
}

/// No failure, and no word of a peer's, holds an address for longer.
pub(crate) const LONGEST_PENALTY: Duration = Duration::from_secs(15 * 60);

impl Default for PenaltyTerms {
    fn default() -> Self {
        PenaltyTerms {
            base: Duration::from_secs(1),
            max: LONGEST_PENALTY,
            status: LONGEST_PENALTY,
            entries: 10_000,
            validated: false,
        }
    }
}

/// The limits of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, dials under way among them, over all identities and addresses.
    pub max_per_host: u32,
    /// Idle connections. Exact: one more that comes home closes the one that was idle longest.
    pub max_idle_per_host: u32,
    /// Callers in line.
    pub max_waiters: u32,
    /// Idle connections that upkeep tries to hold ready; see [`Machine::shortfall`](super::Machine::shortfall).
    pub min_idle: u32,
    /// How long a connection may lie idle. At this very instant it is no longer handed out.
    pub idle_timeout: Duration,
    /// How old a connection may become; each gets its own, up to `jitter` per cent less, at birth.
    pub max_lifetime: Duration,
    /// By how many per cent of `max_lifetime` a lifetime may fall short of it (0 to 100).
    pub jitter: u8,
    /// How long the streams of an HTTP/2 connection may outlive its lifetime.
    pub lifetime_grace: Duration,
    /// Streams at once on one HTTP/2 connection, whatever more the peer allows.
    pub h2_max_streams: u32,
    /// When HTTP/2 gets another connection.
    pub growth: Growth,
    /// Which address is taken.
    pub selection: Selection,
    /// What happens when every address is blocked.
    pub all_blocked: AllBlocked,
    /// Penalties for an address of this origin.
    pub penalty: PenaltyTerms,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_per_host: 10,
            max_idle_per_host: 10,
            max_waiters: 10_000,
            min_idle: 0,
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(300),
            jitter: 10,
            lifetime_grace: Duration::from_secs(30),
            h2_max_streams: 100,
            growth: Growth::default(),
            selection: Selection::default(),
            all_blocked: AllBlocked::default(),
            penalty: PenaltyTerms::default(),
        }
    }
}

/// The limits over all origins of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerLimits {
    /// Connections and dials under way.
    pub max_connections: u32,
    /// Connections to one remote address, over all origins, ports and identities.
    pub max_per_ip: u32,
    /// Dials under way.
    pub max_dials: u32,
}

impl Default for LedgerLimits {
    fn default() -> Self {
        LedgerLimits {
            max_connections: 100,
            max_per_ip: 10,
            max_dials: 64,
        }
    }
}
