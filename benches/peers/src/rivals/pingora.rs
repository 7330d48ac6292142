//! pingora-pool, alone and as Pingora's connector uses it.
//!
//! Its keys are 64-bit hashes that the caller computes, here with a keyed hash. Its connector reads a byte on the way out and on the way in,
//! to see whether the connection still stands, and has a task that watches it meanwhile (`pingora-core/src/connectors/mod.rs`,
//! `reused_stream` and `release_stream`).

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use pingora_pool::{ConnectionMeta, ConnectionPool};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Mutex;

use crate::contender::{Contender, Duplex};
use crate::server::{Dialler, Server, Stream};

/// What its connector's pool has room for, unless told otherwise.
const SIZE: usize = 128;

/// A connection, and the number that the pool is to know it by.
pub(crate) struct Conn {
    id: i32,
    stream: Stream,
}

async fn dial(dialler: &Dialler, idle: usize) -> impl Iterator<Item = Conn> {
    let streams = super::dial(dialler, idle).await;
    streams
        .into_iter()
        .zip(0..)
        .map(|(stream, id)| Conn { id, stream })
}

/// The pool's own `get` and `put`, nothing watched and nothing looked at.
pub(crate) struct Bare {
    pool: ConnectionPool<Conn>,
    hasher: RandomState,
    target: String,
    dialler: Dialler,
}

impl Bare {
    pub(crate) async fn new(server: &Server, idle: usize) -> Self {
        let bare = Bare {
            pool: ConnectionPool::new(SIZE),
            hasher: RandomState::new(),
            target: server.target(),
            dialler: server.dialler(),
        };
        for conn in dial(&bare.dialler, idle).await {
            bare.put(conn);
        }
        bare
    }

    fn key(&self) -> u64 {
        self.hasher.hash_one(self.target.as_str())
    }
}

impl Contender for Bare {
    type Lease = Conn;

    async fn get(&self) -> Conn {
        self.pool.get(&self.key()).expect("an idle connection")
    }

    fn put(&self, lease: Conn) {
        // As with a peer's own hash, the key of a return is computed again.
        let meta = ConnectionMeta::new(self.key(), lease.id);
        let _ = self.pool.put(&meta, lease);
    }

    fn stream<'l>(&self, lease: &'l mut Conn) -> Option<&'l mut dyn Duplex> {
        Some(&mut lease.stream)
    }

    fn dials(&self) -> u64 {
        self.dialler.dials()
    }
}

/// With a task for each idle connection that reads from it.
pub(crate) struct Watched {
    pool: Arc<ConnectionPool<Arc<Mutex<Stream>>>>,
    hasher: RandomState,
    target: String,
    dialler: Dialler,
}

impl Watched {
    /// Must be called on the runtime on which it is used.
    pub(crate) async fn new(server: &Server, idle: usize) -> Self {
        let watched = Watched {
            pool: Arc::new(ConnectionPool::new(SIZE)),
            hasher: RandomState::new(),
            target: server.target(),
            dialler: server.dialler(),
        };
        for conn in dial(&watched.dialler, idle).await {
            watched.put(conn);
        }
        watched
    }

    fn key(&self) -> u64 {
        self.hasher.hash_one(self.target.as_str())
    }
}

impl Contender for Watched {
    type Lease = Conn;

    async fn get(&self) -> Conn {
        let shared = self.pool.get(&self.key()).expect("an idle connection");
        drop(shared.lock().await); // the task lets go of it
        let mut stream = Arc::try_unwrap(shared).expect("nobody else has it").into_inner();
        assert!(is_quiet(&mut stream), "an idle connection that stands");
        let id = id_of(&stream);
        Conn { id, stream }
    }

    fn put(&self, mut lease: Conn) {
        assert!(is_quiet(&mut lease.stream), "a connection that stands");
        let meta = ConnectionMeta::new(self.key(), id_of(&lease.stream));
        let shared = Arc::new(Mutex::new(lease.stream));
        let held = Arc::clone(&shared).try_lock_owned().expect("a new lock");
        let (evicted, used) = self.pool.put(&meta, shared);
        let pool = Arc::clone(&self.pool);
        tokio::spawn(async move { pool.idle_poll(held, &meta, None, evicted, used).await });
    }

    fn stream<'l>(&self, lease: &'l mut Conn) -> Option<&'l mut dyn Duplex> {
        Some(&mut lease.stream)
    }

    fn dials(&self) -> u64 {
        self.dialler.dials()
    }
}

/// A connector's number for a connection is its descriptor.
fn id_of(stream: &Stream) -> i32 {
    use std::os::fd::AsRawFd;
    stream.get_ref().0.as_raw_fd()
}

/// Whether a read finds nothing, which is how the connector looks.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0; 1];
    let mut buf = ReadBuf::new(&mut byte);
    let cx = &mut Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(cx, &mut buf).is_pending()
}
