//! Bare connections of hyper's over HTTP/1.1.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::{BODY, Server, bare};

type Sender = http1::SendRequest<Empty<Bytes>>;

/// The connections that no task has now.
pub(super) type All = Arc<Mutex<Vec<Sender>>>;

/// So many connections of hyper's, each with the task that moves it.
pub(super) async fn all(server: &Server, count: usize) -> All {
    let mut all = Vec::new();
    for _ in 0..count {
        let io = TokioIo::new(server.connect().await);
        let (send, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        all.push(send);
    }
    Arc::new(Mutex::new(all))
}

pub(super) async fn ask(all: All, server: Server, times: usize) {
    let mut send = all.lock().await.pop().unwrap();
    // hyper writes the URI as it stands: in origin form, with a host.
    let mut request = server.request().map(|()| Empty::new());
    let host = request.uri().authority().unwrap().as_str().parse().unwrap();
    request.headers_mut().insert("host", host);
    *request.uri_mut() = request.uri().path().parse().unwrap();
    for _ in 0..times {
        send.ready().await.unwrap();
        let answer = send.send_request(request.clone()).await.unwrap();
        assert_eq!(bare::read_frames(answer.into_body()).await, BODY);
    }
    all.lock().await.push(send);
}
