//! What lies below is called as no handshake's, whatever the call.

use std::io::IoSlice;
use std::task::Waker;

use rustls::crypto::aws_lc_rs;

use super::*;
use crate::fingerprint::Profile;
use crate::tls::shape::Shaper;
use crate::tls::shape::scope::{current, entered};

/// Notes each call, and whether it was made within a handshake.
#[derive(Default)]
struct Below(Vec<(&'static str, bool)>);

impl Below {
    fn called(&mut self, call: &'static str) {
        self.0.push((call, current().is_some()));
    }
}

impl AsyncRead for Below {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.called("read");
        Poll::Pending
    }
}

impl AsyncWrite for Below {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.called("write");
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.called("write vectored");
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.called("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.called("shutdown");
        Poll::Ready(Ok(()))
    }
}

/// An alert of TLS, as it is.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

fn calls(stream: &mut Shaped<Below>) -> Vec<(&'static str, bool)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut stream = Pin::new(stream);
    assert!(stream.as_mut().poll_write(&mut cx, &ALERT).is_ready());
    let (head, tail) = ALERT.split_at(3);
    let both = [IoSlice::new(head), IoSlice::new(tail)];
    assert!(stream.as_mut().poll_write_vectored(&mut cx, &both).is_ready());
    assert!(stream.as_mut().poll_flush(&mut cx).is_ready());
    assert!(stream.as_mut().poll_shutdown(&mut cx).is_ready());
    let mut space = [0; 16];
    let mut space = ReadBuf::new(&mut space);
    assert!(stream.as_mut().poll_read(&mut cx, &mut space).is_pending());
    std::mem::take(&mut stream.io.0)
}

#[test]
fn every_call_below_is_none_of_the_handshake_s() {
    let profile = Profile::chromium();
    let spec = profile.hello().expect("a hello");
    let shaper = Arc::new(Shaper::new(spec, &aws_lc_rs::default_provider()).expect("a shaper"));
    let shaping = Shaping::new(&shaper, None).expect("draws");
    entered(Arc::clone(&shaping), || {
        assert!(current().is_some());
        let mut stream = Shaped::new(Below::default(), Arc::clone(&shaping));
        // While hellos are replaced, what goes out together goes as one.
        let shaped = ["write", "write", "flush", "shutdown", "read"];
        assert_eq!(calls(&mut stream), shaped.map(|call| (call, false)));
        stream.flight = None;
        let passed = ["write", "write vectored", "flush", "shutdown", "read"];
        assert_eq!(calls(&mut stream), passed.map(|call| (call, false)));
        let mut watched = Shaped::watched(Below::default());
        assert_eq!(calls(&mut watched), shaped.map(|call| (call, false)));
    });
}
