//! A proxy that connections go through, and who one is to it.
//!
//! A pool has one proxy or none ([`Builder::proxy`](crate::Builder::proxy)): HTTP's CONNECT or SOCKS5. TLS is spoken with the target, through the
//! proxy, and verified as ever. The addresses of such a pool are the proxy's: it is the proxy's name that is resolved, its addresses that are
//! raced, counted under `max_per_ip`, blamed and shown ([`ConnInfo::remote`](crate::ConnInfo::remote)). What fails at the proxy blames no address of
//! the target's; what a login is refused blames nobody.
//!
//! A call may have a login of its own ([`GetOptions::proxy_login`](crate::GetOptions::proxy_login)). It is part of the identity: who has another never
//! rides on a tunnel that this one opened.
//!
//! Where one call is to go through a proxy and another through none, or through another one, the pool has none: a [dialer](crate::dialer) opens the tunnel for the calls
//! that have it ([`GetOptions::dial`](crate::GetOptions::dial)), and is part of the identity as well. Names are resolved here then, and addresses raced, limited and
//! shown as the target's.
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use std::sync::Arc;
//!
//! use hotpool::{Dial, DialError, DialTo, Dialing, GetOptions, HotConnPool, Transport};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! /// HTTP's CONNECT, at this address.
//! struct Tunnel(SocketAddr);
//!
//! impl Dial for Tunnel {
//!     fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
//!         Box::pin(async move {
//!             let (mut stream, end) = (to.connect_to(self.0).await?, to.addr());
//!             let request = format!("CONNECT {end} HTTP/1.1\r\nhost: {end}\r\n\r\n");
//!             stream.write_all(request.as_bytes()).await?;
//!             let mut head = Vec::new();
//!             while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
//!                 head.push(stream.read_u8().await?); // not an octet more: what follows is TLS
//!             }
//!             match head.starts_with(b"HTTP/1.1 200") {
//!                 true => Ok(Transport::new(stream)),
//!                 false => Err(DialError::nobody("the proxy opens no tunnel")),
//!             }
//!         })
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = HotConnPool::builder().build()?;
//! let tunnel: Arc<dyn Dial> = Arc::new(Tunnel("192.0.2.1:3128".parse()?));
//! let through = GetOptions::new().dial(Some(tunnel));
//! let (direct, tunnelled) = (pool.get("example.com").await?, pool.get_with("example.com", through).await?);
//! # drop((direct, tunnelled));
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::fault::planted;
use crate::target::Target;

/// A proxy.
///
/// ```
/// use hotpool::{HotConnPool, Proxy, ProxyLogin};
///
/// let proxy: Proxy = "socks5h://proxy.example:1080".parse()?;
/// let proxy = proxy.login(ProxyLogin::new("user", "secret")?);
/// let pool = HotConnPool::builder().proxy(proxy).build()?;
/// # let _ = pool;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It is read from a URL: `http://host:port` for CONNECT (RFC 9110, section 9.3.6), `socks5://host:port` for SOCKS5 (RFC 1928) with names resolved here,
/// `socks5h://host:port` with names left to the proxy. A login may stand before the host, percent-encoded: `http://user:secret@host:port`. What goes to the proxy
/// itself is not encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: ProxyProtocol,
    place: Target<'static>,
    names: ProxyNames,
    login: Option<ProxyLogin>,
}

/// What is spoken with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// HTTP/1.1, by CONNECT.
    Http,
    /// SOCKS, version 5.
    Socks5,
}

/// Who resolves the names of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyNames {
    /// The proxy: it is handed the name. Nothing is asked here, and no [`AddressPolicy`](crate::AddressPolicy) can be held to what it finds: with one, such a pool
    /// is not built.
    #[default]
    Remote,
    /// The pool: the proxy is handed an address, of IPv4 where there is one, that the pool's [`AddressPolicy`](crate::AddressPolicy) allows. Where it does not connect
    /// there ([`ErrorKind::ProxyRefused`](crate::ErrorKind::ProxyRefused)) it is handed the next, by a connection of its own, within the time of the same attempt: as many as
    /// [`dial_attempts`](crate::PoolConfig::dial_attempts) says.
    Local,
}

impl Proxy {
    /// The proxy at `host:port`. Names are left to it.
    ///
    /// # Errors
    /// [`ConfigError`] if that is no host and port.
    pub fn new(protocol: ProxyProtocol, place: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::new("proxy", problem);
        // A port that is left out would be 443, which no proxy has for its own.
        let (host, port) = place.rsplit_once(':').ok_or_else(|| wrong("must be host:port"))?;
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        if bare_v6 || port.is_empty() || place.contains('/') {
            return Err(wrong("must be host:port"));
        }
        let place = Target::try_from(place).map_err(|error| wrong(&error.to_string()))?;
        Ok(Proxy {
            protocol,
            place: place.into_owned(),
            names: ProxyNames::default(),
            login: None,
        })
    }

    /// Who one is to it. Default: nobody.
    #[must_use]
    pub fn login(mut self, login: ProxyLogin) -> Self {
        self.login = Some(login);
        self
    }

    /// Who resolves the names of targets. Default: [`ProxyNames::Remote`].
    #[must_use]
    pub fn names(mut self, names: ProxyNames) -> Self {
        self.names = names;
        self
    }

    pub(crate) fn protocol(&self) -> ProxyProtocol {
        self.protocol
    }

    pub(crate) fn place(&self) -> &Target<'static> {
        &self.place
    }

    pub(crate) fn resolver(&self) -> ProxyNames {
        self.names
    }

    /// Takes the login away: it belongs to an identity.
    ///
    /// # Errors
    /// Its protocol has no room for it.
    pub(crate) fn take_login(&mut self) -> Result<Option<ProxyLogin>, ConfigError> {
        let login = self.login.take();
        let unsaid = login.as_ref().filter(|login| !login.fits_socks5());
        if self.protocol == ProxyProtocol::Socks5 && unsaid.is_some() {
            let problem = "user and password must be 1 to 255 octets for SOCKS5";
            return Err(ConfigError::new("proxy_login", problem));
        }
        Ok(login)
    }
}

impl FromStr for Proxy {
    type Err = ConfigError;

    /// From a URL. What is wrong with it is said without a word of it: it may hold a login.
    fn from_str(url: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::new("proxy", problem);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("must be a URL"))?;
        let (protocol, names) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyProtocol::Http, ProxyNames::Remote),
            "socks5" => (ProxyProtocol::Socks5, ProxyNames::Local),
            "socks5h" => (ProxyProtocol::Socks5, ProxyNames::Remote),
            _ => return Err(wrong("must be http://, socks5:// or socks5h://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        // In a URL the percent sign of a zone is itself escaped (RFC 6874).
        let zoned = place.starts_with('[') && !planted("zones_of_proxies_stay_escaped");
        let place = match zoned {
            true => place.replacen("%25", "%", 1),
            false => place.to_owned(),
        };
        let place = Proxy::new(protocol, &place).map_err(|_| wrong("must have a host and a port"))?;
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let decoded = decode(user).zip(decode(password));
            let (user, password) = decoded.ok_or_else(|| wrong("the login is not percent-encoded"))?;
            ProxyLogin::new(&user, &password)
        });
        let mut proxy = place.names(names);
        proxy.login = login.transpose()?;
        Ok(proxy)
    }
}

/// As a URL, without the login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protocol, self.names) {
            (ProxyProtocol::Http, _) => "http",
            (ProxyProtocol::Socks5, ProxyNames::Local) => "socks5",
            (ProxyProtocol::Socks5, ProxyNames::Remote) => "socks5h",
        };
        write!(f, "{scheme}://{}", with_port(&self.place))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// A user and a password for a proxy. Shown by nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyLogin(Arc<(Box<str>, Box<str>)>);

/// The longest user and the longest password, in octets: both have room in a head that any server reads.
const LONGEST: usize = 1024;
/// The same of SOCKS5 (RFC 1929, section 2).
const LONGEST_OF_SOCKS5: usize = u8::MAX as usize;

impl ProxyLogin {
    /// This user, by this password, which are sent as they are in UTF-8: to an HTTP proxy as "Basic" (RFC 7617), to a SOCKS5 one by RFC 1929. HTTP knows an
    /// empty password; SOCKS5 does not, and has room for 255 octets of each. With a login that a SOCKS5 proxy cannot be told a pool is not built, and
    /// a call that brings one fails ([`ProxyProblem::Login`]).
    ///
    /// # Errors
    /// [`ConfigError`] if the user is empty or has a colon, or one of them is longer than 1,024 octets or has control characters.
    pub fn new(user: &str, password: &str) -> Result<Self, ConfigError> {
        let fits = |text: &str| text.len() <= LONGEST && !text.contains(char::is_control);
        if !fits(user) || !fits(password) || user.is_empty() || user.contains(':') {
            let problem = "user and password must be at most 1024 octets without control characters, the user not empty and without a colon";
            return Err(ConfigError::new("proxy_login", problem));
        }
        Ok(ProxyLogin(Arc::new((user.into(), password.into()))))
    }

    /// Whether SOCKS5 can say it.
    pub(crate) fn fits_socks5(&self) -> bool {
        let fits = |text: &str| (1..=LONGEST_OF_SOCKS5).contains(&text.len());
        fits(self.user()) && fits(self.password()) || planted("logins_are_cut_to_their_field")
    }

    pub(crate) fn user(&self) -> &str {
        &self.0.0
    }

    pub(crate) fn password(&self) -> &str {
        &self.0.1
    }
}

impl fmt::Debug for ProxyLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyLogin(…)")
    }
}

/// `host:port`, with the port that is left out elsewhere.
pub(crate) fn with_port(place: &Target<'_>) -> String {
    match place.as_str() == place.host() || place.as_str().ends_with(']') {
        true => format!("{}:{}", place.as_str(), place.port()),
        false => place.as_str().to_owned(),
    }
}

/// Percent-decoded (RFC 3986, section 2.1), as UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            octets.push(first);
            continue;
        }
        let digit = |octet: &u8| char::from(*octet).to_digit(16);
        let [high, low, after @ ..] = rest else {
            return None;
        };
        octets.push((digit(high)? << 4 | digit(low)?) as u8);
        rest = after;
    }
    String::from_utf8(octets).ok()
}

/// What went wrong at a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// It takes no such login, or wants one: 407 or 401, or what SOCKS5 says of that. Or the login is one that SOCKS5 has no room for.
    #[error("the login was refused, or there is none")]
    Login,
    /// It answered CONNECT with this status.
    #[error("CONNECT was answered with {0}")]
    Status(u16),
    /// It answered a SOCKS5 request with this code (RFC 1928, section 6).
    #[error("the request was answered with code {0}")]
    Reply(u8),
    /// What it answered is nothing of its protocol.
    #[error("the answer is not understood")]
    Malformed,
    /// The head of its answer is longer than 8 KiB, or has more than 64 fields.
    #[error("the answer is too long")]
    TooLong,
    /// It closed the connection before its answer had ended.
    #[error("closed before the end of the answer")]
    Closed,
    /// It sent something behind its answer, which no target does before it is spoken to.
    #[error("something came behind the answer")]
    Early,
    /// Its own name was not resolved.
    #[error("its name was not resolved")]
    Name,
    /// The address that was asked for is none of its own: nothing was sent there.
    #[error("the address is none of its own")]
    NotItsAddress,
    /// The target is an address with a zone of this machine's (`fe80::1%eth0`), of which a proxy knows nothing.
    #[error("the zone of the target's address means nothing to it")]
    Zone,
    /// The call has a login for a proxy, and the pool has no proxy.
    #[error("there is none")]
    NoProxy,
}

/// What went wrong at which proxy: the [`cause`](crate::Error::cause) of an error in [`Phase::Proxy`](crate::Phase::Proxy), and of some before it.
///
/// ```
/// use hotpool::{Error, GetOptions, HotConnPool, Proxy, ProxyError, ProxyLogin, ProxyNames, ProxyProblem, ProxyProtocol};
///
/// let proxy = Proxy::new(ProxyProtocol::Socks5, "proxy.example:1080")?.names(ProxyNames::Local);
/// let pool = HotConnPool::builder().proxy(proxy).build()?;
/// let as_ann = GetOptions::new().proxy_login(ProxyLogin::new("ann", "secret")?);
///
/// fn explain(error: &Error) {
///     let Some(problem) = error.cause().and_then(|cause| cause.downcast_ref::<ProxyError>()) else {
///         return;
///     };
///     match problem.problem() {
///         ProxyProblem::Login => println!("{} does not take this login", problem.proxy()),
///         other => println!("{}: {other:?}", problem.proxy()),
///     }
/// }
/// # let _ = (pool, as_ann, explain);
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyError {
    proxy: Box<str>,
    problem: ProxyProblem,
}

impl ProxyError {
    pub(crate) fn new(proxy: Option<&Proxy>, problem: ProxyProblem) -> Self {
        ProxyError {
            proxy: proxy.map_or_else(String::new, Proxy::to_string).into(),
            problem,
        }
    }

    /// The proxy, as a URL without a login.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// What went wrong.
    pub fn problem(&self) -> ProxyProblem {
        self.problem
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.proxy {
            "" => write!(f, "proxy: {}", self.problem),
            proxy => write!(f, "proxy {proxy}: {}", self.problem),
        }
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Proxy {
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn a_url_is_read() {
        let proxy = read("http://us%40r:se%3Acr%C3%A9t@proxy.example:3128/");
        assert_eq!(proxy.to_string(), "http://proxy.example:3128");
        let login = proxy.login.as_ref().expect("a login");
        assert_eq!((login.user(), login.password()), ("us@r", "se:crét"));
        assert_eq!(
            read("SOCKS5://127.0.0.1:443").to_string(),
            "socks5://127.0.0.1:443"
        );
        assert_eq!(read("socks5h://[::1]:443").to_string(), "socks5h://[::1]:443");
        assert_eq!(read("socks5h://[::1]:1080").names, ProxyNames::Remote);
        assert_eq!(read("socks5://[::1]:1080").names, ProxyNames::Local);
    }

    #[test]
    fn a_bad_url_is_refused_without_a_word_of_it() {
        for url in [
            "proxy.example:3128",
            "https://secret@proxy.example:3128",
            "http://secret:secret@proxy.example",
            "http://proxy.example:secret",
            "http://proxy.example:3128/secret",
            "http://secret%zz:secret@proxy.example:3128",
            "http://secret%0a:secret@proxy.example:3128",
            "http://:secret@proxy.example:3128",
            "http://::1:3128",
            "http://secret :secret@pro xy:3128",
        ] {
            let error = Proxy::from_str(url).expect_err(url).to_string();
            assert!(error.starts_with("proxy"), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_login_is_shown_by_nothing() {
        let proxy = read("http://alice:secret@proxy.example:3128");
        let login = ProxyLogin::new("alice", "secret").expect("a login");
        for shown in [format!("{proxy:?} {proxy}"), format!("{login:?}")] {
            assert!(!shown.contains("alice") && !shown.contains("secret"), "{shown}");
        }
        let long = "a".repeat(LONGEST + 1);
        for (user, password) in [
            ("", "b"),
            ("a:b", "c"),
            ("a", "b\r\n"),
            (&*long, "b"),
            ("a", &*long),
        ] {
            assert_eq!(
                ProxyLogin::new(user, password).expect_err("refused").field(),
                "proxy_login"
            );
        }
    }

    #[test]
    fn a_protocol_is_told_no_login_that_it_has_no_room_for() {
        let long = "a".repeat(256);
        for (url, fits) in [
            ("http://alice@proxy.example:3128", true),
            ("http://alice:@proxy.example:3128", true),
            (&format!("http://alice:{long}@proxy.example:3128"), true),
            ("socks5://alice@proxy.example:1080", false),
            ("socks5h://alice:@proxy.example:1080", false),
            (&format!("socks5h://alice:{long}@proxy.example:1080"), false),
            (&format!("socks5h://{long}:secret@proxy.example:1080"), false),
            (&format!("socks5h://{0}:{0}@proxy.example:1080", &long[1..]), true),
        ] {
            let taken = read(url).take_login();
            assert_eq!(taken.is_ok(), fits, "{url}");
            if let Err(error) = taken {
                assert_eq!(error.field(), "proxy_login", "{url}");
            }
        }
    }
}
