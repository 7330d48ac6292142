//! However a target is named, it is the same target.

use hotpool::Target;

use crate::staged;

/// In a URL the percent sign before a zone is escaped (RFC 6874).
#[test]
fn a_uri_names_what_it_says() {
    let (_stage, pool, _clock) = staged(1, |_| {});
    let uri: http::Uri = "https://[fe80::1%25eth0]:8443/".parse().unwrap();
    let meant = Target::try_from(&uri).unwrap();
    assert_eq!(meant.as_str(), "[fe80::1%eth0]:8443");
    assert_eq!(pool.endpoint(&uri).unwrap().target(), &meant);
}

/// Two targets, two origins.
#[tokio::test]
async fn a_uri_is_not_handed_a_strangers_connection() {
    let (_stage, pool, _clock) = staged(1, |_| {});
    // The zone of this one is `25eth0`.
    drop(crate::got(&pool, "[fe80::1%25eth0]:8443").await);
    let uri: http::Uri = "https://[fe80::1%25eth0]:8443/".parse().unwrap();
    let conn = pool.get(&uri).await.unwrap();
    assert_eq!(conn.info().target.as_ref(), "[fe80::1%eth0]:8443");
}
