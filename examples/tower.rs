//! The pool as a service, under tower's layers: a limit on how much is asked at once, a time limit for each try, and tries again.
//!
//! Runs by itself, against a TLS server on the loopback (`support/server.rs`):
//!
//! ```sh
//! cargo run --example tower --features tower
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "support/server.rs"]
mod server;

use std::future::{Ready, ready};
use std::time::Duration;

use bytes::Bytes;
use hotpool::tower::Client;
use hotpool::{Body, HotConnPool};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::retry::{Policy, RetryLayer};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

type Ask = Request<Empty<Bytes>>;

/// Tries again, so many times, what failed or was answered 5xx. For requests that may be made twice: these have no body.
#[derive(Clone)]
struct Again(usize);

impl Policy<Ask, Response<Body>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Ask, answer: &mut Result<Response<Body>, BoxError>) -> Option<Ready<()>> {
        let good = matches!(answer, Ok(answer) if !answer.status().is_server_error());
        self.0 = self.0.checked_sub(usize::from(!good))?;
        (!good).then(|| ready(()))
    }

    fn clone_request(&mut self, ask: &Ask) -> Option<Ask> {
        Some(ask.clone())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let server = server::Server::start().map_err(|error| error.to_string())?;
    let pool = HotConnPool::builder()
        .roots(server.roots()?)
        .resolver(server.resolver()?)
        .build()?;
    let mut service = ServiceBuilder::new()
        .concurrency_limit(16)
        .layer(RetryLayer::new(Again(2)))
        .timeout(Duration::from_secs(5))
        .service(Client::new(pool.clone()));

    for _ in 0..5 {
        let ask = Request::get(format!("https://{}/", server.target())).body(Empty::new())?;
        let answer = service.ready().await?.call(ask).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        print!("{}", String::from_utf8_lossy(&body));
    }
    let counters = pool.stats().counters;
    println!("{} dialled for {} requests", counters.opened, counters.gets);
    assert_eq!((counters.opened, counters.gets), (1, 5));
    pool.close().await;
    Ok(())
}
