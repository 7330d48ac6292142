//! One part changed at a time; numbers that are given, held, forgotten and retired.

use proptest::prelude::*;

use super::*;
use crate::source::SubnetSources;

/// A setup as the ground sees it: something that can be compared.
type Tls = u8;

fn identities() -> Identities<Tls> {
    Identities::new(0, Own::default())
}

fn brought(partition: Option<Partition>, tls: Option<Tls>) -> Brought<Tls> {
    Brought {
        partition,
        tls,
        ..Brought::default()
    }
}

fn partition(text: &str) -> Option<Partition> {
    Some(Partition::new(text.into()))
}

/// Two, each of its own, the same in every case.
fn sources() -> Vec<SourcePolicy> {
    static KNOWN: std::sync::OnceLock<Vec<SourcePolicy>> = std::sync::OnceLock::new();
    let make = || {
        let local = SubnetSources::new("127.0.0.0/8").expect("a network");
        SourcePolicy::require(local)
    };
    KNOWN.get_or_init(|| vec![make(), make()]).clone()
}

fn login(user: &str) -> ProxyLogin {
    ProxyLogin::new(user, "secret").expect("a login")
}

/// As many.
fn dialers() -> Vec<DialedBy> {
    struct Nowhere;
    impl crate::dialer::Dial for Nowhere {
        fn dial<'a>(&'a self, _: crate::dialer::DialTo<'a>) -> crate::dialer::Dialing<'a> {
            Box::pin(std::future::pending())
        }
    }
    static KNOWN: std::sync::OnceLock<Vec<DialedBy>> = std::sync::OnceLock::new();
    let make = || DialedBy(Arc::new(Nowhere));
    KNOWN.get_or_init(|| vec![make(), make()]).clone()
}

fn identity() -> impl Strategy<Value = Identity<Tls>> {
    let require = prop::sample::select(Require::ALL.to_vec());
    let epoch = prop::option::of(0..3_u64);
    let sources = prop::option::of(prop::sample::select(sources()));
    let login = prop::option::of("[ab]").prop_map(|user| user.map(|user| login(&user)));
    let dial = prop::option::of(prop::sample::select(dialers()));
    let parts = (
        require,
        prop::option::of("[ab]{0,2}"),
        0..3_u8,
        epoch,
        sources,
        login,
        dial,
    );
    parts.prop_map(|(require, text, tls, epoch, sources, login, dial)| Identity {
        require,
        partition: text.as_deref().and_then(partition),
        tls,
        epoch,
        sources,
        login,
        dial,
    })
}

fn copy(identity: &Identity<Tls>) -> Identity<Tls> {
    let Identity {
        require,
        partition,
        tls,
        epoch,
        sources,
        login,
        dial,
    } = identity;
    Identity {
        require: *require,
        partition: partition.clone(),
        tls: *tls,
        epoch: *epoch,
        sources: sources.clone(),
        login: login.clone(),
        dial: dial.clone(),
    }
}

fn hash(identity: &Identity<Tls>) -> u64 {
    use std::hash::BuildHasher;
    std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(identity)
}

proptest! {
    /// A copy is equal and hashes alike; a copy with one part of another is equal only if that part was.
    #[test]
    fn one_part_that_differs_is_another_identity(one in identity(), other in identity(), part in 0..7_usize) {
        let mut changed = copy(&one);
        prop_assert!(changed == one && hash(&changed) == hash(&one));
        let same = match part {
            0 => { changed.require = other.require; one.require == other.require }
            1 => { changed.partition = other.partition.clone(); one.partition == other.partition }
            2 => { changed.tls = other.tls; one.tls == other.tls }
            3 => { changed.epoch = other.epoch; one.epoch == other.epoch }
            4 => { changed.sources = other.sources.clone(); one.sources == other.sources }
            5 => { changed.login = other.login.clone(); one.login == other.login }
            _ => { changed.dial = other.dial.clone(); one.dial == other.dial }
        };
        prop_assert_eq!(changed == one, same);
        prop_assert_eq!(one == changed, same);
    }

    /// Numbers agree with identities, whatever is asked for in whatever order, and whatever is let go in between.
    #[test]
    fn equal_numbers_mean_equal_identities(asks in prop::collection::vec((0..3_usize, "[ab]{0,2}", prop::option::of(0..3_u8), any::<bool>()), 1..60)) {
        let identities = identities();
        let mut held: Vec<Arc<Interned<Tls>>> = Vec::new();
        let mut highest = 0;
        for (require, text, tls, let_go) in asks {
            if let_go {
                held.clear();
            }
            let new = identities.intern(Require::ALL[require], brought(partition(&text), tls));
            for old in &held {
                prop_assert_eq!(old.id == new.id, old.identity == new.identity);
            }
            if !held.iter().any(|old| old.id == new.id) {
                prop_assert!(new.id.0 > highest, "a number was given twice");
                highest = new.id.0;
            }
            held.push(new);
        }
    }
}

#[test]
fn the_pool_s_own_are_three_in_a_row() {
    let identities = identities();
    for require in Require::ALL {
        let own = identities.own(require);
        let found = identities.find(own).expect("held by the pool");
        assert_eq!((found.id, found.identity.require), (own, require));
        assert_eq!(identities.intern(require, brought(None, None)).id, own);
        assert_ne!(
            identities.intern(require, brought(None, Some(0))).id,
            own,
            "a caller's own is set apart"
        );
        assert_ne!(identities.intern(require, brought(partition(""), None)).id, own);
    }
}

#[test]
fn a_new_epoch_retires_what_rests_on_the_pool_s_setup_and_nothing_else() {
    let identities = identities();
    let old = identities.own(Require::Any);
    let user = identities.intern(Require::Any, brought(partition("user"), None));
    let theirs = identities.intern(Require::Any, brought(partition("user"), Some(0)));
    let retired = identities.renew(0);
    let ids: Vec<_> = retired.iter().map(|interned| interned.id).collect();
    assert_eq!(ids.len(), 4, "its own three, and the user's");
    assert!(ids.contains(&old) && ids.contains(&user.id));
    assert!(identities.is_retired(&user) && !identities.is_retired(&theirs));
    assert_ne!(
        identities.own(Require::Any),
        old,
        "though the setup is an equal one"
    );
    assert_ne!(
        identities
            .intern(Require::Any, brought(partition("user"), None))
            .id,
        user.id
    );
    assert_eq!(
        identities
            .intern(Require::Any, brought(partition("user"), Some(0)))
            .id,
        theirs.id
    );
    assert!(
        identities.find(old).is_some(),
        "held until every host has been told"
    );
    drop(retired);
    assert!(identities.find(old).is_none());
    assert!(identities.find(user.id).is_some(), "somebody holds it");
}

#[test]
fn what_nobody_holds_is_forgotten() {
    let identities = identities();
    let held: Vec<_> = (0..100)
        .map(|n| identities.intern(Require::Any, brought(partition(&format!("held {n}")), None)))
        .collect();
    for n in 0..10_000 {
        identities.intern(Require::Any, brought(partition(&format!("passing {n}")), None));
        assert!(identities.known() <= 2 * (held.len() + Require::ALL.len()) + 64);
    }
    for (n, held) in held.iter().enumerate() {
        let again = identities.intern(Require::Any, brought(partition(&format!("held {n}")), None));
        assert_eq!(again.id, held.id);
    }
}

#[test]
fn a_partition_shows_no_more_than_its_beginning() {
    let shown = |text: &str| format!("{:?}", Partition::new(text.into()));
    assert_eq!(shown("user-17"), "\"user-17\"");
    assert_eq!(shown("token-5f1e8a"), "\"token-5f\"…");
    assert_eq!(shown("a\n\u{202e}b"), "\"a\\n\\u{202e}b\"");
}
