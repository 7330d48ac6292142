//! How one connection comes to be: the name's addresses, then, towards one of them, TCP, TLS with ALPN, and HTTP/2 where that was
//! agreed.

mod progress;
mod tcp;

use std::collections::HashSet;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::progress::Progress;
use crate::access::AddressPolicy;
use crate::clock::{Clock, Moment, before};
use crate::config::ReuseCheck;
use crate::conn::{ConnInfo, Driver, H1, Records, Wire, handshake};
pub(crate) use crate::dns::Answer;
use crate::dns::{Resolve, ResolveError};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::Protocol;
use crate::fault::planted;
use crate::identity::IdentityId;
use crate::target::Target;
use crate::tls::{Connector, Dress};
pub(crate) use crate::tls::{Identities, Interned, Tls};

/// Makes connections; keeps none.
pub(crate) struct Dialler {
    pub(crate) connector: Connector,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) policy: AddressPolicy,
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
    pub(crate) check: ReuseCheck,
    pub(crate) deadline: Moment,
    pub(crate) progress: &'a Progress,
}

/// Who makes connections: the network, or a script.
pub(crate) trait Connect: Send + Sync + 'static {
    /// The addresses of `target`.
    fn resolve<'a>(&'a self, target: &'a Target<'a>, deadline: Moment) -> Boxed<'a, Result<Answer, Error>>;

    /// A connection. Cancel safe: dropping it closes what it had opened.
    ///
    /// # Errors
    /// Names the target, the address and the phase, a timeout's too.
    fn attempt<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, Result<Dialled, Error>>;

    /// These identities are over: whatever is kept for them (TLS sessions) may go.
    fn forget(&self, identities: &HashSet<IdentityId>);
}

impl Connect for Dialler {
    fn resolve<'a>(&'a self, target: &'a Target<'a>, deadline: Moment) -> Boxed<'a, Result<Answer, Error>> {
        Box::pin(self.addresses(target, deadline))
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
            before(&*self.clock, deadline, pin!(self.establish(attempt)))
                .await
                .unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, progress.phase())))
                .map_err(|error| error.with_target(target).with_ip(ip))
        })
    }

    fn forget(&self, identities: &HashSet<IdentityId>) {
        self.connector.forget(identities);
    }
}

impl Dialler {
    /// The addresses of `target`: its own if it is a literal, else what the resolver says before `deadline`.
    async fn addresses(&self, target: &Target<'_>, deadline: Moment) -> Result<Answer, Error> {
        let error = |kind| Error::new(kind, Phase::Resolve).with_target(target);
        let question = self.resolver.resolve(target.host(), target.port());
        match before(&*self.clock, deadline, question).await {
            None => Err(error(ErrorKind::Timeout)),
            Some(Ok(answer)) if answer.addresses.is_empty() => Err(error(ErrorKind::NameNotFound)),
            Some(Ok(answer)) => match usable(&answer.addresses, &self.policy) {
                none if none.is_empty() => Err(error(ErrorKind::AddressDenied)),
                addresses => Ok(Answer { addresses, ..answer }),
            },
            Some(Err(problem)) => {
                let kind = match problem {
                    ResolveError::NotFound => ErrorKind::NameNotFound,
                    ResolveError::Timeout => ErrorKind::Timeout,
                    ResolveError::Failed(_) => ErrorKind::Resolve,
                };
                Err(error(kind).with_source(problem))
            }
        }
    }

    /// One connection; where its profile was the trouble, perhaps another with less of it.
    async fn establish(&self, attempt: Attempt<'_>) -> Result<Dialled, Error> {
        let mut dress = Dress::default();
        loop {
            let error = match self.establish_in(attempt, dress).await {
                Ok(dialled) => return Ok(dialled),
                Err(error) => error,
            };
            match self.connector.again(attempt.identity, dress, &error) {
                Some(other) => dress = other,
                None => return Err(error),
            }
        }
    }

    async fn establish_in(&self, attempt: Attempt<'_>, dress: Dress) -> Result<Dialled, Error> {
        let Attempt {
            target,
            ip,
            identity,
            check,
            progress,
            ..
        } = attempt;
        let io_error = |error| Error::from_io(Phase::Connect, error);
        progress.reach(Phase::Connect);
        // Again, and of addresses that never were an answer: those that a target or a call names.
        if !self.policy.allows(ip) && !planted("named_addresses_are_not_judged") {
            return Err(Error::new(ErrorKind::AddressDenied, Phase::Connect));
        }
        let began = self.clock.now();
        // A zone without an interface is this machine's affair.
        let no_zone = |error| Error::new(ErrorKind::LocalResource, Phase::Connect).with_source(error);
        let remote = target.socket_addr(ip).map_err(no_zone)?;
        let stream = tcp::connect(remote).await.map_err(io_error)?;
        let local = stream.local_addr().map_err(io_error)?;
        let connected = self.clock.now();

        progress.reach(Phase::Tls);
        let (stream, protocol, tls) = self
            .connector
            .connect(target, identity, dress, Records::new(stream))
            .await?;
        let secured = self.clock.now();

        progress.reach(Phase::Http2);
        let (wire, driver) = match protocol {
            Protocol::Http1 => (Wire::H1(Box::new(H1::new(stream, check))), None),
            Protocol::Http2 => {
                let (handle, driver) = handshake(stream, &self.clock).await?;
                (Wire::H2(handle), Some(driver))
            }
        };
        let info = ConnInfo {
            serial: 0, // the pool that takes it in numbers it
            target: target.as_str().into(),
            remote,
            local,
            protocol,
            tls,
            connect_time: connected.since(began),
            tls_time: secured.since(connected),
        };
        Ok(Dialled { wire, driver, info })
    }
}

/// How many addresses of one name are used.
const MOST_ADDRESSES: usize = 32;

/// An answer's addresses that the policy allows, each once and in its one form: an IPv4 address that came mapped into IPv6 counts as itself.
fn usable(addresses: &[IpAddr], policy: &AddressPolicy) -> Vec<IpAddr> {
    let mut usable = Vec::new();
    for ip in addresses.iter().map(IpAddr::to_canonical) {
        let allowed = policy.allows(ip) || planted("answers_are_not_judged");
        if allowed && !usable.contains(&ip) && usable.len() < MOST_ADDRESSES {
            usable.push(ip);
        }
    }
    usable
}

/// How long one attempt may take: the setting, or its share of what is left of the dial.
pub(crate) fn attempt_time(left: Duration, attempts_left: u32, most: Duration) -> Duration {
    most.min(left / attempts_left.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_used_once_in_their_own_form_and_not_without_end() {
        let plain: IpAddr = "192.0.2.1".parse().expect("an address");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        let all = AddressPolicy::allow_all();
        assert_eq!(usable(&[mapped, plain], &all), [plain]);
        let many: Vec<IpAddr> = (0..1000_u32)
            .map(|n| std::net::Ipv4Addr::from(n).into())
            .collect();
        assert_eq!(usable(&many, &all), &many[..32]);
    }

    #[test]
    fn an_attempt_leaves_time_for_the_others() {
        let second = Duration::from_secs(1);
        assert_eq!(attempt_time(30 * second, 3, 10 * second), 10 * second);
        assert_eq!(attempt_time(5 * second, 2, 10 * second), 5 * second / 2);
        assert_eq!(attempt_time(5 * second, 1, 10 * second), 5 * second);
        assert_eq!(attempt_time(5 * second, 0, 10 * second), 5 * second);
    }
}
