//! The pool under hyper-util's client: what one writes against that client stays as it is, and the pool decides where connections come from and who has them
//! next.
//!
//! Runs by itself, against a TLS server on the loopback (`support/server.rs`):
//!
//! ```sh
//! cargo run --example hyper --features hyper
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "support/server.rs"]
mod server;

use bytes::Bytes;
use hotpool::hyper::Connector;
use hotpool::{ConnInfo, HotConnPool};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

type AnyError = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let server = server::Server::start()?;
    let pool = HotConnPool::builder()
        .roots(server.roots()?)
        .resolver(server.resolver()?)
        .build()?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0) // the pool below keeps them
        .build(Connector::new(pool.clone()));

    for _ in 0..5 {
        let uri = format!("https://{}/", server.target()).parse()?;
        let answer = client.get(uri).await?;
        let serial = answer.extensions().get::<ConnInfo>().map(|info| info.serial);
        let body = answer.into_body().collect().await?.to_bytes();
        print!(
            "connection {}: {}",
            serial.unwrap_or(0),
            String::from_utf8_lossy(&body)
        );
        home(&pool).await;
    }

    let counters = pool.stats().counters;
    println!("{} dialled for {} requests", counters.opened, counters.gets);
    assert_eq!((counters.opened, counters.gets, counters.hits), (1, 5, 4));
    drop(client);
    pool.close().await;
    Ok(())
}

/// Waits until the connection is home: hyper-util lets go of it in a task of its own. Who asks before that gets another one.
async fn home(pool: &HotConnPool) {
    while pool.stats().leases > 0 {
        tokio::task::yield_now().await;
    }
}
