//! One small request over a live connection: is it alive, does the host still want us. Not a client: no redirects, no body to keep.

use std::fmt::Write as _;
use std::io;
use std::pin::pin;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use httparse::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::h1::Rest;
use super::{H1, H2Handle};
use crate::clock::{Clock, Moment, before};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::CloseReason;
use crate::fault::planted;

/// The most octets of an answer that are read, heads included.
const MOST: usize = 1 << 20;
/// Read at once.
const PIECE: usize = 4 << 10;
/// The most fields of one head: what the observer of the connection lets pass.
const FIELDS: usize = 100;

/// What is asked: a request without a body, of whose URI the path counts. The body of its answer is read and dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// What the errors say.
    pub(crate) phase: Phase,
    pub(crate) authority: &'a Authority,
    pub(crate) request: &'a Request<()>,
}

impl Ask<'_> {
    fn path(&self) -> &str {
        self.request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str)
    }

    /// Fields that the request does not name itself.
    fn lacks(&self, name: HeaderName) -> bool {
        !self.request.headers().contains_key(name)
    }

    /// Whether its method has a body where nothing is said of it.
    fn says_no_body(&self) -> bool {
        let silent = [
            Method::GET,
            Method::HEAD,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ];
        !silent.contains(self.request.method()) && self.lacks(header::CONTENT_LENGTH)
    }
}

/// Asks, reads the answer to its end, and says what its head said; all of it before `deadline`. Whether the connection may be used again is up to its own
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
) -> Result<Response<()>, Error> {
    let answer = before(clock, deadline, pin!(converse(h1, ask))).await;
    match answer {
        Some(answer) => answer.map_err(|error| explained(Error::from_io(ask.phase, error), h1.failure())),
        None => Err(Error::new(ErrorKind::Timeout, ask.phase)),
    }
}

async fn converse(h1: &mut H1, ask: Ask<'_>) -> io::Result<Response<()>> {
    h1.write_all(&text(ask)).await?;
    h1.flush().await?;
    let (mut piece, mut total, mut heads) = (vec![0; PIECE], 0, Vec::new());
    loop {
        let known = h1.answered().is_some();
        let count = h1.read(&mut piece).await?;
        total += count;
        if !known {
            heads.extend_from_slice(&piece[..count]); // of a body no more than came with the head
        }
        match (h1.answered(), count) {
            (Some((_, Rest::Nothing)), _) | (Some((_, Rest::UntilClose)), 0) => return head_of(&heads),
            (_, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {
                within_bounds(total)?;
                still_under_way(h1)?;
            }
        }
    }
}

fn text(ask: Ask<'_>) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", ask.request.method(), ask.path());
    let mut say = |name: HeaderName, value: &str| {
        let _ = write!(head, "{name}: {value}\r\n"); // to a string it does not fail
    };
    if ask.lacks(header::HOST) {
        say(header::HOST, ask.authority.as_str());
    }
    if ask.lacks(header::ACCEPT) {
        say(header::ACCEPT, "*/*");
    }
    if ask.says_no_body() {
        say(header::CONTENT_LENGTH, "0");
    }
    let mut text = head.into_bytes();
    for (name, value) in ask.request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// The head of the answer, behind whatever interim ones came before it. It has been followed already: it is whole and well formed.
fn head_of(mut bytes: &[u8]) -> io::Result<Response<()>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        let Ok(Status::Complete(length)) = parsed.parse(bytes) else {
            return Err(malformed());
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or_else(malformed)?;
        if status.is_informational() {
            bytes = &bytes[length..];
            continue;
        }
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| malformed())?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| malformed())?;
            answer.headers_mut().append(name, value);
        }
        return Ok(answer);
    }
}

/// Whether so much of an answer may come.
fn within_bounds(total: usize) -> io::Result<()> {
    match total > MOST && !planted("answers_are_read_without_end") {
        true => Err(io::Error::other("the answer is too long")),
        false => Ok(()),
    }
}

fn still_under_way(h1: &H1) -> io::Result<()> {
    match h1.verdict() {
        Ok(()) | Err(CloseReason::HalfRead) => Ok(()),
        Err(reason) => Err(io::Error::new(io::ErrorKind::InvalidData, reason.name())),
    }
}

/// As [`exchange`], over HTTP/2. Somebody must move the connection meanwhile. Cancelled, it leaves a stream that is reset, and that the book lets go of
/// when it is.
///
/// # Errors
/// As [`exchange`].
pub(crate) async fn exchange_h2(
    h2: &H2Handle,
    ask: Ask<'_>,
    clock: &dyn Clock,
    deadline: Moment,
) -> Result<Response<()>, Error> {
    let mut lease = ComesHome(h2.another());
    let answer = before(clock, deadline, pin!(converse_h2(&mut lease.0, ask))).await;
    let answer = answer.unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, ask.phase)));
    answer.map_err(|error| explained(error, lease.0.failure()))
}

/// What is behind an error: TLS has failed, if it has.
pub(super) fn explained(error: Error, failure: Option<Error>) -> Error {
    match failure {
        Some(failure) => failure.with_phase(error.phase()),
        None => error,
    }
}

/// A lease of an exchange, which comes home whatever becomes of that. Its stream must have been dropped by then.
struct ComesHome(H2Handle);

impl Drop for ComesHome {
    fn drop(&mut self) {
        self.0.come_home();
    }
}

async fn converse_h2(lease: &mut H2Handle, ask: Ask<'_>) -> Result<Response<()>, Error> {
    let failed = |error| super::h2::http2_error(ask.phase, error);
    let (response, _) = lease.lease().send_request(request(ask)?, true).await?;
    let (head, mut body) = response.await.map_err(failed)?.into_parts();
    let mut total = 0;
    while let Some(piece) = body.data().await {
        let count = piece.map_err(failed)?.len();
        total += count;
        within_bounds(total).map_err(|long| Error::from_io(ask.phase, long))?;
        body.flow_control().release_capacity(count).map_err(failed)?;
    }
    body.trailers().await.map_err(failed)?;
    Ok(Response::from_parts(head, ()))
}

fn request(ask: Ask<'_>) -> Result<Request<()>, Error> {
    let uri = Uri::builder().scheme("https").authority(ask.authority.clone());
    let uri = uri.path_and_query(ask.path()).build();
    let uri = uri.map_err(|problem| Error::new(ErrorKind::Http2, ask.phase).with_source(problem))?;
    let mut request = Request::new(());
    *request.method_mut() = ask.request.method().clone();
    *request.uri_mut() = uri;
    let mut headers = HeaderMap::with_capacity(ask.request.headers().len() + 1);
    if ask.lacks(header::ACCEPT) {
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    }
    headers.extend(ask.request.headers().clone());
    *request.headers_mut() = headers;
    Ok(request)
}

/// Whether the peer said that it closes the connection (GOAWAY).
pub(crate) fn is_goodbye(error: &Error) -> bool {
    let went_away = |error: &::h2::Error| error.is_go_away() && error.is_remote();
    error.cause_as().is_some_and(went_away)
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
    use crate::conn::Records;
    use crate::support::certs;
    use crate::support::peer::{Alpn, Order, Peer, To};
    use crate::transport::Transport;

    async fn secured(peer: &Peer, alpn: &[u8]) -> crate::conn::Tls {
        let mut config = ClientConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(certs::authority().roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let tcp = TcpStream::connect(peer.addr(0)).await.expect("the peer listens");
        let name = ServerName::try_from("peer.test").expect("a name");
        let transport = crate::tls::Shaped::watched(Records::new(Transport::tcp(tcp, None)));
        let tls = TlsConnector::from(Arc::new(config)).connect(name, transport);
        tls.await.expect("a handshake")
    }

    async fn connect(peer: &Peer) -> H1 {
        H1::new(secured(peer, b"http/1.1").await, ReuseCheck::Readiness)
    }

    fn peer() -> Peer {
        Peer::builder().alpn(Alpn::Http1).start()
    }

    async fn ask(h1: &mut H1, head: bool, path: &str, within: Duration) -> Result<u16, Error> {
        let (clock, authority) = (SystemClock::new(), Authority::from_static("peer.test"));
        let path: PathAndQuery = path.parse().expect("a path");
        let method = if head { Method::HEAD } else { Method::GET };
        let request = Request::builder().method(method).uri(path.clone());
        let ask = Ask {
            phase: Phase::Use,
            authority: &authority,
            request: &request.body(()).expect("a request"),
        };
        let answer = exchange(h1, ask, &clock, clock.now() + within).await;
        answer.map(|answer| answer.status().as_u16())
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

    #[tokio::test]
    async fn an_exchange_that_is_given_up_leaves_nothing_in_the_book() {
        let peer = Peer::builder().alpn(Alpn::Http2).start();
        peer.hold(To::All);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let tls = secured(&peer, b"h2").await;
        let (h2, mut driver, _) = crate::conn::handshake(tls, &clock, None).await.expect("HTTP/2");
        let authority = Authority::from_static("peer.test");
        let request = Request::get("/held").body(()).expect("a request");
        let ask = Ask {
            phase: Phase::Use,
            authority: &authority,
            request: &request,
        };
        tokio::select! {
            biased;
            () = driver.carry() => panic!("the connection ended"),
            _ = exchange_h2(&h2, ask, &*clock, clock.now() + LONG) => panic!("an answer"),
            _ = peer.wait_for("it is asked", |seen| seen.requests() == 1) => {}
        }
        assert_eq!(h2.remembered(), 1, "its reset has yet to go out");
        tokio::select! {
            biased;
            () = driver.carry() => panic!("the connection ended"),
            _ = peer.wait_for("its reset", |seen| seen.stream_resets == 1) => {}
        }
        assert_eq!((h2.remembered(), h2.loose(), h2.look()), (0, 0, Ok(())));
    }
}
