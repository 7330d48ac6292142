//! One small request over a live connection: is it alive, does the host still want us. Not a client: no redirects, no body to keep.

use std::io;
use std::pin::pin;

use http::uri::{Authority, PathAndQuery};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::H1;
use super::h1::Rest;
use crate::clock::{Clock, Moment, before};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;

/// The most octets of an answer that are read, heads included.
const MOST: usize = 1 << 20;
/// Read at once.
const PIECE: usize = 4 << 10;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// HEAD, or GET with the body read and dropped.
    pub(crate) head: bool,
    pub(crate) authority: &'a Authority,
    pub(crate) path: &'a PathAndQuery,
}

/// Asks, reads the answer to its end, and says its status; all of it before `deadline`. Whether the connection may be used again is up to its own
/// verdict, as after any exchange.
///
/// Cancelled, it leaves an exchange that is not over: the connection must be closed.
///
/// # Errors
/// Time ran out, the connection failed or ended, the answer has more than [`MOST`] octets or is none.
pub(crate) async fn exchange(
    h1: &mut H1,
    ask: Ask<'_>,
    clock: &dyn Clock,
    deadline: Moment,
) -> Result<u16, Error> {
    match before(clock, deadline, pin!(converse(h1, ask))).await {
        Some(answer) => answer.map_err(|error| Error::from_io(Phase::Use, error)),
        None => Err(Error::new(ErrorKind::Timeout, Phase::Use)),
    }
}

async fn converse(h1: &mut H1, ask: Ask<'_>) -> io::Result<u16> {
    let method = if ask.head { "HEAD" } else { "GET" };
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n",
        ask.path, ask.authority
    );
    h1.write_all(request.as_bytes()).await?;
    h1.flush().await?;
    let (mut piece, mut total) = (vec![0; PIECE], 0);
    loop {
        let count = h1.read(&mut piece).await?;
        total += count;
        match (h1.answered(), count) {
            (Some((status, Rest::Nothing)), _) | (Some((status, Rest::UntilClose)), 0) => return Ok(status),
            (_, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if total > MOST => return Err(io::Error::other("the answer is too long")),
            _ => still_under_way(h1)?,
        }
    }
}

fn still_under_way(h1: &H1) -> io::Result<()> {
    match h1.verdict() {
        Ok(()) | Err(CloseReason::HalfRead) => Ok(()),
        Err(reason) => Err(io::Error::new(io::ErrorKind::InvalidData, reason.name())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::ReuseCheck;
    use crate::conn::{Records, Socket};
    use crate::support::certs;
    use crate::support::peer::{Alpn, Order, Peer, To};

    async fn connect(peer: &Peer) -> H1 {
        let config = ClientConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(certs::authority().roots())
            .with_no_client_auth();
        let tcp = TcpStream::connect(peer.addr(0)).await.expect("the peer listens");
        let name = ServerName::try_from("peer.test").expect("a name");
        let transport = crate::tls::Shaped::watched(Records::new(Socket::new(tcp, None)));
        let tls = TlsConnector::from(Arc::new(config)).connect(name, transport);
        H1::new(tls.await.expect("a handshake"), ReuseCheck::Readiness)
    }

    fn peer() -> Peer {
        Peer::builder().alpn(Alpn::Http1).start()
    }

    async fn ask(h1: &mut H1, head: bool, path: &str, within: Duration) -> Result<u16, Error> {
        let (clock, authority) = (SystemClock::new(), Authority::from_static("peer.test"));
        let path = &path.parse().expect("a path");
        let ask = Ask {
            head,
            authority: &authority,
            path,
        };
        exchange(h1, ask, &clock, clock.now() + within).await
    }

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn asks_and_reads_to_the_end_as_often_as_wanted() {
        let peer = peer();
        let mut h1 = connect(&peer).await;
        for (path, status) in [
            ("/", 200),
            ("/bytes/100000", 200),
            ("/chunked/100000", 200),
            ("/status/204", 204),
            ("/status/503", 503),
            ("/hints", 200),
            ("/nowhere", 404),
        ] {
            for head in [true, false] {
                let answer = ask(&mut h1, head, path, LONG).await;
                assert_eq!(answer.map_err(|error| error.kind()), Ok(status), "{path}");
                assert_eq!(h1.verdict(), Ok(()), "{path}");
            }
        }
        assert_eq!((peer.seen().accepts, peer.seen().requests()), (1, 14));
    }

    #[tokio::test]
    async fn an_answer_that_ends_the_connection_is_an_answer() {
        let peer = peer();
        for (path, reason) in [
            ("/close", CloseReason::ConnectionClose),
            ("/eof/5000", CloseReason::PeerClosed),
        ] {
            let mut h1 = connect(&peer).await;
            let answer = ask(&mut h1, false, path, LONG).await;
            assert_eq!(answer.map_err(|error| error.kind()), Ok(200), "{path}");
            assert_eq!(h1.verdict(), Err(reason), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_no_whole_answer_is_an_error() {
        let peer = peer();
        let short = Duration::from_millis(100);
        for (path, within, kind) in [
            ("/slow/60000", short, ErrorKind::Timeout),
            ("/partial/10", short, ErrorKind::Timeout),
            ("/bytes/2000000", LONG, ErrorKind::Io),
            ("/upgrade", LONG, ErrorKind::Io),
            ("/reset/0", LONG, ErrorKind::ConnectionReset),
        ] {
            let mut h1 = connect(&peer).await;
            let error = ask(&mut h1, false, path, within).await.expect_err(path);
            assert_eq!((error.kind(), error.phase()), (kind, Phase::Use), "{path}");
            assert!(h1.verdict().is_err(), "{path}");
        }
        let mut h1 = connect(&peer).await;
        peer.wait_for("its side stands, too", |seen| seen.handshakes == seen.accepts)
            .await;
        peer.order(To::All, Order::Close);
        let error = ask(&mut h1, true, "/", LONG).await.expect_err("an end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error:?}");
    }
}
