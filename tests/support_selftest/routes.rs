//! Each path answers as the peer's table of paths says, over both protocols.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clients::{self, http1, http2};
use crate::support::peer::Peer;
use crate::within;

/// The next of several pieces of a chunked body; empty at its end.
async fn chunk(stream: &mut clients::Stream) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
    let mut piece = vec![0; size + 2];
    stream.read_exact(&mut piece).await.unwrap();
    assert!(piece.ends_with(b"\r\n"));
    piece.truncate(size);
    piece
}

#[tokio::test]
async fn http1_bodies_end_as_their_path_says() {
    let peer = Peer::start();
    let mut stream = http1(peer.addr(0)).await;
    for size in [0, 1, 16384, 16385, 300_000] {
        clients::assert_filler(
            &clients::get(&mut stream, &format!("/bytes/{size}"))
                .await
                .unwrap()
                .body,
            size,
        );
        let head = clients::get(&mut stream, &format!("/chunked/{size}"))
            .await
            .unwrap();
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        let mut body = Vec::new();
        loop {
            match within(chunk(&mut stream)).await {
                piece if piece.is_empty() => break,
                piece => body.extend(piece),
            }
        }
        clients::assert_filler(&body, size);
    }
    // The next answer follows whole, so nothing of the last was left over.
    assert_eq!(
        clients::get(&mut stream, "/status/204")
            .await
            .unwrap()
            .header("content-length"),
        None
    );
    assert_eq!(
        clients::get(&mut stream, "/status/403").await.unwrap().status(),
        403
    );
    assert_eq!(clients::get(&mut stream, "/nowhere").await.unwrap().status(), 404);
    clients::get(&mut stream, "/eof/20000").await.unwrap();
    let (rest, ended) = within(clients::read_rest(&mut stream)).await;
    ended.expect("close_notify");
    clients::assert_filler(&rest, 20000);
}

#[tokio::test]
async fn http1_endings_and_oddities() {
    let peer = Peer::start();
    let mut stream = http1(peer.addr(0)).await;
    let hints = clients::get(&mut stream, "/hints").await.unwrap();
    assert_eq!((hints.status(), hints.body.len()), (103, 0));
    assert_eq!(clients::read_answer(&mut stream).await.unwrap().body, b"hello");
    let answer = clients::get(&mut stream, "/extra/7").await.unwrap();
    assert_eq!(answer.body, b"hello");
    let mut beyond = [0; 7];
    within(stream.read_exact(&mut beyond)).await.unwrap();
    clients::assert_filler(&beyond, 7);
    let closing = clients::get(&mut stream, "/close").await.unwrap();
    assert_eq!(
        (closing.header("connection"), closing.body.as_slice()),
        (Some("close"), &b"hello"[..])
    );
    let (rest, ended) = within(clients::read_rest(&mut stream)).await;
    assert!(rest.is_empty() && ended.is_ok());

    let mut stream = http1(peer.addr(0)).await;
    let error = clients::get(&mut stream, "/reset/8")
        .await
        .expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

    let mut stream = http1(peer.addr(0)).await;
    stream
        .write_all(b"GET /partial/100 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let head = clients::read_head(&mut stream).await.unwrap();
    assert!(head.contains("content-length: 100\r\n"));
    let mut half = [0; 50];
    stream.read_exact(&mut half).await.unwrap();
    tokio::time::timeout(Duration::from_millis(100), stream.read_u8())
        .await
        .expect_err("silence");

    let mut stream = http1(peer.addr(0)).await;
    assert_eq!(clients::get(&mut stream, "/upgrade").await.unwrap().status(), 101);
    let mut echo = [0; 4];
    stream.write_all(b"ping").await.unwrap();
    within(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"ping");
}

#[tokio::test]
async fn http1_requests_with_bodies() {
    let peer = Peer::start();
    let mut stream = http1(peer.addr(0)).await;
    stream
        .write_all(b"POST /read HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345")
        .await
        .unwrap();
    assert_eq!(clients::read_answer(&mut stream).await.unwrap().body, b"5");
    let chunked = b"POST /read HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nt: u\r\n\r\n";
    stream.write_all(chunked).await.unwrap();
    assert_eq!(clients::read_answer(&mut stream).await.unwrap().body, b"13");
    stream
        .write_all(b"POST /early HTTP/1.1\r\ncontent-length: 5\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        within(clients::read_answer(&mut stream)).await.unwrap().body,
        b"hello"
    );
    stream
        .write_all(b"12345HEAD /bytes/9 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let head = clients::read_head(&mut stream).await.unwrap();
    assert!(head.contains("content-length: 9\r\n"), "{head}");
    stream
        .write_all(b"POST /read HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        within(clients::read_answer(&mut stream)).await.unwrap().status(),
        100
    );
    stream.write_all(b"1").await.unwrap();
    assert_eq!(clients::read_answer(&mut stream).await.unwrap().body, b"1");
    assert_eq!((peer.seen().requests(), peer.connections()[0].requests), (5, 5));
}

#[tokio::test]
async fn http2_answers_the_same_paths() {
    let peer = Peer::builder().windows(70_000, 100_000).start();
    let client = http2(peer.addr(0)).await;
    for path in ["bytes", "chunked", "eof"] {
        for size in [0, 1, 300_000] {
            let (status, headers, body) = client.get(&format!("/{path}/{size}")).await.unwrap();
            assert_eq!(
                (status, headers.contains_key("content-length")),
                (200, path == "bytes")
            );
            clients::assert_filler(&body, size);
        }
    }
    for (path, status, body) in [
        ("/status/204", 204, ""),
        ("/status/503", 503, "hello"),
        ("/hints", 200, "hello"),
        ("/none", 404, "no such path"),
    ] {
        let answer = client.get(path).await.unwrap();
        assert_eq!(
            (answer.0, answer.2.as_slice()),
            (status, body.as_bytes()),
            "{path}"
        );
    }
    let reset = client.get("/reset/7").await.unwrap_err();
    assert_eq!(
        (reset.is_reset(), reset.reason()),
        (true, Some(h2::Reason::REFUSED_STREAM))
    );
    assert_eq!(client.get("/").await.unwrap().1["x-nth"], "15");
}
