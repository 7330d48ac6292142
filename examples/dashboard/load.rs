//! The load: callers that ask the pool for a connection, send one request, read the answer, and say how it went.
#![expect(
    clippy::disallowed_methods,
    reason = "callers have tasks and pauses of their own, and measure how long an answer takes"
)]

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hotpool::{GetOptions, HotConn, HotConnPool, Outcome, Protocol, Require};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::latency::Latencies;
use crate::site::SHOP;
use crate::{h1, h2};

/// Callers of each host. Not all of them are there all the time.
const CALLERS: u32 = 6;
/// From one tide to the next, in which callers come and go.
const TIDE: f64 = 24.0;
/// What a caller does with an answer before it gives the connection back.
const WORK: Duration = Duration::from_millis(14);
/// And before it asks again.
const REST: Duration = Duration::from_millis(26);
/// While it is not there.
const AWAY: Duration = Duration::from_millis(200);

/// What the callers share.
pub(crate) struct Load {
    pool: HotConnPool,
    /// Whether they ask.
    on: watch::Sender<bool>,
    pub(crate) latencies: Mutex<Latencies>,
    /// The connections that have carried a request, by serial number.
    met: Mutex<HashSet<u64>>,
    answered: AtomicU64,
    failed: AtomicU64,
}

/// One host, as its callers ask for it.
#[derive(Clone)]
pub(crate) struct Origin {
    /// `name:port`.
    pub(crate) target: String,
    pub(crate) require: Require,
}

impl Origin {
    pub(crate) fn options(&self) -> GetOptions {
        GetOptions::new().require(self.require)
    }
}

impl Load {
    pub(crate) fn new(pool: HotConnPool) -> Self {
        Load {
            pool,
            on: watch::Sender::new(false),
            latencies: Mutex::default(),
            met: Mutex::default(),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_on(&self, on: bool) {
        self.on.send_replace(on);
    }

    pub(crate) fn is_on(&self) -> bool {
        *self.on.borrow()
    }

    /// Requests that got an answer, whatever it said, and requests that got none.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.answered), read(&self.failed))
    }

    /// Runs the callers of every origin until it is dropped.
    pub(crate) fn run(self: &Arc<Self>, origins: &[Origin]) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for origin in origins {
            for number in 0..CALLERS {
                callers.spawn(Arc::clone(self).call(origin.clone(), number));
            }
        }
        callers
    }

    async fn call(self: Arc<Self>, origin: Origin, number: u32) {
        let began = Instant::now();
        let mut on = self.on.subscribe();
        // The tides of the two hosts are opposite.
        let shift = if origin.target.starts_with(SHOP) { 0.5 } else { 0.0 };
        loop {
            if on.wait_for(|&on| on).await.is_err() {
                return;
            }
            let turn = (began.elapsed().as_secs_f64() / TIDE + shift) * std::f64::consts::TAU;
            let there = f64::from(CALLERS) * (0.6 - 0.4 * turn.cos());
            if f64::from(number) >= there {
                tokio::time::sleep(AWAY).await;
                continue;
            }
            match self.request(&origin).await {
                Ok(()) => self.answered.fetch_add(1, Ordering::Relaxed),
                Err(failure) => {
                    let count = self.failed.fetch_add(1, Ordering::Relaxed);
                    // The pool would not even try: no use to ask it at once again.
                    if failure.is_blocked() {
                        tokio::time::sleep(AWAY).await;
                    }
                    count
                }
            };
            // No two in step.
            tokio::time::sleep(REST + Duration::from_millis(u64::from(number) * 3)).await;
        }
    }

    async fn request(&self, origin: &Origin) -> Result<(), Failure> {
        let asked = Instant::now();
        let mut conn = self.pool.get_with(&origin.target, origin.options()).await?;
        let (first, ip) = (self.meet(&conn), conn.info().remote.ip());
        let waited = asked.elapsed();
        let result = self.exchange(&mut conn, &origin.target).await;
        let outcome = match &result {
            Ok((status, _)) => Outcome::Status(*status),
            Err(_) => Outcome::Error,
        };
        conn.report(outcome);
        let (_, took) = result?;
        let before = match first {
            true => conn.info().connect_time + conn.info().tls_time,
            false => waited,
        };
        self.note(origin, ip, first, before + took);
        tokio::time::sleep(WORK).await;
        self.pool.put(conn);
        Ok(())
    }

    /// One GET, read to its end. Answers its status, and how long it took.
    async fn exchange(&self, conn: &mut HotConn, target: &str) -> Result<(u16, Duration), Failure> {
        let began = Instant::now();
        let status = match conn.protocol() {
            Protocol::Http1 => {
                let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n");
                h1::exchange(conn, request.as_bytes()).await?.status
            }
            _ => {
                let request = http::Request::get(format!("https://{target}/")).body(());
                let request = request.map_err(|_| Failure::Http1("a target makes a URL"))?;
                h2::exchange(conn, request).await?
            }
        };
        Ok((status, began.elapsed()))
    }

    /// Whether this is the first request on it.
    fn meet(&self, conn: &HotConn) -> bool {
        self.met.lock().insert(conn.info().serial)
    }

    fn note(&self, origin: &Origin, ip: IpAddr, first: bool, took: Duration) {
        self.latencies.lock().note(&origin.target, ip, first, took);
    }
}
