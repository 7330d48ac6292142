//! What is known of a request whose transport takes some of it and breaks.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use hotpool::{Dial, DialTo, Dialing, GetOptions, RetrySafety, Transport};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::http2;
use crate::common::{name, pool, within};
use crate::support::peer::{Alpn, Peer};

/// How much the transport takes before it breaks.
type Left = Arc<AtomicUsize>;

struct Breaks(Left);

impl Dial for Breaks {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move { Ok(Transport::new(Breaking(to.connect().await?, Arc::clone(&self.0)))) })
    }
}

struct Breaking(Transport, Left);

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let left = self.1.load(Ordering::SeqCst);
        if left == 0 {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let most = buf.len().min(left);
        let taken = ready!(Pin::new(&mut self.0).poll_write(cx, &buf[..most]))?;
        self.1.fetch_sub(taken, Ordering::SeqCst);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// TLS sends as much as it can, and tells nobody how much that was once it can send no more.
#[tokio::test]
async fn what_has_left_of_a_write_that_failed_is_known() {
    let text = [
        "POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n",
        &"x".repeat(200_000),
    ]
    .concat();
    for (alpn, takes, expected) in [
        (Alpn::Http1, 0, &[RetrySafety::NeverSent][..]),
        (Alpn::Http1, 5, &[RetrySafety::PartlySent]),
        (Alpn::Http1, 100_000, &[RetrySafety::PartlySent]),
        (Alpn::Http2, 0, &[RetrySafety::NeverSent]),
        (Alpn::Http2, 5, &[RetrySafety::PartlySent, RetrySafety::Sent]),
    ] {
        let peer = Peer::builder().alpn(alpn).start();
        let pool = pool(&peer, |_| {});
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let options = GetOptions::new().dial(Some(Arc::new(Breaks(Arc::clone(&left)))));
        let mut conn = within("a connection", pool.get_with(name(&peer), options))
            .await
            .unwrap();
        if alpn == Alpn::Http1 {
            left.store(takes, Ordering::SeqCst);
            within("an error", conn.write_all(text.as_bytes()))
                .await
                .unwrap_err();
        } else {
            within("an answer", http2::exchange(&mut conn)).await.unwrap();
            left.store(takes, Ordering::SeqCst);
            within("an error", http2::exchange(&mut conn)).await.unwrap_err();
        }
        let known = conn.retry_safety();
        assert!(expected.contains(&known), "{alpn:?}, {takes}: {known:?}");
    }
}
