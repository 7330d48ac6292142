//! The pool's settings: limits, ages and deadlines, with defaults that are safe for a stranger's server.

mod tcp;

use std::time::Duration;

use http::uri::PathAndQuery;

pub use self::tcp::{SocketOptionError, TcpProfile};
use crate::error::ConfigError;

/// The settings of a pool.
///
/// Every field has a default; change what you need:
///
/// ```
/// let mut config = hotpool::PoolConfig::default();
/// config.max_per_host = 4;
/// config.idle_timeout = std::time::Duration::from_secs(20);
/// ```
///
/// With the `serde` feature it is read from any format, missing fields take their defaults, unknown ones are an
/// error, and durations are written as people do (`"90s"`, `"5m"`).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Connections in the whole pool, those being dialled included. Default 100.
    pub max_connections: u32,
    /// Connections to one origin (host and port), those being dialled included. Default 10.
    pub max_per_host: u32,
    /// Connections to one remote address, over all origins. Default 10.
    pub max_per_ip: u32,
    /// Idle connections kept for one origin; a surplus one is closed when it comes home. Zero keeps none. Default 10.
    pub max_idle_per_host: u32,
    /// Idle connections that the pool holds ready for each origin that somebody asked for within `max_lifetime`, as far as the other limits leave
    /// room and permits are free. They are dialled as the pool itself goes out, at every turn of the health check: with its own TLS setup, from its sources, with its login, by
    /// its dialer. An origin that is only asked for with others of a call's own has none. Default 0.
    pub min_idle: u32,
    /// How many of an origin's connections may be replaced at once while they are still there, in percent: idle ones of the minimum that will be
    /// over by the next turn. 1 to 100. Default 10.
    pub rotation_share: u8,
    /// Callers that may wait for a connection of one origin. Default 10,000.
    pub max_waiters: u32,
    /// Hosts that the pool knows at once. One more, and the one that was least recently used is forgotten, with its idle connections and what is held against its
    /// addresses, a 403 among it. Default 10,000.
    pub max_hosts: u32,
    /// Dials under way in the whole pool. Default 64.
    pub max_dials: u32,
    /// Addresses that one dial tries, at the most. Default 3.
    pub dial_attempts: u32,
    /// How long one `get` may take in all. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub acquire_timeout: Duration,
    /// How long one dial may take in all: it goes on when the `get` that asked for it has gone. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub connect_timeout: Duration,
    /// How long one address may take within a dial, TCP and TLS together; less where the dial's own time, shared among its attempts, is less.
    /// Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub attempt_timeout: Duration,
    /// How long one address may take to connect before the next one is tried beside it (RFC 8305, section 5): at least 10 ms. Default 250 ms.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub race_delay: Duration,
    /// A name is asked again after so long, however long its answer holds. Default 30 min.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub dns_refresh: Duration,
    /// How long an answer serves beyond its time where the name servers fail to give another (RFC 8767). Zero: not at all. Default 1 h.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub dns_stale: Duration,
    /// How long a connection may stay idle. A lease in which nothing is read or written is no use: to the peer it was idle all the while. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub idle_timeout: Duration,
    /// How old a connection may grow; less up to [`lifetime_jitter`](Self::lifetime_jitter) percent, drawn at its birth, so that
    /// connections born together do not all end together. Default 300 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max_lifetime: Duration,
    /// The largest share of its lifetime that a connection may lose by the draw, in percent: 0 to 100. Default 10.
    pub lifetime_jitter: u8,
    /// Streams that one HTTP/2 connection carries at once, if its peer allows as many. Default 100.
    pub h2_max_streams: u32,
    /// When an origin that speaks HTTP/2 gets a further connection. Default [`H2Growth::OnSaturation`].
    pub h2_growth: H2Growth,
    /// Which of an origin's addresses serves next. Default [`Selection::Spread`].
    pub selection: Selection,
    /// What happens to a `get` when every address is blocked. Default [`AllBlocked::Fail`].
    pub all_blocked: AllBlocked,
    /// How hard an HTTP/1.1 connection is looked at before it is used again. Default [`ReuseCheck::Readiness`].
    pub reuse_check: ReuseCheck,
    /// What the sockets are like. Default: see [`TcpProfile`].
    pub tcp: TcpProfile,
    /// How often idle connections are looked at (at least 10 ms apart), those of HTTP/2 by a PING: one that stays without an answer for five seconds is closed, and takes no
    /// new streams until then. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub health_interval: Duration,
    /// What is asked for over idle HTTP/1.1 connections at every turn of the health check, by HEAD: a path, which begins with `/`. One that is not
    /// answered in full within five seconds is closed; any status will do. Default none: such a connection is looked at, and one whose peer has
    /// vanished without a word is noticed by [keepalive](TcpProfile::keepalive).
    pub health_request: Option<String>,
    /// How often the pool's own [`CleanupPolicy`](crate::CleanupPolicy) is asked, and open descriptors are counted. What is due by its age goes
    /// within a second, whatever this says. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub cleanup_interval: Duration,
    /// How long an address is blocked (by a 403, say) before the pool itself tries it, ten addresses at once; after each try in vain twice as long, up
    /// to sixteen times this. A connection that comes about, verified and allowed by the [`Validator`](crate::Validator) if there is one, ends the
    /// block and goes into the pool. Whoever heard of the block is who tries it: with the same TLS setup, from the same sources, with the same login, by the same dialer. Where
    /// that was a call's own, and nothing of that call is left, the block ends by its time. So does that of an address which the name is known not to lead to, because it
    /// has lost it or only calls [named](crate::GetOptions::ip) it: what came of a try would be lent to whoever asks. Default 300 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub blacklist_interval: Duration,
    /// How long a lease may be out before it is reported as leaked, once, with the place where it was asked for. The lease itself is left
    /// alone. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub leak_timeout: Duration,
    /// How long [`close`](crate::HotConnPool::close) may take in all. Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub close_timeout: Duration,
}

/// When an origin that speaks HTTP/2 gets a further connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum H2Growth {
    /// Never: whoever finds the one connection full waits.
    Single,
    /// When every connection is full, up to the caps.
    #[default]
    OnSaturation,
    /// First one connection on every known address, then as [`OnSaturation`](H2Growth::OnSaturation).
    PerIp,
}

/// Which of an origin's addresses serves next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Selection {
    /// The address with the least connections in use.
    #[default]
    Spread,
    /// Each address in turn.
    RoundRobin,
    /// Any address, evenly, from a seeded generator.
    Random,
    /// The connection used last, wherever it goes.
    PreferHot,
}

/// What happens to a `get` when every address is blocked by what failed there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum AllBlocked {
    /// It fails at once with [`ErrorKind::Blocked`](crate::ErrorKind::Blocked), and says until when.
    #[default]
    Fail,
    /// The address whose block ends first is dialled, by one dial at a time: of those that this origin blocks, and of those that the whole pool does. One that
    /// has told us to stay away comes behind all that the pool blocks.
    ProbeLeastBad,
}

/// How hard an HTTP/1.1 connection is looked at before it is used again, for bytes that its peer sent unasked.
///
/// Such bytes close it ([`CloseReason::StrayBytes`](crate::CloseReason::StrayBytes)) and reach no caller. What neither check can see, nor
/// anybody else: a byte that arrives after the next request was written. It cannot be told from that request's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ReuseCheck {
    /// At hand-out, every byte that the runtime's reactor had delivered by then, half a TLS record included. No system call.
    #[default]
    Readiness,
    /// That, and every byte that is in the socket when the first byte of a request is written, for one `recv` each time. The write then fails
    /// with [`InvalidData`](std::io::ErrorKind::InvalidData), or with [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) if the
    /// peer had closed: nothing of the request was sent, and another connection may have it.
    /// A stream that a [`Dial`](crate::Dial) made has no such socket: there it is as `Readiness`.
    Peek,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            max_connections: 100,
            max_per_host: 10,
            max_per_ip: 10,
            max_idle_per_host: 10,
            min_idle: 0,
            rotation_share: 10,
            max_waiters: 10_000,
            max_hosts: 10_000,
            max_dials: 64,
            dial_attempts: 3,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            race_delay: Duration::from_millis(250),
            dns_refresh: Duration::from_secs(1800),
            dns_stale: Duration::from_secs(3600),
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(300),
            lifetime_jitter: 10,
            h2_max_streams: 100,
            h2_growth: H2Growth::OnSaturation,
            selection: Selection::Spread,
            all_blocked: AllBlocked::Fail,
            reuse_check: ReuseCheck::Readiness,
            tcp: TcpProfile::default(),
            health_interval: Duration::from_secs(30),
            health_request: None,
            cleanup_interval: Duration::from_secs(60),
            blacklist_interval: Duration::from_secs(300),
            leak_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(10),
        }
    }
}

/// The longest duration a setting may have: what a 64-bit count of nanoseconds holds, halved for sums.
const LONGEST: Duration = Duration::from_nanos(u64::MAX / 2);

/// What RFC 8305, section 5, allows between two connects; and jobs that rested for less would do nothing else.
const SHORTEST: Duration = Duration::from_millis(10);

impl PoolConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is zero where it may not be, or too large.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, count) in [
            ("max_connections", self.max_connections),
            ("max_per_host", self.max_per_host),
            ("max_per_ip", self.max_per_ip),
            ("max_waiters", self.max_waiters),
            ("max_hosts", self.max_hosts),
            ("max_dials", self.max_dials),
            ("dial_attempts", self.dial_attempts),
            ("h2_max_streams", self.h2_max_streams),
        ] {
            if count == 0 {
                return Err(ConfigError::new(field, "must be at least 1"));
            }
        }
        for (field, span) in [
            ("acquire_timeout", self.acquire_timeout),
            ("connect_timeout", self.connect_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("race_delay", self.race_delay),
            ("dns_refresh", self.dns_refresh),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("health_interval", self.health_interval),
            ("cleanup_interval", self.cleanup_interval),
            ("blacklist_interval", self.blacklist_interval),
            ("leak_timeout", self.leak_timeout),
            ("close_timeout", self.close_timeout),
        ] {
            if span.is_zero() {
                return Err(ConfigError::new(field, "must be longer than zero"));
            }
            if span > LONGEST {
                return Err(ConfigError::new(field, "must be at most 292 years"));
            }
        }
        for (field, span) in [
            ("race_delay", self.race_delay),
            ("health_interval", self.health_interval),
            ("cleanup_interval", self.cleanup_interval),
            ("blacklist_interval", self.blacklist_interval),
        ] {
            if span < SHORTEST {
                return Err(ConfigError::new(field, "must be at least 10 ms"));
            }
        }
        if self.dns_stale > LONGEST {
            return Err(ConfigError::new("dns_stale", "must be at most 292 years"));
        }
        if self.lifetime_jitter > 100 {
            return Err(ConfigError::new("lifetime_jitter", "must be at most 100 percent"));
        }
        let path = self.health_request.as_deref().map(health_path);
        if path.is_some_and(|path| path.is_none()) {
            return Err(ConfigError::new(
                "health_request",
                "must be a path that begins with /",
            ));
        }
        if !(1..=100).contains(&self.rotation_share) {
            return Err(ConfigError::new("rotation_share", "must be 1 to 100 percent"));
        }
        self.tcp.validate()
    }
}

/// The path of a [`health_request`](PoolConfig::health_request); none if it is no path.
pub(crate) fn health_path(text: &str) -> Option<PathAndQuery> {
    let path = text.starts_with('/').then(|| text.parse().ok());
    path.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut PoolConfig)) -> &'static str {
        let mut config = PoolConfig::default();
        change(&mut config);
        config.validate().expect_err("must be refused").field()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(PoolConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_bad_value_is_refused_by_its_field() {
        assert_eq!(fault(|c| c.max_connections = 0), "max_connections");
        assert_eq!(fault(|c| c.max_per_host = 0), "max_per_host");
        assert_eq!(fault(|c| c.max_per_ip = 0), "max_per_ip");
        assert_eq!(fault(|c| c.max_waiters = 0), "max_waiters");
        assert_eq!(fault(|c| c.max_hosts = 0), "max_hosts");
        assert_eq!(fault(|c| c.leak_timeout = Duration::ZERO), "leak_timeout");
        assert_eq!(fault(|c| c.max_dials = 0), "max_dials");
        assert_eq!(fault(|c| c.dial_attempts = 0), "dial_attempts");
        assert_eq!(fault(|c| c.h2_max_streams = 0), "h2_max_streams");
        assert_eq!(fault(|c| c.idle_timeout = Duration::ZERO), "idle_timeout");
        assert_eq!(fault(|c| c.max_lifetime = Duration::MAX), "max_lifetime");
        assert_eq!(fault(|c| c.acquire_timeout = Duration::ZERO), "acquire_timeout");
        assert_eq!(fault(|c| c.connect_timeout = Duration::MAX), "connect_timeout");
        assert_eq!(fault(|c| c.attempt_timeout = Duration::ZERO), "attempt_timeout");
        assert_eq!(fault(|c| c.dns_refresh = Duration::ZERO), "dns_refresh");
        assert_eq!(fault(|c| c.dns_stale = Duration::MAX), "dns_stale");
        assert_eq!(fault(|c| c.close_timeout = Duration::ZERO), "close_timeout");
        assert_eq!(fault(|c| c.race_delay = Duration::from_millis(9)), "race_delay");
        assert_eq!(fault(|c| c.lifetime_jitter = 101), "lifetime_jitter");
        for path in ["", "status", "https://a.test/", "/a b", "/\r\nhost: b"] {
            assert_eq!(
                fault(|c| c.health_request = Some(path.to_owned())),
                "health_request"
            );
        }
        assert_eq!(fault(|c| c.tcp.ttl = Some(0)), "tcp.ttl");
        assert_eq!(fault(|c| c.rotation_share = 0), "rotation_share");
        assert_eq!(fault(|c| c.rotation_share = 101), "rotation_share");
        assert_eq!(
            fault(|c| c.health_interval = Duration::from_millis(9)),
            "health_interval"
        );
        assert_eq!(
            fault(|c| c.cleanup_interval = Duration::from_millis(9)),
            "cleanup_interval"
        );
        assert_eq!(
            fault(|c| c.blacklist_interval = Duration::from_millis(9)),
            "blacklist_interval"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_partial_file_takes_the_defaults() {
        let config: PoolConfig = toml::from_str("max_per_host = 3\nidle_timeout = \"90s\"\n").expect("valid");
        assert_eq!(config.max_per_host, 3);
        assert_eq!(config.reuse_check, ReuseCheck::Readiness);
        assert_eq!(config.idle_timeout, Duration::from_secs(90));
        assert_eq!(config.max_connections, PoolConfig::default().max_connections);
        assert!(
            toml::from_str::<PoolConfig>("max_per_hots = 3").is_err(),
            "a misspelt field must not pass"
        );
    }
}
