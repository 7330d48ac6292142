//! Drives the requests of one target and protocol through a pool of their own.
#![expect(clippy::disallowed_methods, reason = "a tool that measures reads the clock")]

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hotpool::{
    ConfigError, GetOptions, HotConn, HotConnPool, PoolConfig, Protocol, Require, Selection, StaticResolver,
    Target, Warm,
};
use parking_lot::Mutex;
use rustls::RootCertStore;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::hold::hold;
use crate::options::{Options, Site};
use crate::progress::Progress;
use crate::tally::{Sample, Tally};
use crate::{h1, h2};

/// Whoever is watched is not to be hammered.
const REST: Duration = Duration::from_millis(100);
/// Longer than anything that holds: only the peer is to end what is held.
const MARGIN: Duration = Duration::from_secs(60);

const AGENT: &str = concat!("hotpool-probe/", env!("CARGO_PKG_VERSION"));

/// What is to be done.
pub(crate) struct Plan {
    target: Target<'static>,
    require: Require,
    requests: u32,
    concurrency: u32,
    connections: Option<u32>,
    timeout: Duration,
    /// How long a caller rests after each request; none: there is an end to it.
    rest: Option<Duration>,
    hold: Option<Duration>,
    ip: Option<IpAddr>,
    http1: Vec<u8>,
    http2: http::Request<()>,
}

impl Plan {
    /// # Errors
    /// The path makes no request.
    pub(crate) fn new(
        site: &Site,
        require: Require,
        options: &Options,
        connections: Option<u32>,
    ) -> Result<Self, http::Error> {
        let Site { target, path } = site;
        let http1 =
            format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n\r\n");
        let http2 = http::Request::get(format!("https://{target}{path}"))
            .version(http::Version::HTTP_2)
            .header(http::header::USER_AGENT, AGENT)
            .header(http::header::ACCEPT, "*/*")
            .body(())?;
        Ok(Plan {
            target: target.clone(),
            require,
            requests: options.requests,
            concurrency: match options.watch {
                true => options.concurrency,
                false => options.concurrency.min(options.requests),
            },
            connections,
            timeout: options.timeout,
            rest: options.watch.then_some(REST),
            hold: options.hold,
            ip: options.ip,
            http1: http1.into_bytes(),
            http2,
        })
    }

    /// Streams that one connection takes at once. With a number of connections given, no more than make all of them
    /// necessary: otherwise the first would take everything.
    fn streams(&self) -> Option<u32> {
        self.connections.map(|count| self.concurrency.div_ceil(count))
    }

    fn config(&self) -> PoolConfig {
        let mut config = PoolConfig::default();
        config.selection = Selection::RoundRobin;
        config.acquire_timeout = self.timeout;
        config.max_waiters = config.max_waiters.max(self.concurrency);
        if let Some(count) = self.connections {
            config.max_per_host = count;
            config.max_connections = config.max_connections.max(count);
            config.max_per_ip = config.max_per_ip.max(count);
            config.max_idle_per_host = count;
        }
        if let Some(hold) = self.hold {
            config.idle_timeout = config.idle_timeout.max(hold + MARGIN);
            config.max_lifetime = config.max_lifetime.max((hold + MARGIN) * 2);
        }
        config.h2_max_streams = self.streams().unwrap_or(config.h2_max_streams);
        config
    }
}

/// A row under way.
pub(crate) struct Drive {
    plan: Plan,
    pool: HotConnPool,
    tally: Mutex<Tally>,
    /// Requests that were begun.
    begun: AtomicU32,
    progress: Progress,
}

impl Drive {
    /// Makes the pool.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn new(
        plan: Plan,
        options: &Options,
        resolver: &StaticResolver,
        roots: Option<&RootCertStore>,
    ) -> Result<Arc<Self>, ConfigError> {
        let mut builder = HotConnPool::builder()
            .config(plan.config())
            .address_policy(options.policy.clone())
            .profile(options.profile.clone())
            .resolver(resolver.clone());
        if let Some(roots) = roots {
            builder = builder.roots(roots.clone());
        }
        if let Some(sources) = &options.sources {
            builder = builder.sources(sources.clone());
        }
        if let Some(proxy) = &options.proxy {
            builder = builder.proxy(proxy.clone());
        }
        Ok(Arc::new(Drive {
            pool: builder.build()?,
            progress: Progress::new(plan.requests),
            plan,
            tally: Mutex::default(),
            begun: AtomicU32::new(0),
        }))
    }

    /// Opens the connections that were asked for, sends the requests, holds what stands if it is to, until interrupted, and closes the pool. What goes
    /// wrong is in the tally.
    pub(crate) async fn run(self: Arc<Self>, interrupted: Option<&mut watch::Receiver<bool>>) -> Tally {
        self.first_round().await;
        self.callers().join_all().await;
        self.progress.clear();
        if let (Some(span), Some(interrupted)) = (self.plan.hold, interrupted) {
            let held = hold(&self.pool, &self.plan.target, span, interrupted).await;
            self.tally.lock().held = Some(held);
        }
        self.end().await
    }

    /// The same without an end: until the future is dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        self.first_round().await;
        self.callers().join_all().await;
    }

    /// How it stands.
    pub(crate) fn tally(&self) -> Tally {
        let stats = self.pool.stats();
        let mut tally = self.tally.lock().clone();
        tally.states = stats.hosts.into_iter().flat_map(|host| host.ips).collect();
        tally.counters = stats.counters;
        tally
    }

    /// Closes the pool. How it stood before that, but for what was closed.
    pub(crate) async fn end(&self) -> Tally {
        let mut tally = self.tally();
        self.pool.close().await;
        tally.counters = self.pool.stats().counters;
        tally
    }

    /// What it asks, and over which protocol.
    pub(crate) fn plan(&self) -> (&Target<'static>, Require) {
        (&self.plan.target, self.plan.require)
    }

    /// Opens the connections that were asked for, and sends one request on each.
    async fn first_round(self: &Arc<Self>) {
        let Some(count) = self.plan.connections else {
            return;
        };
        self.warm(count).await;
        let mut requests = JoinSet::new();
        for conn in self.lease_each(count.min(self.plan.requests)).await {
            self.begin();
            let drive = Arc::clone(self);
            requests.spawn(async move {
                let answer = drive.exchange(conn, Duration::ZERO);
                drive.note(drive.in_time(answer).await);
            });
        }
        requests.join_all().await;
    }

    /// Opens connections one after the other, so that the time that each took is its own. The pool goes round the addresses.
    async fn warm(&self, count: u32) {
        for so_many in 1..=count as usize {
            let warm = Warm::Count(so_many);
            let warmed = self.pool.warm(&self.plan.target, warm, self.options()).await;
            let trouble = match warmed {
                Ok(mut report) => report.errors.pop(),
                Err(error) => Some(error),
            };
            match trouble.map(Failure::from) {
                None => {}
                // Without any connection, this is what became of the first request.
                Some(failure) if self.pool.size() == 0 => {
                    self.begin();
                    return self.note(Err(failure));
                }
                Some(failure) => return self.tally.lock().trouble("opening a connection ahead", &failure),
            }
        }
    }

    /// One lease of each of `count` idle connections; fewer where there are fewer.
    async fn lease_each(&self, count: u32) -> Vec<HotConn> {
        let (mut each, mut more, mut serials) = (Vec::new(), Vec::new(), BTreeSet::new());
        // The pool fills one HTTP/2 connection of an address before it takes the next.
        for _ in 0..count.saturating_mul(self.plan.streams().unwrap_or(1)) {
            if serials.len() as u64 == u64::from(count) {
                break;
            }
            match self.lease().await {
                Ok(conn) if serials.insert(conn.info().serial) => each.push(conn),
                Ok(conn) => more.push(conn),
                // What is wrong shows in the requests to come.
                Err(_) => break,
            }
        }
        each
    }

    /// All other rounds.
    fn callers(self: &Arc<Self>) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for _ in 0..self.plan.concurrency {
            let drive = Arc::clone(self);
            callers.spawn(async move {
                while drive.begin() {
                    drive.note(drive.in_time(drive.request()).await);
                    if let Some(rest) = drive.plan.rest {
                        tokio::time::sleep(rest).await;
                    }
                }
            });
        }
        callers
    }

    /// Whether one more request may begin; it has then.
    fn begin(&self) -> bool {
        self.plan.rest.is_some()
            || !self.tally.lock().is_hopeless()
                && self.begun.fetch_add(1, Ordering::Relaxed) < self.plan.requests
    }

    fn note(&self, result: Result<Sample, Failure>) {
        self.tally.lock().add(result);
        if self.plan.rest.is_none() {
            self.progress.advance();
        }
    }

    async fn in_time(
        &self,
        request: impl Future<Output = Result<Sample, Failure>>,
    ) -> Result<Sample, Failure> {
        tokio::time::timeout(self.plan.timeout, request)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn request(&self) -> Result<Sample, Failure> {
        let began = Instant::now();
        let conn = self.lease().await?;
        self.exchange(conn, began.elapsed()).await
    }

    async fn lease(&self) -> Result<HotConn, hotpool::Error> {
        self.pool.get_with(&self.plan.target, self.options()).await
    }

    fn options(&self) -> GetOptions {
        let options = GetOptions::new().require(self.plan.require);
        match self.plan.ip {
            Some(ip) => options.ip(ip),
            None => options,
        }
    }

    /// One exchange on `conn`, which goes back to the pool after it. `waited`: what it took to be handed it.
    async fn exchange(&self, mut conn: HotConn, waited: Duration) -> Result<Sample, Failure> {
        let first = self.tally.lock().meet(conn.info());
        let ip = conn.info().remote.ip();
        let began = Instant::now();
        let status = match conn.protocol() {
            Protocol::Http1 => h1::exchange(&mut conn, &self.plan.http1).await?.status,
            _ => h2::exchange(&mut conn, self.plan.http2.clone()).await?,
        };
        let took = began.elapsed();
        let before = match first {
            true => {
                let info = conn.info();
                info.connect_time + info.tunnel_time.unwrap_or_default() + info.tls_time
            }
            false => waited,
        };
        self.pool.put(conn);
        match status {
            400.. => Err(Failure::Status(status)),
            _ => Ok(Sample {
                ip,
                first,
                took: before + took,
            }),
        }
    }
}
