//! What the pool's owner blocks and allows, brought to every host; and everything that is blocked, by whom.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionManager;
use super::host::Host;
use super::inner::Inner;
use crate::access::{AccessPolicy, Gate, Rules, Scope, Way};
use crate::clock::Moment;
use crate::error::ConfigError;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{Cause, ConnId};
use crate::target::Target;

/// Something that is blocked: see [`ConnectionManager::blocklist`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// What it concerns.
    pub scope: Scope,
    /// For what.
    pub cause: BlockCause,
    /// For how long yet; none if until it is taken back.
    pub left: Option<Duration>,
}

/// For what something is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BlockCause {
    /// The pool's owner said so.
    Owner,
    /// The address could not be reached, by any host.
    Connect,
    /// TLS failed there, for this origin.
    Tls,
    /// What came from there failed otherwise, or was no answer that will do: a refused port, a timeout, an exchange that broke, a 429.
    Protocol,
    /// It answered that we are blocked: 403.
    Status,
}

impl ConnectionManager {
    /// Blocks a network, a host, an origin or an origin's address, for so long or, with none, until it is [unblocked](Self::unblock). It wins over
    /// whatever allows the same. Of the same scope the last word counts, be it for a shorter time.
    ///
    /// From now on nothing is dialled there, and no name is asked for of a host that is blocked whole; idle connections there close, leased ones
    /// when they come home ([`CloseReason::Blocked`](crate::CloseReason::Blocked)), and a `get` that waits and could be served by nothing else ends in
    /// [`ErrorKind::Blocked`](crate::ErrorKind::Blocked). What is being dialled there is closed before anybody has it. Blocks survive
    /// [`network_changed`](Self::network_changed). Takes each shard's lock in turn: not for the hot path.
    ///
    /// Where the pool has a proxy, a network concerns what lies behind it, and not the proxy's own addresses: those that targets name themselves, and those
    /// that names are resolved to here ([`ProxyNames::Local`](crate::ProxyNames::Local)). Of an address behind it that is allowed by no list and named by nobody
    /// a proxy that resolves names itself is told nothing: with [`AccessPolicy::AllowlistOnly`] their host or origin must be allowed.
    ///
    /// # Errors
    /// [`ConfigError`] if 10,000 blocks are held already; and if it is a network, in a pool whose proxy resolves the names itself: nobody here sees what
    /// they stand for.
    pub fn block(&self, scope: Scope, span: Option<Duration>) -> Result<(), ConfigError> {
        let inner = self.inner();
        let unseen = scope.is_network() && inner.dialler.way() == Way::Unseen;
        if unseen && !planted("networks_are_blocked_unseen") {
            let problem = "the proxy resolves names where no block of a network sees what they are: use ProxyNames::Local";
            return Err(ConfigError::new("block", problem));
        }
        let now = inner.now_coarse();
        let until = span.map_or(Moment::FAR, |span| now + span);
        inner.change_rules(|rules| rules.block(now, scope, until))
    }

    /// Takes a block back: what the owner said of exactly this scope, and what the pool itself holds against it; where that is an IPv4 address, against those of IPv6
    /// that lead to it as well. Answers whether there was any.
    pub fn unblock(&self, scope: &Scope) -> bool {
        let inner = self.inner();
        let now = inner.now_coarse();
        let said = inner.change_rules(|rules| rules.unblock(now, scope));
        inner.absolve(scope) || said
    }

    /// Allows a scope, where the policy is [`AccessPolicy::AllowlistOnly`]. What is blocked stays blocked.
    ///
    /// # Errors
    /// [`ConfigError`] if 10,000 allowances are held already.
    pub fn allow(&self, scope: Scope) -> Result<(), ConfigError> {
        self.inner().change_rules(|rules| rules.allow(scope))
    }

    /// Takes an allowance back, as [`block`](Self::block) would where nothing else allows the same. Answers whether there was one.
    pub fn disallow(&self, scope: &Scope) -> bool {
        self.inner().change_rules(|rules| rules.disallow(scope))
    }

    /// Says what may be connected to that no list names, from now on, as if the rest were [blocked](Self::block).
    pub fn set_access(&self, policy: AccessPolicy) {
        self.inner().change_rules(|rules| rules.set_policy(policy));
    }

    /// Everything that is blocked now: by the owner, and by what failed. Of an address that only an allowlist leaves out nothing is said. One that failed is named
    /// as it is dialled, be it another one within IPv6 (NAT64, 6to4): that one is not blocked with it. What told us to stay away, and fails for longer than that,
    /// stands here twice. Whatever stands here can be [unblocked](Self::unblock). Takes each shard's lock in turn: not for the hot path.
    pub fn blocklist(&self) -> Vec<Block> {
        let inner = self.inner();
        let now = inner.now_coarse();
        let rules = Arc::clone(inner.rules.lock().said());
        let said = rules.list(now).map(|(scope, until)| Block {
            scope: scope.clone(),
            cause: BlockCause::Owner,
            left: (until != Moment::FAR).then(|| until.since(now)),
        });
        let mut blocks: Vec<Block> = said.collect();
        for (ip, until) in inner.desk.lock().penalties.list(now) {
            blocks.push(Block {
                scope: Scope::exactly(ip),
                cause: BlockCause::Connect,
                left: Some(until.since(now)),
            });
        }
        blocks.extend(
            inner
                .each_host(|host, now| host.blocks(now))
                .into_iter()
                .flatten(),
        );
        blocks
    }
}

impl Inner {
    fn change_rules<T>(self: &Arc<Self>, change: impl FnOnce(&mut Rules) -> T) -> T {
        // First: a host that is made from now on begins with them.
        let answer = change(&mut self.rules.lock());
        if !planted("known_hosts_know_no_block") {
            // Each takes what is in force under its own lock: of two callers at once the later one has the last word everywhere.
            self.each_host(|host, now| self.bar(host, now));
        }
        answer
    }

    /// Brings the owner's rules to a host. Under its lock.
    pub(super) fn bar(&self, host: &mut Host, now: Moment) {
        let rules = Arc::clone(self.rules.lock().said());
        let gate = Gate::new(&rules, now, &host.target, self.dialler.way());
        host.machine.set_gate(now, gate);
        host.close_barred_ends(now);
    }

    /// Nothing is held against these for the whole pool any more: the hosts that were there when it was forget it as well.
    pub(super) fn unshun_everywhere(self: &Arc<Self>, these: impl Fn(IpAddr) -> bool) {
        if planted("copies_outlive_what_they_are_of") {
            return;
        }
        self.each_host(|host, now| {
            let penalties = host.machine.penalties();
            let own = |ip| penalties.held(now, ip).next().is_some();
            let missed = |ip| own(ip) && planted("copies_beside_a_penalty_are_missed");
            let copied: Vec<IpAddr> = penalties
                .list(now)
                .map(|(ip, _)| ip)
                .filter(|&ip| these(ip) && !missed(ip))
                .collect();
            copied.into_iter().for_each(|ip| host.machine.unshun(now, ip));
            host.machine.unbar(now);
        });
    }

    /// Forgets what the pool itself holds against exactly this. Answers whether it held anything.
    fn absolve(self: &Arc<Self>, scope: &Scope) -> bool {
        if planted("the_unblocked_stays_blocked") {
            return false;
        }
        if scope.everywhere().is_some() {
            let cleared = {
                let mut desk = self.desk.lock();
                let now = self.now_coarse();
                let meant = desk.penalties.known().filter(|&ip| scope.means(ip));
                let meant: Vec<IpAddr> = meant.collect();
                meant
                    .into_iter()
                    .filter(|&ip| desk.penalties.clear(now, ip))
                    .count()
            };
            self.unshun_everywhere(|ip| scope.means(ip));
            return cleared > 0;
        }
        let Some((origin, ip)) = scope.of_origin() else {
            return false;
        };
        let Ok(target) = Target::try_from(origin) else {
            return false;
        };
        let held = self.with_target(&target, |host, now| {
            let held = host.machine.penalties().held(now, ip).next().is_some();
            host.machine.absolve(now, ip);
            held
        });
        held.unwrap_or(false)
    }
}

impl Host {
    /// Closes what goes through a tunnel that leads where the owner bars the way, at once or with its last lease.
    fn close_barred_ends(&mut self, now: Moment) {
        let ends = self.live.iter().flatten().filter_map(|live| live.info.tunnel_end);
        let barred: HashSet<IpAddr> = ends
            .filter(|&end| self.machine.bars_behind(now, end).is_some())
            .collect();
        if barred.is_empty() || planted("a_block_spares_what_stands") {
            return;
        }
        let live = &self.live;
        let leads_there = |conn: ConnId| {
            let live = live.get(conn.slot()).and_then(Option::as_ref);
            live.and_then(|live| live.info.tunnel_end)
                .is_some_and(|end| barred.contains(&end))
        };
        self.machine
            .retain(now, CloseReason::Blocked, |conn| !leads_there(conn.conn));
    }

    /// What it holds against addresses by itself.
    fn blocks(&self, now: Moment) -> Vec<Block> {
        let penalties = self.machine.penalties();
        // What it heard of from the desk is the desk's to show.
        let held = penalties.list(now).flat_map(|(ip, _)| {
            let held = penalties.held(now, ip);
            held.map(move |(cause, until)| (ip, cause, until))
        });
        let known = held.filter_map(|(ip, cause, until)| {
            let cause = match cause {
                Cause::Tls => BlockCause::Tls,
                Cause::Protocol => BlockCause::Protocol,
                Cause::Status => BlockCause::Status,
                Cause::Tcp | Cause::Local => return None,
            };
            Some(Block {
                scope: Scope::of_address(&self.target, ip),
                cause,
                left: Some(until.since(now)),
            })
        });
        known.collect()
    }
}
