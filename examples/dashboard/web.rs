//! The page, its numbers as JSON and as a stream of events, and its switches.
#![expect(clippy::disallowed_methods, reason = "a server has tasks of its own")]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::Either;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::show::{Show, Switch};
use crate::snapshot::Snapshot;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Nothing from anywhere else: the page is all there is.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";

/// A form of another site's cannot send it.
const ASKED: &str = "x-dashboard";

type Answer = Either<String, Events>;

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, show: Arc<Show>) {
    loop {
        // An error here is one connection's, that went before it was taken.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&show)));
        }
    }
}

async fn connection(stream: TcpStream, show: Arc<Show>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let show = Arc::clone(&show);
        async move { Ok::<_, Infallible>(answer(&request, &show).await) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    let _ = served.await; // a reader that has gone is no trouble
}

async fn answer(request: &Request<Incoming>, show: &Arc<Show>) -> Response<Answer> {
    if !is_local(request) {
        return text(
            StatusCode::FORBIDDEN,
            "text/plain",
            "only as 127.0.0.1 or localhost\n".to_owned(),
        );
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => {
            let mut page = text(StatusCode::OK, "text/html; charset=utf-8", page(&latest(show)));
            let policy = HeaderValue::from_static(POLICY);
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            page
        }
        (&Method::GET, "/stats.json") => text(StatusCode::OK, "application/json", latest(show)),
        (&Method::GET, "/events") => {
            let mut response = Response::new(Either::Right(Events::of(show)));
            name(&mut response, "text/event-stream");
            response
        }
        (&Method::POST, path) if request.headers().contains_key(ASKED) => match done(path, show).await {
            Some(()) => text(StatusCode::OK, "text/plain", String::new()),
            None => text(StatusCode::NOT_FOUND, "text/plain", "no such switch\n".to_owned()),
        },
        _ => text(StatusCode::NOT_FOUND, "text/plain", "nothing here\n".to_owned()),
    }
}

/// Whether it was asked for by a name of this machine's: another one may have been made to lead here.
fn is_local(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    matches!(name, Some("127.0.0.1" | "localhost"))
}

/// `/do/warm`, or `/do/SWITCH/on` and `/do/SWITCH/off`.
async fn done(path: &str, show: &Arc<Show>) -> Option<()> {
    let words: Vec<&str> = path.strip_prefix("/do/")?.split('/').collect();
    match words[..] {
        ["warm"] => show.warm().await,
        [id, on @ ("on" | "off")] => {
            let switch = Switch::ALL.into_iter().find(|switch| switch.id() == id)?;
            // Whoever switches by hand has taken over.
            if switch != Switch::Script {
                show.set(Switch::Script, false).ok()?;
                show.say("By hand");
            }
            show.set(switch, on == "on").ok()?;
        }
        _ => return None,
    }
    Some(())
}

/// One file, with the numbers of now in it: it shows them before any script has asked for more.
fn page(numbers: &str) -> String {
    HTML.replace("/*STYLE*/", STYLE)
        .replace("/*SCRIPT*/", SCRIPT)
        // A script's text ends at `</`.
        .replace("/*NUMBERS*/", &numbers.replace('<', "\\u003c"))
}

fn latest(show: &Show) -> String {
    show.snapshots.borrow().as_deref().map_or("null".to_owned(), json)
}

fn json(snapshot: &Snapshot) -> String {
    serde_json::to_string(snapshot).unwrap_or_default() // numbers and texts: there is nothing to fail
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Answer> {
    let mut response = Response::new(Either::Left(text));
    *response.status_mut() = status;
    name(&mut response, kind);
    response
}

fn name(response: &mut Response<Answer>, kind: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Every snapshot from now on, as server-sent events. A slow reader misses some.
pub(crate) struct Events(mpsc::Receiver<Bytes>);

impl Events {
    fn of(show: &Show) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let mut snapshots = show.snapshots.subscribe();
        snapshots.mark_changed(); // the first one at once
        tokio::spawn(async move {
            while snapshots.changed().await.is_ok() {
                let now = snapshots.borrow_and_update().clone();
                let Some(now) = now else { continue };
                let event = format!("data: {}\n\n", json(&now));
                if sender.send(event.into()).await.is_err() {
                    return; // it has gone
                }
            }
        });
        Events(receiver)
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
