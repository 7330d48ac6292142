//! Every answer belongs to its request: the same traffic through each stack that stands over the pool, and through one of its user's own.
//!
//! Requests of three methods, with and without bodies, over both protocols, some of them given up half-way, some of them answered half-way; each is tagged, and
//! what comes back is compared byte for byte with what the tag stands for.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use ::tower::ServiceExt;
use bytes::Bytes;
use hotpool::hyper::Connector;
use hotpool::tower::Client;
use hotpool::{CloseReason, HotConnPool};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;

use crate::common::{Dice, at_rest, poll_times, spawn, within};
use crate::own_stack::Stack as Own;
use crate::tagged::text::Text;
use crate::tagged::{self, Expected, size};

/// Requests of each run, and tasks that make them.
const REQUESTS: u64 = 1_200;
const TASKS: u64 = 24;

/// What a request asks the server for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    tag: u64,
    /// How long the body of the answer is to be.
    size: u64,
    /// By length, in chunks, or broken off half-way.
    how: &'static str,
}

impl Wish {
    fn draw(tag: u64, dice: &mut Dice) -> Self {
        let size = size::ordinary(dice).min(1 << 20);
        match (dice.below(50), dice.below(2)) {
            (0, _) => Wish {
                tag,
                size: size + 2, // so that there is a half
                how: "b",
            },
            (_, 0) => Wish { tag, size, how: "l" },
            _ => Wish { tag, size, how: "c" },
        }
    }

    fn is_cut(self) -> bool {
        self.how == "b"
    }

    fn request(self, name: &str, dice: &mut Dice) -> Request<Bytes> {
        let Wish { tag, size, how } = self;
        let method = [Method::GET, Method::POST, Method::HEAD][dice.below(3) as usize].clone();
        let body = match method {
            Method::POST => Text::of(tagged::of_request(tag)).first(dice.below(40_000)),
            _ => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{name}/{tag}/{size}/{how}"));
        request.body(body.into()).unwrap()
    }

    /// What its answer must be, where the body of the request had so many octets.
    fn expected(self, head: bool, sent: usize) -> Expected {
        Expected {
            tag: self.tag,
            text: self.tag,
            size: if head { 0 } else { self.size },
            got: Some(sent as u64),
        }
    }
}

/// What an answer came to.
type Came = Result<(StatusCode, HeaderMap, Bytes), String>;

/// A stack under test: a request in, its answer out, read to its end.
trait Stack: Clone + Send + Sync + 'static {
    fn ask(&self, request: Request<Bytes>) -> impl Future<Output = Came> + Send;
}

async fn whole<B: Body<Error: Display>>(answer: Response<B>) -> Came {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    Ok((head.status, head.headers, body.to_bytes()))
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
                        Some(Err(error)) => assert!(wish.is_cut() && !head, "{wish:?}: {error}"),
                        Some(Ok((status, headers, body))) => {
                            let expected = wish.expected(head, sent);
                            expected.check_head(status, &headers);
                            let whole = body.len() as u64 == expected.size;
                            let own = Text::of(expected.text).stands_at(0, &body);
                            assert!(whole && own, "{wish:?}: another's body");
                            assert!(head || !wish.is_cut(), "{wish:?} was not whole");
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
        good += task.await.unwrap(); // each answer has its time; how long all of them take is the machine's affair
    }
    good
}

/// The traffic over both protocols, and what is left of it in the pool: nothing out of order.
async fn every_answer_is_its_own<S: Stack>(alpns: &[&[&str]], stack: impl Fn(HotConnPool) -> S) {
    for (seed, alpn) in alpns.iter().enumerate() {
        let server = tagged::server(alpn, Arc::default()).await;
        let pool = server.builder(|config| config.max_per_host = 8).build().unwrap();
        let stack = stack(pool.clone());
        let good = traffic(&stack, &server.name(), seed as u64 + 1).await;
        // One in twenty was given up, and one in fifty broken: most were not.
        assert!(good >= REQUESTS * 8 / 10, "{good}");
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
