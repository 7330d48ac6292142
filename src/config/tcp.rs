//! What the sockets of a pool are like.

use std::io;
use std::time::Duration;

use crate::error::ConfigError;

/// Options of every TCP socket that a pool connects, set before it connects. What is none stays as the system has it.
///
/// None is left out in silence: one that the system or this process's rights refuse ends the attempt with
/// [`ErrorKind::SocketOption`](crate::ErrorKind::SocketOption), a [`SocketOptionError`] names it, and no address is blamed. A change by
/// [`update_config`](crate::ConnectionManager::update_config) concerns connections that are dialled after it.
///
/// ```
/// use std::time::Duration;
///
/// use hotpool::{AllBlocked, HotConnPool, PoolConfig, ReuseCheck, TcpProfile};
///
/// let mut tcp = TcpProfile::default();
/// tcp.keepalive_idle = Duration::from_secs(20);
/// tcp.device = Some("eth1".to_owned());
///
/// let mut config = PoolConfig::default();
/// config.tcp = tcp;
/// config.reuse_check = ReuseCheck::Peek; // one system call for each use, to see what the reactor has not told yet
/// config.all_blocked = AllBlocked::ProbeLeastBad;
/// let pool = HotConnPool::builder().config(config).build()?;
/// # let _ = pool;
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct TcpProfile {
    /// Whether what is written is sent at once (`TCP_NODELAY`; RFC 9293, section 3.7.4, describes Nagle's algorithm, which this turns off): a pool's users write whole
    /// messages. Default true.
    pub nodelay: bool,
    /// Whether a silent connection is asked for life (`SO_KEEPALIVE`; RFC 9293, section 3.8.4). Default true.
    pub keepalive: bool,
    /// After how much silence it is first asked, in whole seconds, 1 to 32,767. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub keepalive_idle: Duration,
    /// How often after that, in whole seconds, 1 to 32,767. Default 15 s.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub keepalive_interval: Duration,
    /// How many silences are its end, 1 to 127. Default 4: with the others, a peer that vanished while nothing was being sent is noticed after two
    /// minutes.
    pub keepalive_count: u32,
    /// For how long what was sent may stay without an acknowledgement before the connection fails (`TCP_USER_TIMEOUT`; RFC 5482), in whole
    /// milliseconds. It overrides what keepalive says. Linux. Default none.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub user_timeout: Option<Duration>,
    /// The hops that a packet may take (`IP_TTL`, `IPV6_UNICAST_HOPS`), 1 to 255. Default none.
    pub ttl: Option<u32>,
    /// Octets of the send buffer (`SO_SNDBUF`) at the least; the system may give more. More than it allows is refused. Default none: the system
    /// sizes it as needed.
    pub send_buffer: Option<u32>,
    /// The same of the receive buffer (`SO_RCVBUF`). Default none.
    pub receive_buffer: Option<u32>,
    /// The mark of its packets (`SO_MARK`), by which Linux may route and filter them. Needs `CAP_NET_ADMIN`. Default none.
    pub mark: Option<u32>,
    /// The interface that it is bound to (`SO_BINDTODEVICE`), by name. Linux. Default none.
    pub device: Option<String>,
}

impl Default for TcpProfile {
    fn default() -> Self {
        TcpProfile {
            nodelay: true,
            keepalive: true,
            keepalive_idle: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(15),
            keepalive_count: 4,
            user_timeout: None,
            ttl: None,
            send_buffer: None,
            receive_buffer: None,
            mark: None,
            device: None,
        }
    }
}

/// The longest time between two questions for life that Linux takes, in seconds.
const MOST_SECONDS: u64 = 32_767;
/// The longest name of an interface: `IFNAMSIZ`, less its end.
const LONGEST_NAME: usize = 15;

impl TcpProfile {
    /// Checks every field.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds: bool, field, problem: &str| match holds {
            true => Ok(()),
            false => Err(ConfigError::new(field, problem)),
        };
        for (field, span) in [
            ("tcp.keepalive_idle", self.keepalive_idle),
            ("tcp.keepalive_interval", self.keepalive_interval),
        ] {
            let whole = span.subsec_nanos() == 0 && (1..=MOST_SECONDS).contains(&span.as_secs());
            check(whole, field, "must be whole seconds, 1 to 32,767")?;
        }
        check(
            (1..=127).contains(&self.keepalive_count),
            "tcp.keepalive_count",
            "must be 1 to 127",
        )?;
        let whole = |span: &Duration| {
            let millis = span.as_millis();
            Duration::from_millis(millis as u64) == *span && (1..=i32::MAX as u128).contains(&millis)
        };
        check(
            self.user_timeout.as_ref().is_none_or(whole),
            "tcp.user_timeout",
            "must be whole milliseconds, at least one and at most 24 days",
        )?;
        check(
            self.ttl.is_none_or(|hops| (1..=255).contains(&hops)),
            "tcp.ttl",
            "must be 1 to 255",
        )?;
        for (field, size) in [
            ("tcp.send_buffer", self.send_buffer),
            ("tcp.receive_buffer", self.receive_buffer),
        ] {
            // The system doubles it, in 31 bits.
            let fits = size.is_none_or(|size| (1..=i32::MAX as u32 / 2).contains(&size));
            check(fits, field, "must be 1 octet to 1 GiB")?;
        }
        let names = |name: &String| {
            (1..=LONGEST_NAME).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        };
        check(
            self.device.as_ref().is_none_or(names),
            "tcp.device",
            "must be the name of an interface",
        )
    }
}

/// A socket option that was refused: the [`cause`](crate::Error::cause) of an
/// [`ErrorKind::SocketOption`](crate::ErrorKind::SocketOption).
#[derive(Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SocketOptionError {
    field: &'static str,
    #[source]
    problem: io::Error,
}

impl SocketOptionError {
    pub(crate) fn new(field: &'static str, problem: io::Error) -> Self {
        SocketOptionError { field, problem }
    }

    /// The field of [`TcpProfile`] that was refused, as it is spelled in code.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What the system said.
    pub fn problem(&self) -> &io::Error {
        &self.problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut TcpProfile)) -> &'static str {
        let mut profile = TcpProfile::default();
        change(&mut profile);
        profile.validate().expect_err("must be refused").field()
    }

    #[test]
    fn a_bad_value_is_refused_by_its_field() {
        assert_eq!(TcpProfile::default().validate(), Ok(()));
        for bad in [0, 500, 1_500, 32_768_000] {
            let bad = Duration::from_millis(bad);
            assert_eq!(fault(|tcp| tcp.keepalive_idle = bad), "tcp.keepalive_idle");
            assert_eq!(
                fault(|tcp| tcp.keepalive_interval = bad),
                "tcp.keepalive_interval"
            );
        }
        for bad in [0, 128] {
            assert_eq!(fault(|tcp| tcp.keepalive_count = bad), "tcp.keepalive_count");
        }
        for bad in [Duration::ZERO, Duration::from_micros(1_500), Duration::MAX] {
            assert_eq!(fault(|tcp| tcp.user_timeout = Some(bad)), "tcp.user_timeout");
        }
        for bad in [0, 256] {
            assert_eq!(fault(|tcp| tcp.ttl = Some(bad)), "tcp.ttl");
        }
        for bad in [0, 1 << 30] {
            assert_eq!(fault(|tcp| tcp.send_buffer = Some(bad)), "tcp.send_buffer");
            assert_eq!(fault(|tcp| tcp.receive_buffer = Some(bad)), "tcp.receive_buffer");
        }
        for bad in ["", "a name of sixteen", "eth0/1", "eth 0", "eth\0"] {
            assert_eq!(fault(|tcp| tcp.device = Some(bad.to_owned())), "tcp.device");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_partial_file_takes_the_defaults() {
        let read: TcpProfile =
            toml::from_str("keepalive_idle = \"20s\"\nuser_timeout = \"90s\"\n").expect("valid");
        let expected = TcpProfile {
            keepalive_idle: Duration::from_secs(20),
            user_timeout: Some(Duration::from_secs(90)),
            ..TcpProfile::default()
        };
        assert_eq!(read, expected);
    }
}
