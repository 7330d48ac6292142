//! What every exchange does, whatever it is spoken over.

use crate::ask::{get, post, send};
use crate::common::{finish, http1_peer, name, pool, spawn};
use crate::support::peer::filler;

#[tokio::test]
async fn bodies_come_whole_whatever_ends_them_and_the_connection_serves_again() {
    let peer = http1_peer();
    let pool = pool(&peer, |_| {});
    let name = name(&peer);
    for size in [0, 1, 100, 5_000, 100_000, 3_000_000] {
        for way in ["bytes", "chunked"] {
            let read = send(&pool, get(&name, &format!("/{way}/{size}"))).await.unwrap();
            assert_eq!((read.status.as_u16(), &read.trailers), (200, &None));
            assert!(read.body == filler(size), "{way} {size}: {}", read.body.len());
            assert_eq!(read.header("x-conn"), "1", "{way} {size}");
        }
    }
    let posted = spawn({
        let (pool, name) = (pool.clone(), name.clone());
        async move { send(&pool, post(&name, "/read", filler(70_000))).await }
    });
    assert_eq!(posted.await.unwrap().unwrap().text(), "70000");
    finish(pool, peer).await;
}
