//! What every exchange does, whatever it is spoken over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotpool::{CloseReason, Error, ErrorKind, HotConnPool, Phase};
use http::{Method, Request, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::AsyncReadExt;

use crate::ask::{Pieces, get, post, read, send, trailers};
use crate::common::{at_rest, finish, name, pool, spawn, within};
use crate::servers::{self, Server};
use crate::support::peer::{Alpn, Peer, To, filler};

const BOTH: [Alpn; 2] = [Alpn::Http1, Alpn::Http2];

fn speaking(alpn: Alpn) -> (Peer, HotConnPool, String) {
    let peer = Peer::builder().alpn(alpn).start();
    let (pool, name) = (pool(&peer, |_| {}), name(&peer));
    (peer, pool, name)
}

#[tokio::test]
async fn bodies_come_whole_whatever_ends_them_and_the_connection_serves_again() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        for size in [0, 1, 100, 5_000, 100_000, 3_000_000] {
            for way in ["bytes", "chunked"] {
                let read = send(&pool, get(&name, &format!("/{way}/{size}"))).await.unwrap();
                assert_eq!((read.status, read.trailers), (StatusCode::OK, None));
                assert!(read.body == filler(size), "{way} {size}: {}", read.body.len());
            }
        }
        let posted = spawn({
            let (pool, name) = (pool.clone(), name.clone());
            async move { send(&pool, post(&name, "/read", filler(70_000))).await }
        });
        let read = posted.await.unwrap().unwrap();
        assert_eq!((read.text(), read.header("x-conn")), ("70000", "1"));
        let read = send(&pool, get(&name, "/eof/5000")).await.unwrap();
        assert!(read.body == filler(5_000));
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn bodies_go_whole_whether_their_length_is_known() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        for size in [1, 16_384, 16_385, 500_000] {
            let whole = filler(size);
            let uri = format!("https://{name}/read");
            let known = Request::put(&uri)
                .body(Full::new(Bytes::from(whole.clone())))
                .unwrap();
            let read = send(&pool, known).await.unwrap();
            assert_eq!(read.text(), size.to_string(), "{alpn:?}");
            let pieces = whole
                .chunks(7_000)
                .map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
            let unknown = Request::put(&uri).body(Pieces::of(pieces)).unwrap();
            let read = send(&pool, unknown).await.unwrap();
            assert_eq!(
                (read.text(), read.header("x-conn")),
                (&*size.to_string(), "1"),
                "{alpn:?}"
            );
        }
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        for (method, path, status) in [
            (Method::HEAD, "/bytes/100000", 200),
            (Method::GET, "/status/204", 204),
            (Method::GET, "/status/304", 304),
            (Method::GET, "/bytes/0", 200),
            (Method::HEAD, "/chunked/10", 200),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(format!("https://{name}{path}"));
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let answer = within("an answer", pool.send(request)).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            // Over HTTP/2 the end of one of no octets may come behind its head.
            if (alpn, path) != (Alpn::Http2, "/bytes/0") {
                assert!(answer.body().is_end_stream(), "{alpn:?} {path}");
                assert_eq!(pool.stats().leases, 0, "{alpn:?} {path}");
            }
            let read = read(answer).await.unwrap();
            assert_eq!((&*read.body, read.header("x-conn")), (&b""[..], "1"), "{path}");
        }
        finish(pool, peer).await;
    }
}

/// RFC 9110 section 8.6: the length is that of what a GET would be answered with, and none of it comes.
#[tokio::test]
async fn a_length_that_is_told_and_not_sent_is_not_waited_for() {
    let server = Server::scripted(&["h2"], |stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let status = request.uri().path()[1..].parse::<u16>().unwrap();
            let head = http::Response::builder().status(status);
            let head = head.header("content-length", 5).body(()).unwrap();
            respond.send_response(head, true).unwrap();
        }
    });
    let server = server.await;
    let pool = server.pool();
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}/{status}", server.name()));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = within("an answer", pool.send(request)).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-length"]),
            (status, &"5".parse().unwrap())
        );
        assert!(answer.body().is_end_stream(), "{status}");
        assert_eq!(
            (answer.body().size_hint().exact(), pool.stats().leases),
            (Some(0), 0),
            "{status}"
        );
    }
    assert_eq!((pool.size(), server.accepted()), (1, 1));
    within("close", pool.close()).await;
}

#[tokio::test]
async fn the_lease_goes_home_with_the_last_piece_of_the_body() {
    for alpn in BOTH {
        for path in ["/bytes/60000", "/chunked/60000"] {
            let (peer, pool, name) = speaking(alpn);
            let mut body = pool.send(get(&name, path)).await.unwrap().into_body();
            assert_eq!(pool.stats().leases, 1, "{alpn:?} {path}");
            let mut size = 0;
            while size < 60_000 {
                let frame = within("a piece", body.frame()).await.unwrap().unwrap();
                size += frame.into_data().unwrap().len();
            }
            // Where the length was announced the last piece says that it is the last; else the end may be still to come.
            if (alpn, path) != (Alpn::Http1, "/bytes/60000") && !body.is_end_stream() {
                assert!(within("the end", body.frame()).await.is_none());
            }
            assert!(body.is_end_stream());
            // The body is still there.
            assert_eq!(pool.stats().leases, 0, "{alpn:?} {path}");
            assert_eq!(pool.stats().counters.closed(), 0, "{alpn:?} {path}");
            drop(body);
            finish(pool, peer).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_half_way_takes_its_connection_or_its_stream_along() {
    let (peer, pool, name) = speaking(Alpn::Http1);
    let mut body = pool.send(get(&name, "/bytes/3000000")).await.unwrap().into_body();
    assert!(within("a piece", body.frame()).await.unwrap().is_ok());
    drop(body);
    at_rest(&pool).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::HalfRead), 1);
    let read = send(&pool, get(&name, "/echo/mine")).await.unwrap();
    assert_eq!((read.text(), read.header("x-conn")), ("mine", "2"));
    finish(pool, peer).await;

    let (peer, pool, name) = speaking(Alpn::Http2);
    let mut body = pool.send(get(&name, "/partial/3000")).await.unwrap().into_body();
    assert!(within("a piece", body.frame()).await.unwrap().is_ok());
    drop(body);
    peer.wait_for("a reset", |seen| seen.stream_resets == 1).await;
    let read = send(&pool, get(&name, "/echo/mine")).await.unwrap();
    assert_eq!((read.text(), read.header("x-conn")), ("mine", "1"));
    finish(pool, peer).await;
}

#[tokio::test]
async fn a_send_that_is_dropped_leaves_nothing_behind() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        peer.hold(To::All);
        for _ in 0..3 {
            let asked = peer.seen().requests();
            let sending = spawn({
                let (pool, name) = (pool.clone(), name.clone());
                async move { send(&pool, post(&name, "/read", filler(100))).await }
            });
            peer.wait_for("a request", |seen| seen.requests() > asked).await;
            sending.abort();
            assert!(sending.await.unwrap_err().is_cancelled());
            at_rest(&pool).await;
        }
        peer.release(To::All);
        assert_eq!(send(&pool, get(&name, "/")).await.unwrap().text(), "hello");
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        for _ in 0..2 {
            let read = send(&pool, get(&name, "/hints")).await.unwrap();
            assert_eq!(
                (read.status.as_u16(), read.text(), read.header("x-conn")),
                (200, "hello", "1")
            );
        }
        finish(pool, peer).await;
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_read_and_both_go_on() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        let (hand, pieces) = Pieces::new();
        hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let request = Request::post(format!("https://{name}/early"))
            .body(pieces)
            .unwrap();
        let answer = within("an early answer", pool.send(request)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let reading = spawn(read(answer));
        hand.send(Ok(Frame::data(Bytes::from(filler(300_000))))).unwrap();
        drop(hand);
        assert_eq!(reading.await.unwrap().unwrap().text(), "hello", "{alpn:?}");
        at_rest(&pool).await;
        // What an early answer leaves of an HTTP/1.1 connection is open to doubt.
        let half_sent = pool.stats().counters.closes(CloseReason::HalfSent);
        assert_eq!(half_sent, u64::from(alpn == Alpn::Http1));
        finish(pool, peer).await;
    }
}

/// What the caller has still to send keeps nobody from hearing what is said meanwhile, the end of the connection as well.
#[tokio::test]
async fn what_is_said_is_heard_while_the_callers_body_has_no_more_yet() {
    for (says, expected) in [
        (
            "HTTP/1.1 413 So\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno",
            Ok((413, "no")),
        ),
        ("HTTP/1.1 413 So\r\n\r\nno", Ok((413, "no"))),
        (
            "HTTP/1.1 200 So\r\ncontent-length: 3\r\n\r\nyes",
            Ok((200, "yes")),
        ),
        (
            "HTTP/1.1 200 So\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
            Ok((200, "yes")),
        ),
        (
            "HTTP/1.1 200 So\r\ncontent-length: 4\r\n\r\nyes",
            Err(ErrorKind::ConnectionReset),
        ),
        ("", Err(ErrorKind::ConnectionReset)),
    ] {
        let server = Server::scripted(&["http/1.1"], move |mut stream, _| async move {
            servers::head(&mut stream).await;
            servers::say(&mut stream, says).await;
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        })
        .await;
        let pool = server.pool();
        let (hand, pieces) = Pieces::new();
        hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let request = Request::post(format!("https://{}/", server.name())).body(pieces);
        let came = send(&pool, request.unwrap()).await;
        let came = came.as_ref().map(|read| (read.status.as_u16(), read.text()));
        assert_eq!(came.map_err(Error::kind), expected, "{says:?}");
        at_rest(&pool).await;
        assert_eq!(pool.size(), 0);
        drop(hand);
    }
}

/// The same behind an answer that is over, where something stands before the end that nobody asked for: little of it or much.
#[tokio::test]
async fn an_answer_is_over_whatever_stands_behind_it() {
    for (stray, ends) in [(0, true), (10, true), (8_000, true), (8_000, false)] {
        let server = Server::scripted(&["http/1.1"], move |mut stream, _| async move {
            servers::head(&mut stream).await;
            servers::say(&mut stream, servers::whole("yes") + &"x".repeat(stray)).await;
            if ends {
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
            }
            servers::head(&mut stream).await; // until the client has gone
        })
        .await;
        let pool = server.pool();
        let (hand, pieces) = Pieces::new();
        hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let request = Request::post(format!("https://{}/", server.name())).body(pieces);
        let came = send(&pool, request.unwrap()).await.unwrap();
        assert_eq!(came.text(), "yes", "{stray} {ends}");
        at_rest(&pool).await;
        assert_eq!(pool.size(), 0);
        drop(hand);
    }
}

/// All that was announced is out: a body that stays open has nothing to add.
#[tokio::test]
async fn a_request_is_sent_once_its_length_is_out() {
    let http1 = Server::scripted(&["http/1.1"], |mut stream, _| async move {
        while !servers::head(&mut stream).await.is_empty() {
            stream.read_exact(&mut [0; 5]).await.unwrap();
            servers::say(&mut stream, servers::whole("yes")).await;
        }
    });
    let http2 = Server::scripted(&["h2"], |stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                assert_eq!(body.data().await.unwrap().unwrap(), "first");
                let mut back = respond.send_response(http::Response::new(()), false).unwrap();
                back.send_data("yes".into(), true).unwrap();
                while let Some(more) = body.data().await {
                    assert_eq!(more.unwrap(), "", "it is not reset");
                }
            });
        }
    });
    for server in [http1.await, http2.await] {
        let pool = server.pool();
        for _ in 0..2 {
            let (hand, pieces) = Pieces::new();
            hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
            let request = Request::post(format!("https://{}/", server.name())).header("content-length", 5);
            let came = send(&pool, request.body(pieces).unwrap()).await.unwrap();
            assert_eq!(came.text(), "yes");
            at_rest(&pool).await;
            drop(hand);
        }
        assert_eq!((pool.size(), server.accepted()), (1, 1));
        within("close", pool.close()).await;
    }
}

/// Other readers wait for the end where one who takes a bare LF for a line's end has it.
#[tokio::test]
async fn trailers_end_as_every_reader_sees_it() {
    for (trailers, expected) in [
        ("T: v\r\nU: w\r\n\r\n", Ok("yes")),
        ("T: v\r\nU: w\n\r\n", Err(ErrorKind::Answer)),
        ("T: v\nU: w\r\n\r\n", Err(ErrorKind::Answer)),
        ("T: v\r\n\n", Err(ErrorKind::Answer)),
        ("\n", Err(ErrorKind::Answer)),
    ] {
        let server = Server::scripted(&["http/1.1"], move |mut stream, _| async move {
            servers::head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n";
            servers::say(&mut stream, [head, trailers].concat()).await;
            servers::head(&mut stream).await; // until the client has gone
        })
        .await;
        let pool = server.pool();
        let came = send(&pool, get(&server.name(), "/")).await;
        let came = came.as_ref().map(|read| read.text()).map_err(Error::kind);
        assert_eq!(came, expected, "{trailers:?}");
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// As far as the head says, and less with each piece: whoever hands it on need not send it in chunks.
#[tokio::test]
async fn a_body_says_how_long_it_is() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        let answer = within("an answer", pool.send(get(&name, "/bytes/300000"))).await;
        let mut body = answer.unwrap().into_body();
        let mut left = 300_000;
        assert_eq!(body.size_hint().exact(), Some(left), "{alpn:?}");
        while let Some(piece) = within("a piece", body.frame()).await {
            left -= piece.unwrap().into_data().unwrap().len() as u64;
            assert_eq!(body.size_hint().exact(), Some(left), "{alpn:?}");
        }
        assert_eq!(left, 0, "{alpn:?}");
        finish(pool, peer).await;
    }
}

/// Interim answers are news of an answer to come: whoever has a hundred and one has none. Over HTTP/2 that is so where a body waits for one of them.
#[tokio::test]
async fn interim_answers_have_an_end() {
    for (alpn, count, waits) in [
        ("http/1.1", 100, false),
        ("http/1.1", 101, false),
        ("h2", 100, true),
        ("h2", 101, true),
    ] {
        let says: &'static [u16] = [vec![103; count], vec![200]].concat().leak();
        let server = Server::scripted(&[alpn], move |stream, _| async move {
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => says_over_h2(stream, says).await,
                _ => says_over_h1(stream, says).await,
            }
        })
        .await;
        let pool = server.pool();
        let mut request = post(&server.name(), "/", "four");
        if waits {
            let expect = "100-continue".parse().unwrap();
            request.headers_mut().insert("expect", expect);
        }
        let came = send(&pool, request).await.map(|read| read.status.as_u16());
        match came {
            Ok(status) => assert_eq!((status, count), (200, 100), "{alpn}"),
            Err(error) => {
                assert_eq!((error.kind(), count), (ErrorKind::Answer, 101), "{alpn}");
                assert!(error.cause().unwrap().to_string().contains("more than 100"));
            }
        }
        at_rest(&pool).await;
    }
}

/// Over HTTP/2 an answer that is whole may come with a reset which says that the rest of the request is not wanted (RFC 9113 section 8.1). It comes to the connection at any
/// time: here between a look at the stream and the end of the body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_came_is_not_lost_to_a_reset_behind_it() {
    let server = Server::scripted(&["h2"], |stream, _| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let status = request.uri().path()[1..].parse::<u16>().unwrap();
            let head = http::Response::builder().status(status).body(()).unwrap();
            let mut back = respond.send_response(head, false).unwrap();
            back.send_data("so\n".into(), true).unwrap(); // and nobody wants the body
        }
    })
    .await;
    let (pool, name) = (server.pool(), server.name());
    assert_eq!(send(&pool, get(&name, "/200")).await.unwrap().text(), "so\n");
    for (status, last) in [
        (413, None),
        (200, None),
        (413, Some(Frame::trailers(trailers("x-last", "1")))),
    ] {
        // Two exchanges after its answer, the reset has come, too.
        let others = {
            let (pool, name) = (pool.clone(), name.clone());
            async move {
                for _ in 0..2 {
                    send(&pool, get(&name, "/200")).await.unwrap();
                }
            }
        };
        let body = Beside {
            first: Some(Frame::data(Bytes::from_static(b"first"))),
            others: Some(Box::pin(others)),
            last,
        };
        let request = Request::post(format!("https://{name}/{status}"));
        let read = send(&pool, request.body(body).unwrap()).await.unwrap();
        assert_eq!((read.status.as_u16(), read.text()), (status, "so\n"));
    }
    assert_eq!(server.accepted(), 1);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}

/// A body of which the first piece goes out, and which comes to its end when something else was done meanwhile: in one poll.
struct Beside {
    first: Option<Frame<Bytes>>,
    others: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    last: Option<Frame<Bytes>>,
}

impl http_body::Body for Beside {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(others) = self.others.take() {
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(others));
        }
        Poll::Ready(self.last.take().map(Ok))
    }
}

#[tokio::test]
async fn trailers_go_both_ways() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |request| async move {
            let collected = request.into_body().collect().await.unwrap();
            let said = collected.trailers().map(|trailers| trailers["x-asked"].clone());
            let mut back = trailers("x-answered", "yes");
            back.insert("x-asked", said.unwrap());
            let frames = [Frame::data(collected.to_bytes()), Frame::trailers(back)];
            let mut answer = http::Response::new(Pieces::of(frames).boxed());
            // hyper sends no others over HTTP/1.1.
            answer
                .headers_mut()
                .insert("trailer", "x-answered, x-asked".parse().unwrap());
            answer
        })
        .await;
        let pool = server.pool();
        for _ in 0..2 {
            let body = Pieces::of([
                Frame::data(Bytes::from_static(b"body")),
                Frame::trailers(trailers("x-asked", "so")),
            ]);
            let request = Request::post(format!("https://{}/", server.name())).header("te", "trailers");
            let read = send(&pool, request.body(body).unwrap()).await.unwrap();
            let back = read.trailers.as_ref().unwrap();
            assert_eq!(
                (
                    read.text(),
                    back["x-asked"].as_bytes(),
                    back["x-answered"].as_bytes()
                ),
                ("body", &b"so"[..], &b"yes"[..])
            );
        }
        assert_eq!(server.accepted(), 1, "{alpn}");
        within("close", pool.close()).await;
    }
}

#[tokio::test]
async fn a_body_that_waits_to_be_asked_for_waits_for_the_answer_or_a_second() {
    let (peer, pool, name) = speaking(Alpn::Http1);
    let mut request = post(&name, "/read", filler(9_000));
    request
        .headers_mut()
        .insert("expect", "100-continue".parse().unwrap());
    let read = send(&pool, request).await.unwrap();
    assert_eq!((read.text(), read.header("x-conn")), ("9000", "1"));
    finish(pool, peer).await;

    // One that refuses gets nothing of it.
    let (got, mut rest) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::scripted(&["http/1.1"], move |mut stream, _| {
        let got = got.clone();
        async move {
            let head = servers::head(&mut stream).await;
            assert!(head.contains("expect: 100-continue\r\n"), "{head}");
            servers::say(&mut stream, "HTTP/1.1 413 No\r\ncontent-length: 4\r\n\r\n").await;
            servers::say(&mut stream, "no!\n").await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            got.send(rest.len()).unwrap();
        }
    })
    .await;
    let pool = server.pool();
    let mut request = post(&server.name(), "/", filler(9_000));
    request
        .headers_mut()
        .insert("expect", "100-continue".parse().unwrap());
    let read = send(&pool, request).await.unwrap();
    assert_eq!((read.status.as_u16(), read.text()), (413, "no!\n"));
    at_rest(&pool).await;
    assert_eq!(pool.stats().counters.closes(CloseReason::HalfSent), 1);
    assert_eq!(within("what came", rest.recv()).await, Some(0));
    within("close", pool.close()).await;
}

/// The second does not pass here: whoever waits for it waits for ever.
#[tokio::test]
async fn a_body_that_waits_hears_what_it_is_told_whatever_comes_with_it() {
    for (alpn, says, status) in [
        ("http/1.1", &[100, 200][..], 200),
        ("http/1.1", &[103, 100, 200], 200),
        ("http/1.1", &[417], 417),
        ("http/1.1", &[103, 417], 417),
        ("http/1.1", &[200], 200),
        ("h2", &[100, 200], 200),
        ("h2", &[103, 100, 200], 200),
        ("h2", &[103, 103, 100, 200], 200),
        ("h2", &[417], 417),
        ("h2", &[103, 417], 417),
        ("h2", &[200], 200),
    ] {
        let server = Server::scripted(&[alpn], move |stream, _| async move {
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => says_over_h2(stream, says).await,
                _ => says_over_h1(stream, says).await,
            }
        })
        .await;
        let clock = hotpool::clock::ManualClock::new();
        let pool = server.builder(|_| {}).clock(clock).build().unwrap();
        let mut request = post(&server.name(), "/", "four");
        let expect = "100-continue".parse().unwrap();
        request.headers_mut().insert("expect", expect);
        let read = send(&pool, request).await.unwrap();
        let text = if status == 200 { "four" } else { "" };
        assert_eq!(
            (read.status.as_u16(), read.text()),
            (status, text),
            "{alpn} {says:?}"
        );
        at_rest(&pool).await;
    }
}

/// Says these heads; where the last is of success the body is what it got.
async fn says_over_h1(mut stream: servers::Tls, says: &[u16]) {
    servers::head(&mut stream).await;
    let heads = says.iter().map(|status| match status {
        100..200 => format!("HTTP/1.1 {status} So\r\n\r\n"),
        200 => format!("HTTP/1.1 {status} So\r\ncontent-length: 4\r\n\r\n"),
        _ => format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n"),
    });
    servers::say(&mut stream, heads.collect::<String>()).await;
    let mut body = [0; 4];
    if stream.read_exact(&mut body).await.is_ok() {
        servers::say(&mut stream, body).await;
    }
}

async fn says_over_h2(stream: servers::Tls, says: &'static [u16]) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let head = |status: u16| http::Response::builder().status(status).body(()).unwrap();
        let (&last, interim) = says.split_last().unwrap();
        for &status in interim {
            respond.send_informational(head(status)).unwrap();
        }
        if last != 200 {
            respond.send_response(head(last), true).unwrap();
            continue;
        }
        tokio::spawn(async move {
            let mut body = request.into_body();
            let early = interim
                .is_empty()
                .then(|| respond.send_response(head(last), false).unwrap());
            let data = body.data().await.unwrap().unwrap();
            let mut back = early.unwrap_or_else(|| respond.send_response(head(last), false).unwrap());
            back.send_data(data, true).unwrap();
        });
    }
}

#[tokio::test]
async fn a_body_that_fails_is_the_callers_error_and_ends_the_exchange() {
    for alpn in BOTH {
        let (peer, pool, name) = speaking(alpn);
        let (hand, pieces) = Pieces::new();
        hand.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
        hand.send(Err(std::io::Error::other("no more"))).unwrap();
        let request = Request::post(format!("https://{name}/read"))
            .body(pieces)
            .unwrap();
        let error = within("an error", pool.send(request)).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Body, Phase::Use));
        assert_eq!(error.target(), Some(&*name));
        assert_eq!(error.cause().unwrap().to_string(), "no more");
        assert_eq!(send(&pool, get(&name, "/")).await.unwrap().text(), "hello");
        finish(pool, peer).await;
    }
}
