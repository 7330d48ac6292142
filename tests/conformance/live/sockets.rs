//! What a pool's sockets are like: options, where they come from.

use std::io;
use std::net::IpAddr;

use hotpool::{BlockCause, ErrorKind, GetOptions, HotConn, Phase, Scope, SocketOptionError, StaticResolver};

use super::{lease, one_thread};
use crate::common::{builder, config, failure, finish, http1_peer, name, pool, within};
use crate::support::network::{alone, sh};

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

/// Where a rule of this machine's lets nothing go, the next address has its turn, and nobody is blamed; what the network says of an address is held against it.
#[test]
fn what_this_machine_does_not_let_out_blames_nobody() {
    let test = "live::sockets::what_this_machine_does_not_let_out_blames_nobody";
    alone(test, || one_thread().block_on(denied()));
}

async fn denied() {
    sh("ip route add prohibit 192.0.2.0/24; ip -6 addr add 2001:db8:1::7/128 dev lo nodad");
    sh("ip6tables -A OUTPUT -p tcp --syn -d 2001:db8:1::7 -j REJECT --reject-with icmp6-adm-prohibited");
    let peer = http1_peer();
    let target = name(&peer);
    let prohibited: IpAddr = "192.0.2.1".parse().unwrap();
    let rejected: IpAddr = "2001:db8:1::7".parse().unwrap();
    let resolver = StaticResolver::new()
        .with(&*target, [prohibited, peer.ips()[0]])
        .unwrap();
    let pool = builder(&peer, |_| {}).resolver(resolver).build().unwrap();
    let to = |ip| pool.get_with(&*target, GetOptions::new().ip(ip));
    let served: HotConn = lease(&pool, &target).await;
    assert_eq!(served.info().remote.ip(), peer.ips()[0]);
    for _ in 0..2 {
        let error = within("a refusal", to(prohibited)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.phase(), error.ip()),
            (ErrorKind::AddressDenied, Phase::Connect, Some(prohibited)),
            "{error:?}"
        );
        let cause = error.cause().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
    }
    assert_eq!(pool.manager().blocklist(), []);
    let error = within("a refusal", to(rejected)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    let blocks = pool.manager().blocklist();
    let blocks: Vec<_> = blocks
        .into_iter()
        .map(|block| (block.scope, block.cause))
        .collect();
    assert_eq!(blocks, [(Scope::from(rejected), BlockCause::Connect)]);
    drop(served);
    finish(pool, peer).await;
}
