//! A tunnel through a proxy: what is said on a fresh connection before TLS.
//!
//! What a proxy answers is read within a bound, and not one octet beyond its end is lost: SOCKS5 says how long its answers are, and what comes
//! behind the head of an HTTP answer is refused, for nobody speaks before the client does.

mod http;
mod socks5;

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, ErrorKind, Phase};
use crate::proxy::{Proxy, ProxyError, ProxyLogin, ProxyProblem, ProxyProtocol};

/// Where a tunnel is to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'a> {
    Name(&'a str, u16),
    Ip(IpAddr, u16),
}

impl End<'_> {
    /// Its address, if it is not left to the proxy.
    pub(super) fn ip(self) -> Option<IpAddr> {
        match self {
            End::Name(..) => None,
            End::Ip(ip, _) => Some(ip),
        }
    }
}

/// Why there is no tunnel.
#[derive(Debug)]
enum Failure {
    Proxy(ProxyProblem),
    Io(io::Error),
}

impl From<ProxyProblem> for Failure {
    fn from(problem: ProxyProblem) -> Self {
        Failure::Proxy(problem)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => {
                Failure::Proxy(ProxyProblem::Closed)
            }
            _ => Failure::Io(error),
        }
    }
}

/// Has `proxy` connect `stream` to `end`. Cancel safe: dropping it drops nothing but the stream, which its caller drops with it.
///
/// # Errors
/// They name the proxy, unless reading or writing failed.
pub(super) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    login: Option<&ProxyLogin>,
    end: End<'_>,
) -> Result<(), Error> {
    let opened = match proxy.protocol() {
        ProxyProtocol::Http => http::connect(stream, login, end).await,
        ProxyProtocol::Socks5 => socks5::connect(stream, login, end).await,
    };
    opened.map_err(|failure| match failure {
        Failure::Io(error) => Error::from_io(Phase::Proxy, error),
        Failure::Proxy(problem) => failed(Some(proxy), problem, Phase::Proxy),
    })
}

/// The error for what went wrong at a proxy.
pub(super) fn failed(proxy: Option<&Proxy>, problem: ProxyProblem, phase: Phase) -> Error {
    let kind = match problem {
        ProxyProblem::Login | ProxyProblem::NoProxy => ErrorKind::ProxyLogin,
        ProxyProblem::Status(_) | ProxyProblem::Reply(_) => ErrorKind::ProxyRefused,
        ProxyProblem::NotItsAddress | ProxyProblem::Zone => ErrorKind::AddressDenied,
        _ => ErrorKind::Proxy,
    };
    Error::new(kind, phase).with_source(ProxyError::new(proxy, problem))
}

#[cfg(test)]
mod tests;
