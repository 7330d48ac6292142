//! What a request says, and what is not sent.

use hotpool::fingerprint::{Headers, Profile};
use hotpool::{Body, ErrorKind, HotConnPool, Phase, SendOptions};
use http::{Method, Request};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::ask::{Pieces, Trailers, get, post, read, send, trailers};
use crate::common::within;
use crate::servers::{Server, mirror};

/// The head that the server got, in its lines.
async fn asked(pool: &HotConnPool, request: Request<Body>, options: SendOptions) -> Vec<String> {
    let answer = within("an answer", pool.send_with(request, options))
        .await
        .unwrap();
    let text = read(answer).await.unwrap();
    text.text().lines().map(str::to_owned).collect()
}

fn with(mut request: Request<Body>, headers: &[(&'static str, &str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_request_names_its_host_and_its_path() {
    let server = mirror().await;
    let (pool, name) = (server.pool(), server.name());
    let host = format!("host: {name}");
    let options = SendOptions::new;
    let plain = asked(&pool, get(&name, "/a/b?c=d"), options()).await;
    assert_eq!(plain, ["GET /a/b?c=d HTTP/1.1", &*host, ""]);
    let bare = Request::get(format!("https://{name}"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(asked(&pool, bare, options()).await[0], "GET / HTTP/1.1");
    let query = Request::get(format!("https://{name}?c=d"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(asked(&pool, query, options()).await[0], "GET /?c=d HTTP/1.1");
    let other = asked(&pool, with(get(&name, "/"), &[("host", "other.test")]), options()).await;
    assert_eq!(other, ["GET / HTTP/1.1", "host: other.test", ""]);
    let post = with(
        post(&name, "/", "four"),
        &[("x-a", "1"), ("x-a", "2"), ("accept", "*/*")],
    );
    let lines = asked(&pool, post, options()).await;
    let rest = ["x-a: 1", "x-a: 2", "accept: */*", "content-length: 4", ""];
    assert_eq!(lines[..2], ["POST / HTTP/1.1", &*host]);
    assert_eq!(lines[2..], rest);
    let empty = Request::post(format!("https://{name}/"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(asked(&pool, empty, options()).await[2], "content-length: 0");
    // Over a connection that leads elsewhere than the URI.
    let elsewhere = Request::get("https://front.test/x").body(Body::empty()).unwrap();
    let target = hotpool::Target::try_from(&*name).unwrap().into_owned();
    let lines = asked(&pool, elsewhere, options().target(target)).await;
    assert_eq!(lines, ["GET /x HTTP/1.1", "host: front.test", ""]);
    within("close", pool.close()).await;
}

#[tokio::test]
async fn headers_of_the_profile_come_in_their_order_and_override_nothing() {
    let server = mirror().await;
    let name = server.name();
    let own = [
        ("User-Agent", "profile"),
        ("Host", ""),
        ("Accept", "*/*"),
        ("X-Last", "last"),
    ];
    let h2 = [("user-agent", "profile")];
    let profile = Profile::rustls().with_headers(Headers::new(own, h2).unwrap());
    let pool = server.builder(|_| {}).profile(profile).build().unwrap();
    let request = || {
        with(
            post(&name, "/", "x"),
            &[("x-mine", "1"), ("accept", "a/b"), ("accept", "c/d")],
        )
    };
    let lines = asked(&pool, request(), SendOptions::new()).await;
    let host = format!("Host: {name}");
    let expected = [
        "POST / HTTP/1.1",
        "User-Agent: profile",
        &*host,
        "Accept: a/b",
        "Accept: c/d",
        "X-Last: last",
        "X-Mine: 1",
        "Content-Length: 1",
        "",
    ];
    assert_eq!(lines, expected);
    let lines = asked(&pool, request(), SendOptions::new().no_profile_headers()).await;
    assert!(!lines.iter().any(|line| line.contains("profile")), "{lines:?}");
    within("close", pool.close()).await;
}

/// The headers of a browser's request over HTTP/2 are those that it is known by, and the caller's.
#[tokio::test]
async fn a_profile_has_its_headers_on_http2_too() {
    let server = Server::hyper(&["h2"], |request| async move {
        let fields = request.headers().iter();
        let lines: String = fields
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        let text = format!("{}\n{lines}", request.uri().authority().unwrap());
        http::Response::new(
            http_body_util::Full::from(text)
                .map_err(|never| match never {})
                .boxed(),
        )
    })
    .await;
    let (profile, name) = (Profile::firefox_esr(153).unwrap(), server.name());
    let pool = server.builder(|_| {}).profile(profile.clone()).build().unwrap();
    let request = with(
        get(&name, "/"),
        &[
            ("accept-language", "eo"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("host", "other.test"),
            ("x-mine", "1"),
        ],
    );
    let lines = asked(&pool, request, SendOptions::new()).await;
    let expected = profile.headers().http2().map(|(name, value)| match name {
        "accept-language" => "accept-language: eo".to_owned(),
        _ => format!("{name}: {value}"),
    });
    let mut expected: Vec<String> = std::iter::once("other.test".to_owned()).chain(expected).collect();
    expected.retain(|line| !line.starts_with("te:"));
    let mut lines = lines;
    lines.retain(|line| !line.starts_with("te:"));
    expected.push("x-mine: 1".to_owned());
    assert_eq!(lines, expected);
    within("close", pool.close()).await;
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_not_sent() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |_| async { panic!("it was sent") }).await;
        let (pool, name) = (server.pool(), server.name());
        for (headers, body, why) in [
            (
                &[("content-length", "3")][..],
                "four",
                "is not the length of its body",
            ),
            (
                &[("content-length", "5")],
                "four",
                "is not the length of its body",
            ),
            (
                &[("content-length", "4"), ("content-length", "5")],
                "four",
                "no number, or several",
            ),
            (&[("content-length", "+4")], "four", "no number, or several"),
            (&[("content-length", "4, 4")], "four", "no number, or several"),
            (
                &[("content-length", "4"), ("transfer-encoding", "chunked")],
                "four",
                "content-length and a transfer-encoding",
            ),
            (
                &[("transfer-encoding", "gzip, chunked")],
                "four",
                "not chunked alone",
            ),
            (
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "identity"),
                ],
                "four",
                "not chunked alone",
            ),
            (&[("transfer-encoding", "xchunked")], "four", "not chunked alone"),
            (
                &[("host", "a.test"), ("host", "b.test")],
                "",
                "no authority, or several",
            ),
            (&[("host", "a.test/b")], "", "no authority, or several"),
            (&[("host", "me@a.test")], "", "no authority, or several"),
            (
                &[("connection", "close, Content-Length")],
                "four",
                "names a field",
            ),
        ] {
            let request = with(post(&name, "/", body), headers);
            let error = within("an error", pool.send(request)).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Request, Phase::Use),
                "{headers:?}"
            );
            let text = error.cause().unwrap().to_string();
            assert!(text.contains(why), "{headers:?}: {text}");
        }
        assert_eq!(server.accepted(), 0, "nobody was asked for a connection");
        within("close", pool.close()).await;
    }
}

/// A server that answers with the method, the content-lengths and the trailers it got.
async fn teller(alpn: &str) -> Server {
    Server::hyper(&[alpn], |request| async move {
        let lengths: Vec<_> = request
            .headers()
            .get_all("content-length")
            .iter()
            .cloned()
            .collect();
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap();
        let last = body.trailers().map(|fields| fields["x-last"].clone());
        let text = format!("{method} {lengths:?} {last:?}");
        let text = http_body_util::Full::from(text);
        http::Response::new(text.map_err(|never| match never {}).boxed())
    })
    .await
}

#[tokio::test]
async fn a_length_is_said_once_and_as_a_number_however_it_was_written() {
    for alpn in ["http/1.1", "h2"] {
        let server = teller(alpn).await;
        let pool = server.pool();
        for written in [&["4"][..], &["4", "4"], &["0004"], &["4", "04"]] {
            let mut request = post(&server.name(), "/", "four");
            for length in written {
                let length = length.parse().unwrap();
                request.headers_mut().append("content-length", length);
            }
            let read = send(&pool, request).await.unwrap();
            assert_eq!(read.text(), r#"POST ["4"] None"#, "{alpn} {written:?}");
        }
        within("close", pool.close()).await;
    }
}

/// Where the profile has a place for it, too: there alone.
#[tokio::test]
async fn a_length_stands_in_its_place_and_nowhere_else() {
    let headers = || {
        Headers::new(
            [("Content-Length", ""), ("A", "b")],
            [("content-length", ""), ("a", "b")],
        )
    };
    let profile = || Profile::rustls().with_headers(headers().unwrap());
    let server = mirror().await;
    let pool = server.builder(|_| {}).profile(profile()).build().unwrap();
    let own = with(post(&server.name(), "/", "four"), &[("content-length", "0004")]);
    for request in [own, post(&server.name(), "/", "four")] {
        let lines = asked(&pool, request, SendOptions::new()).await;
        assert_eq!(lines[1..3], ["Content-Length: 4", "A: b"]);
        assert_eq!(lines.len(), 5, "{lines:?}");
    }
    let lines = asked(&pool, get(&server.name(), "/"), SendOptions::new()).await;
    assert_eq!(lines[1], "A: b", "{lines:?}");
    within("close", pool.close()).await;
    let server = teller("h2").await;
    let pool = server.builder(|_| {}).profile(profile()).build().unwrap();
    let own = with(post(&server.name(), "/", "four"), &[("content-length", "0004")]);
    for request in [own, post(&server.name(), "/", "four")] {
        assert_eq!(send(&pool, request).await.unwrap().text(), r#"POST ["4"] None"#);
    }
    let read = send(&pool, get(&server.name(), "/")).await.unwrap();
    assert_eq!(read.text(), "GET [] None");
    within("close", pool.close()).await;
    for (http1, http2) in [("Transfer-Encoding", "a"), ("A", "transfer-encoding")] {
        assert!(Headers::new([(http1, "chunked")], [(http2, "chunked")]).is_err());
    }
}

#[tokio::test]
async fn a_trace_has_no_body() {
    for alpn in ["http/1.1", "h2"] {
        let server = teller(alpn).await;
        let pool = server.pool();
        let trace = || {
            Request::builder()
                .method(Method::TRACE)
                .uri(format!("https://{}/", server.name()))
        };
        let known = pool.send(trace().body(Body::from("four")).unwrap());
        let known = within("an error", known).await.unwrap_err();
        let unknown = pool.send(trace().body(Pieces::of([])).unwrap());
        let unknown = within("an error", unknown).await.unwrap_err();
        for error in [known, unknown] {
            assert_eq!(error.kind(), ErrorKind::Request, "{alpn}");
            assert!(error.cause().unwrap().to_string().contains("it asks to be told"));
        }
        assert_eq!(server.accepted(), 0);
        let read = send(&pool, trace().body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(read.text(), "TRACE [] None", "{alpn}");
        within("close", pool.close()).await;
    }
}

#[tokio::test]
async fn trailers_go_without_a_body_too() {
    let server = teller("h2").await;
    let pool = server.pool();
    for method in ["GET", "DELETE", "POST"] {
        let body = Trailers(Some(trailers("x-last", "1")));
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}/", server.name()));
        let read = send(&pool, request.body(body).unwrap()).await.unwrap();
        assert_eq!(read.text(), format!(r#"{method} ["0"] Some("1")"#));
    }
    within("close", pool.close()).await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced_ends_its_exchange() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |request| async move {
            let read = request.into_body().collect().await;
            assert!(read.is_err(), "a whole request");
            http::Response::new(
                http_body_util::Full::default()
                    .map_err(|never| match never {})
                    .boxed(),
            )
        })
        .await;
        let (pool, name) = (server.pool(), server.name());
        for (length, why) in [(3, "went on behind"), (5, "ended before")] {
            let body = Pieces::of([http_body::Frame::data(bytes::Bytes::from_static(b"four"))]);
            let request = Request::post(format!("https://{name}/")).header("content-length", length);
            let error = within("an error", pool.send(request.body(body).unwrap()))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Request);
            assert!(error.cause().unwrap().to_string().contains(why), "{error:?}");
        }
        within("close", pool.close()).await;
    }
}

#[tokio::test]
async fn trailers_that_belong_in_the_head_are_not_sent() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |request| async move {
            assert!(request.into_body().collect().await.is_err(), "a whole request");
            http::Response::default()
        })
        .await;
        let pool = server.pool();
        for name in ["content-length", "keep-alive", "upgrade"] {
            let body = Pieces::of([http_body::Frame::trailers(trailers(name, "5"))]);
            let request = Request::builder()
                .method(Method::PUT)
                .uri(format!("https://{}/", server.name()));
            let error = send(&pool, request.body(body).unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Request, "{alpn} {name}");
        }
        within("close", pool.close()).await;
    }
}

/// Whom a request is for is told to whoever gets it: neither as a password, nor as nobody, nor as somebody else in the clear.
#[tokio::test]
async fn a_uri_is_checked_wherever_its_connection_leads() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |_| async { panic!("it was sent") }).await;
        let pool = server.pool();
        let target = hotpool::Target::try_from(&*server.name()).unwrap().into_owned();
        for (method, uri, host) in [
            ("GET", "https://user:secret@front.test/x", None),
            ("GET", "https://user@front.test/x", Some("front.test")),
            ("GET", "/relative", None),
            ("GET", "/relative", Some("front.test")),
            ("GET", "http://front.test/", None),
            ("GET", "front.test:443", None),
            ("CONNECT", "user@front.test:443", None),
            ("CONNECT", "https://front.test/", None),
            ("CONNECT", "front.test", None),
            ("CONNECT", "front.test:0", None),
            ("GET", "*", None),
            ("GET", "*", Some("front.test")),
        ] {
            let mut request = Request::builder().method(method).uri(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let request = request.body(Body::empty()).unwrap();
            let sending = pool.send_with(request, SendOptions::new().target(target.clone()));
            let error = within("an error", sending).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Request, Phase::Use),
                "{method} {uri}"
            );
            assert!(
                error.cause().unwrap().to_string().contains("its uri"),
                "{error:?}"
            );
        }
        assert_eq!(server.accepted(), 0, "nobody was asked for a connection");
        within("close", pool.close()).await;
    }
}

/// RFC 9112 section 3.2.4, and RFC 9113 section 8.3.1.
#[tokio::test]
async fn the_options_of_a_server_as_a_whole_can_be_asked_for() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |request| async move {
            let host = request.headers().get("host").map(|host| host.to_str().unwrap());
            let host = host.or(request.uri().authority().map(|named| named.as_str()));
            let said = format!("{} {} {}", request.method(), request.uri().path(), host.unwrap());
            let mut answer = http::Response::<http_body_util::combinators::BoxBody<_, _>>::default();
            answer.headers_mut().insert("x-said", said.parse().unwrap());
            answer
        })
        .await;
        let (pool, name) = (server.pool(), server.name());
        let target = hotpool::Target::try_from(&*name).unwrap().into_owned();
        let whole = http::Uri::builder().scheme("https").authority(&*name);
        let whole = whole.path_and_query("*").build().unwrap();
        let there = SendOptions::new().target(target);
        for (uri, host, options, said) in [
            ("*".parse().unwrap(), None, there.clone(), &*name),
            ("*".parse().unwrap(), Some("front.test"), there, "front.test"),
            (whole.clone(), None, SendOptions::new(), &*name),
        ] {
            let mut request = Request::options(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let sending = pool.send_with(request.body(Body::empty()).unwrap(), options);
            let answer = within("an answer", sending).await.unwrap();
            assert_eq!(answer.headers()["x-said"], format!("OPTIONS * {said}"), "{alpn}");
        }
        // Of whom, it does not say; and there is nothing else of a server as a whole.
        for (request, kind) in [
            (Request::options("*"), ErrorKind::InvalidTarget),
            (Request::get(whole), ErrorKind::Request),
        ] {
            let sending = pool.send(request.body(Body::empty()).unwrap());
            assert_eq!(
                within("an error", sending).await.unwrap_err().kind(),
                kind,
                "{alpn}"
            );
        }
        within("close", pool.close()).await;
    }
}

#[tokio::test]
async fn a_tunnel_has_no_other_host() {
    for alpn in ["http/1.1", "h2"] {
        let server = Server::hyper(&[alpn], |request| async move {
            assert_eq!(request.uri(), "far.test:443");
            http::Response::default()
        })
        .await;
        let pool = server.pool();
        let target = hotpool::Target::try_from(&*server.name()).unwrap().into_owned();
        for (host, goes) in [
            ("other.test:25", false),
            ("far.test", false),
            ("FAR.test:443", true),
        ] {
            let request = Request::connect("far.test:443").header("host", host);
            let request = request.body(Body::empty()).unwrap();
            let sending = pool.send_with(request, SendOptions::new().target(target.clone()));
            match within("an answer", sending).await {
                Ok(answer) => assert_eq!((answer.status().as_u16(), goes), (200, true), "{alpn} {host}"),
                Err(error) => {
                    assert_eq!((error.kind(), goes), (ErrorKind::Request, false), "{alpn} {host}");
                    assert!(error.cause().unwrap().to_string().contains("its host is another"));
                }
            }
        }
        within("close", pool.close()).await;
    }
}

#[tokio::test]
async fn a_url_that_names_no_tls_target_is_no_request() {
    let server = mirror().await;
    let pool = server.pool();
    for uri in ["http://peer.test/", "/path", "https://user@peer.test/"] {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        assert!(request.body().is_end_stream());
        let error = within("an error", pool.send(request)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::InvalidTarget, Phase::Target),
            "{uri}"
        );
    }
    within("close", pool.close()).await;
}
