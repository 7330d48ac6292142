//! Which names are remembered. What becomes of tickets stands in `tests/shape/tickets.rs`, since only a handshake gives one.

use super::*;

fn name(nth: usize) -> ServerName<'static> {
    format!("n{nth}.test").try_into().expect("a name")
}

#[test]
fn names_are_bounded_and_the_least_recently_used_goes() {
    let store = Tickets::new(true);
    for nth in 0..MOST_NAMES {
        store.set_kx_hint(name(nth), NamedGroup::X25519);
    }
    assert_eq!(store.kx_hint(&name(0)), Some(NamedGroup::X25519));
    store.set_kx_hint(name(MOST_NAMES), NamedGroup::X25519);
    let known = |nth: usize| store.kx_hint(&name(nth)).is_some();
    assert!(known(0) && !known(1) && known(2) && known(MOST_NAMES));
    for nth in 0..4 * MOST_NAMES {
        store.set_kx_hint(name(nth), NamedGroup::X25519);
    }
    assert_eq!(store.names.lock().by_name.len(), MOST_NAMES);
}

#[test]
fn a_browser_is_given_no_hint() {
    let store = Tickets::new(false);
    store.set_kx_hint(name(0), NamedGroup::secp384r1);
    assert_eq!(store.kx_hint(&name(0)), None);
    assert_eq!(format!("{store:?}"), "Tickets { names: 0 }");
}
