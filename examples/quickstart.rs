//! The first steps: get a connection, use it, give it back, and be handed the same one again.
//!
//! Runs by itself, against a TLS server on the loopback (`support/server.rs`):
//!
//! ```sh
//! cargo run --example quickstart
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "support/server.rs"]
mod server;

use hotpool::{HotConnPool, Protocol, Returned};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

type AnyError = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let server = server::Server::start()?;
    let target = server.target();

    // Without the two lines in the middle: Mozilla's roots and the system's DNS.
    let pool = HotConnPool::builder()
        .roots(server.roots()?)
        .resolver(server.resolver()?)
        .build()?;

    for _ in 0..2 {
        let mut conn = pool.get(&target).await?;
        let text = match conn.protocol() {
            Protocol::Http2 => http2(&mut conn, &target).await?,
            _ => http1(&mut conn, &target).await?,
        };
        print!("connection {}: {text}", conn.info().serial);
        assert_eq!(pool.put(conn), Returned::Kept); // dropping it does the same
    }

    // One that must speak HTTP/1.1 is another connection.
    let options = hotpool::GetOptions::new().require(hotpool::Require::Http1);
    let mut conn = pool.get_with(&target, options).await?;
    let text = http1(&mut conn, &target).await?;
    print!("connection {}: {text}", conn.info().serial);
    assert_eq!(pool.put(conn), Returned::Kept);

    let counters = pool.stats().counters;
    println!(
        "{} connections opened for {} leases",
        counters.opened, counters.gets
    );
    assert_eq!((counters.opened, counters.gets), (2, 3));
    pool.close().await;
    Ok(())
}

/// Over HTTP/1.1 a connection is a stream: write the request, read the answer to its end.
async fn http1(conn: &mut hotpool::HotConn, target: &str) -> Result<String, AnyError> {
    let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n");
    conn.write_all(request.as_bytes()).await?;
    conn.flush().await?; // until then TLS may hold some of it
    let mut reader = BufReader::new(&mut *conn);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).await? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(String::from_utf8(body)?)
}

/// Over HTTP/2 it is the right to one stream, by stock h2. Hold the lease until the body is read.
async fn http2(conn: &mut hotpool::HotConn, target: &str) -> Result<String, AnyError> {
    let request = http::Request::get(format!("https://{target}/")).body(())?;
    let (response, _) = conn.h2()?.send_request(request, true).await?;
    let (mut body, mut text) = (response.await?.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text.extend_from_slice(&data);
    }
    Ok(String::from_utf8(text)?)
}
