//! How one connection comes to be: the name's addresses, then, towards one of them, TCP, TLS with ALPN, and HTTP/2 where that was
//! agreed.

mod baton;
mod by_proxy;
pub(crate) mod plan;
mod progress;
mod tcp;
mod tunnel;

use std::collections::HashSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, debug_span};

pub(crate) use self::baton::{Baton, Turn};
pub(crate) use self::by_proxy::ByProxy;
pub(crate) use self::progress::Progress;
use crate::access::{AddressPolicy, Way};
use crate::clock::{Clock, Moment, before};
use crate::config::PoolConfig;
use crate::conn::{ConnInfo, Driver, H1, Records, Wire, handshake};
use crate::dialer::{DialError, Tcp};
pub(crate) use crate::dns::{Ask, DnsSnapshot, Found};
use crate::dns::{Names, ResolveError};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::Protocol;
use crate::fault::planted;
use crate::identity::IdentityId;
use crate::proxy::ProxyProblem;
use crate::source::{SourceBooks, SourceError, SourceStats};
use crate::sync::{AtomicBool, Ordering};
use crate::target::Target;
use crate::tls::{Connector, Dress};
pub(crate) use crate::tls::{Identities, Interned, Panicked, Tls};
use crate::transport::{Fence, Transport};

/// Makes connections; keeps none.
pub(crate) struct Dialler {
    pub(crate) connector: Connector,
    pub(crate) names: Names,
    pub(crate) policy: AddressPolicy,
    pub(crate) sources: Arc<SourceBooks>,
    pub(crate) proxy: Option<ByProxy>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A connection fresh from its handshake.
pub(crate) struct Dialled {
    pub(crate) wire: Wire,
    /// What has to run for an HTTP/2 connection to move.
    pub(crate) driver: Option<Driver>,
    pub(crate) info: ConnInfo,
}

/// A future that a seam answers with.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One attempt: where to, and until when.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) target: &'a Target<'a>,
    pub(crate) ip: IpAddr,
    pub(crate) identity: &'a Arc<Interned>,
    pub(crate) config: &'a PoolConfig,
    pub(crate) deadline: Moment,
    pub(crate) progress: &'a Progress,
    /// Its share in the race to shake hands.
    pub(crate) turn: Turn<'a>,
    /// Why a tunnel may not end there, by what the pool's owner says at the moment.
    pub(crate) barred: &'a (dyn Fn(IpAddr) -> Option<Error> + Send + Sync),
}

/// Who makes connections: the network, or a script.
pub(crate) trait Connect: Send + Sync + 'static {
    /// The addresses of a name. `early` hears of those that may be dialled while others are still to come.
    ///
    /// # Errors
    /// Names the target, in the phase of resolution.
    fn resolve<'a>(&'a self, ask: Ask<'a>, early: Early<'a>) -> Boxed<'a, Result<Found, Error>>;

    /// A connection. Cancel safe: dropping it closes what it had opened.
    ///
    /// # Errors
    /// Names the target, the address and the phase, a timeout's too.
    fn attempt<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, Result<Dialled, Error>>;

    /// These identities are over: whatever is kept for them (TLS sessions) may go.
    fn forget(&self, identities: &HashSet<IdentityId>);

    /// What is known of names.
    fn snapshot(&self) -> DnsSnapshot;

    /// The network is another one: what is known of names may be wrong.
    fn doubt_names(&self);

    /// Whether all addresses are a proxy's, and those that targets name are not dialled.
    fn way(&self) -> Way;

    /// What is counted of the addresses that connections come from.
    fn sources(&self) -> SourceStats;
}

/// Who hears of a part of an answer.
pub(crate) type Early<'a> = &'a mut (dyn FnMut(&Found) + Send);

impl Connect for Dialler {
    fn resolve<'a>(&'a self, ask: Ask<'a>, early: Early<'a>) -> Boxed<'a, Result<Found, Error>> {
        Box::pin(self.addresses(ask, early))
    }

    fn attempt<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, Result<Dialled, Error>> {
        Box::pin(async move {
            let Attempt {
                target,
                ip,
                deadline,
                progress,
                ..
            } = attempt;
            let until = match attempt.identity.identity.dial {
                Some(_) => dialers_time(deadline),
                None => deadline,
            };
            let detour = AtomicBool::new(false);
            before(&*self.clock, until, pin!(self.establish(attempt, &detour)))
                .await
                .unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, progress.phase())))
                .map_err(|error| error.with_target(target).with_ip(ip))
                .map_err(|error| error.on_a_detour(detour.load(Ordering::Relaxed)))
        })
    }

    fn forget(&self, identities: &HashSet<IdentityId>) {
        self.connector.forget(identities);
    }

    fn snapshot(&self) -> DnsSnapshot {
        self.names.snapshot()
    }

    fn doubt_names(&self) {
        self.names.doubt();
        self.proxy.iter().for_each(ByProxy::doubt);
    }

    fn way(&self) -> Way {
        self.proxy.as_ref().map_or(Way::Direct, ByProxy::way)
    }

    fn sources(&self) -> SourceStats {
        self.sources.stats()
    }
}

impl Dialler {
    /// The addresses of a name, as far as the policy allows them.
    async fn addresses(&self, ask: Ask<'_>, early: Early<'_>) -> Result<Found, Error> {
        let by_proxy = self.proxy.as_ref();
        if let Some(by) = by_proxy.filter(|_| !planted("proxies_have_no_addresses")) {
            return self.proxy_addresses(by, ask, early).await;
        }
        let mut tell = |found: &Found| {
            if let Some(found) = self.allowed(found.clone()) {
                early(&found);
            }
        };
        let found = self.find(ask, &mut tell).await?;
        let denied = || Error::new(ErrorKind::AddressDenied, Phase::Resolve).with_target(ask.target);
        self.allowed(found).ok_or_else(denied)
    }

    /// The addresses of a name, whatever they are.
    async fn find(&self, ask: Ask<'_>, early: Early<'_>) -> Result<Found, Error> {
        self.names.find(ask, early).await.map_err(|problem| {
            let kind = match problem {
                ResolveError::NotFound { .. } => ErrorKind::NameNotFound,
                ResolveError::Timeout => ErrorKind::Timeout,
                ResolveError::Local(_) => ErrorKind::LocalResource,
                ResolveError::Failed(_) => ErrorKind::Resolve,
            };
            let error = Error::new(kind, Phase::Resolve).with_target(ask.target);
            error.with_source(problem)
        })
    }

    fn allowed(&self, mut found: Found) -> Option<Found> {
        let allows = |ip: IpAddr| self.policy.allows(ip) || planted("answers_are_not_judged");
        found.addresses.retain(|&ip| allows(ip));
        (!found.addresses.is_empty()).then_some(found)
    }

    /// One connection; where its profile was the trouble, perhaps another with less of it, and where the proxy did not reach an address of the target's, to another of
    /// them: as many as a dial tries.
    ///
    /// `detour`: whether it goes otherwise than the pool does, and so says nothing of the address to those who go as the pool does.
    async fn establish(&self, attempt: Attempt<'_>, detour: &AtomicBool) -> Result<Dialled, Error> {
        let mut dress = Dress::default();
        let mut refused = Vec::new();
        loop {
            let before = refused.len();
            let error = match self.establish_in(attempt, dress, (&mut refused, detour)).await {
                Ok(dialled) => return Ok(dialled),
                Err(error) => error,
            };
            let tries = before + 1..attempt.config.dial_attempts as usize;
            if tries.contains(&refused.len())
                && let Some(by) = &self.proxy
                && self.end(by, attempt, &refused).await.is_ok()
                && !planted("one_end_stands_for_all")
            {
                continue;
            }
            match self.connector.again(attempt.identity, dress, &error) {
                Some(other) => dress = other,
                None => return Err(error),
            }
        }
    }

    /// A stream to `remote`: by the identity's dialer, or TCP.
    async fn reach(
        &self,
        remote: SocketAddr,
        attempt: Attempt<'_>,
        detour: &AtomicBool,
    ) -> Result<Transport, Error> {
        let Attempt {
            target,
            identity,
            deadline,
            ..
        } = attempt;
        let Some(dialer) = identity
            .identity
            .dial
            .as_ref()
            .filter(|_| !planted("dialers_are_not_asked"))
        else {
            detour.store(identity.detour.is(true), Ordering::Relaxed);
            return self.connect(remote, attempt).await;
        };
        let place = match &self.proxy {
            Some(by) => by.place(),
            None => target,
        };
        let left = deadline.since(self.clock.now());
        let tcp = OwnTcp {
            dialler: self,
            attempt,
            remote,
            asks: AtomicBool::new(false),
            made: AtomicBool::new(false),
            led_there: AtomicBool::new(false),
        };
        // In a box: it is for those who have one.
        let mut dialling = Box::pin(dialer.dial((place, remote), left, &tcp));
        let dialled = before(&*self.clock, dialers_time(deadline), dialling.as_mut()).await;
        // Before it is dropped, and what it waits for with it.
        let asks = tcp.asks.load(Ordering::Relaxed);
        let required = identity.identity.sources.as_ref().filter(|its| its.is_required());
        let made = tcp.made.load(Ordering::Relaxed) || planted("dialers_connect_from_anywhere");
        if required.is_some() && !made && matches!(dialled, Some(Ok(_))) {
            let problem = SourceError::not_asked();
            return Err(Error::new(ErrorKind::Source, Phase::Connect).with_source(problem));
        }
        let by_tcp = match &dialled {
            None => asks,
            // What the pool's TCP itself says of it.
            Some(Err(error))
                if error.kind() != ErrorKind::Dial || planted("errors_of_a_detour_speak_for_everybody") =>
            {
                true
            }
            Some(_) => tcp.led_there.load(Ordering::Relaxed),
        };
        detour.store(identity.detour.is(by_tcp), Ordering::Relaxed);
        dialled.unwrap_or_else(|| {
            let late = Error::new(ErrorKind::Timeout, Phase::Connect);
            match asks || planted("a_dialer_s_own_time_blames_the_address") {
                true => Err(late),
                false => Err(late.with_source(DialError::slow())),
            }
        })
    }

    /// A socket that is connected to `remote`, from a source of the identity's.
    async fn connect(&self, remote: SocketAddr, attempt: Attempt<'_>) -> Result<Transport, Error> {
        let Attempt {
            target,
            identity,
            config,
            ..
        } = attempt;
        let tcp = &config.tcp;
        let Some(policy) = &identity.identity.sources else {
            return Ok(Transport::tcp(tcp::connect(remote, tcp, None).await?, None));
        };
        let error = match policy.lease(&self.sources, target.host(), remote.ip()) {
            Ok(lease) => match tcp::connect(remote, tcp, Some(&lease)).await {
                Ok(stream) => return Ok(Transport::tcp(stream, Some(lease))),
                Err(error) => error,
            },
            Err(problem) => Error::new(ErrorKind::Source, Phase::Connect).with_source(problem),
        };
        if error.kind() != ErrorKind::Source || policy.is_required() {
            return Err(error);
        }
        self.sources.fell_back();
        Ok(Transport::tcp(tcp::connect(remote, tcp, None).await?, None))
    }

    /// Where an attempt goes, if it may.
    async fn place(&self, attempt: Attempt<'_>) -> Result<SocketAddr, Error> {
        let Attempt {
            target, ip, identity, ..
        } = attempt;
        let place = match &self.proxy {
            Some(by) => self.place_of_proxy(by, attempt).await?,
            None if identity.identity.login.is_some() => {
                return Err(tunnel::failed(None, ProxyProblem::NoProxy, Phase::Connect));
            }
            // Again, and of addresses that never were an answer: those that a target or a call names.
            None if !self.policy.allows(ip) && !planted("named_addresses_are_not_judged") => {
                return Err(Error::new(ErrorKind::AddressDenied, Phase::Connect));
            }
            None => target,
        };
        // A zone without an interface is this machine's affair.
        let no_zone = |error| Error::new(ErrorKind::LocalResource, Phase::Connect).with_source(error);
        place.socket_addr(ip).map_err(no_zone)
    }

    async fn establish_in(
        &self,
        attempt: Attempt<'_>,
        dress: Dress,
        (refused, detour): (&mut Vec<IpAddr>, &AtomicBool),
    ) -> Result<Dialled, Error> {
        let Attempt {
            target,
            ip,
            identity,
            config,
            progress,
            turn,
            ..
        } = attempt;
        let io_error = |error| Error::from_io(Phase::Connect, error);
        let tunnel = match &self.proxy {
            Some(by) => Some((by, self.end(by, attempt, refused).await?)),
            None => None,
        };
        let remote = self.place(attempt).await?;
        progress.reach(Phase::Connect);
        let began = self.clock.now();
        let mut transport = self
            .reach(remote, attempt, detour)
            .instrument(debug_span!(target: "hotpool", "connect", %ip))
            .await?;
        let local = transport.local_addr().map_err(io_error)?;
        let connected = self.clock.now();

        turn.pass().await;
        if let Some((by, end)) = tunnel {
            // The network may have changed while it was connected to: by now it may be a stranger's.
            if !planted("logins_go_where_a_proxy_was_when_it_was_dialled") {
                self.place_of_proxy(by, attempt).await?;
            }
            let opening = self.open_tunnel(by, &mut transport, attempt, end);
            let opened = opening.instrument(debug_span!(target: "hotpool", "proxy")).await;
            let no_way = |error: &Error| error.kind() == ErrorKind::ProxyRefused;
            refused.extend(end.ip().filter(|_| opened.as_ref().is_err_and(no_way)));
            opened?;
        }
        let reached = self.clock.now();
        progress.reach(Phase::Tls);
        // What takes kilobytes has a box of its own: one after the other in the same place, which is where the connection is kept then.
        let records = Records::new(transport);
        let securing = self.connector.connect(target, identity, dress, records);
        let securing = Box::pin(securing.instrument(debug_span!(target: "hotpool", "tls")));
        let secured = match planted("a_setup_s_panic_is_everybody_s") {
            true => securing.await,
            false => Fence::new(|| securing)
                .outcome()
                .await
                .unwrap_or_else(|| Err(Panicked.into())),
        };
        let (stream, protocol, tls) = secured?;
        let secured = self.clock.now();

        progress.reach(Phase::Http2);
        let (wire, driver, h2) = match protocol {
            Protocol::Http1 => (
                Wire::H1(Box::new(H1::new(stream, config.reuse_check))),
                None,
                None,
            ),
            Protocol::Http2 => {
                let spec = identity.identity.tls.h2(dress);
                let shaken =
                    handshake(stream, &self.clock, spec).instrument(debug_span!(target: "hotpool", "h2"));
                let (handle, driver, sent) = Box::pin(shaken).await?;
                (Wire::H2(handle), Some(driver), sent)
            }
        };
        let info = ConnInfo {
            serial: 0, // the pool that takes it in numbers it
            target: target.shared_text(),
            remote,
            local,
            protocol,
            profile: identity.identity.tls.profile(dress).cloned(),
            tls,
            h2,
            connect_time: connected.since(began),
            tunnel_time: tunnel.map(|_| reached.since(connected)),
            tunnel_end: tunnel.and_then(|(_, end)| end.ip()),
            tls_time: secured.since(reached),
            hearer: identity.hearer(),
            detour: detour.load(Ordering::Relaxed),
        };
        Ok(Dialled { wire, driver, info })
    }
}

/// The pool's own TCP, as a dialer has it.
struct OwnTcp<'a> {
    dialler: &'a Dialler,
    attempt: Attempt<'a>,
    /// Where the attempt goes.
    remote: SocketAddr,
    /// Whether it connects there now.
    asks: AtomicBool,
    /// Whether it has connected anywhere.
    made: AtomicBool,
    /// Whether it has connected there.
    led_there: AtomicBool,
}

impl Tcp for OwnTcp<'_> {
    fn connect<'a>(&'a self, remote: SocketAddr) -> Boxed<'a, Result<Transport, Error>> {
        Box::pin(async move {
            let there = remote == self.remote;
            let _asks = there.then(|| Asks::begin(&self.asks));
            let made = self.dialler.connect(remote, self.attempt).await?;
            self.made.store(true, Ordering::Relaxed);
            self.led_there.fetch_or(there, Ordering::Relaxed);
            Ok(made)
        })
    }
}

/// True as long as it stands.
struct Asks<'a>(&'a AtomicBool);

impl<'a> Asks<'a> {
    fn begin(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Asks(flag)
    }
}

impl Drop for Asks<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Until when a dialer may take.
fn dialers_time(deadline: Moment) -> Moment {
    match planted("dialers_have_all_the_time") {
        true => Moment::FAR,
        false => deadline,
    }
}

/// How long one attempt may take: the setting, or its share of what is left of the dial.
pub(crate) fn attempt_time(left: Duration, attempts_left: u32, most: Duration) -> Duration {
    most.min(left / attempts_left.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_leaves_time_for_the_others() {
        let second = Duration::from_secs(1);
        assert_eq!(attempt_time(30 * second, 3, 10 * second), 10 * second);
        assert_eq!(attempt_time(5 * second, 2, 10 * second), 5 * second / 2);
        assert_eq!(attempt_time(5 * second, 1, 10 * second), 5 * second);
        assert_eq!(attempt_time(5 * second, 0, 10 * second), 5 * second);
    }
}
