//! What one `get` may ask for beside its target.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dialer::{Dial, DialedBy};
use crate::identity::{Brought, Partition, Require};
use crate::manager::{Order, Validator};
use crate::proxy::ProxyLogin;
use crate::source::SourcePolicy;
use crate::tls::Tls;

/// Options of one call.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use hotpool::{GetOptions, Require, StatusValidator};
///
/// let options = GetOptions::new().require(Require::Http1).timeout(Duration::from_secs(2));
/// assert_eq!(options.get_timeout(), Some(Duration::from_secs(2)));
///
/// // Only a connection over which the server is well now.
/// let checked = GetOptions::new().validate(Arc::new(StatusValidator::new("/healthz")?));
/// # let _ = (options, checked);
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct GetOptions {
    pub(super) order: Order,
    pub(super) validator: Option<Judges>,
}

/// Who judges the connection of one call.
#[derive(Clone)]
pub(super) struct Judges(pub(super) Arc<dyn Validator>);

impl std::fmt::Debug for Judges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Validator")
    }
}

impl GetOptions {
    /// The pool's defaults.
    pub fn new() -> Self {
        GetOptions::default()
    }

    /// Which protocols will do. Requiring one offers that one alone, so such connections are kept apart from the others.
    /// An address that does not speak it is not blocked for that: whoever asks for less may have it.
    pub fn require(mut self, require: Require) -> Self {
        self.order.require = require;
        self
    }

    /// Keeps this caller's connections and TLS sessions from everybody else's: only calls with an equal text share them. What the text means is
    /// the caller's affair; logs show its first characters alone. Without one, calls share what is the pool's.
    pub fn partition(mut self, partition: impl Into<Arc<str>>) -> Self {
        self.brought().partition = Some(Partition::new(partition.into()));
        self
    }

    /// Another TLS setup than the pool's own. Only calls with an equal one share connections and sessions; a setup that is
    /// brought is set apart from the pool's own, even if the two are equal, and outlives [`update_tls`](crate::HotConnPool::update_tls).
    /// What it does not accept (a certificate), or is not accepted for, blocks no address, since other setups may be served there: in the handshake or later, as a server of
    /// TLS 1.3 refuses a client's certificate only when that is over here (RFC 8446, section 4.4.2.4), and over HTTP/2 as well. A caller's own [report](crate::HotConn::report) is
    /// heeded, whatever it is of.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.brought().tls = Some(tls);
        self
    }

    /// Other sources than the pool's own; none: what the system chooses. Only calls with an equal policy share connections. What an address says to one
    /// source, a 403 say, bars it to all: see [`SourcePolicy`].
    pub fn sources(mut self, sources: impl Into<Option<SourcePolicy>>) -> Self {
        self.brought().sources = Some(sources.into());
        self
    }

    /// Another login at the pool's proxy than the pool's own; none: nobody in particular. Only calls with an equal one share connections. Where the pool has no
    /// proxy, a call with a login fails.
    pub fn proxy_login(mut self, login: impl Into<Option<ProxyLogin>>) -> Self {
        self.brought().login = Some(login.into());
        self
    }

    /// Another dialer than the pool's own; none: the pool's own TCP. Only calls with the same one share connections: a clone of an `Arc` is the same. One that opens a
    /// tunnel makes a [proxy](crate::proxy) of this call's own.
    ///
    /// An address answers for one way to it, the pool's own: by the pool's dialer, or by TCP if it has none. A call that goes otherwise concerns nobody who does not: what its
    /// dialer says ([`DialError::address`](crate::DialError::address) as well), how TCP, TLS, HTTP/2 or a [validation](crate::Validator) fail on its way, and what is
    /// [reported](crate::HotConn::report) of such a connection, a 403 among it, is held against no address, nor does its success clear one. To a pool without a dialer
    /// [`DialTo::connect`](crate::DialTo::connect) is the pool's own way: what it says, and what is met over a stream that it made, counts as without a dialer.
    ///
    /// What is held against an address is heeded by all, whichever way they take: what fails behind a dialer of the pool's bars calls that go by none, and what fails by TCP those
    /// that have a dialer. Two ways that are to know nothing of each other are two pools.
    pub fn dial(mut self, dial: Option<Arc<dyn Dial>>) -> Self {
        self.brought().dial = Some(dial.map(DialedBy));
        self
    }

    fn brought(&mut self) -> &mut Brought<Tls> {
        self.order.brought.get_or_insert_default()
    }

    /// Only a connection to this address will do. It need not be one that the target's name resolves to. Where the pool has a proxy, it is the proxy's address
    /// that is meant, and must be one of those. One that the name does not lead to, and that is blocked, is not tried by the pool itself
    /// ([`blacklist_interval`](crate::PoolConfig::blacklist_interval)).
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.order.pin = Some(ip.to_canonical());
        self
    }

    /// Has the connection of a `get` judged before it is handed out, whether it is new or had rested, beside whatever the pool's own
    /// [`validator`](crate::Builder::validator) said when it was dialled. Within the time of the call, and each connection within
    /// [`attempt_timeout`](crate::PoolConfig::attempt_timeout).
    ///
    /// The verdict is held against the address as the pool's own would be; that the call's own time was over before is not. Where it blocks, or the connection fails, another connection is judged, as many
    /// as a dial may try addresses; where it backs off the call fails. A call that is dropped meanwhile closes its connection on HTTP/1.1, as any exchange that is
    /// given up does. Of no effect on [`try_get_with`](crate::HotConnPool::try_get_with) and [`warm`](crate::HotConnPool::warm), which ask nobody.
    pub fn validate(mut self, validator: Arc<dyn Validator>) -> Self {
        self.validator = Some(Judges(validator));
        self
    }

    /// How long the call may take in all, in place of `acquire_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.order.timeout = Some(timeout);
        self
    }

    /// What [`timeout`](Self::timeout) said, if it did: for whoever asks several times and has one time for all.
    pub fn get_timeout(&self) -> Option<Duration> {
        self.order.timeout
    }
}
