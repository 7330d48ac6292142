//! Tickets: each is offered once, many are kept, and none that has expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hotpool::fingerprint::kind;
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{CipherSuite, HandshakeKind, ServerConfig};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::certs;
use crate::world::{BROWSERS, Browser, Client, Wire, serve, serve_after, server};

/// Servers that know each other's tickets, and give so many.
fn servers<const N: usize>(tickets: [usize; N]) -> [Arc<ServerConfig>; N] {
    let ticketer = Ticketer::new().unwrap();
    tickets.map(|count| {
        let mut config = server(&[], &[&TLS13]);
        config.ticketer = Arc::clone(&ticketer);
        config.send_tls13_tickets = count;
        Arc::new(config)
    })
}

async fn resumes(client: &Client, wire: Wire) -> bool {
    let connection = client.talk(wire).await.unwrap();
    let resumed = connection.session().handshake_kind() == Some(HandshakeKind::Resumed);
    let offered = connection.hellos()[0].extension(kind::PRE_SHARED_KEY).is_some();
    assert_eq!(resumed, offered);
    resumed
}

#[tokio::test]
async fn many_are_kept_and_each_is_offered_once() {
    for browser in BROWSERS {
        let client = browser.client();
        let [generous, mean] = servers([100, 0]);
        assert!(!resumes(&client, serve(&generous)).await);
        for nth in 0..KEPT {
            assert!(resumes(&client, serve(&mean)).await, "ticket {nth}");
        }
        assert!(
            !resumes(&client, serve(&mean)).await,
            "no more than {KEPT} are kept"
        );
    }
}

/// Tickets that are kept of one name, and of all.
const KEPT: usize = 64;
const MOST: usize = 2048;

/// Names, and a server of all of them.
fn names(count: usize) -> (Vec<String>, certs::Leaf) {
    let names: Vec<String> = (0..count).map(|nth| format!("n{nth}.test")).collect();
    let leaf = certs::authority().server(&names.iter().map(String::as_str).collect::<Vec<_>>());
    (names, leaf)
}

/// The same that gives so many tickets, made by `ticketer`.
fn giving(leaf: &certs::Leaf, ticketer: &Arc<dyn ProducesTickets>, tickets: usize) -> Arc<ServerConfig> {
    let mut config = leaf.config(certs::provider(), &[&TLS13]);
    config.ticketer = Arc::clone(ticketer);
    config.send_tls13_tickets = tickets;
    Arc::new(config)
}

async fn resumes_to(client: &Client, server: &Arc<ServerConfig>, name: &str) -> bool {
    let connection = client.talk_to(name, serve(server)).await.unwrap();
    connection.session().handshake_kind() == Some(HandshakeKind::Resumed)
}

/// How many connections resume until one does not, to a server that gives no tickets.
async fn tickets_of(client: &Client, mean: &Arc<ServerConfig>, name: &str) -> usize {
    let mut count = 0;
    while resumes_to(client, mean, name).await {
        count += 1;
    }
    count
}

/// Names without end, each of which gives as many tickets as are kept: there is an end to what all of them have. Whoever comes then takes of those who
/// have most, until nobody has more.
#[tokio::test]
async fn all_names_together_have_an_end() {
    let (names, leaf) = names(MOST / KEPT + 1);
    let ticketer = Ticketer::new().unwrap();
    let [generous, mean] = [KEPT, 0].map(|tickets| giving(&leaf, &ticketer, tickets));
    let client = Browser::Chromium.client();
    for name in &names {
        assert!(!resumes_to(&client, &generous, name).await);
    }
    let [first, second, .., last] = &names[..] else {
        unreachable!()
    };
    let fair = MOST / names.len();
    for name in [first, last, second] {
        let has = tickets_of(&client, &mean, name).await;
        assert!((fair..=fair + 1).contains(&has), "{name}: {has}");
    }
    // There is room again: for all that comes, be it in another store.
    let another = client.clone().configured(|config| client.shape.complete(config));
    assert!(!resumes_to(&another, &generous, first).await);
    assert_eq!(tickets_of(&another, &mean, first).await, KEPT);
    drop(client);
    for name in &names[..3] {
        assert!(!resumes_to(&another, &generous, name).await);
        assert_eq!(tickets_of(&another, &mean, name).await, KEPT, "{name}");
    }
}

/// Makes tickets of this length.
#[derive(Debug)]
struct Long(Arc<dyn ProducesTickets>, usize);

impl ProducesTickets for Long {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ticket = self.0.encrypt(plain)?;
        let len = u16::try_from(ticket.len()).ok()?;
        let mut long = [&len.to_be_bytes()[..], &ticket].concat();
        long.resize(self.1, 0);
        Some(long)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (len, rest) = cipher.split_first_chunk::<2>()?;
        self.0.decrypt(rest.get(..u16::from_be_bytes(*len).into())?)
    }
}

/// A server may make its tickets as long as a message, whose certificates stand beside it: they are resumed like any other, whatever else there is.
#[tokio::test]
async fn long_tickets_are_resumed_where_there_is_no_room() {
    const LONGEST: usize = 60 << 10;
    let (names, leaf) = names(MOST / KEPT + 1);
    let ticketer = Ticketer::new().unwrap();
    let client = Browser::Chromium.client();
    let (last, others) = names.split_last().unwrap();
    for name in others {
        assert!(!resumes_to(&client, &giving(&leaf, &ticketer, KEPT), name).await);
    }
    let long: Arc<dyn ProducesTickets> = Arc::new(Long(ticketer, LONGEST));
    for nth in 0..4 {
        assert_eq!(resumes_to(&client, &giving(&leaf, &long, 1), last).await, nth > 0);
    }
}

/// Numbers its tickets, and notes which are shown to it.
#[derive(Debug)]
struct Numbers {
    inner: Arc<dyn ProducesTickets>,
    given: AtomicU64,
    shown: Mutex<Vec<u64>>,
}

impl ProducesTickets for Numbers {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        Some([&number.to_be_bytes()[..], &self.inner.encrypt(plain)?].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (number, ticket) = cipher.split_first_chunk()?;
        self.shown.lock().push(u64::from_be_bytes(*number));
        self.inner.decrypt(ticket)
    }
}

/// A server may give tickets without end. With each connection as many are taken as are kept, and what comes after changes nothing.
#[tokio::test]
async fn a_connection_brings_so_many_and_no_more() {
    const GIVEN: usize = 3 * KEPT;
    let numbers = Arc::new(Numbers {
        inner: Ticketer::new().unwrap(),
        given: AtomicU64::new(0),
        shown: Mutex::default(),
    });
    let ticketer: Arc<dyn ProducesTickets> = Arc::<Numbers>::clone(&numbers);
    let server = giving(&certs::good(), &ticketer, GIVEN);
    for browser in BROWSERS {
        let client = browser.client();
        numbers.given.store(0, Ordering::Relaxed);
        for _ in 0..3 {
            resumes(&client, serve(&server)).await;
        }
        let last = [KEPT, GIVEN + KEPT].map(|count| count as u64 - 1);
        assert_eq!(std::mem::take(&mut *numbers.shown.lock()), last, "{browser:?}");
    }
}

/// A hello is hashed as far as its binders by the ticket's hash, and once more where the server chooses another.
#[tokio::test]
async fn a_ticket_of_another_hash_ends_in_a_full_handshake() {
    let ticketer = Ticketer::new().unwrap();
    let choosing = |suite: CipherSuite| {
        let mut provider = CryptoProvider::clone(&certs::provider());
        provider.cipher_suites.retain(|one| one.suite() == suite);
        let mut config = certs::good().config(provider, &[&TLS13]);
        config.ticketer = Arc::clone(&ticketer);
        Arc::new(config)
    };
    let sha256 = choosing(CipherSuite::TLS13_AES_128_GCM_SHA256);
    let sha384 = choosing(CipherSuite::TLS13_AES_256_GCM_SHA384);
    for browser in BROWSERS {
        for (gives, takes, kind) in [
            (&sha256, &sha384, HandshakeKind::Full),
            (&sha384, &sha256, HandshakeKind::Full),
            (&sha384, &sha384, HandshakeKind::Resumed),
        ] {
            let client = browser.client();
            client.talk(serve(gives)).await.unwrap();
            let connection = client.talk(serve(takes)).await.unwrap();
            assert!(connection.hellos()[0].extension(kind::PRE_SHARED_KEY).is_some());
            assert_eq!(connection.session().handshake_kind(), Some(kind));
        }
    }
}

#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = UnixTime::now().as_secs() + self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

#[tokio::test]
async fn none_that_has_expired_is_offered() {
    for browser in BROWSERS {
        let clock = Arc::new(Clock::default());
        let client = browser.client().configured(|config| {
            config.time_provider = Arc::<Clock>::clone(&clock);
        });
        let [server] = servers([4]);
        let lifetime = u64::from(server.ticketer.lifetime());
        assert!(lifetime > 60);
        assert!(!resumes(&client, serve(&server)).await);
        clock.0.store(lifetime - 60, Ordering::Relaxed);
        assert!(resumes(&client, serve(&server)).await);
        // What came first has expired, what came last has not: it is the one that is taken.
        clock.0.store(lifetime + 60, Ordering::Relaxed);
        assert!(resumes(&client, serve(&server)).await);
        clock.0.store(3 * lifetime, Ordering::Relaxed);
        assert!(!resumes(&client, serve(&server)).await);
    }
}

/// How many of a thousand connections resume, 32 at once, where each brings two tickets: none is answered before all 32 have sent their hello.
async fn resumed_of_a_thousand(client: Client) -> usize {
    const CONNECTIONS: usize = 1000;
    const AT_ONCE: usize = 32;
    let [server] = servers([2]);
    let resumed = Arc::new(AtomicUsize::new(0));
    let mut left = CONNECTIONS;
    while left > 0 {
        let wave = left.min(AT_ONCE);
        left -= wave;
        let (mut tasks, gate) = (JoinSet::new(), Arc::new(Barrier::new(wave)));
        for _ in 0..wave {
            let (client, server, resumed) = (client.clone(), Arc::clone(&server), Arc::clone(&resumed));
            let gate = Arc::clone(&gate);
            tasks.spawn(async move {
                let wire = serve_after(&server, async move {
                    gate.wait().await;
                });
                resumed.fetch_add(usize::from(resumes(&client, wire).await), Ordering::Relaxed);
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
    resumed.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nearly_all_connections_resume() {
    for browser in BROWSERS {
        let resumed = resumed_of_a_thousand(browser.client()).await;
        eprintln!("{browser:?}: {resumed} of 1000 resumed");
        assert!(resumed >= 950, "{browser:?}: {resumed} of 1000");
    }
    let stock = Browser::Chromium
        .client()
        .configured(|config| config.resumption = Resumption::default());
    let resumed = resumed_of_a_thousand(stock).await;
    eprintln!("rustls's own store: {resumed} of 1000 resumed");
    assert!(
        resumed < 950,
        "a store that is nothing beside rustls's own: {resumed}"
    );
}
