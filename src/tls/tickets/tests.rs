//! Which names are remembered. What becomes of tickets stands in `tests/shape/tickets.rs`, since only a handshake gives one.

use super::room::MOST_NAMES;
use super::*;

fn name(nth: usize) -> ServerName<'static> {
    format!("n{nth}.test").try_into().expect("a name")
}

#[test]
fn names_are_bounded_and_the_least_recently_used_goes() {
    let room: Arc<Room> = Arc::default();
    let stores = [Tickets::new(true, &room), Tickets::new(true, &room)];
    for nth in 0..MOST_NAMES {
        stores[nth % 2].set_kx_hint(name(nth), NamedGroup::X25519);
    }
    let known = |nth: usize| stores[nth % 2].kx_hint(&name(nth)).is_some();
    assert!(known(0), "used once more");
    stores[0].set_kx_hint(name(MOST_NAMES), NamedGroup::X25519);
    assert!(known(0) && !known(1) && known(2) && known(MOST_NAMES));
    assert_eq!(stores[1].kx_hint(&name(0)), None, "a name is that of one store");
    for nth in 0..2 * MOST_NAMES {
        stores[nth % 2].set_kx_hint(name(nth), NamedGroup::X25519);
    }
    assert_eq!(format!("{room:?}"), format!("Room {{ names: {MOST_NAMES} }}"));
}

#[test]
fn a_closed_store_has_nothing_and_takes_nothing() {
    let room: Arc<Room> = Arc::default();
    let stores = [Tickets::new(true, &room), Tickets::new(true, &room)];
    for store in &stores {
        store.set_kx_hint(name(0), NamedGroup::X25519);
    }
    stores[0].close();
    stores[0].set_kx_hint(name(1), NamedGroup::X25519);
    let names = || format!("{room:?}");
    assert_eq!(stores[0].kx_hint(&name(0)), None);
    assert_eq!(names(), "Room { names: 1 }");
    stores[0].close();
    let [closed, open] = stores;
    drop(closed);
    assert_eq!(open.kx_hint(&name(0)), Some(NamedGroup::X25519));
    drop(open);
    assert_eq!(names(), "Room { names: 0 }");
}

#[test]
fn a_browser_is_given_no_hint() {
    let store = Tickets::new(false, &Arc::default());
    store.set_kx_hint(name(0), NamedGroup::secp384r1);
    assert_eq!(store.kx_hint(&name(0)), None);
    assert!(format!("{store:?}").contains("Room { names: 0 }"));
}
