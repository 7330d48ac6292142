//! What goes through a proxy: whose addresses are dialled, and where a tunnel is to end.

use std::net::IpAddr;

use super::tunnel::{self, End};
use super::{Ask, Attempt, Dialler, Early, Found};
use crate::clock::Moment;
use crate::conn::Socket;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::proxy::{Proxy, ProxyError, ProxyLogin, ProxyNames, ProxyProblem};
use crate::sync::Mutex;
use crate::target::Target;

/// The proxy of a pool.
pub(crate) struct ByProxy {
    proxy: Proxy,
    /// The addresses that its name has. Nothing is sent to any other, whoever names it: a login may be among the first octets.
    known: Mutex<Vec<IpAddr>>,
}

impl ByProxy {
    pub(crate) fn new(proxy: Proxy) -> Self {
        ByProxy {
            proxy,
            known: Mutex::default(),
        }
    }

    /// The proxy, if this is an address of its own.
    pub(super) fn at(&self, ip: IpAddr) -> Result<&Target<'static>, Error> {
        if !self.known.lock().contains(&ip) && !planted("logins_are_shown_to_strangers") {
            let problem = ProxyProblem::NotItsAddress;
            return Err(tunnel::failed(Some(&self.proxy), problem, Phase::Connect));
        }
        Ok(self.proxy.place())
    }
}

impl Dialler {
    /// The addresses of the proxy, which all connections go to. Its owner has named it: no policy judges them.
    pub(super) async fn proxy_addresses(
        &self,
        by: &ByProxy,
        ask: Ask<'_>,
        early: Early<'_>,
    ) -> Result<Found, Error> {
        let place = by.proxy.place();
        if let Some(ip) = place.ip() {
            *by.known.lock() = vec![ip];
            return Ok(Found {
                addresses: vec![ip],
                fresh_until: Moment::FAR,
                usable_until: Moment::FAR,
                whole: true,
                stale: false,
                kept_v6: None,
            });
        }
        let mut tell = |found: &Found| {
            by.known.lock().extend(&found.addresses);
            early(found);
        };
        let found = self.find(Ask { target: place, ..ask }, &mut tell).await;
        let found = found.map_err(|error| {
            let unresolved = ProxyError::new(Some(&by.proxy), ProxyProblem::Name);
            error.with_target(ask.target).with_source(unresolved)
        })?;
        by.known.lock().clone_from(&found.addresses);
        Ok(found)
    }

    /// Where the tunnel of an attempt is to end, as far as the policy allows that.
    pub(super) async fn end<'a>(&self, by: &ByProxy, attempt: Attempt<'a>) -> Result<End<'a>, Error> {
        let Attempt {
            target,
            config,
            deadline,
            progress,
            ..
        } = attempt;
        let denied = || Error::new(ErrorKind::AddressDenied, Phase::Resolve);
        if let Some(ip) = target.ip() {
            let end = End::Ip(ip, target.port());
            return self.policy.allows(ip).then_some(end).ok_or_else(denied);
        }
        if by.proxy.resolver() == ProxyNames::Remote {
            return Ok(End::Name(target.host(), target.port()));
        }
        progress.reach(Phase::Resolve);
        let ask = Ask {
            target,
            deadline,
            refresh: config.dns_refresh,
            stale: config.dns_stale,
        };
        let found = self.find(ask, &mut |_| {}).await?;
        let addresses = self.allowed(found).ok_or_else(denied)?.addresses;
        // Whether the proxy has IPv6 nobody here knows.
        let v4 = addresses.iter().find(|ip| ip.is_ipv4());
        let ip = v4.or(addresses.first()).ok_or_else(denied)?;
        Ok(End::Ip(*ip, target.port()))
    }

    /// Opens the tunnel. Cancel safe, as its caller drops the socket.
    pub(super) async fn open_tunnel(
        &self,
        by: &ByProxy,
        socket: &mut Socket,
        attempt: Attempt<'_>,
        end: End<'_>,
    ) -> Result<(), Error> {
        attempt.progress.reach(Phase::Proxy);
        let login = attempt.identity.identity.login.as_ref();
        if planted("logins_are_logged") {
            tracing::trace!(target: "hotpool", login = login.map(ProxyLogin::password), "a login");
        }
        tunnel::open(socket, &by.proxy, login, end).await
    }
}
