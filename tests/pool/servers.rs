//! HTTP/2 with servers of other makers: thousands of requests at 64 streams, through whatever limits they have.
#![expect(clippy::print_stdout, reason = "its figures are read as text")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotpool::{HotConnPool, RetrySafety, StaticResolver};

use crate::common::{at_rest, config, spawn, within};
use crate::support::outside::h2::{self, H2Server};
use crate::support::outside::nginx::{self, Nginx};
use crate::support::outside::{self, Outside};
use crate::support::{certs, peers_table};

const REQUESTS: usize = 5_000;
const STREAMS: usize = 64;

/// What a run of requests came to.
#[derive(Debug, Default)]
struct Run {
    answered: AtomicUsize,
    /// Sent once more, on the word of `RetrySafety`.
    again: AtomicUsize,
}

fn pool(server: &Outside) -> (HotConnPool, String) {
    let name = format!("peer.test:{}", server.place().port);
    let ips = server.place().ips.iter().copied();
    let pool = HotConnPool::builder()
        .config(config(|config| config.max_per_host = 4))
        .roots(certs::authority().roots())
        .resolver(StaticResolver::new().with(name.as_str(), ips).unwrap());
    (pool.build().unwrap(), name)
}

/// One request and its whole answer, as often as it is safe.
async fn ask(pool: &HotConnPool, name: &str, run: &Run) {
    loop {
        let mut conn = pool.get(name).await.unwrap();
        let request = http::Request::get(format!("https://{name}/")).body(()).unwrap();
        let exchange = async {
            let sent = conn.h2().unwrap().send_request(request, true).await;
            let answer = sent.map_err(|error| error.to_string())?.0.await;
            let answer = answer.map_err(|error| error.to_string())?;
            assert_eq!(answer.status(), 200);
            let (mut body, mut text) = (answer.into_body(), Vec::new());
            while let Some(piece) = body.data().await {
                let piece = piece.map_err(|error| error.to_string())?;
                text.extend_from_slice(&piece);
                let _ = body.flow_control().release_capacity(piece.len());
            }
            assert_eq!(text, b"hello");
            Ok::<(), String>(())
        };
        let Err(error) = exchange.await else {
            run.answered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let safety = conn.retry_safety();
        assert!(
            matches!(safety, RetrySafety::NeverSent | RetrySafety::Unprocessed),
            "{error}: {safety:?}"
        );
        run.again.fetch_add(1, Ordering::Relaxed);
    }
}

/// All requests, 64 at once; `half_way` is called when half of them are answered.
async fn run(server: &Outside, half_way: impl FnOnce()) -> (HotConnPool, Arc<Run>) {
    let (pool, name) = pool(server);
    let run = Arc::new(Run::default());
    let left = Arc::new(AtomicUsize::new(REQUESTS));
    let asking: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (pool, name, run, left) = (pool.clone(), name.clone(), run.clone(), left.clone());
            spawn(async move {
                let less = |left: usize| left.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                    .is_ok()
                {
                    within("an answer", ask(&pool, &name, &run)).await;
                }
            })
        })
        .collect();
    while left.load(Ordering::Relaxed) > REQUESTS / 2 && !asking.iter().any(|task| task.is_finished()) {
        tokio::task::yield_now().await;
    }
    half_way();
    for asked in asking {
        asked.await.unwrap();
    }
    at_rest(&pool).await;
    assert_eq!(run.answered.load(Ordering::Relaxed), REQUESTS);
    let counters = pool.stats().counters;
    println!(
        "{:8} {} connections, {} requests sent again, closed: {:?}",
        outside::Program::name(server),
        counters.opened,
        run.again.load(Ordering::Relaxed),
        counters.closes_by_reason().collect::<Vec<_>>()
    );
    (pool, run)
}

#[tokio::test]
async fn nginx_through_its_limit_of_requests_and_a_reload() {
    let recipe = Nginx {
        more: "keepalive_requests 400; http2_max_concurrent_streams 100;".to_owned(),
        ..Nginx::default()
    };
    let Some(nginx) = outside::start_good(&recipe, 1) else {
        return peers_table::skip("nginx", "not installed");
    };
    let mut row = peers_table::Row::of(&nginx);
    let (pool, _) = run(&nginx, || nginx.signal("HUP")).await;
    // 400 to a connection: no fewer would have done.
    assert!(pool.stats().counters.opened >= 12, "{:?}", pool.stats().counters);
    let what = "5,000 requests of 400 a connection, and a reload";
    let (log, evidence) = nginx::evidence(&nginx, what, |log| log.len() >= REQUESTS).await;
    assert_eq!(log.len(), REQUESTS, "what was sent again had not been looked at");
    row.case(evidence);
    within("close", pool.close()).await;
}

#[tokio::test]
async fn nghttpd() {
    plain(H2Server::Nghttpd, "").await;
}

#[tokio::test]
async fn h2o() {
    plain(H2Server::H2o, "").await;
}

#[tokio::test]
async fn haproxy_through_a_reload() {
    plain(H2Server::HaProxy, "USR2").await;
}

async fn plain(recipe: H2Server, signal: &str) {
    let Some(server) = outside::start_good(&recipe, 1) else {
        return peers_table::skip(outside::Recipe::name(&recipe), "not installed");
    };
    let mut row = peers_table::Row::of(&server);
    let reload = || {
        if !signal.is_empty() {
            server.signal(signal);
        }
    };
    let (pool, _) = run(&server, reload).await;
    row.case(h2::evidence(&server, "5,000 requests at 64 streams", REQUESTS).await);
    assert_eq!(h2::served(&server), REQUESTS);
    within("close", pool.close()).await;
}
