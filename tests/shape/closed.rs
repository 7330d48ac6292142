//! Whatever is wrong ends the handshake.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, kx_group};
use rustls::version::{TLS12, TLS13};

use crate::support::certs;
use crate::world::{BROWSERS, Browser, Client, Flip, Wire, beside, serve, serve_as, server};

/// Notes that something may go on.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a handshake goes through. A length that was changed leaves both sides waiting for what never comes: that is seen, and not waited for, since
/// neither rests on anything but the other.
fn survives(client: &Client, wire: Wire, server: impl Future<Output = io::Result<()>>) -> bool {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut server = pin!(tokio::task::unconstrained(server));
    let mut serves = true;
    let mut talk = pin!(tokio::task::unconstrained(client.talk(wire)));
    loop {
        serves = serves && server.as_mut().poll(&mut cx).is_pending();
        if let Poll::Ready(connection) = talk.as_mut().poll(&mut cx) {
            return connection.is_ok();
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
    }
}

/// The length of the first record.
fn first_record(sent: &Mutex<Vec<u8>>) -> u16 {
    let sent = sent.lock();
    u16::from_be_bytes([sent[3], sent[4]])
}

/// Flips a bit of every `stride`th byte of the `nth` hello: from the front, and the last hundred from the end, as the lengths differ with what is
/// drawn. Each connection is made by a client of its own, as `client` makes it, to a server of `config`.
async fn every_byte(what: &str, nth: usize, config: &Arc<ServerConfig>, client: impl AsyncFn() -> Client) {
    const LAST: usize = 100;
    /// By how much lengths differ.
    const DRAWN: u16 = 96;
    let fresh = client().await;
    let connection = fresh.talk(serve(config)).await.unwrap();
    let sent = connection.transport().hellos();
    let len = sent[nth].message.len() - LAST;
    let stride = std::env::var("HOTPOOL_STRIDE").map_or(5, |stride| stride.parse().unwrap());
    let front = (0..len).map(usize::cast_signed);
    let end = (1..=LAST).map(|at| -at.cast_signed());
    for (count, at) in front.chain(end).enumerate() {
        // The message's type and lengths, always; of the rest some.
        if count >= 6 && count % stride != 0 && at != -1 {
            continue;
        }
        let (mut wire, server) = beside(config, async {});
        let mask = 1 << (count % 8);
        wire.flip = Some(Flip { nth, at, mask });
        let sent = Arc::clone(&wire.sent);
        assert!(!survives(&client().await, wire, server), "{what}: byte {at}");
        // It was such a hello: one that does not resume is shorter by more.
        let missing = first_record(&connection.transport().sent).abs_diff(first_record(&sent));
        assert!(missing <= DRAWN, "{what}: byte {at}: {missing}");
    }
    let (wire, server) = beside(config, async {});
    assert!(
        survives(&client().await, wire, server),
        "unchanged it goes through"
    );
}

/// A client that resumes nothing.
fn forgetful(browser: Browser) -> Client {
    let client = browser.client();
    client.configured(|config| config.resumption = rustls::client::Resumption::disabled())
}

#[tokio::test]
async fn one_changed_byte_of_the_hello_is_the_end() {
    for browser in BROWSERS {
        let client = forgetful(browser);
        for (version, nth) in [(&TLS13, 0), (&TLS12, 0)] {
            let config = Arc::new(server(&[], &[version]));
            let what = format!("{browser:?} {:?}", version.version);
            every_byte(&what, nth, &config, async || client.clone()).await;
        }
    }
}

#[tokio::test]
async fn one_changed_byte_of_a_second_hello_is_the_end() {
    for browser in BROWSERS {
        let client = forgetful(browser);
        let config = Arc::new(server(&[kx_group::SECP384R1], &[&TLS13]));
        for nth in [0, 1] {
            let what = format!("{browser:?}, hello {nth}");
            every_byte(&what, nth, &config, async || client.clone()).await;
        }
    }
}

#[tokio::test]
async fn one_changed_byte_of_a_hello_that_resumes_is_the_end() {
    for browser in BROWSERS {
        let mut config = server(&[], &[&TLS13]);
        config.ticketer = Ticketer::new().unwrap();
        config.send_tls13_tickets = 64;
        let config = Arc::new(config);
        let (client, count) = (browser.client(), AtomicUsize::new(0));
        // Each of the connections to come takes a ticket, and gets none.
        let again = async || {
            if count.fetch_add(1, Ordering::Relaxed) % 32 == 0 {
                client.talk(serve(&config)).await.unwrap();
            }
            client.clone()
        };
        every_byte(&format!("{browser:?}, resuming"), 0, &config, again).await;
    }
}

#[tokio::test]
async fn wrong_certificates_are_refused_under_every_profile() {
    let leaves = [
        (certs::wrong_name(), "NotValidForName"),
        (certs::unknown_ca(), "UnknownIssuer"),
        (certs::expired(), "Expired"),
    ];
    for browser in BROWSERS {
        for (leaf, why) in &leaves {
            let error = browser.client().connect(serve_as(leaf)).await.err().unwrap();
            let text = format!("{:?}", error.get_ref().unwrap().downcast_ref::<rustls::Error>());
            assert!(text.contains(*why), "{text}");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
