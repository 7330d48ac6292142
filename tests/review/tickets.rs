//! Session tickets are no application bytes, in however many segments they come.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotpool::{GetOptions, HotConnPool, StaticResolver, Warm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::h1_peer;
use crate::support::certs;

/// Passes everything on; the first thing that the server says after the handshake, its tickets, in two segments, the second one later.
async fn in_two_segments(server: SocketAddr, pause: Duration) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(server).await.unwrap();
        near.set_nodelay(true).unwrap();
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let said = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&said);
        drop(tokio::spawn(async move {
            let mut piece = vec![0; 16 << 10];
            while let Ok(count @ 1..) = from_near.read(&mut piece).await {
                counted.fetch_add(1, Ordering::SeqCst);
                to_far.write_all(&piece[..count]).await.unwrap();
            }
        }));
        let (mut piece, mut split) = (vec![0; 16 << 10], false);
        while let Ok(count @ 1..) = from_far.read(&mut piece).await {
            let (first, second) = match said.load(Ordering::SeqCst) >= 2 && !split {
                true => piece[..count].split_at(count - 20),
                false => (&piece[..count], &[][..]),
            };
            split |= !second.is_empty();
            to_near.write_all(first).await.unwrap();
            if !second.is_empty() {
                tokio::time::sleep(pause).await;
                to_near.write_all(second).await.unwrap();
            }
        }
    }));
    port
}

#[tokio::test]
async fn a_ticket_in_two_segments_closes_nothing() {
    for pause in [Duration::ZERO, Duration::from_millis(100)] {
        let peer = h1_peer();
        let port = in_two_segments(peer.addr(0), pause).await;
        let name = format!("peer.test:{port}");
        let resolver = StaticResolver::new()
            .with(name.as_str(), [Ipv4Addr::LOCALHOST.into()])
            .unwrap();
        let pool = HotConnPool::builder()
            .roots(certs::authority().roots())
            .resolver(resolver)
            .build()
            .unwrap();
        let report = pool.warm(&name, Warm::Count(1), GetOptions::new()).await.unwrap();
        assert_eq!(report.opened, 1, "{report:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let stats = pool.stats();
        assert_eq!(
            (stats.idle, stats.counters.closed()),
            (1, 0),
            "{pause:?}: {:?}",
            stats.counters
        );
    }
}
