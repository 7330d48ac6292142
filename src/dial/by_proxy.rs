//! What goes through a proxy: whose addresses are dialled, and where a tunnel is to end.

use std::net::IpAddr;

use super::tunnel::{self, End};
use super::{Ask, Attempt, Dialler, Early, Found};
use crate::access::Way;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::proxy::{Proxy, ProxyError, ProxyLogin, ProxyNames, ProxyProblem};
use crate::sync::Mutex;
use crate::target::Target;
use crate::transport::Transport;

/// The proxy of a pool.
pub(crate) struct ByProxy {
    proxy: Proxy,
    known: Mutex<Known>,
}

/// The addresses that a proxy's name has, by any answer that may still be used: nothing is sent to any other, whoever names it, for a login may be among the
/// first octets. A name that answers with another record each time has as many as it gave in that time, and hosts that asked earlier still dial theirs.
#[derive(Default)]
struct Known {
    addresses: Vec<(IpAddr, Moment)>,
    /// How often the network has changed.
    network: u64,
}

/// No more of them are known; those that are soonest over make room. One that is not known any more is asked for again when it is dialled.
const MOST_KNOWN: usize = 256;

impl Known {
    /// Takes in what was asked in that network. False if it is another one by now.
    fn learn(&mut self, now: Moment, network: u64, found: &Found) -> bool {
        if self.network != network {
            return false;
        }
        let known = &mut self.addresses;
        if planted("a_proxy_has_the_records_of_its_last_answer") {
            known.clear();
        }
        known.retain(|&(_, until)| now < until);
        for &ip in &found.addresses {
            match known.iter_mut().find(|(known, _)| *known == ip) {
                Some((_, until)) => *until = found.usable_until.max(*until),
                None => known.push((ip, found.usable_until)),
            }
        }
        if known.len() > MOST_KNOWN {
            known.sort_by_key(|&(_, until)| std::cmp::Reverse(until));
            known.truncate(MOST_KNOWN);
        }
        true
    }

    fn has(&self, now: Moment, ip: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|&(known, until)| known == ip && now < until)
    }

    /// The network is another one: its name may have other addresses there, and those of before may be strangers'.
    fn doubt(&mut self) {
        self.network += 1;
        if !planted("a_proxy_is_where_it_was_in_the_network_before") {
            self.addresses.clear();
        }
    }
}

impl ByProxy {
    pub(super) fn place(&self) -> &Target<'static> {
        self.proxy.place()
    }

    pub(crate) fn new(proxy: Proxy) -> Self {
        ByProxy {
            proxy,
            known: Mutex::default(),
        }
    }

    /// What may be known here of where its tunnels end.
    pub(super) fn way(&self) -> Way {
        match self.proxy.resolver() {
            ProxyNames::Local => Way::Tunnel,
            ProxyNames::Remote => Way::Unseen,
        }
    }

    /// The network is another one: none of its name's addresses is known until name servers have been asked there.
    pub(super) fn doubt(&self) {
        self.known.lock().doubt();
    }
}

impl Dialler {
    /// The addresses of the proxy, which all connections go to. Its owner has named it: no policy judges them. Nor does what another network said count where
    /// name servers fail, as it would for an origin, which proves by TLS who it is.
    pub(super) async fn proxy_addresses(
        &self,
        by: &ByProxy,
        ask: Ask<'_>,
        early: Early<'_>,
    ) -> Result<Found, Error> {
        let place = by.proxy.place();
        if let Some(ip) = place.ip() {
            return Ok(Found {
                addresses: vec![ip],
                fresh_until: Moment::FAR,
                usable_until: Moment::FAR,
                whole: true,
                stale: false,
                kept_v6: None,
                foreign: false,
            });
        }
        let unresolved = || {
            let problem = ProxyError::new(Some(&by.proxy), ProxyProblem::Name);
            move |error: Error| error.with_target(ask.target).with_source(problem)
        };
        loop {
            let network = by.known.lock().network;
            let learn = |found: &Found| {
                let now = self.clock.now_coarse();
                by.known.lock().learn(now, network, found)
            };
            let mut tell = |found: &Found| {
                if let Some(found) = found.of_here().filter(|found| learn(found)) {
                    early(&found);
                }
            };
            let found = self.find(Ask { target: place, ..ask }, &mut tell).await;
            let found = found.map_err(unresolved())?.of_here();
            let none = || Error::new(ErrorKind::Resolve, Phase::Resolve);
            let found = found.ok_or_else(none).map_err(unresolved())?;
            if learn(&found) {
                return Ok(found);
            }
            // The network is another one since. There is an end to it: the deadline stays.
        }
    }

    /// The proxy, if an attempt goes to an address of its own. One that no answer has named yet is asked for: a call may name it before any other is made.
    pub(super) async fn place_of_proxy<'a>(
        &self,
        by: &'a ByProxy,
        attempt: Attempt<'_>,
    ) -> Result<&'a Target<'static>, Error> {
        let Attempt { ip, progress, .. } = attempt;
        let place = by.proxy.place();
        let knows = || match place.ip() {
            Some(own) => own == ip,
            None => by.known.lock().has(self.clock.now_coarse(), ip),
        };
        if place.ip().is_none() && !knows() && !planted("who_names_a_proxy_s_address_must_wait_for_another") {
            progress.reach(Phase::Resolve);
            self.proxy_addresses(by, attempt.ask(), &mut |_| {}).await?;
        }
        if !knows() && !planted("logins_are_shown_to_strangers") {
            let problem = ProxyProblem::NotItsAddress;
            return Err(tunnel::failed(Some(&by.proxy), problem, Phase::Connect));
        }
        Ok(place)
    }

    /// Where the tunnel of an attempt is to end, as far as the policy and the owner allow that: at none that the proxy has `refused`.
    pub(super) async fn end<'a>(
        &self,
        by: &ByProxy,
        attempt: Attempt<'a>,
        refused: &[IpAddr],
    ) -> Result<End<'a>, Error> {
        let Attempt {
            target,
            progress,
            barred,
            ..
        } = attempt;
        if target.zone().is_some() && !planted("zones_are_dropped_in_tunnels") {
            return Err(tunnel::failed(
                Some(&by.proxy),
                ProxyProblem::Zone,
                Phase::Resolve,
            ));
        }
        let denied = || Error::new(ErrorKind::AddressDenied, Phase::Resolve);
        let named = target.ip().map(|ip| vec![ip]);
        if let (None, Way::Unseen) = (&named, by.way()) {
            return Ok(End::Name(target.host(), target.port()));
        }
        let addresses = match named {
            Some(named) => named.into_iter().filter(|&ip| self.policy.allows(ip)).collect(),
            None => {
                progress.reach(Phase::Resolve);
                let found = self.find(attempt.ask(), &mut |_| {}).await?;
                self.allowed(found).ok_or_else(denied)?.addresses
            }
        };
        // Whether the proxy has IPv6 nobody here knows.
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        let mut refusal = None;
        for ip in v4.into_iter().chain(v6).filter(|ip| !refused.contains(ip)) {
            match barred(ip) {
                None => return Ok(End::Ip(ip, target.port())),
                Some(error) => refusal = refusal.or(Some(error.with_phase(Phase::Resolve))),
            }
        }
        Err(refusal.unwrap_or_else(denied))
    }

    /// Opens the tunnel. Cancel safe, as its caller drops the stream.
    pub(super) async fn open_tunnel(
        &self,
        by: &ByProxy,
        stream: &mut Transport,
        attempt: Attempt<'_>,
        end: End<'_>,
    ) -> Result<(), Error> {
        attempt.progress.reach(Phase::Proxy);
        let login = attempt.identity.identity.login.as_ref();
        if planted("logins_are_logged") {
            tracing::trace!(target: "hotpool", login = login.map(ProxyLogin::password), "a login");
        }
        tunnel::open(stream, &by.proxy, login, end).await
    }
}

impl<'a> Attempt<'a> {
    /// The question for a name, within its time.
    fn ask(&self) -> Ask<'a> {
        Ask {
            target: self.target,
            deadline: self.deadline,
            refresh: self.config.dns_refresh,
            stale: self.config.dns_stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_any_answer_said_is_known_until_it_is_over_and_no_more_than_so_many() {
        let at = |seconds| Moment::ZERO + Duration::from_secs(seconds);
        let ip = |n: u32| IpAddr::from(n.to_be_bytes());
        let found = |n, until| Found {
            addresses: vec![ip(n)],
            fresh_until: at(until),
            usable_until: at(until),
            whole: true,
            stale: false,
            kept_v6: None,
            foreign: false,
        };
        let mut known = Known::default();
        known.learn(at(0), 0, &found(1, 10));
        known.learn(at(1), 0, &found(2, 20));
        known.learn(at(1), 0, &found(1, 5));
        assert!(known.has(at(9), ip(1)) && known.has(at(9), ip(2)));
        assert!(!known.has(at(10), ip(1)) && known.has(at(19), ip(2)));
        known.learn(at(10), 0, &found(3, 20));
        assert_eq!(known.addresses.len(), 2, "what is over is not kept");
        for n in 0..1_000 {
            known.learn(at(10), 0, &found(100 + n, 100 + u64::from(n)));
        }
        assert_eq!(known.addresses.len(), MOST_KNOWN);
        assert!(known.has(at(11), ip(1_099)) && !known.has(at(11), ip(2)));
        // In another network nothing is known, whatever comes late from the one before.
        known.doubt();
        assert!(!known.has(at(11), ip(1_099)));
        assert!(!known.learn(at(11), 0, &found(1, 20)) && !known.has(at(11), ip(1)));
        assert!(known.learn(at(11), 1, &found(1, 20)) && known.has(at(11), ip(1)));
    }
}
