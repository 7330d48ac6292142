//! Byte streams that are not the pool's own TCP: over a relay at a Unix socket, with real TLS on top.

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hotpool::clock::ManualClock;
use hotpool::fingerprint::Profile;
use hotpool::{
    AllBlocked, BlockCause, CloseReason, Dial, DialError, DialTo, Dialing, ErrorKind, GetOptions, HotConn,
    HotConnPool, Outcome, Phase, PoolConfig, Protocol, Proxy, ProxyError, ProxyLogin, ProxyProtocol,
    Returned, ReuseCheck, Scope, SourcePolicy, StaticResolver, StaticSources, Transport,
};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::copy_bidirectional;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{lease, poll_once, serials};
use crate::common::{
    at_rest, builder, config, exchange, failure, finish, host, http1_peer, name, round, spawn, until, use_up,
    within,
};
use crate::support::black_hole::BlackHole;
use crate::support::certs;
use crate::support::measure;
use crate::support::peer::{Act, Alpn, DEADLINE, Order, Peer, To};
use crate::support::proxy::{Manner, Proxy as Fake};

const BOTH: [Alpn; 2] = [Alpn::Http1, Alpn::Http2];

/// A relay at a Unix socket: it is told in one line where to go, and leads there.
struct Relay {
    path: PathBuf,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Relay {
    fn start() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hotpool-relay-{}-{number}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let open: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&open);
        let task = spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            while let Ok((guest, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                counted.fetch_add(1, Ordering::Relaxed);
                guests.spawn(async move {
                    let _ = relay(guest).await; // whoever leaves, leaves
                    counted.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Relay { path, open, task }
    }

    /// Whoever uses it has gone.
    async fn is_left(&self) {
        let left = || self.open.load(Ordering::Relaxed) == 0;
        measure::eventually(DEADLINE, "nothing goes through the relay", left).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn relay(guest: UnixStream) -> io::Result<()> {
    let mut guest = BufReader::new(guest);
    let mut line = String::new();
    guest.read_line(&mut line).await?;
    let mut there = TcpStream::connect(line.trim_end()).await?;
    copy_bidirectional(&mut guest, &mut there).await?;
    Ok(())
}

async fn to_relay(path: &Path, to: &DialTo<'_>) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{}\n", to.addr()).as_bytes()).await?;
    Ok(stream)
}

/// By a relay; writes down what it is asked for.
struct ByRelay {
    path: PathBuf,
    asked: Mutex<Vec<(String, u16, SocketAddr)>>,
}

impl ByRelay {
    fn new(relay: &Relay) -> Arc<Self> {
        Arc::new(ByRelay {
            path: relay.path.clone(),
            asked: Mutex::default(),
        })
    }
}

/// Makes streams that end at once.
struct Ends;

impl Dial for Ends {
    fn dial<'a>(&'a self, _: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async { Ok(Transport::new(tokio::io::duplex(64).0)) })
    }
}

/// Who dials by himself for one call takes a way of his own: what he meets there is not held against those who go directly, and lifts nothing of theirs.
#[tokio::test]
async fn what_is_met_behind_a_call_s_own_dialer_concerns_nobody_else() {
    let peer = http1_peer();
    let relay = Relay::start();
    let pool = builder(&peer, |config| config.all_blocked = AllBlocked::ProbeLeastBad);
    let pool = pool.build().unwrap();
    let name = name(&peer);
    let by = |dialer: Arc<dyn Dial>| GetOptions::new().dial(Some(dialer));
    let broken = within("an error", pool.get_with(&name, by(Arc::new(Ends)))).await;
    let error = broken.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::ConnectionReset, Phase::Tls),
        "{error}"
    );
    assert!(pool.manager().blocklist().is_empty());
    let dialer = ByRelay::new(&relay);
    let conn = within("a connection", pool.get_with(&name, by(dialer.clone())))
        .await
        .unwrap();
    conn.report(Outcome::Status(403));
    drop(conn);
    assert_eq!(
        pool.stats().counters.closes(CloseReason::Blocked),
        1,
        "it is not lent again"
    );
    assert!(pool.manager().blocklist().is_empty());
    // What the direct way is blocked for stands, whoever comes through otherwise.
    let conn = lease(&pool, &name).await;
    conn.report(Outcome::Error);
    conn.discard();
    let conn = within("a connection", pool.get_with(&name, by(dialer)))
        .await
        .unwrap();
    conn.report(Outcome::Ok);
    conn.discard();
    assert_eq!(pool.manager().blocklist().len(), 1);
    relay.is_left().await;
    finish(pool, peer).await;
}

/// Says that the address is to blame: before it has connected there, or after.
struct Blames(bool);

impl Dial for Blames {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            if self.0 {
                drop(to.connect().await?);
            }
            Err(DialError::address("not as it should be"))
        })
    }
}

/// As the pool itself would.
struct Plain;

impl Dial for Plain {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move { to.connect().await })
    }
}

fn by(dialer: impl Dial) -> GetOptions {
    GetOptions::new().dial(Some(Arc::new(dialer)))
}

/// A dialer of a call's own that blames an address speaks for its own way alone, unless that is the pool's TCP. There whoever comes through clears the address.
#[tokio::test]
async fn what_a_call_s_own_dialer_says_is_held_only_where_it_may_be_cleared() {
    let peer = http1_peer();
    let pool = builder(&peer, |config| config.all_blocked = AllBlocked::ProbeLeastBad);
    let (pool, name) = (pool.build().unwrap(), name(&peer));
    for connects in [false, true] {
        let refused = within("an error", pool.get_with(&name, by(Blames(connects)))).await;
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Dial, Phase::Connect));
        assert_eq!(
            pool.manager().blocklist().len(),
            usize::from(connects),
            "{connects}"
        );
    }
    let conn = within("a connection", pool.get_with(&name, by(Plain))).await;
    conn.unwrap().discard();
    assert!(pool.manager().blocklist().is_empty());
    finish(pool, peer).await;
}

/// Where the pool has a dialer an address answers for that way alone: who goes by none, or by another, is held against nothing and clears nothing, and heeds what is held.
#[tokio::test]
async fn who_goes_without_the_pool_s_dialer_does_not_speak_for_it() {
    let peer = http1_peer();
    let relay = Relay::start();
    let pool = builder(&peer, |_| {}).dial(Shared(ByRelay::new(&relay)));
    let (pool, name) = (pool.build().unwrap(), name(&peer));
    let others = || [GetOptions::new().dial(None), by(Plain)];
    let held = || pool.manager().blocklist().len();
    for other in others() {
        peer.next(To::All, 1, Act::ResetAfterHello);
        let broken = within("an error", pool.get_with(&name, other.clone())).await;
        assert_eq!(broken.unwrap_err().phase(), Phase::Tls);
        assert_eq!(held(), 0);
        let conn = within("a connection", pool.get_with(&name, other)).await;
        conn.unwrap().report(Outcome::Status(403));
        assert_eq!(held(), 0);
    }
    peer.next(To::All, 1, Act::ResetAfterHello);
    assert_eq!(failure(&pool, &name).await.phase(), Phase::Tls);
    assert_eq!(held(), 1);
    for other in others() {
        let barred = within("a refusal", pool.get_with(&name, other)).await;
        assert_eq!(barred.unwrap_err().kind(), ErrorKind::Blocked);
    }
    let probes = config(|config| config.all_blocked = AllBlocked::ProbeLeastBad);
    pool.manager().update_config(probes).unwrap();
    for other in others() {
        let conn = within("a connection", pool.get_with(&name, other)).await;
        conn.unwrap().discard();
        assert_eq!(held(), 1, "it came through otherwise");
    }
    lease(&pool, &name).await.discard();
    assert_eq!(held(), 0);
    finish(pool, peer).await;
    relay.is_left().await;
}

/// Goes to the same place whatever is asked for.
struct Straight(SocketAddr);

impl Dial for Straight {
    fn dial<'a>(&'a self, _: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async { Ok(Transport::new(TcpStream::connect(self.0).await?)) })
    }
}

/// Where a call's own dialer was the one to try an address that the whole pool avoids, and came through otherwise, the next one tries it.
#[tokio::test]
async fn a_probe_that_took_another_way_leaves_the_next_its_turn() {
    let peer = http1_peer();
    let names = ["a", "b", "c"].map(|first| host(&peer, &format!("{first}.peer.test")));
    // Nobody connects to a broadcast address: there is no route for that.
    let nowhere = [IpAddr::from([127, 255, 255, 255])];
    let resolver = names.iter().fold(StaticResolver::new(), |resolver, name| {
        resolver.with(name.as_str(), nowhere).unwrap()
    });
    let pool = builder(&peer, |config| config.all_blocked = AllBlocked::ProbeLeastBad);
    let pool = pool.resolver(resolver).build().unwrap();
    let unreachable = failure(&pool, &names[0]).await;
    assert_eq!(unreachable.kind(), ErrorKind::Unreachable, "{unreachable}");
    let straight = GetOptions::new().dial(Some(Arc::new(Straight(peer.addr(0)))));
    let conn = within("a connection", pool.get_with(&names[1], straight)).await;
    conn.unwrap().discard();
    assert_eq!(pool.manager().blocklist().len(), 1, "still avoided");
    let tried = failure(&pool, &names[2]).await;
    assert_eq!(tried.kind(), ErrorKind::Unreachable, "{tried}");
    finish(pool, peer).await;
}

/// A source that is required is not to be had by a dialer that connects by itself.
#[tokio::test]
async fn who_dials_past_a_required_source_is_refused() {
    let peer = http1_peer();
    let relay = Relay::start();
    let sources = || StaticSources::new([IpAddr::from([127, 0, 0, 9])]).unwrap();
    let pool = builder(&peer, |_| {})
        .dial(Shared(ByRelay::new(&relay)))
        .build()
        .unwrap();
    let required = GetOptions::new().sources(SourcePolicy::require(sources()));
    let refused = within("a refusal", pool.get_with(name(&peer), required)).await;
    let error = refused.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Source, Phase::Connect),
        "{error}"
    );
    assert!(pool.manager().blocklist().is_empty());
    assert_eq!(pool.stats().sources.leased, 0);
    // One that is merely preferred may be done without.
    let preferred = GetOptions::new().sources(SourcePolicy::prefer(sources()));
    let other = within("a connection", pool.get_with(name(&peer), preferred)).await;
    other.unwrap().discard();
    relay.is_left().await;
    finish(pool, peer).await;
}

/// Of an `Arc`, for a pool and a test to have.
struct Shared<T>(Arc<T>);

impl<T: Dial> Dial for Shared<T> {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        self.0.dial(to)
    }
}

impl Dial for ByRelay {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        self.asked
            .lock()
            .push((to.host().to_owned(), to.port(), to.addr()));
        Box::pin(async move { Ok(Transport::new(to_relay(&self.path, &to).await?)) })
    }
}

#[tokio::test]
async fn what_a_dialer_makes_carries_the_pool_s_connections() {
    for alpn in BOTH {
        for check in [ReuseCheck::Readiness, ReuseCheck::Peek] {
            let peer = Peer::builder().alpn(alpn).start();
            let relay = Relay::start();
            let dialer = ByRelay::new(&relay);
            let pool = builder(&peer, |config| config.reuse_check = check)
                .dial(Shared(Arc::clone(&dialer)))
                .build()
                .unwrap();
            let name = name(&peer);
            for nth in 1..=3 {
                let mut conn = lease(&pool, &name).await;
                assert_eq!(use_up(&mut conn, "/bytes/100000").await.nth, nth, "{alpn:?}");
                let info = conn.info();
                assert_eq!((info.serial, info.remote, info.local), (1, peer.addr(0), None));
                assert_eq!(pool.put(conn), Returned::Kept);
            }
            let asked = ("peer.test".to_owned(), peer.port(), peer.addr(0));
            assert_eq!(*dialer.asked.lock(), [asked], "{alpn:?}");
            let stats = pool.stats();
            let ips: Vec<_> = stats.hosts.iter().flat_map(|host| &host.ips).collect();
            assert_eq!((ips.len(), ips[0].ip, ips[0].total), (1, peer.ips()[0], 1));
            // One that rests is told when its peer has closed it.
            peer.order(To::All, Order::Close);
            until(&pool, "it closes by itself", |stats| {
                stats.counters.closes(CloseReason::PeerClosed) == 1
            })
            .await;
            assert_eq!(round(&pool, &name).await.nth, 1);
            finish(pool, peer).await;
            relay.is_left().await;
        }
    }
}

#[tokio::test]
async fn two_dialers_never_share_a_connection() {
    for alpn in BOTH {
        let peer = Peer::builder().alpn(alpn).start();
        let relay = Relay::start();
        let (own, other) = (ByRelay::new(&relay), ByRelay::new(&relay));
        let pool = builder(&peer, |_| {})
            .dial(Shared(Arc::clone(&own)))
            .build()
            .unwrap();
        let calls = [
            GetOptions::new(),
            GetOptions::new().dial(Some(other.clone())),
            GetOptions::new().dial(None),
        ];
        let twice = calls.iter().chain(&calls);
        let serials = serials(&pool, &name(&peer), twice).await;
        assert_eq!(serials, [1, 2, 3, 1, 2, 3], "{alpn:?}");
        assert_eq!((own.asked.lock().len(), other.asked.lock().len()), (1, 1));
        finish(pool, peer).await;
    }
}

/// Fails at the first address as it is told to, and leads to the others.
struct Fails(fn() -> DialError, IpAddr);

impl Dial for Fails {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            match to.addr().ip() == self.1 {
                true => Err(self.0()),
                false => to.connect().await,
            }
        })
    }
}

#[tokio::test]
async fn an_error_of_a_dialer_s_blames_whom_it_says() {
    let cases: [(fn() -> DialError, bool); 5] = [
        (|| DialError::address("no way there"), true),
        (|| DialError::nobody("the relay is down"), false),
        (|| io::Error::from(io::ErrorKind::ConnectionRefused).into(), false),
        (|| io::Error::from(io::ErrorKind::TimedOut).into(), false),
        (|| io::Error::from_raw_os_error(24).into(), false),
    ];
    for (make, blames) in cases {
        for ips in [1, 2] {
            let peer = Peer::builder().alpn(Alpn::Http1).ips(ips).start();
            let first = peer.ips()[0];
            let pool = builder(&peer, |_| {}).dial(Fails(make, first)).build().unwrap();
            let name = name(&peer);
            if ips == 2 {
                let conn = lease(&pool, &name).await;
                assert_eq!(conn.info().remote, peer.addr(1), "the next address has its turn");
            } else {
                let error = failure(&pool, &name).await;
                assert_eq!((error.kind(), error.phase()), (ErrorKind::Dial, Phase::Connect));
                assert_eq!(error.ip(), Some(first));
                let cause = error.cause().unwrap().downcast_ref::<DialError>().unwrap();
                assert_eq!(cause.blames_address(), blames, "{cause}");
            }
            let held: Vec<_> = pool.manager().blocklist();
            let held: Vec<_> = held.iter().map(|block| (&block.scope, block.cause)).collect();
            let scope = Scope::address(&name, first).unwrap();
            let expected = blames.then_some((&scope, BlockCause::Protocol));
            assert_eq!(held, Vec::from_iter(expected), "{:?}", make());
            finish(pool, peer).await;
        }
    }
}

/// Where somebody's code panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum At {
    Nowhere,
    Call,
    Poll,
    End,
    Read,
    Write,
    Drop,
}

/// Panics where it is told to; until then it leads there by a relay.
struct Panics(PathBuf, AtomicU8);

impl Panics {
    fn new(relay: &Relay, at: At) -> Arc<Self> {
        Arc::new(Panics(relay.path.clone(), AtomicU8::new(at as u8)))
    }

    fn at(&self, at: At) {
        assert_ne!(self.1.load(Ordering::Relaxed), at as u8, "a panic that is wanted");
    }
}

struct Dialled<'a>(
    &'a Panics,
    Pin<Box<dyn Future<Output = Result<Transport, DialError>> + Send + 'a>>,
);

impl Future for Dialled<'_> {
    type Output = Result<Transport, DialError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.at(At::Poll);
        self.1.as_mut().poll(cx)
    }
}

impl Drop for Dialled<'_> {
    fn drop(&mut self) {
        self.0.at(At::End);
    }
}

impl Dial for Shared<Panics> {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        self.0.at(At::Call);
        let dialling = Box::pin(async move {
            let stream = to_relay(&self.0.0, &to).await?;
            Ok(Transport::new(Cracked(stream, Arc::clone(&self.0))))
        });
        Box::pin(Dialled(&self.0, dialling))
    }
}

struct Cracked(UnixStream, Arc<Panics>);

impl AsyncRead for Cracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.1.at(At::Read);
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cracked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.1.at(At::Write);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Drop for Cracked {
    fn drop(&mut self) {
        self.1.at(At::Drop);
    }
}

/// Whoever else uses the pool is served, no job dies of it, and nothing is left over.
#[tokio::test]
async fn a_dialer_that_panics_harms_nobody() {
    for alpn in BOTH {
        for at in [At::Call, At::Poll, At::End, At::Read, At::Write, At::Drop] {
            let case = format!("{at:?} over {alpn:?}");
            let peer = Peer::builder().alpn(alpn).start();
            let relay = Relay::start();
            let panics = Panics::new(&relay, at);
            let pool = builder(&peer, |_| {})
                .dial(Shared(Arc::clone(&panics)))
                .build()
                .unwrap();
            let name = name(&peer);
            let got = within(&case, pool.get(&name)).await;
            let expected = match at {
                At::Call | At::Poll => Some((ErrorKind::Dial, Phase::Connect)),
                At::Read | At::Write => Some((ErrorKind::Io, Phase::Tls)),
                _ => None,
            };
            let said = got.as_ref().err().map(|error| (error.kind(), error.phase()));
            assert_eq!(said, expected, "{case}: {got:?}");
            drop(got);
            if expected.is_some_and(|(kind, _)| kind == ErrorKind::Dial) {
                assert!(pool.manager().blocklist().is_empty(), "{case}: it blames nobody");
            }
            panics.1.store(At::Nowhere as u8, Ordering::Relaxed);
            for scope in pool.manager().blocklist().into_iter().map(|block| block.scope) {
                pool.manager().unblock(&scope);
            }

            // One that stands, in somebody's hands and at rest.
            let mut conn = lease(&pool, &name).await;
            use_up(&mut conn, "/").await;
            if matches!(at, At::Read | At::Write) {
                panics.1.store(at as u8, Ordering::Relaxed);
                assert!(within(&case, exchange(&mut conn, "/")).await.is_err(), "{case}");
                drop(conn);
                panics.1.store(At::Nowhere as u8, Ordering::Relaxed);
                until(&pool, "it has gone", |stats| stats.total == 0).await;
                drop(lease(&pool, &name).await);
                panics.1.store(at as u8, Ordering::Relaxed);
            } else {
                assert_eq!(pool.put(conn), Returned::Kept, "{case}");
            }
            peer.order(To::All, Order::Close);
            until(&pool, "it has gone", |stats| stats.total == 0).await;
            panics.1.store(At::Nowhere as u8, Ordering::Relaxed);
            assert_eq!(round(&pool, &name).await.status, 200, "{case}");
            let direct = GetOptions::new().dial(None);
            drop(within(&case, pool.get_with(&*name, direct)).await.unwrap());
            assert!(pool.stats().tasks.iter().all(|task| task.panics == 0), "{case}");
            finish(pool, peer).await;
            relay.is_left().await;
        }
    }
}

/// Says when it is asked, and answers the first time never; says as well when it is let go of.
#[derive(Clone, Default)]
struct Hangs(Arc<(AtomicUsize, Notify, Notify)>);

impl Dial for Hangs {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        struct LetGo<'a>(&'a Notify);
        impl Drop for LetGo<'_> {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        Box::pin(async move {
            let (times, asked, let_go) = &*self.0;
            let _let_go = LetGo(let_go);
            asked.notify_one();
            match times.fetch_add(1, Ordering::Relaxed) {
                0 => pending().await,
                _ => to.connect().await,
            }
        })
    }
}

fn get(pool: &HotConnPool, name: String) -> JoinHandle<Result<HotConn, hotpool::Error>> {
    let pool = pool.clone();
    spawn(async move { pool.get(&name).await })
}

#[tokio::test]
async fn a_dialer_that_hangs_has_the_time_of_an_attempt() {
    let peer = http1_peer();
    let (clock, hangs) = (ManualClock::new(), Hangs::default());
    let pool = builder(&peer, |_| {}).dial(hangs.clone()).clock(clock.clone());
    let pool = pool.build().unwrap();
    let got = get(&pool, name(&peer));
    within("it is asked", hangs.0.1.notified()).await;
    clock.advance(PoolConfig::default().attempt_timeout);
    let error = within("a timeout", got).await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout, Phase::Connect)
    );
    within("it is let go of", hangs.0.2.notified()).await;
    at_rest(&pool).await;
    assert!(pool.manager().blocklist().is_empty(), "it may be its own affair");
    assert_eq!(round(&pool, &name(&peer)).await.status, 200);
    finish(pool, peer).await;
}

/// Connects as the pool would, here or elsewhere, and says so.
struct Connects(Arc<Notify>, Option<SocketAddr>);

impl Dial for Connects {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let mut connecting: Dialing<'_> = match self.1 {
                None => Box::pin(to.connect()),
                Some(elsewhere) => Box::pin(to.connect_to(elsewhere)),
            };
            assert!(poll_once(connecting.as_mut()).await.is_none());
            self.0.notify_one();
            connecting.await
        })
    }
}

/// Where the pool's own TCP waits for the very address that was asked for, that is what is silent.
#[tokio::test]
async fn silence_behind_a_dialer_is_the_address_s_if_it_was_asked() {
    for elsewhere in [false, true] {
        let hole = BlackHole::open([127, 0, 0, 1].into()).await;
        let target = format!("peer.test:{}", hole.address().port());
        let asked: Arc<Notify> = Arc::default();
        let clock = ManualClock::new();
        let ip = if elsewhere { [127, 0, 0, 9] } else { [127, 0, 0, 1] };
        let pool = HotConnPool::builder()
            .resolver(StaticResolver::new().with(&*target, [ip.into()]).unwrap())
            .clock(clock.clone())
            .dial(Connects(Arc::clone(&asked), elsewhere.then(|| hole.address())))
            .build()
            .unwrap();
        let got = get(&pool, target.clone());
        within("it is asked", asked.notified()).await;
        clock.advance(PoolConfig::default().attempt_timeout);
        let error = within("a timeout", got).await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Timeout, Phase::Connect)
        );
        let held: Vec<_> = pool.manager().blocklist();
        assert_eq!(held.len(), usize::from(!elsewhere), "{held:?}");
        at_rest(&pool).await;
        within("close", pool.close()).await;
    }
}

/// Given up by its caller, it ends with the pool at the latest.
#[tokio::test]
async fn a_dialer_that_hangs_holds_nobody_who_closes_or_cleans_up() {
    for force in [false, true] {
        let peer = http1_peer();
        let hangs = Hangs::default();
        let pool = builder(&peer, |_| {}).dial(hangs.clone()).build().unwrap();
        let got = get(&pool, name(&peer));
        within("it is asked", hangs.0.1.notified()).await;
        match force {
            true => {
                assert_eq!(pool.force_cleanup(), 0);
                within("it is let go of", hangs.0.2.notified()).await;
                // Somebody waits: it is asked again, and answers.
                drop(within("a connection", got).await.unwrap().unwrap());
                finish(pool, peer).await;
            }
            false => {
                got.abort();
                let report = within("close", pool.close()).await;
                assert_eq!((report.leases_left, report.tasks_left), (0, 0));
                within("it is let go of", hangs.0.2.notified()).await;
                pool.manager().assert_invariants();
                peer.shutdown().await;
            }
        }
    }
}

/// A stream that, once it is told to, answers nobody and wakes nobody.
struct Stuck(UnixStream, Arc<AtomicU8>);

impl Stuck {
    fn is_stuck(&self) -> bool {
        self.1.load(Ordering::Relaxed) == 1
    }
}

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.is_stuck() {
            true => Poll::Pending,
            false => Pin::new(&mut self.0).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.is_stuck() {
            true => Poll::Pending,
            false => Pin::new(&mut self.0).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.is_stuck() {
            true => Poll::Pending,
            false => Pin::new(&mut self.0).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

struct ByStuck(PathBuf, Arc<AtomicU8>);

impl Dial for ByStuck {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let stream = to_relay(&self.0, &to).await?;
            Ok(Transport::new(Stuck(stream, Arc::clone(&self.1))))
        })
    }
}

/// Whatever its stream does.
#[tokio::test]
async fn a_lease_over_a_stream_that_is_stuck_is_aborted_at_once() {
    for alpn in BOTH {
        let peer = Peer::builder().alpn(alpn).start();
        let relay = Relay::start();
        let stuck: Arc<AtomicU8> = Arc::default();
        let dialer = ByStuck(relay.path.clone(), Arc::clone(&stuck));
        let pool = builder(&peer, |_| {}).dial(dialer).build().unwrap();
        let mut conn = lease(&pool, &name(&peer)).await;
        use_up(&mut conn, "/").await;
        stuck.store(1, Ordering::Relaxed);
        {
            let mut asking = Box::pin(exchange(&mut conn, "/"));
            assert!(poll_once(asking.as_mut()).await.is_none(), "{alpn:?}");
            assert_eq!(pool.force_cleanup(), 1);
            let error = within("the abort", asking).await.unwrap_err();
            if alpn == Alpn::Http1 {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            }
        }
        assert_eq!(pool.size(), 0, "{alpn:?}");
        drop(conn);
        at_rest(&pool).await;
        relay.is_left().await;
        stuck.store(0, Ordering::Relaxed);
        assert_eq!(round(&pool, &name(&peer)).await.status, 200);
        finish(pool, peer).await;
    }
}

/// TCP as the pool does it, and TLS on top.
struct OverTls(TlsConnector);

impl Dial for OverTls {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let tcp = to.connect().await?;
            let name = ServerName::try_from(to.host().to_owned()).map_err(DialError::nobody)?;
            let tls = self.0.connect(name, tcp).await.map_err(DialError::address)?;
            Ok(Transport::new(tls))
        })
    }
}

/// TLS in TLS: a proxy that is spoken to over TLS, by the pool's own CONNECT and SOCKS5, whatever the profile.
#[tokio::test]
async fn a_proxy_over_tls_is_a_dialer_and_a_proxy() {
    let leaf = certs::authority().server(&["proxy.test"]);
    let acceptor = TlsAcceptor::from(Arc::new(leaf.config(certs::provider(), rustls::ALL_VERSIONS)));
    let config = rustls::ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(certs::authority().roots())
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let here = IpAddr::from(Ipv4Addr::new(127, 0, 0, 77));
    for (manner, protocol) in [
        (Manner::Http, ProxyProtocol::Http),
        (Manner::Socks5, ProxyProtocol::Socks5),
    ] {
        for (alpn, profile) in [
            (Alpn::Http1, Profile::rustls()),
            (Alpn::Http2, Profile::rustls()),
            (Alpn::Http2, Profile::chrome()),
        ] {
            let peer = Peer::builder().alpn(alpn).start();
            let fake = Fake::start(here, manner, peer.addr(0)).await;
            fake.take("alice:secret");
            let listener = TcpListener::bind((here, 0)).await.unwrap();
            let door = listener.local_addr().unwrap();
            let (acceptor, inside) = (acceptor.clone(), fake.addr());
            let front = spawn(async move {
                while let Ok((guest, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    spawn(async move {
                        let mut guest = acceptor.accept(guest).await?;
                        let mut inside = TcpStream::connect(inside).await?;
                        copy_bidirectional(&mut guest, &mut inside).await
                    });
                }
            });
            let named = format!("proxy.test:{}", door.port());
            let login = ProxyLogin::new("alice", "secret").unwrap();
            let pool = builder(&peer, |_| {})
                .resolver(StaticResolver::new().with(&*named, [here]).unwrap())
                .proxy(Proxy::new(protocol, &named).unwrap().login(login))
                .profile(profile)
                .dial(OverTls(connector.clone()))
                .build()
                .unwrap();
            for nth in 1..=2 {
                let mut conn = lease(&pool, &name(&peer)).await;
                assert_eq!(use_up(&mut conn, "/").await.nth, nth);
                assert_eq!(conn.info().remote, door);
                assert_eq!(conn.protocol() == Protocol::Http2, alpn == Alpn::Http2);
            }
            let stranger = GetOptions::new().proxy_login(None);
            let refused = within("a refusal", pool.get_with(name(&peer), stranger))
                .await
                .unwrap_err();
            assert_eq!(refused.phase(), Phase::Proxy, "{refused:?}");
            assert!(refused.cause().is_some_and(|cause| cause.is::<ProxyError>()));
            finish(pool, peer).await;
            front.abort();
        }
    }
}

/// HTTP's CONNECT, at this address.
struct Tunnel(SocketAddr);

impl Dial for Tunnel {
    fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let (mut stream, end) = (to.connect_to(self.0).await?, to.addr());
            let request = format!("CONNECT {end} HTTP/1.1\r\nhost: {end}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            match head.starts_with(b"HTTP/1.1 200") {
                true => Ok(Transport::new(stream)),
                false => Err(DialError::nobody("the proxy opens no tunnel")),
            }
        })
    }
}

/// A proxy for one call, and none for another: nobody rides on the other's connection, and one that is down is in nobody's way.
#[tokio::test]
async fn a_call_may_go_by_a_proxy_of_its_own_and_others_by_none() {
    for alpn in BOTH {
        let peer = Peer::builder().alpn(alpn).start();
        let here = IpAddr::from(Ipv4Addr::new(127, 0, 0, 77));
        let fake = Fake::start(here, Manner::Http, peer.addr(0)).await;
        let pool = builder(&peer, |_| {}).build().unwrap();
        let through = |addr| GetOptions::new().dial(Some(Arc::new(Tunnel(addr))));
        let down = TcpListener::bind((here, 0)).await.unwrap().local_addr().unwrap();
        let failed = within("a refusal", pool.get_with(name(&peer), through(down))).await;
        let error = failed.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Dial, Phase::Connect));
        assert!(pool.manager().blocklist().is_empty(), "{alpn:?}");
        let calls = [GetOptions::new(), through(fake.addr()), through(fake.addr())];
        let twice = calls.iter().chain(&calls);
        let serials = serials(&pool, &name(&peer), twice).await;
        assert_eq!(serials, [1, 2, 3, 1, 2, 3], "{alpn:?}");
        let ends: Vec<_> = fake.asked().into_iter().map(|asked| asked.end).collect();
        assert_eq!(ends, [peer.addr(0).to_string(), peer.addr(0).to_string()]);
        finish(pool, peer).await;
    }
}

/// What a dialer connects by the pool's own TCP comes from the pool's sources, and gives them back.
#[tokio::test]
async fn a_dialer_may_connect_as_the_pool_would() {
    struct Own;
    impl Dial for Own {
        fn dial<'a>(&'a self, to: DialTo<'a>) -> Dialing<'a> {
            Box::pin(async move {
                let mut stream = to.connect().await?;
                stream.flush().await?;
                Ok(Transport::new(stream))
            })
        }
    }
    let peer = http1_peer();
    let sources = StaticSources::new([IpAddr::from([127, 0, 0, 5])]).unwrap();
    let pool = builder(&peer, |_| {})
        .dial(Own)
        .sources(SourcePolicy::require(sources))
        .build()
        .unwrap();
    let mut conn = lease(&pool, &name(&peer)).await;
    use_up(&mut conn, "/").await;
    assert_eq!(pool.stats().sources.leased, 1);
    assert_eq!(peer.connections()[0].from.ip(), IpAddr::from([127, 0, 0, 5]));
    conn.discard();
    until(&pool, "it is given back", |stats| stats.sources.leased == 0).await;
    // A source that cannot be used ends the dial as it would without a dialer.
    let unusable = StaticSources::new([IpAddr::from([192, 0, 2, 1])]).unwrap();
    let call = GetOptions::new().sources(SourcePolicy::require(unusable));
    let error = within("a refusal", pool.get_with(name(&peer), call))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Source, Phase::Connect));
    assert!(pool.manager().blocklist().is_empty());
    finish(pool, peer).await;
}
