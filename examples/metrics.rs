//! What a pool does, as Prometheus reads it: a service with an address for scrapes.
//!
//! Runs by itself, against a TLS server on the loopback (`support/server.rs`): makes some requests, says where its metrics are, and serves them until it is
//! interrupted.
//!
//! ```sh
//! cargo run --example metrics --features metrics & sleep 2; curl http://127.0.0.1:9184/metrics; kill %1
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(
    clippy::disallowed_methods,
    reason = "a service has tasks of its own, beside the pool's"
)]

#[path = "support/server.rs"]
mod server;

use std::convert::Infallible;
use std::sync::Arc;

use hotpool::metrics::{Metrics, MetricsOptions};
use hotpool::{GetOptions, HotConnPool, Protocol, Require};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

type AnyError = Box<dyn std::error::Error>;

/// Seconds: from a connection that stands to one that does not.
const BUCKETS: &[f64] = &[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let server = server::Server::start()?;
    let pool = HotConnPool::builder()
        .roots(server.roots()?)
        .resolver(server.resolver()?)
        .build()?;

    // One that is told here, not the process's: this pool's metrics and nobody else's. `MetricsOptions::watch` takes the process's.
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("duration".into()), BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("time_in_queue".into()), BUCKETS)?
        .build_recorder();
    let scraped = recorder.handle();
    let metrics = MetricsOptions::new()
        .name("example")
        .max_addresses(10)
        .watch_with(&pool, recorder);

    work(&pool, &server.target()).await?;

    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    println!("{:?}", pool.stats().counters);
    println!("http://{}/metrics", listener.local_addr()?);
    let mut stop = signal(SignalKind::interrupt())?;
    tokio::select! {
        served = serve(listener, metrics, scraped) => served?,
        _ = stop.recv() => {}
    }
    pool.close().await;
    Ok(())
}

/// 9184, or what the command line says.
fn port() -> Result<u16, std::num::ParseIntError> {
    std::env::args().nth(1).map_or(Ok(9184), |port| port.parse())
}

/// Over HTTP/2, where many share a connection, and over HTTP/1.1.
async fn work(pool: &HotConnPool, target: &str) -> Result<(), AnyError> {
    for require in [Require::Any, Require::Http1] {
        for _ in 0..20 {
            let mut conn = pool.get_with(target, GetOptions::new().require(require)).await?;
            match conn.protocol() {
                Protocol::Http2 => {
                    let request = http::Request::head(format!("https://{target}/")).body(())?;
                    let (response, _) = conn.h2()?.send_request(request, true).await?;
                    response.await?;
                }
                _ => {
                    let request = format!("HEAD / HTTP/1.1\r\nhost: {target}\r\n\r\n");
                    conn.write_all(request.as_bytes()).await?;
                    conn.flush().await?;
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(conn.read_u8().await?);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Answers each scrape with how things stand then.
async fn serve(listener: TcpListener, metrics: Metrics, scraped: PrometheusHandle) -> Result<(), AnyError> {
    let metrics = Arc::new(metrics);
    loop {
        let (stream, _) = listener.accept().await?;
        let (metrics, scraped) = (Arc::clone(&metrics), scraped.clone());
        let answer = service_fn(move |_: hyper::Request<Incoming>| {
            metrics.sample();
            let text = scraped.render();
            async move { Ok::<_, Infallible>(hyper::Response::new(text)) }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
    }
}
