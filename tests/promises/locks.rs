//! No code of a caller's runs under a lock of the pool's.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::support::peer::Peer;
use crate::{builder, got, name};

/// What a caller keeps with a lease of HTTP/2 goes with it: another lease, say.
#[test]
fn an_http2_lease_may_keep_another() {
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let peer = Peer::builder().start();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let pool = builder(&peer).build().unwrap();
            let name = name(&peer);
            let (mut one, other) = (got(&pool, &name).await, got(&pool, &name).await);
            one.extensions_mut().insert(Arc::new(Mutex::new(other)));
            drop(one);
            let _ = told.send(pool.stats().leases);
        });
    });
    assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(0), "deadlock");
}
