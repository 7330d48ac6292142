//! What must not cross: sessions between ports, half a record between callers, unsent bytes between exchanges, one address in two forms.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotpool::rustls::ServerConfig;
use hotpool::rustls::server::ServerSessionMemoryCache;
use hotpool::{
    CloseReason, ErrorKind, GetOptions, HotConnPool, Resolve, Resolving, Returned, StaticResolver, Target,
    Warm,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::common::{builder, http1_peer, name, pool, spawn, within};
use crate::support::certs;
use crate::support::measure;
use crate::support::peer::{Order, To};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn server_config() -> ServerConfig {
    let leaf = certs::good();
    ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(leaf.chain.clone(), leaf.key())
        .unwrap()
}

/// Answers each octet with itself, on a port of its own.
async fn echo(config: Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let accept = TlsAcceptor::from(Arc::clone(&config)).accept(stream);
            drop(spawn(async move {
                let Ok(mut stream) = accept.await else { return };
                while let Ok(octet) = stream.read_u8().await {
                    let _ = stream.write_u8(octet).await;
                    let _ = stream.flush().await;
                }
            }));
        }
    }));
    port
}

fn pool_of(ports: &[u16]) -> HotConnPool {
    let resolver = ports.iter().fold(StaticResolver::new(), |resolver, port| {
        resolver
            .with(format!("peer.test:{port}").as_str(), [LOCAL])
            .unwrap()
    });
    HotConnPool::builder()
        .roots(certs::authority().roots())
        .resolver(resolver)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_session_is_resumed_at_its_own_port_and_at_no_other() {
    let mut config = server_config();
    config.session_storage = ServerSessionMemoryCache::new(100);
    let config = Arc::new(config); // both ports would resume each other's sessions
    let ports = [echo(Arc::clone(&config)).await, echo(config).await];
    let pool = pool_of(&ports);
    let [first, second] = ports.map(|port| format!("peer.test:{port}"));
    let mut conn = pool.get(&first).await.unwrap();
    conn.write_u8(b'x').await.unwrap();
    conn.read_u8().await.unwrap(); // tickets come before it
    let other = pool.get(&second).await.unwrap();
    assert!(
        !other.info().tls.resumed,
        "a ticket of one port was offered to another"
    );
    let again = pool.get(&first).await.unwrap();
    assert!(again.info().tls.resumed, "its own port resumes");
}

#[tokio::test]
async fn half_a_record_on_an_idle_connection_reaches_nobody() {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (go, sent) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = {
        let (go, sent) = (Arc::clone(&go), Arc::clone(&sent));
        spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap(); // or half a record waits for an acknowledgement
            let mut stream = TlsAcceptor::from(Arc::new(server_config()))
                .accept(stream)
                .await
                .unwrap();
            stream.flush().await.unwrap();
            go.notified().await;
            let (mut socket, mut tls) = stream.into_inner();
            let mut record = Vec::new();
            std::io::Write::write_all(&mut tls.writer(), b"smuggled").unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut record).unwrap();
            }
            socket.write_all(&record[..10]).await.unwrap();
            sent.notify_one();
            go.notified().await;
            let _ = socket.write_all(&record[10..]).await;
            // The second connection is nobody's to smuggle into.
            let (stream, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(server_config()))
                .accept(stream)
                .await
                .unwrap();
            go.notified().await;
            drop(stream);
        })
    };
    let pool = pool_of(&[port]);
    let name = format!("peer.test:{port}");
    drop(pool.get(&name).await.unwrap());
    go.notify_one();
    within("half a record", sent.notified()).await;
    // The bytes are in the socket; the reactor has to have looked at it, which it does whenever the test sleeps.
    let looks = AtomicUsize::new(0);
    let looked = || looks.fetch_add(1, Ordering::Relaxed) > 3;
    measure::eventually(Duration::from_secs(10), "the reactor", looked).await;
    go.notify_one();
    let next = within("another connection", pool.get(&name)).await.unwrap();
    assert_eq!(next.info().serial, 2, "the first must not be handed out");
    assert_eq!(pool.stats().counters.closes(CloseReason::StrayBytes), 1);
    go.notify_one();
    drop(next);
    within("the server", server).await.unwrap();
}

#[tokio::test]
async fn unsent_bytes_are_not_clean_whatever_the_caller_says() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let mut conn = pool.get(name(&peer)).await.unwrap();
    peer.order(To::All, Order::Hang);
    let piece = vec![b'x'; 1 << 16];
    loop {
        // Until neither the socket nor TLS takes any more.
        let write = crate::common::poll_times(Box::pin(conn.write_all(&piece)).as_mut(), 3).await;
        match write {
            Some(written) => written.unwrap(),
            None => break,
        }
    }
    conn.assume_clean();
    assert_eq!(pool.put(conn), Returned::Closed(CloseReason::Unflushed));
}

#[tokio::test]
async fn warming_more_than_there_may_be_opens_what_there_may_be() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| config.max_per_host = 3);
    let report = pool
        .warm(&name(&peer), Warm::Count(usize::MAX), GetOptions::new())
        .await
        .unwrap();
    assert_eq!((report.opened, pool.size()), (3, 3), "{report:?}");
    let report = pool
        .warm(&name(&peer), Warm::EveryIp(usize::MAX), GetOptions::new())
        .await
        .unwrap();
    assert_eq!(report.opened, 0, "{report:?}");
}

/// Counts its questions.
struct Counting(Arc<AtomicUsize>, StaticResolver);

impl Resolve for Counting {
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.resolve(host, port)
    }
}

#[tokio::test]
async fn warming_a_pinned_address_asks_nobody_for_the_name() {
    let peer = http1_peer();
    let asked = Arc::new(AtomicUsize::new(0));
    let resolver = Counting(Arc::clone(&asked), StaticResolver::new());
    let pool = builder(&peer, |_| {}).resolver(resolver).build().unwrap();
    let report = pool
        .warm(&name(&peer), Warm::Count(1), GetOptions::new().ip(LOCAL))
        .await
        .unwrap();
    assert_eq!(
        (report.opened, asked.load(Ordering::Relaxed)),
        (1, 0),
        "{report:?}"
    );
}

#[tokio::test]
async fn one_address_in_two_forms_is_one_address() {
    let peer = http1_peer();
    let (plain, mapped) = (name(&peer), format!("a.peer.test:{}", peer.port()));
    let resolver = StaticResolver::new().with(plain.as_str(), [LOCAL]).unwrap();
    let resolver = resolver
        .with(mapped.as_str(), ["::ffff:127.0.0.1".parse().unwrap()])
        .unwrap();
    let pool = builder(&peer, |config| config.max_per_ip = 1)
        .resolver(resolver)
        .build()
        .unwrap();
    let _lease = pool.get(&plain).await.unwrap();
    let short = GetOptions::new().timeout(Duration::from_millis(300));
    let error = pool.get_with(&mapped, short).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(
        Target::try_from("[::ffff:127.0.0.1]").unwrap(),
        Target::try_from("127.0.0.1").unwrap()
    );
}
