//! What the pool counts, for whatever recorder the [`metrics`](https://docs.rs/metrics) facade has. Behind the feature `metrics`.
//!
//! ```
//! # use hotpool::HotConnPool;
//! use hotpool::metrics::Metrics;
//!
//! # fn example() -> Result<(), hotpool::ConfigError> {
//! let pool = HotConnPool::builder().build()?;
//! let metrics = Metrics::new(&pool); // from here on durations are told as things happen
//! metrics.sample(); // gauges and counters: whenever they are scraped, or every so many seconds
//! # Ok(())
//! # }
//! # example().unwrap();
//! ```
//!
//! It stands on [`HotConnPool::on_event`] and [`HotConnPool::stats`]: a `get` and a `put` of an idle connection cost the same with and without it.
//!
//! # What is recorded
//!
//! Names and attributes are OpenTelemetry's where its conventions have one (those of HTTP clients; `time_in_queue` is .NET's); the rest is called
//! `hotpool.*`. Seconds are seconds. *host* stands for `server.address` and `server.port`, *version* for `network.protocol.version` (`1.1`, `2`).
//!
//! | metric | kind | attributes | what |
//! |---|---|---|---|
//! | `http.client.open_connections` | gauge | *host*, `http.connection.state`: `active`, `idle`; `network.peer.address` if asked for | connections that are leased, and connections that are ready. One that is looked at, or waits for the rest of a record, is neither |
//! | `http.client.connection.duration` | histogram, s | *host*, *version* | how long connections lived, told as they close |
//! | `http.client.request.time_in_queue` | histogram, s | *host*; `error.type` if it was not served | how long callers waited for a connection, told as they end. Who was served at once, and who gave up by itself, did not |
//! | `hotpool.connection.setup.duration` | histogram, s | *host*, *version*, `hotpool.phase`: `connect`, `proxy`, `tls` | how long each phase of a dial that succeeded took |
//! | `hotpool.hosts` | gauge | | hosts that the pool knows |
//! | `hotpool.leases` | gauge | *host* | leases out: on HTTP/2 one for each stream |
//! | `hotpool.dialling` | gauge | *host* | dials ordered and not ended |
//! | `hotpool.waiting` | gauge | *host* | callers in line |
//! | `hotpool.addresses.avoided` | gauge | *host* | addresses that are avoided because of what failed there |
//! | `hotpool.penalties` | gauge | `hotpool.cause`: `owner`, `connect`, `tls`, `protocol`, `status` | what stands in the blocklist, by cause |
//! | `hotpool.gets` | counter | *host* | leases handed out |
//! | `hotpool.hits` | counter | *host* | of these, served by a connection that stood: the hit ratio is `hits / gets` |
//! | `hotpool.waits` | counter | *host* | callers that stood in line |
//! | `hotpool.timeouts` | counter | *host* | callers whose time ran out |
//! | `hotpool.leaked` | counter | *host* | leases that were out for too long |
//! | `hotpool.recovered` | counter | *host* | of these, those that came home after all |
//! | `hotpool.dials` | counter | *host* | dials that began |
//! | `hotpool.opened` | counter | *host* | connections that came to be |
//! | `hotpool.failures` | counter | *host*, `hotpool.phase`: a [`Phase`](crate::Phase) | attempts and resolutions that failed |
//! | `hotpool.closed` | counter | *host*, `hotpool.reason`: a [`CloseReason`](crate::CloseReason) | connections that closed |
//!
//! # How many series
//!
//! The first [`max_hosts`](MetricsOptions::max_hosts) hosts that are met have attributes of their own, for good; all others together are `other`, with an
//! empty port. So the sum over all hosts is what [`Stats::counters`](crate::Stats::counters) says, whatever comes and goes, and the number of
//! series does not grow with what callers ask for. The same goes for addresses, of which none is shown unless
//! [`max_addresses`](MetricsOptions::max_addresses) says so.

mod book;
mod hosts;
mod names;
mod told;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::metrics::{Label, Recorder, SharedString};

use self::book::Book;
use self::hosts::Hosts;
use self::names::Global;
use self::told::Told;
use crate::fault::planted;
use crate::{ConnectionManager, HotConnPool};

/// How many hosts have attributes of their own unless said otherwise.
const MAX_HOSTS: usize = 100;

/// How a pool is recorded.
///
/// ```
/// # fn example() -> Result<(), hotpool::ConfigError> {
/// use hotpool::HotConnPool;
/// use hotpool::metrics::MetricsOptions;
///
/// let pool = HotConnPool::builder().build()?;
/// let metrics = MetricsOptions::new().name("crawler").max_hosts(20).max_addresses(50).watch(&pool);
/// metrics.sample();
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MetricsOptions {
    name: Option<Arc<str>>,
    max_hosts: usize,
    max_addresses: usize,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        MetricsOptions {
            name: None,
            max_hosts: MAX_HOSTS,
            max_addresses: 0,
        }
    }
}

impl MetricsOptions {
    /// 100 hosts, no addresses, no name.
    pub fn new() -> Self {
        MetricsOptions::default()
    }

    /// Tells what is recorded here from what else the same recorder is told: the attribute `hotpool.pool` of each metric. Of two pools under one name, or none, the
    /// counters and histograms add up, and each sample overwrites the gauges of the other. Of one pool that is recorded twice likewise: everything
    /// is counted twice, and every duration told twice.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many hosts have attributes of their own; the rest is `other`. With 0, everything is.
    pub fn max_hosts(mut self, count: usize) -> Self {
        self.max_hosts = count;
        self
    }

    /// How many pairs of a host and an address are told apart in `http.client.open_connections`, as `network.peer.address`; the rest of a host's is `other`.
    /// With 0, as unless said otherwise, the metric has no such attribute.
    pub fn max_addresses(mut self, count: usize) -> Self {
        self.max_addresses = count;
        self
    }

    /// Records `pool` with the process's recorder: the one that stands at the moment of each recording, nobody if there is none.
    pub fn watch(self, pool: &HotConnPool) -> Metrics {
        self.watch_with(pool, Global)
    }

    /// Records `pool` with this recorder. For as long as the pool lives, so once for each recorder: see [`name`](Self::name).
    pub fn watch_with(self, pool: &HotConnPool, recorder: impl Recorder + Send + Sync + 'static) -> Metrics {
        let base = self
            .name
            .filter(|_| !planted("pools_have_no_names"))
            .map(|name| Label::new("hotpool.pool", SharedString::from(name)));
        let shared = Arc::new(Shared {
            recorder: Box::new(recorder),
            base: base.into_iter().collect(),
            hosts: Mutex::new(Hosts::new(self.max_hosts)),
        });
        names::describe(&*shared.recorder);
        pool.on_event(Told(Arc::clone(&shared)));
        Metrics {
            pool: pool.manager().clone(),
            shared,
            book: Mutex::new(Book::new(self.max_addresses)),
        }
    }
}

/// Records one pool. Does not keep it alive.
///
/// The durations are recorded as long as the pool lives, whatever becomes of this: another one for the same recorder tells each a second time.
pub struct Metrics {
    pool: ConnectionManager,
    shared: Arc<Shared>,
    book: Mutex<Book>,
}

impl Metrics {
    /// Records `pool` by the defaults of [`MetricsOptions`], with the process's recorder.
    pub fn new(pool: &HotConnPool) -> Self {
        MetricsOptions::new().watch(pool)
    }

    /// Records the gauges as they are, and what was counted since the last time. Takes what [`stats`](HotConnPool::stats) takes, so not for every request.
    pub fn sample(&self) {
        let mut book = lock(&self.book); // first, so that what is counted never goes back
        book.enter(&self.shared, &self.pool.stats());
        book.penalties(&self.shared, &self.pool.blocklist());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// What those who are told and those who ask have in common.
struct Shared {
    recorder: Box<dyn Recorder + Send + Sync>,
    /// The attributes of everything.
    base: Vec<Label>,
    hosts: Mutex<Hosts>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
