//! The measures see what there is to see.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::measure::{self, Descriptors};
use crate::support::peer::Peer;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn descriptors_are_counted_and_named() {
    let before = Descriptors::now();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let during = Descriptors::now();
    assert_eq!(during.count(), before.count() + 1);
    let [new] = during.beyond(&before).try_into().expect("one new descriptor");
    assert!(
        new.contains(&address.to_string()) && new.contains("LISTEN"),
        "{new}"
    );
    assert!(measure::is_listening(address));
    drop(listener);
    measure::no_descriptor_beyond(SOON, &before).await;
    assert!(!measure::is_listening(address));
}

#[tokio::test]
async fn a_peer_gone_leaves_no_descriptor_and_no_task() {
    // The runtime's own descriptors are made before the first look.
    let before = Descriptors::now();
    let tasks = measure::alive_tasks();
    for _ in 0..20 {
        let peer = Peer::builder().ips(3).start();
        let mut stream = crate::clients::http1(peer.addr(1)).await;
        crate::clients::get(&mut stream, "/").await.unwrap();
        assert_eq!(measure::alive_tasks(), tasks);
    }
    measure::no_descriptor_beyond(SOON, &before).await;
    assert_eq!(measure::alive_tasks(), tasks);
}

#[tokio::test]
async fn tasks_are_counted() {
    let before = measure::alive_tasks();
    let task = tokio::spawn(std::future::pending::<()>());
    assert_eq!(measure::alive_tasks(), before + 1);
    task.abort();
    measure::settles(SOON, "the task has ended", before, measure::alive_tasks).await;
}

#[test]
fn memory_that_is_touched_is_resident() {
    let before = measure::resident_bytes();
    let held = vec![1u8; 64 << 20];
    let grown = measure::resident_bytes() - before;
    assert!((60 << 20..80 << 20).contains(&grown), "{grown}");
    drop(held);
}

#[tokio::test]
#[should_panic(expected = "three: 2 instead of 3")]
async fn what_does_not_settle_is_shown() {
    measure::settles(Duration::from_millis(20), "three", 3, || 2).await;
}

#[tokio::test]
#[should_panic(expected = "the peer did not see \"a ghost\"")]
async fn what_the_peer_never_sees_fails_the_test() {
    let peer = Peer::start();
    peer.wait_within(Duration::from_millis(20), "a ghost", |seen| seen.accepts == 1)
        .await;
}
