//! A stack of one's own, as the examples have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncReadExt;

use crate::common::{at_rest, within};
use crate::own_stack::Stack;
use crate::servers::{self, Server};

/// What is known of a lease is all that it goes by.
#[tokio::test]
async fn what_was_answered_is_not_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::scripted(&["http/1.1"], move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            while !servers::head(&mut stream).await.is_empty() {
                stream.read_exact(&mut [0; 4]).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                // Well framed, and more than that stack can read.
                let text =
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;n=\xff\r\nyes\r\n0\r\n\r\n";
                servers::say(&mut stream, text).await;
            }
        }
    })
    .await;
    let pool = server.pool();
    let request = Request::post(format!("https://{}/", server.name())).body(Bytes::from_static(b"four"));
    let answer = within("an answer", Stack(pool.clone()).send(&request.unwrap())).await;
    assert!(answer.is_err(), "it read that");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    at_rest(&pool).await;
    within("close", pool.close()).await;
}
