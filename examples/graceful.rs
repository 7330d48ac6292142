//! A service that stops as it should: on SIGTERM it takes no new work, lets what is under way finish, says goodbye to its peers, and is gone in
//! time, whatever hangs.
//!
//! Runs by itself, against a TLS server on the loopback (`support/server.rs`). With `--hang` one piece of work never ends, and is cut short.
//!
//! ```sh
//! cargo run --example graceful & sleep 2; kill -TERM %1
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(
    clippy::disallowed_methods,
    reason = "a service has tasks and pauses of its own, beside the pool's"
)]

#[path = "support/server.rs"]
mod server;

use std::convert::Infallible;
use std::time::Duration;

use hotpool::{ErrorKind, GetOptions, HotConnPool, PoolConfig, Require};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How long stopping may take: whoever stops a service kills it some ten seconds later.
const GRACE: Duration = Duration::from_secs(2);

/// One piece of work: a request, and its answer read to the end of its head.
async fn ask(pool: &HotConnPool, target: &str) -> Result<String, AnyError> {
    let options = GetOptions::new().require(Require::Http1);
    let mut conn = pool.get_with(target, options).await?;
    conn.write_all(b"HEAD / HTTP/1.1\r\nhost: hotpool.test\r\n\r\n")
        .await?;
    conn.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(conn.read_u8().await?);
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// Works until the pool takes no more work.
async fn serve(pool: HotConnPool, target: String) {
    loop {
        match ask(&pool, &target).await {
            Ok(line) => println!("{line}"),
            Err(error) => match error.downcast_ref::<hotpool::Error>().map(hotpool::Error::kind) {
                Some(ErrorKind::Closed) => return,
                _ => println!("{error}"),
            },
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Work that never ends by itself: a read that nobody answers.
async fn hang(pool: HotConnPool, target: String) -> Result<(), AnyError> {
    let mut conn = pool
        .get_with(&target, GetOptions::new().require(Require::Http1))
        .await?;
    println!("hangs");
    let cut = conn.read_u8().await.map(drop);
    println!("told: {:?}", cut.map_err(|error| error.kind()));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stop = signal(SignalKind::terminate())?;
    let server = server::Server::start()?;
    let target = server.target();
    let mut config = PoolConfig::default();
    config.min_idle = 1;
    let pool = HotConnPool::builder()
        .config(config)
        .roots(server.roots()?)
        .resolver(server.resolver()?)
        .build()?;
    // What has to happen once nothing of the pool is left: a line in a journal, a lock that is given back.
    pool.on_close("say so", Duration::from_millis(500), async {
        println!("nothing is left to close");
        Ok::<_, Infallible>(())
    })?;
    let hangs = std::env::args().any(|argument| argument == "--hang");
    let stuck = hangs.then(|| tokio::spawn(hang(pool.clone(), target.clone())));
    let work = tokio::spawn(serve(pool.clone(), target));

    stop.recv().await;
    let report = pool.close_within(GRACE).await;
    println!(
        "clean: {}, leases left: {}",
        report.is_clean(),
        report.leases_left
    );
    if report.leases_left > 0 {
        println!("cut short: {}", pool.force_cleanup());
    }
    work.await?;
    if let Some(stuck) = stuck {
        let _ = stuck.await?; // it has told
    }
    println!("gone");
    Ok(())
}
