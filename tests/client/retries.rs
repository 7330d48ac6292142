//! What is sent again, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hotpool::{Body, Error, ErrorKind, GetOptions, HotConnPool, Phase, RetrySafety, SendOptions};
use http::{Method, Request};
use http_body::Frame;
use tokio::io::AsyncReadExt;

use crate::ask::{Pieces, Read, get, post, read, send};
use crate::common::{at_rest, finish, http1_peer, let_run, manual_pool, name, pool, spawn, until, within};
use crate::servers::{self, Server};
use crate::support::measure;
use crate::support::peer::{Act, Alpn, Order, Peer, To, go_away};

async fn send_with(pool: &HotConnPool, request: Request<Body>, options: SendOptions) -> Result<Read, Error> {
    let answer = within("an answer", pool.send_with(request, options)).await?;
    read(answer).await
}

/// A server whose first `bad` connections say `last` after a request and end; those after them answer.
async fn dying(bad: usize, last: &'static str) -> Server {
    Server::scripted(&["http/1.1"], move |mut stream, number| async move {
        while !servers::head(&mut stream).await.is_empty() {
            if number <= bad {
                servers::say(&mut stream, last).await;
                return;
            }
            servers::say(&mut stream, servers::whole("answered")).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_upon_is_not_sent_again_by_itself() {
    for method in [Method::GET, Method::POST] {
        let server = dying(1, "").await;
        let pool = server.pool();
        let mut request = get(&server.name(), "/");
        *request.method_mut() = method;
        let error = send(&pool, request).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::ConnectionReset, Phase::Use)
        );
        assert_eq!((error.target(), server.accepted()), (Some(&*server.name()), 1));
        within("close", pool.close()).await;
    }
}

#[tokio::test]
async fn an_idempotent_one_is_if_its_caller_says_so_and_no_byte_of_an_answer_came() {
    let resend = || SendOptions::new().resend_idempotent();
    for (method, last, bad, expected) in [
        (Method::GET, "", 1, Ok(2)),
        (Method::PUT, "", 2, Ok(3)),
        (Method::GET, "", 3, Err(3)),
        (Method::POST, "", 1, Err(1)),
        (Method::GET, "HTTP/1.1 2", 1, Err(1)),
    ] {
        let server = dying(bad, last).await;
        let pool = server.pool();
        let mut request = get(&server.name(), "/");
        *request.method_mut() = method.clone();
        let answer = send_with(&pool, request, resend()).await;
        let came = match answer {
            Ok(read) => {
                assert_eq!(read.text(), "answered");
                Ok(server.accepted())
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                Err(server.accepted())
            }
        };
        assert_eq!(came, expected, "{method} {last:?} {bad}");
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// More interim answers than are heard, and the answer behind them, at once: as far as the connection is concerned all is well.
#[tokio::test]
async fn what_was_answered_is_not_sent_again_whatever_was_wrong_with_the_answer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::scripted(&["http/1.1"], move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            while !servers::head(&mut stream).await.is_empty() {
                stream.read_exact(&mut [0; 4]).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let text = "HTTP/1.1 103 \r\n\r\n".repeat(101) + &servers::whole("answered");
                servers::say(&mut stream, text).await;
            }
        }
    })
    .await;
    let pool = server.pool();
    let options = SendOptions::new().resend_idempotent();
    for method in [Method::POST, Method::PUT] {
        let mut request = post(&server.name(), "/", "four");
        *request.method_mut() = method;
        let error = send_with(&pool, request, options.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Answer);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// Over HTTP/2 a stream may be lost, and its connection stay.
#[tokio::test]
async fn an_idempotent_one_is_whose_stream_was_reset() {
    let resend = || SendOptions::new().resend_idempotent();
    for (method, options, hint, tries) in [
        (Method::GET, resend(), false, 2),
        (Method::GET, resend(), true, 2),
        (Method::POST, resend(), false, 1),
        (Method::GET, SendOptions::new(), false, 1),
    ] {
        let (server, asked) = answering(move |nth, _, mut respond| {
            let head = |status| http::Response::builder().status(status).body(()).unwrap();
            if nth > 0 {
                respond.send_response(head(204), true).unwrap();
                return;
            }
            if hint {
                respond.send_informational(head(103)).unwrap();
            }
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
        })
        .await;
        let pool = server.pool();
        let mut request = get(&server.name(), "/");
        *request.method_mut() = method.clone();
        let answer = send_with(&pool, request, options).await;
        match answer {
            Ok(read) => assert_eq!((read.status.as_u16(), tries), (204, 2), "{method}"),
            Err(error) => assert_eq!((error.kind(), tries), (ErrorKind::Http2, 1), "{method}"),
        }
        assert_eq!(asked.load(Ordering::SeqCst), tries, "{method}");
        assert_eq!(server.accepted(), 1);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// The call itself opens the stream, as its documentation and the book's table of cancel safety say.
#[tokio::test]
async fn a_request_that_nobody_waits_for_is_sent_over_http2_all_the_same() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.hold(To::All);
    let mut conn = within("a connection", pool.get(&*name)).await.unwrap();
    let request = Request::post(format!("https://{name}/read")).body(()).unwrap();
    let opening = conn.h2().unwrap().send_request(request, true);
    peer.wait_for("a request", |seen| seen.requests() == 1).await;
    drop(opening);
    peer.wait_for("a reset", |seen| seen.stream_resets == 1).await;
    assert_eq!(conn.retry_safety(), RetrySafety::Sent);
    drop(conn);
    peer.release(To::All);
    finish(pool, peer).await;
}

/// On one thread: what happens to the socket meanwhile is not heard of before the request is written.
#[tokio::test]
async fn a_request_of_which_no_byte_was_sent_goes_over_another_connection() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    let first = send(&pool, get(&name, "/")).await.unwrap();
    assert_eq!(first.header("x-conn"), "1");
    peer.order(To::All, Order::Reset);
    // Blocks the reactor, too.
    let stands = |socket: &measure::TcpSocket| socket.remote == peer.addr(0) && socket.state == "ESTABLISHED";
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while measure::tcp_sockets().iter().any(stands) {
        assert!(std::time::Instant::now() < deadline, "no reset came");
        std::thread::sleep(Duration::from_millis(1));
    }
    let read = send(&pool, post(&name, "/read", "four")).await.unwrap();
    assert_eq!((read.text(), read.header("x-conn")), ("4", "2"));
    finish(pool, peer).await;
}

#[tokio::test]
async fn what_a_goaway_leaves_out_goes_over_another_connection() {
    let peer = Peer::builder().alpn(Alpn::Http2).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.hold(To::All);
    let sending = spawn({
        let (pool, name) = (pool.clone(), name.clone());
        async move { send(&pool, post(&name, "/read", "four")).await }
    });
    peer.wait_for("a request", |seen| seen.requests() == 1).await;
    peer.order(To::Conn(1), go_away(0, 0));
    peer.wait_for("the same once more", |seen| seen.requests() == 2)
        .await;
    peer.release(To::All);
    let read = within("an answer", sending).await.unwrap().unwrap();
    assert_eq!((read.text(), read.header("x-conn")), ("4", "2"));
    finish(pool, peer).await;
}

/// Has each stream answered over HTTP/2, with how many were before it; and counts them.
async fn answering(
    answer: impl Fn(usize, Request<h2::RecvStream>, h2::server::SendResponse<Bytes>)
    + Clone
    + Send
    + Sync
    + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::scripted(&["h2"], move |stream, _| {
        let (asked, answer) = (Arc::clone(&count), answer.clone());
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                answer(asked.fetch_add(1, Ordering::SeqCst), request, respond);
            }
        }
    })
    .await;
    (server, asked)
}

/// Refuses the first `refused` streams, and answers those after them with the length of their body.
async fn refusing(refused: usize) -> (Server, Arc<AtomicUsize>) {
    answering(move |nth, request, mut respond| {
        if nth < refused {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            return;
        }
        tokio::spawn(async move {
            let (mut body, mut size) = (request.into_body(), 0);
            while let Some(data) = body.data().await {
                size += data.unwrap().len();
            }
            let mut back = respond.send_response(http::Response::new(()), false).unwrap();
            back.send_data(size.to_string().into(), true).unwrap();
        });
    })
    .await
}

#[tokio::test]
async fn a_refused_request_is_sent_again_twice_at_the_most() {
    for (refused, tries) in [(1, 2), (2, 3), (9, 3)] {
        let (server, asked) = refusing(refused).await;
        let pool = server.pool();
        match send(&pool, post(&server.name(), "/", "four")).await {
            Ok(read) => assert_eq!((read.text(), refused < 3), ("4", true)),
            Err(error) => assert_eq!((error.kind(), refused < 3), (ErrorKind::Http2, false)),
        }
        assert_eq!(asked.load(Ordering::SeqCst), tries);
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// A peer that says both cannot be relied on.
#[tokio::test]
async fn what_was_refused_behind_an_interim_answer_is_not_sent_again() {
    let (server, asked) = answering(|_, _, mut respond| {
        let hint = http::Response::builder().status(103).body(()).unwrap();
        respond.send_informational(hint).unwrap();
        tokio::spawn(async move {
            let_run().await; // it is out: a reset would drop it
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        });
    })
    .await;
    let pool = server.pool();
    let error = send(&pool, post(&server.name(), "/", "four")).await.unwrap_err();
    assert_eq!(
        (error.kind(), asked.load(Ordering::SeqCst)),
        (ErrorKind::Http2, 1)
    );
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

#[tokio::test]
async fn a_body_that_cannot_begin_anew_is_sent_once() {
    let (server, asked) = refusing(1).await;
    let pool = server.pool();
    let body = Pieces::of([Frame::data(Bytes::from_static(b"four"))]);
    let request = Request::post(format!("https://{}/", server.name()))
        .body(body)
        .unwrap();
    let error = send(&pool, request).await.unwrap_err();
    assert_eq!(
        (error.kind(), asked.load(Ordering::SeqCst)),
        (ErrorKind::Http2, 1)
    );
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

#[tokio::test]
async fn the_time_for_the_head_is_for_every_try_together() {
    let peer = Peer::builder().start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.hold(To::All);
    let options = SendOptions::new().head_timeout(Duration::from_millis(50));
    let error = send_with(&pool, get(&name, "/"), options.clone())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.phase(), error.is_timeout()),
        (ErrorKind::Timeout, Phase::Use, true)
    );
    assert_eq!(error.target(), Some(&*name));
    at_rest(&pool).await;
    peer.release(To::All);
    // The body has its own time.
    let options = SendOptions::new().head_timeout(Duration::from_secs(5));
    assert_eq!(
        send_with(&pool, get(&name, "/"), options).await.unwrap().text(),
        "hello"
    );
    finish(pool, peer).await;
}

/// Not anew for each: who has so long to wait for a connection waits so long.
#[tokio::test]
async fn the_time_for_a_connection_is_for_every_try_together() {
    for (before, tries) in [(6, 2), (10, 1)] {
        let peer = Peer::builder().alpn(Alpn::Http2).start();
        let (pool, clock) = manual_pool(&peer, |config| config.attempt_timeout = Duration::from_secs(60));
        let name = name(&peer);
        peer.hold(To::All);
        let sending = spawn({
            let (pool, name) = (pool.clone(), name.clone());
            let options = SendOptions::new().get(GetOptions::new().timeout(Duration::from_secs(10)));
            async move { send_with(&pool, post(&name, "/read", "four"), options).await }
        });
        peer.wait_for("a request", |seen| seen.requests() == 1).await;
        clock.advance(Duration::from_secs(before));
        peer.next(To::All, 1, Act::StallAfterHello);
        peer.order(To::Conn(1), go_away(0, 0));
        if tries == 1 {
            let error = within("an error", sending).await.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.phase()), (ErrorKind::Http2, Phase::Use));
            continue;
        }
        until(&pool, "it waits for another connection", |stats| {
            stats.waiting == 1
        })
        .await;
        clock.advance(Duration::from_secs(3));
        let_run().await;
        assert!(!sending.is_finished(), "a second is left");
        clock.advance(Duration::from_secs(1));
        let error = within("an error", sending).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_ne!(error.phase(), Phase::Use);
    }
}

/// An error of any phase before its use says that nothing was sent.
#[tokio::test]
async fn what_may_have_been_acted_upon_is_told_as_that_whatever_becomes_of_another_try() {
    let peer = http1_peer();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    peer.hold(To::All);
    let sending = spawn({
        let (pool, name) = (pool.clone(), name.clone());
        let options = SendOptions::new().resend_idempotent();
        async move { send_with(&pool, get(&name, "/"), options).await }
    });
    peer.wait_for("a request", |seen| seen.requests() == 1).await;
    peer.always(To::All, Act::ResetOnAccept);
    peer.order(To::Conn(1), Order::Reset);
    let error = within("an error", sending).await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::ConnectionReset, Phase::Use)
    );
    assert!(pool.stats().counters.dials > 1, "it was to be sent again");
}
