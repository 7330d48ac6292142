//! What a pool's sockets are like: options, where they come from.

use hotpool::{ErrorKind, Phase, SocketOptionError};

use super::lease;
use crate::common::{config, failure, finish, http1_peer, name, pool};

/// Nothing is connected without what was asked for, and no address is blamed.
#[tokio::test]
async fn an_option_that_is_refused_is_named_and_blames_nobody() {
    let peer = http1_peer();
    let pool = pool(&peer, |config| {
        config.tcp.device = Some("no-such-link".to_owned())
    });
    for _ in 0..2 {
        let error = failure(&pool, &name(&peer)).await;
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::SocketOption, Phase::Connect),
            "{error:?}"
        );
        let cause = error
            .cause()
            .unwrap()
            .downcast_ref::<SocketOptionError>()
            .unwrap();
        assert_eq!(cause.field(), "device");
    }
    assert_eq!(peer.seen().accepts, 0);
    pool.manager().update_config(config(|_| {})).unwrap();
    drop(lease(&pool, &name(&peer)).await);
    finish(pool, peer).await;
}
