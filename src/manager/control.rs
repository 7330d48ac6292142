//! Ruling a pool while it runs: other settings, connections that have to go, a pause.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::ConnectionManager;
use super::host::{Host, Slip};
use super::inner::{Inner, ledger_limits};
use super::jobs::Job;
use super::live::Ender;
use super::name::IntoTarget;
use crate::clock::Moment;
use crate::config::PoolConfig;
use crate::conn::ConnInfo;
use crate::dial::Tls;
use crate::error::{ConfigError, Error};
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{ConnId, OriginId};
use crate::sync::Ordering;

impl ConnectionManager {
    /// Puts other settings in force, at once and for all hosts: where a cap grew, those who wait are dialled for; where it shrank, idle
    /// connections close, the longest idle first, and leased ones when they come home; of many dials and closes some follow when this has returned. A connection's lifetime stays what it was at birth,
    /// and a `get` under way keeps its deadline.
    ///
    /// # Errors
    /// [`ConfigError`] names the field; nothing has changed then.
    pub fn update_config(&self, config: PoolConfig) -> Result<(), ConfigError> {
        if !planted("bad_settings_are_taken") {
            config.validate()?;
        }
        let inner = self.inner();
        let most_hosts = config.max_hosts as usize;
        inner.set_config(config);
        // Each reads what is in force under its own lock: whoever changes it again meanwhile is not overtaken.
        if !planted("the_desk_keeps_its_limits") {
            let mut desk = inner.desk.lock();
            desk.ledger.set_limits(ledger_limits(&inner.config()));
        }
        inner.each_host(|host, now| host.machine.set_limits(now, inner.limits()));
        if !planted("timers_stay_as_they_were") {
            inner.rearm_all();
            Job::ALL.into_iter().for_each(|job| inner.call(job)); // their intervals may be others
        }
        if !planted("room_at_the_desk_stays_unused") {
            inner.pump(); // there may be room now for those who wait at the desk, or too little for what is idle
        }
        if !planted("hosts_outlive_their_limit") {
            inner.limit_hosts(most_hosts);
        }
        Ok(())
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<PoolConfig> {
        self.inner().config()
    }

    /// Makes `tls` the pool's own setup: see [`HotConnPool::update_tls`](crate::HotConnPool::update_tls).
    pub fn update_tls(&self, tls: Tls) {
        let inner = self.inner();
        let retired = inner.identities.renew(tls);
        let ids: HashSet<_> = retired.iter().map(|identity| identity.id).collect();
        let stays = |identity| !ids.contains(&identity) || planted("old_epoch_stays");
        inner.each_host(|host, now| {
            let reason = CloseReason::IdentityRetired;
            host.machine.retain(now, reason, |conn| stays(conn.identity));
        });
        inner.dialler.forget(&ids);
    }

    /// Closes the connections to one host: idle ones now, leased ones when they come home. Answers how many there were. Dials under way go on.
    ///
    /// # Errors
    /// The target is malformed.
    pub fn evict_host<'a>(&self, target: impl IntoTarget<'a>) -> Result<usize, Error> {
        let name = target.name();
        let inner = self.inner();
        let gone = inner.with_target(&name.target()?, |host, now| host.evict(now, |_| true));
        Ok(gone.unwrap_or(0))
    }

    /// As [`evict_host`](Self::evict_host), for one remote address and all hosts.
    pub fn evict_ip(&self, ip: IpAddr) -> usize {
        let ip = match planted("addresses_are_taken_as_written") {
            true => ip,
            false => ip.to_canonical(),
        };
        self.evict(|info| info.remote.ip() == ip)
    }

    /// Keeps the connections that pass and closes the others: idle ones now, leased ones when they come home. Answers how many those are.
    pub fn retain(&self, mut keep: impl FnMut(&ConnInfo) -> bool) -> usize {
        self.evict(|info| keep(info) == planted("retain_closes_what_passes"))
    }

    /// As [`evict_host`](Self::evict_host), and forgets the host with all that was learned of it, unless somebody uses or awaits a connection to it.
    ///
    /// # Errors
    /// The target is malformed.
    pub fn remove<'a>(&self, target: impl IntoTarget<'a>) -> Result<usize, Error> {
        let name = target.name();
        let inner = self.inner();
        let gone = inner.with_target(&name.target()?, |host, now| (host.id, host.evict(now, |_| true)));
        Ok(gone.map_or(0, |(origin, gone)| {
            if !planted("remove_keeps_the_key") {
                inner.forget(origin);
            }
            gone
        }))
    }

    /// Hands nothing out and dials nothing from now on: whoever asks waits, up to its timeout, and nothing is
    /// warmed; who warms already waits, too, if its dials have not begun. What comes home rests.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Goes on after a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        let inner = self.inner();
        // First the flag, which new hosts begin with, then those that are there.
        inner.paused.store(paused, Ordering::Release);
        if !planted("known_hosts_know_no_pause") {
            // Each reads it under its own lock: of two callers at once the later one has the last word everywhere.
            let left = inner.each_host(|host, now| {
                let paused = inner.paused.load(Ordering::Acquire);
                host.machine.set_paused(now, paused);
                match paused {
                    true => Vec::new(),
                    false => host.go_on(now),
                }
            });
            drop(left); // not under the lock: it wakes them
        }
    }

    /// Asks about each connection while no lock is held, then closes those that go.
    fn evict(&self, mut goes: impl FnMut(&ConnInfo) -> bool) -> usize {
        let inner = self.inner();
        let known = inner.each_host(|host, _| (host.id, host.known()));
        let judged = known.into_iter().map(|(origin, conns)| {
            let going = conns.into_iter().filter(|(_, info)| goes(info));
            (origin, going.map(|(conn, _)| conn).collect::<HashSet<_>>())
        });
        judged
            .filter(|(_, going)| !going.is_empty())
            .map(|(origin, going)| {
                let gone = inner.with_host(origin, |host, now| host.evict(now, |conn| going.contains(&conn)));
                gone.unwrap_or(0)
            })
            .sum()
    }
}

impl Host {
    /// What ends each of the live connections. Not to be used under the lock: it may wake somebody.
    pub(super) fn enders(&mut self) -> Vec<Ender> {
        self.lives_mut().map(|live| live.rest.ender()).collect()
    }

    /// Every live connection, with what is known of it.
    fn known(&self) -> Vec<(ConnId, Arc<ConnInfo>)> {
        self.machine
            .connections()
            .filter_map(|conn| Some((conn.conn, Arc::clone(self.info(conn.conn)?))))
            .collect()
    }

    /// Closes what goes: idle connections now, leased ones when they come home. Answers how many those are.
    fn evict(&mut self, now: Moment, goes: impl Fn(ConnId) -> bool) -> usize {
        let mut gone = 0;
        self.machine.retain(now, CloseReason::Removed, |conn| {
            let spared = conn.leases > 0 && planted("eviction_spares_the_leased");
            let goes = conn.retired.is_none() && !spared && goes(conn.conn);
            gone += usize::from(goes);
            !goes
        });
        gone
    }
}

impl Inner {
    /// One act on every host, one shard after the other, then whatever their machines want done.
    pub(super) fn each_host<T>(self: &Arc<Self>, mut act: impl FnMut(&mut Host, Moment) -> T) -> Vec<T> {
        let (mut answers, mut slip) = (Vec::new(), None);
        for shard in self.directory.shards() {
            // One lock for each: who comes meanwhile waits for one act, not for as many as there are hosts. A host that is made after this look
            // finds whatever was set before it.
            let hosts: Vec<OriginId> = shard.lock().hosts().map(|host| host.id).collect();
            for origin in hosts {
                slip.get_or_insert_with(Slip::for_closes);
                answers.extend(self.with_host_and(origin, &mut slip, &mut act));
            }
        }
        answers
    }

    /// Has every host looked at now: by other limits it may be due, and whoever looks arms it by them.
    fn rearm_all(self: &Arc<Self>) {
        let looks = self.each_host(|host, now| (host.id, host.arm_at(now)));
        for (origin, look) in looks {
            self.rearm(origin, look);
        }
    }

    /// Ends every use of what is lent, and every HTTP/2 connection.
    pub(super) fn abort_all(self: &Arc<Self>) {
        let ends = self.each_host(|host, _| host.enders());
        // Not under the lock: each may wake somebody.
        ends.into_iter().flatten().for_each(Ender::end);
    }
}
