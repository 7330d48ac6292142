//! The errors of the pool: what went wrong, in which phase, towards whom.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::target::{Target, TargetError};
use crate::told::Told;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text names no target; [`Error::target_error`] says why.
    InvalidTarget,
    /// The name does not exist, or has no address.
    NameNotFound,
    /// The name could not be resolved for another reason.
    Resolve,
    /// The pool's [`AddressPolicy`](crate::AddressPolicy) allows none of the name's addresses, or not the one that the target or the call names; or this machine's own
    /// rules (a route, a firewall, a sandbox) let nothing go there, as the [`cause`](Error::cause) says then.
    AddressDenied,
    /// The peer refused the TCP connection.
    ConnectionRefused,
    /// The peer reset or closed the connection before it was ready.
    ConnectionReset,
    /// No route to the peer.
    Unreachable,
    /// Time ran out; [`Error::phase`] says where.
    Timeout,
    /// This machine ran out of something: descriptors, ports, memory.
    LocalResource,
    /// This machine refused an option of the socket; the [`cause`](Error::cause) is a [`SocketOptionError`](crate::SocketOptionError), which names it.
    SocketOption,
    /// A [`Dial`](crate::Dial) made no stream: its [`DialError`](crate::DialError) is the [`cause`](Error::cause).
    Dial,
    /// No address to connect from could be used, and one is required; the [`cause`](Error::cause) is a [`SourceError`](crate::SourceError).
    Source,
    /// The proxy takes no such login, or wants one; the [`cause`](Error::cause) is a [`ProxyError`](crate::ProxyError), as of the next two.
    ProxyLogin,
    /// The proxy refused to connect to the target, or could not.
    ProxyRefused,
    /// The proxy answered nothing of its protocol, or not all of it.
    Proxy,
    /// The certificate's time is over.
    CertificateExpired,
    /// The certificate's time has not come.
    CertificateNotYetValid,
    /// The certificate is for another name.
    CertificateName,
    /// The certificate was issued by an authority that is not trusted.
    CertificateIssuer,
    /// The certificate was issued by itself and is not trusted.
    CertificateSelfSigned,
    /// The certificate is unacceptable for another reason.
    CertificateInvalid,
    /// TLS failed for another reason than the certificate. That code of the setup's owner panicked in the handshake is such a reason (a verifier, a signer, whatever
    /// chooses the client's certificate): it blames no address.
    Tls,
    /// The profile was the trouble: the server chose what is offered only because the profile offers it, say. The source names it.
    Shape,
    /// The peer did not agree to a protocol that was required.
    Protocol,
    /// HTTP/2 failed on this connection.
    Http2,
    /// The lease has a stream open, and is the right to one at a time; or a question over a [`Candidate`](crate::Candidate) was given up, after which there is no other.
    Busy,
    /// As many callers wait already as may (`max_waiters`).
    TooManyWaiters,
    /// As many hosts are in use already as may be known (`max_hosts`).
    TooManyHosts,
    /// Every address is blocked for now; [`Error::retry_after`] says for how long, if it is known.
    /// Where the name's time to live is over, its addresses have been asked for again before that is said, whoever blocked them; not if the call names one itself, or if
    /// its host is blocked whole. Where the answer takes longer than 1.8 s, what was known before counts (RFC 8767, section 5).
    Blocked,
    /// The pool's [`Validator`](crate::Validator) did not take the connection; the source says what was answered, if anything was.
    Rejected,
    /// The [`Validator`](crate::Validator) itself failed or panicked, and could not tell; the [`cause`](Error::cause) is its error. No address is blamed.
    Validator,
    /// The pool is closed.
    Closed,
    /// A request cannot be sent as it is: it may be read in two ways, or its body is not what its headers say. The cause says why.
    Request,
    /// The body of a request failed; the cause is its error.
    Body,
    /// What came back is no HTTP.
    Answer,
    /// The call needs a tokio runtime with I/O and time enabled.
    NoRuntime,
    /// The connection's protocol does not offer this.
    Unsupported,
    /// Any other failure of reading or writing.
    Io,
}

impl ErrorKind {
    /// Every kind, in the order in which they stand here.
    pub const ALL: &'static [ErrorKind] = &[
        ErrorKind::InvalidTarget,
        ErrorKind::NameNotFound,
        ErrorKind::Resolve,
        ErrorKind::AddressDenied,
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::Unreachable,
        ErrorKind::Timeout,
        ErrorKind::LocalResource,
        ErrorKind::SocketOption,
        ErrorKind::Dial,
        ErrorKind::Source,
        ErrorKind::ProxyLogin,
        ErrorKind::ProxyRefused,
        ErrorKind::Proxy,
        ErrorKind::CertificateExpired,
        ErrorKind::CertificateNotYetValid,
        ErrorKind::CertificateName,
        ErrorKind::CertificateIssuer,
        ErrorKind::CertificateSelfSigned,
        ErrorKind::CertificateInvalid,
        ErrorKind::Tls,
        ErrorKind::Shape,
        ErrorKind::Protocol,
        ErrorKind::Http2,
        ErrorKind::Busy,
        ErrorKind::TooManyWaiters,
        ErrorKind::TooManyHosts,
        ErrorKind::Blocked,
        ErrorKind::Rejected,
        ErrorKind::Validator,
        ErrorKind::Closed,
        ErrorKind::Request,
        ErrorKind::Body,
        ErrorKind::Answer,
        ErrorKind::NoRuntime,
        ErrorKind::Unsupported,
        ErrorKind::Io,
    ];

    /// The kind as logs and reports name it, in `snake_case`.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidTarget => "invalid_target",
            ErrorKind::NameNotFound => "name_not_found",
            ErrorKind::Resolve => "resolve",
            ErrorKind::AddressDenied => "address_denied",
            ErrorKind::ConnectionRefused => "connection_refused",
            ErrorKind::ConnectionReset => "connection_reset",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::LocalResource => "local_resource",
            ErrorKind::SocketOption => "socket_option",
            ErrorKind::Dial => "dial",
            ErrorKind::Source => "source",
            ErrorKind::ProxyLogin => "proxy_login",
            ErrorKind::ProxyRefused => "proxy_refused",
            ErrorKind::Proxy => "proxy",
            ErrorKind::CertificateExpired => "certificate_expired",
            ErrorKind::CertificateNotYetValid => "certificate_not_yet_valid",
            ErrorKind::CertificateName => "certificate_name",
            ErrorKind::CertificateIssuer => "certificate_issuer",
            ErrorKind::CertificateSelfSigned => "certificate_self_signed",
            ErrorKind::CertificateInvalid => "certificate_invalid",
            ErrorKind::Tls => "tls",
            ErrorKind::Shape => "shape",
            ErrorKind::Protocol => "protocol",
            ErrorKind::Http2 => "http2",
            ErrorKind::Busy => "busy",
            ErrorKind::TooManyWaiters => "too_many_waiters",
            ErrorKind::TooManyHosts => "too_many_hosts",
            ErrorKind::Blocked => "blocked",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Validator => "validator",
            ErrorKind::Closed => "closed",
            ErrorKind::Request => "request",
            ErrorKind::Body => "body",
            ErrorKind::Answer => "answer",
            ErrorKind::NoRuntime => "no_runtime",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Io => "io",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            ErrorKind::InvalidTarget => "not a target",
            ErrorKind::NameNotFound => "the name has no address",
            ErrorKind::Resolve => "the name could not be resolved",
            ErrorKind::AddressDenied => "the address policy allows no such address",
            ErrorKind::ConnectionRefused => "connection refused",
            ErrorKind::ConnectionReset => "connection reset by the peer",
            ErrorKind::Unreachable => "no route to the peer",
            ErrorKind::Timeout => "timed out",
            ErrorKind::LocalResource => "this machine is out of a resource",
            ErrorKind::SocketOption => "this machine refused an option of the socket",
            ErrorKind::Dial => "the dialer made no connection",
            ErrorKind::Source => "the address to connect from could not be used",
            ErrorKind::ProxyLogin => "the proxy takes no such login",
            ErrorKind::ProxyRefused => "the proxy did not connect",
            ErrorKind::Proxy => "the proxy is not understood",
            ErrorKind::CertificateExpired => "the certificate has expired",
            ErrorKind::CertificateNotYetValid => "the certificate is not valid yet",
            ErrorKind::CertificateName => "the certificate is for another name",
            ErrorKind::CertificateIssuer => "the certificate's issuer is not trusted",
            ErrorKind::CertificateSelfSigned => "the certificate is self-signed and not trusted",
            ErrorKind::CertificateInvalid => "the certificate is not acceptable",
            ErrorKind::Tls => "TLS failed",
            ErrorKind::Shape => "TLS failed in the profile's shape",
            ErrorKind::Protocol => "the peer did not agree to the required protocol",
            ErrorKind::Http2 => "HTTP/2 failed",
            ErrorKind::Busy => "the stream before it has not ended",
            ErrorKind::TooManyWaiters => "too many callers wait already",
            ErrorKind::TooManyHosts => "too many hosts are in use already",
            ErrorKind::Blocked => "every address is blocked for now",
            ErrorKind::Rejected => "not taken by the validator",
            ErrorKind::Validator => "the validator could not tell",
            ErrorKind::Closed => "the pool is closed",
            ErrorKind::Request => "the request cannot be sent as it is",
            ErrorKind::Body => "the body of the request failed",
            ErrorKind::Answer => "what came back is no HTTP",
            ErrorKind::NoRuntime => "no tokio runtime with I/O and time is running here",
            ErrorKind::Unsupported => "not offered by this connection's protocol",
            ErrorKind::Io => "reading or writing failed",
        }
    }
}

/// Where in its life a connection was when something went wrong.
///
/// ```
/// use hotpool::{ErrorKind, HotConnPool, Phase};
///
/// let counters = HotConnPool::builder().build()?.stats().counters;
/// for phase in Phase::ALL {
///     println!("failures_{} {}", phase.name(), counters.failures(*phase)); // a name for machines; `{phase}` is the same
/// }
/// assert!(ErrorKind::ALL.contains(&ErrorKind::Timeout));
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the target's text.
    Target,
    /// Waiting in line for a connection or a permit.
    Acquire,
    /// Resolving the name.
    Resolve,
    /// Connecting TCP, or having a [`Dial`](crate::Dial) do so.
    Connect,
    /// Having the proxy connect.
    Proxy,
    /// The TLS handshake, certificates and ALPN included.
    Tls,
    /// Setting up HTTP/2.
    Http2,
    /// Asking, over the connection itself, whether it is to be had: see [`Validator`](crate::Validator).
    Validate,
    /// In use by the caller.
    Use,
}

impl Phase {
    /// Every phase, in the order in which a connection goes through them.
    pub const ALL: &'static [Phase] = &[
        Phase::Target,
        Phase::Acquire,
        Phase::Resolve,
        Phase::Connect,
        Phase::Proxy,
        Phase::Tls,
        Phase::Http2,
        Phase::Validate,
        Phase::Use,
    ];

    /// The phase as logs and reports name it, in `snake_case`.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Target => "target",
            Phase::Acquire => "acquire",
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Proxy => "proxy",
            Phase::Tls => "tls",
            Phase::Http2 => "http2",
            Phase::Validate => "validate",
            Phase::Use => "use",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error of the pool. Cheap to clone: callers that wait for the same dial are told the same error.
///
/// ```
/// use hotpool::{Error, ErrorKind, HotConnPool, Phase, SocketOptionError};
///
/// /// What to do about it.
/// fn advice(error: &Error) -> String {
///     if let Some(bad) = error.target_error() {
///         return format!("a bad name: {bad}");
///     }
///     if let Some(option) = error.cause().and_then(|cause| cause.downcast_ref::<SocketOptionError>()) {
///         return format!("this system refuses {}: {}", option.field(), option.problem());
///     }
///     match (error.retry_after(), error.is_timeout()) {
///         (Some(span), _) => format!("again in {span:?}"),
///         (None, true) => format!("too slow in {}", error.phase()),
///         (None, false) => format!("{:?} in {}", error.kind(), error.phase()),
///     }
/// }
///
/// let pool = HotConnPool::builder().build()?;
/// let error = pool.try_get("no host").expect_err("a space");
/// assert_eq!((error.kind(), error.phase()), (ErrorKind::InvalidTarget, Phase::Target));
/// assert!(advice(&error).starts_with("a bad name"));
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Error(Arc<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    phase: Phase,
    target: Option<Box<str>>,
    ip: Option<IpAddr>,
    retry_after: Option<Duration>,
    /// Whether it went wrong on another way to the address than the pool's own.
    detour: bool,
    source: Option<Told>,
}

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// In which phase it went wrong.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The target it went wrong with (`host` or `host:port`), where there was one.
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The address it went wrong with, if it was one address's fault: the proxy's, where the pool has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.ip
    }

    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::Timeout
    }

    /// After how long a new try may succeed, where the pool knows; not before that. Of an address that an origin blocks by itself and the whole pool does, too, it is
    /// the origin's end that is told.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Why the text names no target, if that is the trouble.
    pub fn target_error(&self) -> Option<&TargetError> {
        self.cause_as()
    }

    /// What is behind it, as it came: [`rustls::Error`], [`h2::Error`], [`ResolveError`](crate::ResolveError), [`std::io::Error`] and others. For whoever
    /// asks it something. Its text may be its peer's, in part or whole, of any length and with any characters: what [`source`](StdError::source) shows is
    /// safe to print and to log.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.source.as_ref().map(Told::cause)
    }

    /// One of a layer's own, where what stands over the pool is to fail as the pool does: the adapters of this crate make theirs so.
    ///
    /// ```
    /// use hotpool::{Error, ErrorKind, Phase, Target};
    ///
    /// let target = Target::try_from("example.com")?;
    /// let late = Error::new(ErrorKind::Timeout, Phase::Use).with_target(&target);
    /// assert_eq!(late.to_string(), "example.com: use: timed out");
    ///
    /// let broken = Error::from_io(Phase::Use, std::io::ErrorKind::BrokenPipe.into());
    /// assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    ///
    /// let odd = Error::new(ErrorKind::Answer, Phase::Use).with_source("a number".parse::<u32>().unwrap_err());
    /// assert!(odd.cause().is_some_and(|cause| cause.is::<std::num::ParseIntError>()));
    /// # Ok::<(), hotpool::TargetError>(())
    /// ```
    pub fn new(kind: ErrorKind, phase: Phase) -> Self {
        Error(Arc::new(Repr {
            kind,
            phase,
            target: None,
            ip: None,
            retry_after: None,
            detour: false,
            source: None,
        }))
    }

    /// The same with this behind it, as its [`cause`](Self::cause).
    #[must_use]
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.with(|repr| repr.source = Some(Told::new(source)))
    }

    /// The [`cause`](Self::cause), if it is of this kind.
    pub(crate) fn cause_as<T: StdError + 'static>(&self) -> Option<&T> {
        self.cause()?.downcast_ref()
    }

    pub(crate) fn with_phase(self, phase: Phase) -> Self {
        self.with(|repr| repr.phase = phase)
    }

    /// The same, as one that went wrong with this target.
    #[must_use]
    pub fn with_target(self, target: &Target<'_>) -> Self {
        self.with(|repr| repr.target = Some(target.to_string().into()))
    }

    pub(crate) fn with_ip(self, ip: IpAddr) -> Self {
        self.with(|repr| repr.ip = Some(ip))
    }

    pub(crate) fn on_a_detour(self, detour: bool) -> Self {
        match detour {
            true => self.with(|repr| repr.detour = true),
            false => self,
        }
    }

    pub(crate) fn is_on_a_detour(&self) -> bool {
        self.0.detour
    }

    pub(crate) fn with_retry_after(self, after: Duration) -> Self {
        self.with(|repr| repr.retry_after = Some(after))
    }

    fn with(mut self, change: impl FnOnce(&mut Repr)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The error for a failed read, write or connect: its kind is what the error of I/O says, which is its [`cause`](Self::cause).
    pub fn from_io(phase: Phase, error: std::io::Error) -> Self {
        Error::new(io_kind(&error), phase).with_source(error)
    }
}

fn io_kind(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    if is_local(error) {
        return ErrorKind::LocalResource;
    }
    match error.kind() {
        Io::ConnectionRefused => ErrorKind::ConnectionRefused,
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
            ErrorKind::ConnectionReset
        }
        Io::NetworkUnreachable | Io::HostUnreachable => ErrorKind::Unreachable,
        Io::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Io,
    }
}

/// Whether this machine, not the peer, is to blame: no descriptors, ports, buffers or memory.
pub(crate) fn is_local(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let local = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| local.iter().any(|errno| errno.raw_os_error() == code))
        || error.kind() == std::io::ErrorKind::OutOfMemory
}

/// `example.com: tls (192.0.2.1): the certificate has expired: …cause`
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = self.target() {
            write!(f, "{target}: ")?;
        }
        f.write_str(self.0.phase.name())?;
        if let Some(ip) = self.0.ip {
            write!(f, " ({ip})")?;
        }
        write!(f, ": {}", self.0.kind.text())?;
        if let Some(after) = self.0.retry_after {
            write!(f, ", try again after {after:?}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind)
            .field("phase", &self.0.phase)
            .field("target", &self.0.target);
        out.field("ip", &self.0.ip)
            .field("retry_after", &self.0.retry_after);
        out.field("source", &self.0.source).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_ref();
        source.map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<TargetError> for Error {
    fn from(error: TargetError) -> Self {
        Error::new(ErrorKind::InvalidTarget, Phase::Target).with_source(error)
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            ErrorKind::Timeout => Io::TimedOut,
            ErrorKind::ConnectionRefused => Io::ConnectionRefused,
            ErrorKind::ConnectionReset => Io::ConnectionReset,
            ErrorKind::Unsupported => Io::Unsupported,
            ErrorKind::InvalidTarget => Io::InvalidInput,
            _ => Io::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// A pool that cannot be built: which field is at fault, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    field: &'static str,
    problem: String,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        ConfigError {
            field,
            problem: problem.into(),
        }
    }

    /// The field that is at fault, as it is spelled in code.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_target_phase_address_and_trouble() {
        let target = Target::try_from("example.com:8443").expect("target");
        let error = Error::from_io(Phase::Connect, std::io::ErrorKind::ConnectionRefused.into())
            .with_target(&target)
            .with_ip(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(
            error.to_string(),
            "example.com:8443: connect (192.0.2.1): connection refused"
        );
        assert_eq!(
            std::io::Error::from(error).kind(),
            std::io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn a_shortage_of_this_machine_blames_nobody() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::ADDRNOTAVAIL] {
            let error = Error::from_io(
                Phase::Connect,
                std::io::Error::from_raw_os_error(errno.raw_os_error()),
            );
            assert_eq!(error.kind(), ErrorKind::LocalResource);
        }
    }

    #[test]
    fn every_kind_is_among_all_of_them() {
        for (place, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, place, "{kind:?}");
        }
        assert_eq!(
            ErrorKind::ALL.len(),
            ErrorKind::Io as usize + 1,
            "none after the last"
        );
    }

    #[test]
    fn a_bad_target_keeps_its_own_error() {
        let error = Error::from(TargetError::Nul);
        assert_eq!(error.target_error(), Some(&TargetError::Nul));
        assert_eq!(error.phase(), Phase::Target);
    }
}
