//! Every answer belongs to its request: the same traffic through each stack that stands over the pool, and through one of its user's own.
//!
//! Requests of three methods, with and without bodies, over both protocols, some of them given up half-way, some of them answered half-way; each is tagged, and
//! what comes back is compared byte for byte with what the tag stands for.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use ::hyper::body::Incoming;
use ::tower::ServiceExt;
use bytes::Bytes;
use hotpool::hyper::Connector;
use hotpool::tower::Client;
use hotpool::{CloseReason, HotConnPool};
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;

use crate::common::{Dice, at_rest, poll_times, spawn, within};
use crate::own_stack::Stack as Own;
use crate::servers::{Answer, Server};

/// Requests of each run, and tasks that make them.
const REQUESTS: u64 = 1_200;
const TASKS: u64 = 24;
/// In pieces of so many bytes at the most.
const PIECE: usize = 16_000;

/// The bytes that a tag stands for: as many as are wanted, the same again after a prime number of them.
fn bytes_of(tag: u64, size: usize) -> Bytes {
    const PERIOD: usize = 1_009;
    let mut dice = Dice(tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let period: Vec<u8> = (0..PERIOD.min(size)).map(|_| dice.below(256) as u8).collect();
    let mut bytes = period.repeat(size.div_ceil(PERIOD));
    bytes.truncate(size);
    bytes.into()
}

/// What a request asks the server for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    tag: u64,
    /// How long the body of the answer is to be.
    size: usize,
    /// Without its length before it.
    chunked: bool,
    /// The server gives up half-way.
    cut: bool,
}

impl Wish {
    fn draw(tag: u64, dice: &mut Dice) -> Self {
        // Log-normal, by the sum of uniform ones: a median of 4 KiB, and 1 % far beyond.
        let bell = (0..12).map(|_| dice.below(1_000) as f64 / 1_000.0).sum::<f64>() - 6.0;
        let size = (4_096.0 * (1.5 * bell).exp()) as usize;
        Wish {
            tag,
            size: size.min(1 << 20),
            chunked: dice.below(2) == 0,
            cut: dice.below(50) == 0,
        }
    }

    fn request(self, name: &str, dice: &mut Dice) -> Request<Bytes> {
        let Wish {
            tag,
            size,
            chunked,
            cut,
        } = self;
        let method = [Method::GET, Method::POST, Method::HEAD][dice.below(3) as usize].clone();
        let body = match method {
            Method::POST => bytes_of(!tag, dice.below(40_000) as usize),
            _ => Bytes::new(),
        };
        let uri = format!("https://{name}/{size}/{}/{}", u8::from(chunked), u8::from(cut));
        let request = Request::builder().method(method).uri(uri).header("x-tag", tag);
        request.body(body).unwrap()
    }

    fn read(request: &Request<Incoming>) -> Self {
        let mut parts = request
            .uri()
            .path()
            .split('/')
            .skip(1)
            .map(|part| part.parse().unwrap());
        let mut next = || parts.next().unwrap();
        Wish {
            tag: request.headers()["x-tag"].to_str().unwrap().parse().unwrap(),
            size: next(),
            chunked: next() == 1,
            cut: next() == 1,
        }
    }
}

/// Answers with what the tag stands for, if the request's own body is that, too.
async fn answer(request: Request<Incoming>, served: Arc<AtomicU64>) -> Answer {
    let wish = Wish::read(&request);
    let head = request.method() == Method::HEAD;
    let Ok(sent) = request.into_body().collect().await else {
        return Response::new(Pieces(Vec::new(), true).boxed()); // its client has gone
    };
    let sent = sent.to_bytes();
    let whole = sent == bytes_of(!wish.tag, sent.len());
    served.fetch_add(1, Ordering::Relaxed);
    let body = bytes_of(wish.tag, wish.size);
    let answer = Response::builder()
        .status(if whole { 200 } else { 400 })
        .header("x-tag", wish.tag)
        .header("x-sent", sent.len());
    if head {
        // hyper would send the body over HTTP/2.
        let answer = answer.header("content-length", body.len());
        return answer.body(Pieces(Vec::new(), false).boxed()).unwrap();
    }
    let body = match wish.chunked || wish.cut {
        false => Full::new(body).map_err(|never| match never {}).boxed(),
        true => {
            let keep = if wish.cut { body.len() / 2 } else { body.len() };
            let mut pieces: Vec<_> = body[..keep].chunks(PIECE).map(Bytes::copy_from_slice).collect();
            pieces.reverse();
            Pieces(pieces, wish.cut).boxed()
        }
    };
    answer.body(body).unwrap()
}

/// Pieces from the last to the first, and whether there is an error behind them.
struct Pieces(Vec<Bytes>, bool);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let broken = || std::io::ErrorKind::BrokenPipe.into();
        Poll::Ready(match self.0.pop() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None => std::mem::take(&mut self.1).then(|| Err(broken())),
        })
    }
}

/// What an answer came to.
type Came = Result<(HeaderMap, Bytes), String>;

/// A stack under test: a request in, its answer out, read to its end.
trait Stack: Clone + Send + Sync + 'static {
    fn ask(&self, request: Request<Bytes>) -> impl Future<Output = Came> + Send;
}

async fn whole<B: Body<Error: Display>>(answer: Response<B>) -> Came {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    assert_eq!(head.status, 200, "the server has read another's body");
    Ok((head.headers, body.to_bytes()))
}

impl Stack for HotConnPool {
    async fn ask(&self, request: Request<Bytes>) -> Came {
        let answer = self.send(request.map(Full::new)).await;
        whole(answer.map_err(|error| error.to_string())?).await
    }
}

impl Stack for Client {
    async fn ask(&self, request: Request<Bytes>) -> Came {
        let answer = self.clone().oneshot(request.map(Full::new)).await;
        whole(answer.map_err(|error| error.to_string())?).await
    }
}

impl Stack for Hyper<Connector, Full<Bytes>> {
    async fn ask(&self, request: Request<Bytes>) -> Came {
        let answer = self.request(request.map(Full::new)).await;
        whole(answer.map_err(|error| error.to_string())?).await
    }
}

impl Stack for Own {
    async fn ask(&self, request: Request<Bytes>) -> Came {
        let answer = self.send(&request).await.map_err(|error| error.to_string())?;
        whole(answer.map(Full::new)).await
    }
}

/// Makes all requests, 24 at once, and compares what comes back. Answers how many were answered whole.
async fn traffic(stack: &impl Stack, name: &str, seed: u64) -> u64 {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (stack, name) = (stack.clone(), name.to_owned());
            spawn(async move {
                let mut dice = Dice(seed * 1_000 + task + 1);
                let mut good = 0;
                for nth in 0..REQUESTS / TASKS {
                    let wish = Wish::draw((task << 32) + nth, &mut dice);
                    let request = wish.request(&name, &mut dice);
                    let (head, sent) = (request.method() == Method::HEAD, request.body().len());
                    let asked = stack.ask(request);
                    // One in twenty is given up wherever it is by then.
                    let came = match dice.below(20) {
                        0 => poll_times(asked, dice.below(60) as usize).await,
                        _ => Some(within("an answer", asked).await),
                    };
                    match came {
                        None => {}
                        Some(Err(error)) => assert!(wish.cut && !head, "{wish:?}: {error}"),
                        Some(Ok((headers, body))) => {
                            let said = |name: &str| headers[name].to_str().unwrap().parse().unwrap();
                            assert_eq!((said("x-tag"), said("x-sent")), (wish.tag, sent as u64));
                            let expected = if head { 0 } else { wish.size };
                            assert!(body == bytes_of(wish.tag, expected), "{wish:?}: another's body");
                            assert!(head || !wish.cut, "{wish:?} was not whole");
                            good += 1;
                        }
                    }
                }
                good
            })
        })
        .collect();
    let mut good = 0;
    for task in tasks {
        good += within("the traffic", task).await.unwrap();
    }
    good
}

/// The traffic over both protocols, and what is left of it in the pool: nothing out of order.
async fn every_answer_is_its_own<S: Stack>(alpns: &[&[&str]], stack: impl Fn(HotConnPool) -> S) {
    for (seed, alpn) in alpns.iter().enumerate() {
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        let server = Server::hyper(alpn, move |request| answer(request, Arc::clone(&count))).await;
        let pool = server.builder(|config| config.max_per_host = 8).build().unwrap();
        let stack = stack(pool.clone());
        let good = traffic(&stack, &server.name(), seed as u64 + 1).await;
        // One in twenty was given up, and one in fifty broken: most were not.
        assert!(good >= REQUESTS * 8 / 10, "{good}");
        assert!(served.load(Ordering::Relaxed) >= good);
        drop(stack);
        at_rest(&pool).await;
        let stats = pool.stats();
        let counters = &stats.counters;
        assert_eq!(
            counters.opened - counters.closed(),
            u64::from(stats.total),
            "{stats:?}"
        );
        assert!(counters.hits > counters.opened, "{counters:?}");
        for dirty in [
            CloseReason::StrayBytes,
            CloseReason::BadFraming,
            CloseReason::Pipelined,
        ] {
            assert_eq!(counters.closes(dirty), 0, "{counters:?}");
        }
        let report = within("close", pool.close()).await;
        assert!(report.is_clean(), "{report:?}");
    }
}

const BOTH: &[&[&str]] = &[&["http/1.1"], &["h2"]];

#[tokio::test]
async fn of_the_client() {
    every_answer_is_its_own(BOTH, |pool| pool).await;
}

#[tokio::test]
async fn of_a_service_under_layers() {
    every_answer_is_its_own(BOTH, Client::new).await;
}

#[tokio::test]
async fn of_hyper_util() {
    let stack = |pool| {
        Hyper::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(Connector::new(pool))
    };
    every_answer_is_its_own(&[&["http/1.1"], &["h2", "http/1.1"]], stack).await;
}

#[tokio::test]
async fn of_a_stack_of_one_s_own() {
    every_answer_is_its_own(BOTH, Own).await;
}
