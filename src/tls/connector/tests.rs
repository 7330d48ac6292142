//! Which connections share a configuration, and which parts of one.

use rustls::NamedGroup;
use rustls::client::ClientSessionStore;

use super::*;
use crate::identity::{Brought, Own, Partition};
use crate::tls::{Identities, Tls};

fn setup() -> Tls {
    Tls::builder().build().expect("the defaults")
}

fn users(count: usize) -> Vec<Arc<Interned>> {
    let identities = Identities::new(setup(), Own::default());
    let user = |n: usize| Brought {
        partition: Some(Partition::new(n.to_string().into())),
        ..Brought::default()
    };
    (0..count)
        .map(|n| identities.intern(Require::Any, user(n)))
        .collect()
}

fn same_resolver(one: &ClientConfig, other: &ClientConfig) -> bool {
    Arc::ptr_eq(&one.client_auth_cert_resolver, &other.client_auth_cert_resolver)
}

#[test]
fn ports_of_one_identity_share_verifier_and_resolver_and_identities_share_nothing() {
    let (connector, users) = (Connector::default(), users(2));
    let config = |user: usize, port| connector.config(&users[user], port, Dress::Profile);
    assert!(Arc::ptr_eq(&config(0, 443), &config(0, 443)));
    assert!(
        !Arc::ptr_eq(&config(0, 443), &config(0, 444)),
        "a store for each port"
    );
    assert!(same_resolver(&config(0, 443), &config(0, 444)));
    assert!(!same_resolver(&config(0, 443), &config(1, 443)));
}

#[test]
fn nothing_is_sent_early_and_the_names_on_offer_are_the_pool_s() {
    let mut whole = setup().config(None);
    whole.enable_early_data = true;
    whole.alpn_protocols = vec![b"gopher".to_vec()];
    let whole = Tls::builder().config(whole).build().expect("a setup");
    let identities = Identities::new(whole, Own::default());
    for (require, offered) in [
        (Require::Any, vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
        (Require::Http1, vec![b"http/1.1".to_vec()]),
    ] {
        let config = Connector::default().config(
            &identities.intern(require, Brought::default()),
            443,
            Dress::Profile,
        );
        assert_eq!(
            (config.enable_early_data, &config.alpn_protocols),
            (false, &offered)
        );
    }
}

#[test]
fn one_goes_for_one_that_comes_and_a_retired_one_at_once() {
    let (connector, users) = (Connector::default(), users(MOST_CONFIGS + 1));
    let known = |user: usize| {
        connector
            .configs
            .lock()
            .kept
            .contains_key(&(users[user].id, 443, discriminant(&Dress::Profile)))
    };
    for user in &users[..MOST_CONFIGS] {
        connector.config(user, 443, Dress::Profile);
    }
    connector.config(&users[MOST_CONFIGS], 443, Dress::Profile);
    assert!(known(MOST_CONFIGS));
    assert_eq!(connector.configs.lock().kept.len(), MOST_CONFIGS);
    connector.forget(&HashSet::from([users[MOST_CONFIGS].id]));
    assert!(!known(MOST_CONFIGS));
    assert_eq!(connector.configs.lock().kept.len(), MOST_CONFIGS - 1);
}

/// Of more than are kept, those that come in turn find some of what they left.
#[test]
fn who_comes_in_turn_finds_some() {
    let (connector, users) = (Connector::default(), users(MOST_CONFIGS * 5 / 4));
    let mut found = 0;
    for turn in 0..3 {
        for user in &users {
            let key = (user.id, 443, discriminant(&Dress::Profile));
            found += usize::from(turn > 0 && connector.configs.lock().kept.contains_key(&key));
            connector.config(user, 443, Dress::Profile);
        }
    }
    assert!(found > users.len(), "{found} of {}", 2 * users.len());
}

/// Its connections live on, and have the store of its sessions for as long.
#[test]
fn the_sessions_of_what_goes_are_closed() {
    let (connector, users) = (Connector::default(), users(MOST_CONFIGS + 1));
    let store = |user: usize| {
        connector.config(&users[user], 443, Dress::Profile);
        let configs = connector.configs.lock();
        let used = configs
            .kept
            .get(&(users[user].id, 443, discriminant(&Dress::Profile)));
        used.and_then(|used| used.sessions.clone()).expect("a store")
    };
    let stores: Vec<Arc<Tickets>> = (0..=MOST_CONFIGS).map(store).collect();
    connector.forget(&HashSet::from([users[2].id]));
    let name: ServerName<'static> = "peer.test".try_into().expect("a name");
    let takes = |user: usize| {
        stores[user].set_kx_hint(name.clone(), NamedGroup::X25519);
        stores[user].kx_hint(&name).is_some()
    };
    let taken: Vec<usize> = (0..stores.len()).filter(|user| takes(*user)).collect();
    let configs = connector.configs.lock();
    let known = |user: &usize| {
        configs
            .kept
            .contains_key(&(users[*user].id, 443, discriminant(&Dress::Profile)))
    };
    let kept: Vec<usize> = (0..stores.len()).filter(known).collect();
    assert_eq!(taken, kept);
    assert!(kept.len() < MOST_CONFIGS && !kept.contains(&2));
}

/// A dial that was under way when its identity was retired: nobody will ask for what it is given.
#[test]
fn a_retired_identity_is_not_kept_again() {
    let connector = Connector::default();
    let identities = Identities::new(setup(), Own::default());
    let own = || identities.intern(Require::Any, Brought::default());
    let names = || connector.configs.lock().kept.len();
    let own_setup = Brought {
        tls: Some(setup()),
        ..Brought::default()
    };
    let (before, brought) = (own(), identities.intern(Require::Any, own_setup));
    connector.config(&before, 443, Dress::Profile);
    let other = Tls::builder().resumption(false).build().expect("a setup");
    let retired = identities.renew(other);
    connector.forget(&retired.iter().map(|identity| identity.id).collect());
    assert_eq!(names(), 0);
    connector.config(&before, 443, Dress::Profile);
    assert_eq!(names(), 0, "it comes back");
    connector.config(&own(), 443, Dress::Profile);
    connector.config(&brought, 443, Dress::Profile);
    assert_eq!(names(), 2, "others are kept");
}

/// A peer names the limit, so it must not be able to take the places of others by naming many.
#[test]
fn however_many_limits_a_peer_names_they_have_one_place() {
    let (connector, users) = (Connector::default(), users(1_001));
    for user in &users[1..] {
        connector.config(user, 443, Dress::Profile);
    }
    let whole = connector.config(&users[0], 443, Dress::Profile);
    for limit in 64..16_384 {
        let config = connector.config(&users[0], 443, Dress::ShortRecords(limit));
        let most = usize::from(limit) + 4;
        assert_eq!(config.max_fragment_size, Some(most));
        let again = connector.config(&users[0], 443, Dress::ShortRecords(limit));
        assert!(Arc::ptr_eq(&config, &again), "{limit}");
    }
    assert_eq!(whole.max_fragment_size, None);
    let same = connector.config(&users[0], 443, Dress::Profile);
    assert!(Arc::ptr_eq(&whole, &same), "a dress of its own");
    assert_eq!(connector.configs.lock().kept.len(), users.len() + 1);
}
