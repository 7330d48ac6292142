//! What every pool must do here, and how its cycles are measured.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::task::coop::unconstrained;

use crate::meter::{Meter, Sample};

/// A pool with connections of one host.
pub(crate) trait Contender: Sync {
    type Lease;

    /// An idle connection. Panics or waits for ever if there is none.
    fn get(&self) -> impl Future<Output = Self::Lease>;

    fn put(&self, lease: Self::Lease);

    /// What is written to and read from; none where nothing can be.
    fn stream<'l>(&self, lease: &'l mut Self::Lease) -> Option<&'l mut dyn Duplex>;

    /// Says that the exchange is over, where a pool must be told.
    fn settled(&self, _lease: &mut Self::Lease) {}

    /// How many connections were ever made.
    fn dials(&self) -> u64;
}

/// A connection's both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// A contender that is ready to run, whatever its type.
pub(crate) trait Runner {
    /// So many cycles of `get` and `put`, on each of its threads.
    fn run(&self, cycles: u64) -> Sample;

    /// Panics unless the pool has as many idle connections as were meant, and never made another.
    fn vouch(&self);
}

/// A contender, its idle connections, and the runtime that they live on.
pub(crate) struct Rig<C> {
    pub(crate) contender: C,
    pub(crate) runtime: Runtime,
    idle: usize,
}

impl<C: Contender> Rig<C> {
    /// For one thread: a runtime that runs nothing while its thread is busy.
    pub(crate) fn one<F: Future<Output = C>>(idle: usize, make: impl FnOnce() -> F) -> Self {
        Self::on(Builder::new_current_thread().enable_all().build(), idle, make)
    }

    /// For two threads that block on the same runtime, whose one worker looks after the sockets.
    pub(crate) fn two<F: Future<Output = C>>(idle: usize, make: impl FnOnce() -> F) -> Self {
        let mut builder = Builder::new_multi_thread();
        Self::on(builder.worker_threads(1).enable_all().build(), idle, make)
    }

    fn on<F: Future<Output = C>>(
        runtime: std::io::Result<Runtime>,
        idle: usize,
        make: impl FnOnce() -> F,
    ) -> Self {
        let runtime = runtime.expect("a runtime");
        let contender = runtime.block_on(async { make().await });
        let rig = Rig {
            contender,
            runtime,
            idle,
        };
        rig.settle();
        rig
    }

    /// Takes every idle connection at once, uses it, and puts it back, until nothing is left to be read on any: the first exchange
    /// brings the session tickets that come after a handshake.
    fn settle(&self) {
        let settle = async {
            let mut leases = Vec::new();
            for _ in 0..self.idle {
                leases.push(self.contender.get().await);
            }
            for mut lease in leases {
                if let Some(stream) = self.contender.stream(&mut lease) {
                    crate::server::exchange(stream).await;
                    self.contender.settled(&mut lease);
                }
                self.contender.put(lease);
            }
        };
        self.patiently(settle);
    }

    fn patiently<T>(&self, what: impl Future<Output = T>) -> T {
        let patient = async { tokio::time::timeout(Duration::from_secs(20), what).await };
        self.runtime.block_on(patient).expect("an idle connection")
    }

    fn check(&self) {
        let take_all = async {
            let mut leases = Vec::new();
            for _ in 0..self.idle {
                leases.push(self.contender.get().await);
            }
            leases.into_iter().for_each(|lease| self.contender.put(lease));
        };
        self.patiently(take_all);
        assert_eq!(self.contender.dials(), self.idle as u64, "connections ever made");
    }

    /// The cycles, on this thread, and what they used.
    pub(crate) async fn metered(&self, cycles: u64) -> Sample {
        let meter = Meter::start();
        self.cycles(cycles).await;
        meter.per(cycles)
    }

    /// The cycles, on this thread. Outside the task's budget: with that spent, a peer that spends it would be charged for yielding.
    pub(crate) async fn cycles(&self, cycles: u64) {
        unconstrained(async {
            for _ in 0..cycles {
                let lease = self.contender.get().await;
                self.contender.put(black_box(lease));
            }
        })
        .await;
    }
}

/// Runs on the calling thread.
pub(crate) struct Alone<C>(pub(crate) Rig<C>);

impl<C: Contender> Runner for Alone<C> {
    fn run(&self, cycles: u64) -> Sample {
        self.0.runtime.block_on(self.0.metered(cycles))
    }

    fn vouch(&self) {
        self.0.check();
    }
}

/// Runs on two threads at once.
pub(crate) struct Paired<C>(pub(crate) Rig<C>);

impl<C: Contender> Runner for Paired<C> {
    fn run(&self, cycles: u64) -> Sample {
        let start = Barrier::new(2);
        let thread = || {
            start.wait();
            self.0.runtime.handle().block_on(self.0.metered(cycles))
        };
        let [one, other] = std::thread::scope(|scope| {
            let threads = [scope.spawn(thread), scope.spawn(thread)];
            threads.map(|thread| thread.join().expect("a thread that measures"))
        });
        Sample {
            cpu: (one.cpu + other.cpu) / 2.0,
            wall: one.wall.max(other.wall),
            allocations: (one.allocations + other.allocations) / 2.0,
        }
    }

    fn vouch(&self) {
        self.0.check();
    }
}
