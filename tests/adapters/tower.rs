//! The client as a service, under tower's layers.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::tower::retry::{Policy, RetryLayer};
use ::tower::{Service, ServiceBuilder, ServiceExt};
use bytes::Bytes;
use hotpool::tower::Client;
use hotpool::{Body, ErrorKind, GetOptions, Require, SendOptions};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};

use crate::common::{at_rest, finish, http1_peer, name, pool, spawn, within};
use crate::servers::{Answer, Server};
use crate::support::peer::Peer;

/// Again where the answer says that it was too much, as often as said.
#[derive(Clone)]
struct Again(usize);

impl<E> Policy<Request<Full<Bytes>>, Response<Body>, E> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        result: &mut Result<Response<Body>, E>,
    ) -> Option<Ready<()>> {
        let busy = matches!(result, Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE);
        self.0 = self.0.checked_sub(usize::from(busy))?;
        busy.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

fn request(name: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://{name}/"));
    request.body(Full::from(body.to_owned())).unwrap()
}

async fn text(answer: Response<Body>) -> String {
    let body = within("a body", answer.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Echoes what it is sent, every third time after a 503.
async fn moody(request: Request<::hyper::body::Incoming>, asked: Arc<AtomicU64>) -> Answer {
    let (_, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let busy = asked.fetch_add(1, Ordering::SeqCst) % 3 == 2;
    let answer = Response::builder().status(if busy { 503 } else { 200 });
    answer
        .body(Full::new(body).map_err(|never| match never {}).boxed())
        .unwrap()
}

/// A buffer, a limit, retries and a time limit over one client, many callers, both protocols.
#[tokio::test]
async fn it_works_under_buffer_limit_retry_and_timeout() {
    for alpn in ["http/1.1", "h2"] {
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let server = Server::hyper(&[alpn], move |request| moody(request, Arc::clone(&count))).await;
        let pool = server.pool();
        let service = ServiceBuilder::new()
            .buffer(32)
            .concurrency_limit(4)
            .layer(RetryLayer::new(Again(1_000)))
            .timeout(Duration::from_secs(10))
            .service(Client::new(pool.clone()));
        let tasks: Vec<_> = (0..12)
            .map(|task| {
                let (service, name) = (service.clone(), server.name());
                spawn(async move {
                    for nth in 0..10 {
                        let tag = format!("{task}-{nth}");
                        let answer = service.clone().oneshot(request(&name, &tag));
                        let answer = within("an answer", answer).await.unwrap();
                        assert_eq!(answer.status(), StatusCode::OK);
                        assert_eq!(text(answer).await, tag);
                    }
                })
            })
            .collect();
        for task in tasks {
            within("all answers", task).await.unwrap();
        }
        assert!(
            asked.load(Ordering::SeqCst) >= 120 * 4 / 3,
            "a third was asked again"
        );
        drop(service);
        at_rest(&pool).await;
        let counters = pool.stats().counters;
        assert!(
            counters.opened <= 10 && counters.hits > counters.opened,
            "{counters:?}"
        );
        within("close", pool.close()).await;
    }
}

/// Who is out of time is told so by the layer, and nothing is left below.
#[tokio::test]
async fn a_timeout_above_leaves_nothing_below() {
    for peer in [http1_peer(), Peer::start()] {
        let pool = pool(&peer, |_| {});
        let mut service = ServiceBuilder::new()
            .timeout(Duration::from_millis(50))
            .service(Client::new(pool.clone()));
        let slow = Request::get(format!("https://{}/slow/60000", name(&peer)));
        let ready = within(
            "readiness",
            ServiceExt::<Request<Empty<Bytes>>>::ready(&mut service),
        )
        .await
        .unwrap();
        let error = within("an end", ready.call(slow.body(Empty::<Bytes>::new()).unwrap()))
            .await
            .unwrap_err();
        assert!(error.is::<::tower::timeout::error::Elapsed>(), "{error:?}");
        at_rest(&pool).await;
        let good = Request::get(format!("https://{}/echo/good", name(&peer)));
        let mut patient = Client::new(pool.clone());
        let answer = within(
            "an answer",
            patient.call(good.body(Empty::<Bytes>::new()).unwrap()),
        )
        .await
        .unwrap();
        assert_eq!(text(answer).await, "good");
        at_rest(&pool).await;
        within("close", pool.close()).await;
        peer.shutdown().await; // which would have been slow for a minute yet
    }
}

/// Options are every request's; errors are the pool's own.
#[tokio::test]
async fn its_options_hold_for_every_request() {
    let peer = Peer::start();
    let pool = pool(&peer, |_| {});
    let options = SendOptions::new().get(GetOptions::new().require(Require::Http1));
    let client = Client::new(pool.clone()).options(options);
    for nth in 1..=3 {
        let request = Request::get(format!("https://{}/", name(&peer))).body(Empty::<Bytes>::new());
        let answer = within("an answer", client.clone().oneshot(request.unwrap()))
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-proto"], "h1");
        assert_eq!(answer.headers()["x-nth"], nth.to_string());
        assert_eq!(text(answer).await, "hello");
    }
    let nowhere = Request::get("https://nowhere.peer.test/").body(Empty::<Bytes>::new());
    let error = within("an error", client.oneshot(nowhere.unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameNotFound);
    finish(pool, peer).await;
}
