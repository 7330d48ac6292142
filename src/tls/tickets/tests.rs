//! Which names are remembered. What becomes of tickets stands in `tests/shape/tickets.rs`, since only a handshake gives one.

use super::*;

fn name(nth: usize) -> ServerName<'static> {
    format!("n{nth}.test").try_into().expect("a name")
}

#[test]
fn names_are_bounded_and_the_least_recently_used_goes() {
    let store = Tickets::new(true, &Arc::default());
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
    let store = Tickets::new(false, &Arc::default());
    store.set_kx_hint(name(0), NamedGroup::secp384r1);
    assert_eq!(store.kx_hint(&name(0)), None);
    assert_eq!(format!("{store:?}"), "Tickets { names: 0 }");
}

#[test]
fn a_room_has_so_many_places_and_each_is_free_again() {
    let room = Arc::new(Room::default());
    let mut places: Vec<Place> = (0..=MOST_SESSIONS).map_while(|_| room.take()).collect();
    assert_eq!((places.len() as u64, room.is_full()), (MOST_SESSIONS, true));
    assert!(room.take().is_none() && room.take().is_none());
    places.pop();
    assert!(
        !room.is_full() && room.take().is_some(),
        "who found no place left none taken"
    );
    drop(places);
    assert_eq!(room.0.load(Ordering::Relaxed), 0);
}
