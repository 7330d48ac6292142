//! Bare connections: hyper's over HTTP/1.1, and stock h2.

use std::sync::Arc;

use bytes::Bytes;
use hotpool::h2;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::{BODY, Server};

type Sender = http1::SendRequest<Empty<Bytes>>;

/// The connections that no task has now.
pub(super) type All = Arc<Mutex<Vec<Sender>>>;

/// So many connections of hyper's, each with the task that moves it.
pub(super) async fn all_h1(server: &Server, count: usize) -> All {
    let mut all = Vec::new();
    for _ in 0..count {
        let io = TokioIo::new(server.connect().await);
        let (send, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        all.push(send);
    }
    Arc::new(Mutex::new(all))
}

pub(super) async fn ask_h1(all: All, server: Server, times: usize) {
    let mut send = all.lock().await.pop().unwrap();
    // hyper writes the URI as it stands: in origin form, with a host.
    let mut request = server.request().map(|()| Empty::new());
    let host = request.uri().authority().unwrap().as_str().parse().unwrap();
    request.headers_mut().insert("host", host);
    *request.uri_mut() = request.uri().path().parse().unwrap();
    for _ in 0..times {
        send.ready().await.unwrap();
        let answer = send.send_request(request.clone()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), BODY);
    }
    all.lock().await.push(send);
}

/// One connection of h2's, with the settings of the pool.
pub(super) async fn h2(server: &Server) -> h2::client::SendRequest<Bytes> {
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_max_send_streams(100)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_header_list_size(64 << 10)
        .handshake(server.connect().await)
        .await
        .unwrap();
    tokio::spawn(connection);
    send
}

pub(super) async fn ask_h2(mut send: h2::client::SendRequest<Bytes>, server: Server, times: usize) {
    for _ in 0..times {
        std::future::poll_fn(|cx| send.poll_ready(cx)).await.unwrap();
        let (response, _) = send.send_request(server.request(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut size = 0;
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            size += piece.len();
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        assert_eq!(size, BODY);
    }
}
