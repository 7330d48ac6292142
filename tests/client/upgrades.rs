//! Connections and streams that speak something else than HTTP from some head on.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use hotpool::{Body, CloseReason, ErrorKind, Phase, SendOptions, Target, Upgraded};
use http::Request;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::unbounded_channel;

use crate::ask::{Pieces, get, send};
use crate::common::{at_rest, finish, name, pool, until, within};
use crate::servers::{self, Server};
use crate::support::peer::Peer;

async fn echoed(upgraded: &mut Upgraded, text: &[u8]) {
    upgraded.write_all(text).await.unwrap();
    upgraded.flush().await.unwrap();
    let mut back = vec![0; text.len()];
    within("an echo", upgraded.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, text);
}

/// A body that somebody reads as any other: it has nothing, and stays what it is.
async fn read_in_vain(mut body: Body) -> Body {
    assert!(body.is_end_stream());
    assert!(within("no piece", body.frame()).await.is_none());
    body
}

#[tokio::test]
async fn an_upgraded_connection_is_the_callers_and_nobody_elses() {
    let peer = Peer::builder().start(); // which would choose HTTP/2, were it offered
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let mut request = get(&name, "/upgrade");
    request
        .headers_mut()
        .insert("connection", "upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "echo".parse().unwrap());
    let answer = within("an answer", pool.send(request)).await.unwrap();
    assert_eq!(answer.status(), 101);
    let mut upgraded = read_in_vain(answer.into_body()).await.into_upgraded().unwrap();
    echoed(&mut upgraded, b"no HTTP at all").await;
    // It counts, and nobody else gets it.
    assert_eq!((pool.size(), pool.stats().idle), (1, 0));
    let mut other = get(&name, "/echo/mine");
    other.headers_mut().insert("upgrade", "echo".parse().unwrap());
    let read = send(&pool, other).await.unwrap();
    assert_eq!((read.text(), read.header("x-conn")), ("mine", "2"));
    drop(upgraded);
    let detached = |stats: &hotpool::Stats| stats.counters.closes(CloseReason::Detached) == 1;
    until(&pool, "it closed", detached).await;
    finish(pool, peer).await;
}

#[tokio::test]
async fn what_came_with_the_head_is_read_first() {
    let server = Server::scripted(&["http/1.1"], |mut stream, _| async move {
        let head = servers::head(&mut stream).await;
        let (status, early) =
            match head.starts_with("CONNECT far.test:443 HTTP/1.1\r\nhost: far.test:443\r\n") {
                true => ("200 Yes", "tunnel "),
                false => ("101 Yes", "switch "),
            };
        servers::say(&mut stream, format!("HTTP/1.1 {status}\r\n\r\n{early}")).await;
        let mut text = [0; 5];
        stream.read_exact(&mut text).await.unwrap();
        servers::say(&mut stream, text).await;
    })
    .await;
    let pool = server.pool();
    let target = Target::try_from(&*server.name()).unwrap().into_owned();
    let tunnel = Request::connect("far.test:443").body(Body::empty()).unwrap();
    let switch = get(&server.name(), "/");
    for (request, early) in [(tunnel, "tunnel "), (switch, "switch ")] {
        let options = SendOptions::new().target(target.clone());
        let answer = within("an answer", pool.send_with(request, options))
            .await
            .unwrap();
        let mut upgraded = answer.into_body().into_upgraded().unwrap();
        let mut text = [0; 7];
        upgraded.read_exact(&mut text).await.unwrap();
        assert_eq!(text, early.as_bytes());
        echoed(&mut upgraded, b"later").await;
    }
    at_rest(&pool).await;
    assert_eq!((pool.size(), server.accepted()), (0, 2));
    within("close", pool.close()).await;
}

/// A peer may agree before the request is out. What is spoken from there on comes behind the request (RFC 9110 section 7.8).
#[tokio::test]
async fn nothing_else_is_spoken_before_the_whole_request_is_out() {
    let (got, mut rest) = unbounded_channel();
    let server = Server::scripted(&["http/1.1"], move |mut stream, _| {
        let got = got.clone();
        async move {
            servers::head(&mut stream).await;
            servers::say(&mut stream, "HTTP/1.1 101 Yes\r\n\r\n").await;
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await; // which a client that closes need not end well
            got.send(String::from_utf8(all).unwrap()).unwrap();
        }
    })
    .await;
    let pool = server.pool();
    for expects in [false, true] {
        let (hand, pieces) = Pieces::new();
        hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let mut request = Request::post(format!("https://{}/", server.name())).header("content-length", 10);
        if expects {
            request = request.header("expect", "100-continue");
        }
        let mut sending = pin!(pool.send(request.body(pieces).unwrap()));
        let early = tokio::time::timeout(Duration::from_millis(100), &mut sending).await;
        assert!(early.is_err(), "half of the request is out");
        hand.send(Ok(Frame::data(Bytes::from_static(b"later")))).unwrap();
        drop(hand);
        let answer = within("an answer", sending).await.unwrap();
        let mut upgraded = answer.into_body().into_upgraded().unwrap();
        upgraded.write_all(b"and more").await.unwrap();
        upgraded.flush().await.unwrap();
        drop(upgraded);
        let all = within("what came", rest.recv()).await.unwrap();
        assert_eq!(all, "firstlaterand more");
    }
    // One that cannot be sent to its end is no upgrade.
    let (hand, pieces) = Pieces::new();
    hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
    let request = Request::post(format!("https://{}/", server.name())).header("content-length", 10);
    let mut sending = pin!(pool.send(request.body(pieces).unwrap()));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut sending).await;
    assert!(early.is_err(), "half of the request is out");
    drop(hand);
    let error = within("an error", sending).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert_eq!(within("what came", rest.recv()).await.unwrap(), "first");
    at_rest(&pool).await;
    assert_eq!(pool.size(), 0);
    within("close", pool.close()).await;
}

/// Whoever has agreed and goes is not waited for until its caller has more to send.
#[tokio::test]
async fn a_connection_that_ends_before_the_request_does_is_no_upgrade() {
    let server = Server::scripted(&["http/1.1"], |mut stream, _| async move {
        servers::head(&mut stream).await;
        servers::say(&mut stream, "HTTP/1.1 101 Yes\r\n\r\nearly").await;
    })
    .await;
    let pool = server.pool();
    let (hand, pieces) = Pieces::new();
    hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
    let request = Request::post(format!("https://{}/", server.name())).header("content-length", 10);
    let error = send(&pool, request.body(pieces).unwrap()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::ConnectionReset, Phase::Use)
    );
    at_rest(&pool).await;
    assert_eq!(pool.size(), 0);
    drop(hand);
}

/// RFC 8441: a request like others but for its protocol, which goes over HTTP/2 or not at all.
#[tokio::test]
async fn an_extended_connect_goes_over_http2_and_has_a_host_as_others_have() {
    let serve = |alpn: &'static [&'static str]| {
        Server::hyper(alpn, |request| async move {
            let protocol = request.extensions().get::<hyper::ext::Protocol>();
            assert_eq!(protocol.map(|protocol| protocol.as_str()), Some("websocket"));
            assert_eq!(request.uri(), "https://other.test/chat");
            http::Response::default()
        })
    };
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let server = serve(alpn).await;
        let pool = server.pool();
        let request = Request::connect(format!("https://{}/chat", server.name()))
            .header("host", "other.test")
            .extension(h2::ext::Protocol::from_static("websocket"));
        let sent = within("an answer", pool.send(request.body(Body::empty()).unwrap())).await;
        match sent {
            Ok(answer) => {
                assert_eq!((answer.status().as_u16(), alpn[0]), (200, "h2"));
                drop(answer.into_body().into_upgraded().unwrap());
            }
            Err(error) => assert_eq!((error.kind(), alpn[0]), (ErrorKind::Protocol, "http/1.1")),
        }
        at_rest(&pool).await;
    }
}

/// The same on either protocol, and before anything is dialled.
#[tokio::test]
async fn a_tunnel_has_no_length() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |_| async { http::Response::default() }).await;
        let pool = server.pool();
        let target = Target::try_from(&*server.name()).unwrap().into_owned();
        for (length, body) in [(Some("0"), Body::empty()), (None, Body::from("four"))] {
            let mut request = Request::connect("far.test:443").body(body).unwrap();
            if let Some(length) = length {
                request
                    .headers_mut()
                    .insert("content-length", length.parse().unwrap());
            }
            let sending = pool.send_with(request, SendOptions::new().target(target.clone()));
            let error = within("an error", sending).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Request, "{alpn} {length:?}");
            assert!(error.cause().unwrap().to_string().contains("open a tunnel"));
        }
        assert_eq!(server.accepted(), 0, "{alpn}");
    }
}

/// One protocol by `Upgrade`, which HTTP/2 has not, and one by its pseudo-header, which HTTP/1.1 has not.
#[tokio::test]
async fn nobody_asks_for_two_protocols() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |_| async { http::Response::default() }).await;
        let pool = server.pool();
        let request = Request::connect(format!("https://{}/chat", server.name()))
            .header("connection", "upgrade")
            .header("upgrade", "x")
            .extension(h2::ext::Protocol::from_static("websocket"));
        let sending = pool.send(request.body(Body::empty()).unwrap());
        let error = within("an error", sending).await.unwrap_err();
        assert_eq!(
            (error.kind(), server.accepted()),
            (ErrorKind::Request, 0),
            "{alpn}"
        );
        assert!(
            error.cause().unwrap().to_string().contains("Upgrade"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_a_tunnel_after_connect() {
    let server = Server::scripted(&["h2"], |stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(
                (request.method().as_str(), request.uri().to_string()),
                ("CONNECT", "far.test:443".into())
            );
            let mut back = respond.send_response(http::Response::new(()), false).unwrap();
            tokio::spawn(async move {
                let mut asked = request.into_body();
                while let Some(Ok(data)) = asked.data().await {
                    asked.flow_control().release_capacity(data.len()).unwrap();
                    back.send_data(data, false).unwrap();
                }
                back.send_data(Bytes::new(), true).unwrap();
            });
        }
    })
    .await;
    let pool = server.pool();
    let target = Target::try_from(&*server.name()).unwrap().into_owned();
    let request = Request::connect("far.test:443").body(Body::empty()).unwrap();
    let options = SendOptions::new().target(target);
    let answer = within("an answer", pool.send_with(request, options))
        .await
        .unwrap();
    let mut upgraded = read_in_vain(answer.into_body()).await.into_upgraded().unwrap();
    echoed(&mut upgraded, &[7; 100_000]).await;
    assert_eq!(pool.stats().leases, 1, "it holds its place");
    upgraded.shutdown().await.unwrap();
    assert_eq!(
        within("the end", upgraded.read_u8()).await.unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof
    );
    drop(upgraded);
    at_rest(&pool).await;
    assert_eq!(
        (pool.size(), pool.stats().idle),
        (1, 1),
        "the connection serves on"
    );
    within("close", pool.close()).await;
}

#[tokio::test]
async fn an_answer_that_is_one_is_no_upgrade() {
    let peer = Peer::builder().start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let body = pool.send(get(&name, "/bytes/10")).await.unwrap().into_body();
    let body = body.into_upgraded().unwrap_err();
    let read = within("a body", BodyExt::collect(body)).await.unwrap();
    assert_eq!(read.to_bytes().len(), 10);
    finish(pool, peer).await;
}
