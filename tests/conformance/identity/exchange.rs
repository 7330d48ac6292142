//! One exchange with the scripted peer, and the runtime of a test.

use std::future::Future;
use std::io;

use hotpool::{HotConn, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::peer::DEADLINE;

/// Runs a test on a runtime of two threads.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

/// Fails the test, naming `what`, if it takes longer than anything here may.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took longer than {DEADLINE:?}"),
    }
}

/// Asks for `path` and reads the answer to its end. The answer is the path of the first request that the connection
/// ever carried.
pub(crate) async fn exchange(conn: &mut HotConn, path: &str) -> String {
    let first = match conn.protocol() {
        Protocol::Http2 => within("an exchange", http2(conn, path)).await,
        _ => within("an exchange", http1(conn, path)).await,
    };
    first.expect("an answer")
}

async fn http1(conn: &mut HotConn, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: peer.test\r\n\r\n");
    conn.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(conn.read_u8().await?);
    }
    let head = String::from_utf8(head).expect("an ASCII head");
    let header = |wanted: &str| {
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(name, _)| *name == wanted)
            .expect("the header")
            .1
            .to_owned()
    };
    let length = header("content-length").parse().expect("a number");
    conn.read_exact(&mut vec![0; length]).await?;
    Ok(header("x-first"))
}

async fn http2(conn: &mut HotConn, path: &str) -> io::Result<String> {
    let request = http::Request::get(format!("https://peer.test{path}"))
        .body(())
        .expect("a request");
    let (response, _) = conn.h2()?.send_request(request, true).await?;
    let (head, mut body) = response.await.map_err(io::Error::other)?.into_parts();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(io::Error::other)?;
        body.flow_control()
            .release_capacity(piece.len())
            .map_err(io::Error::other)?;
    }
    Ok(head.headers["x-first"].to_str().expect("text").to_owned())
}
