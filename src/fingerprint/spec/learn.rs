//! A spec out of captured hellos, and what they leave open.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::super::learned::{Assumption, Learned};
use super::seen::Seen;
use super::shape::{PADDED, padding_of};
use super::{Code, HelloSpec, Slot, SpecError};

impl HelloSpec {
    /// Learns a spec from one captured hello: TLS records, of which the first hello counts, or a handshake message.
    ///
    /// One hello cannot show what the client draws: the order of its extensions is taken as fixed, and a session_ticket as sent on
    /// resumed connections too. [`from_client_hellos`](Self::from_client_hellos) learns both. What else is taken for granted stands in the answer.
    ///
    /// # Errors
    /// [`SpecError`] says what is malformed or cannot be served.
    pub fn from_client_hello(bytes: &[u8]) -> Result<Learned<Self>, SpecError> {
        HelloSpec::from_client_hellos([bytes])
    }

    /// Learns a spec from several captured hellos of one client: the more, the surer. Where their extensions stand in different orders, the
    /// stretch over which they differ is taken as drawn for each connection; a session_ticket that fresh hellos have and resumed ones
    /// have not is dropped when resuming; padding may be left out by those that are too long for it.
    ///
    /// What a client draws for each connection is never repeated: it is drawn anew, or the hello is refused.
    ///
    /// # Errors
    /// As [`from_client_hello`](Self::from_client_hello), and [`SpecError::Disagree`] if the hellos are not of one client.
    pub fn from_client_hellos<B: AsRef<[u8]>>(
        captures: impl IntoIterator<Item = B>,
    ) -> Result<Learned<Self>, SpecError> {
        let seen = captures.into_iter().map(|bytes| Seen::in_capture(bytes.as_ref()));
        let mut all = seen.collect::<Result<Vec<Seen>, SpecError>>()?;
        if all.iter().any(|one| one.resumed && one.ticket().is_none()) {
            all.iter_mut().for_each(Seen::drop_ticket_when_resuming);
        }
        let unpadded = |one: &Seen| !one.is_padded() && padding_of(one.len).is_some();
        if all.iter().any(Seen::is_padded) && all.iter().any(unpadded) {
            return Err(SpecError::Disagree("padding"));
        }
        // One with the most slots has those that others left out.
        let base = all.iter().min_by_key(|one| Reverse(one.slots.len()));
        let base = base.ok_or(SpecError::NoHello)?;
        let spec = base.spec()?;
        let mut moved = BTreeSet::new();
        for other in &all {
            base.agree(other)?;
            moved.extend(base.differences(other));
        }
        let permuted = match (moved.first(), moved.last()) {
            (Some(first), Some(last)) => *first..last + 1,
            _ => 0..0,
        };
        let still = permuted.clone().filter(|place| !moved.contains(place)).collect();
        let spec = spec.permuting(permuted)?;
        Ok(Learned {
            captures: all.len(),
            assumptions: assumptions(&spec, &all, still),
            spec,
        })
    }
}

/// What the captures leave open. At the places `still` all have the same.
fn assumptions(spec: &HelloSpec, all: &[Seen], still: Vec<usize>) -> Vec<Assumption> {
    let places = spec.permuted();
    let mut open = vec![match places.is_empty() {
        true => Assumption::FixedOrder,
        false => Assumption::DrawnOrder { places, still },
    }];
    open.extend(grease_places(spec));
    open.extend(ech_grease(spec, all));
    let seen = spec.slots.contains(&Slot::Padding);
    let would_show = |one: &Seen| padding_of(one.len).is_some();
    // With another name some would be of such a length.
    let may_be_short = |one: &Seen| one.len.saturating_sub(one.name) < PADDED;
    if seen || !all.iter().any(would_show) && all.iter().any(may_be_short) {
        open.push(Assumption::Padding { seen });
    }
    let resumed = all.iter().filter(|one| one.resumed).count();
    open.extend((resumed == 0).then_some(Assumption::NoneResumed));
    open.extend((resumed == all.len()).then_some(Assumption::NoneFresh));
    open
}

fn grease_places(spec: &HelloSpec) -> impl Iterator<Item = Assumption> {
    let lists = spec.slots.iter().filter_map(|slot| match slot {
        Slot::Groups(list) => Some(("supported_groups", list)),
        Slot::Signatures(list) => Some(("signature_algorithms", list)),
        Slot::Versions(list) => Some(("supported_versions", list)),
        Slot::KeyShares(list) => Some(("key_share", list)),
        _ => None,
    });
    let suites = std::iter::once(("cipher_suites", &spec.cipher_suites));
    let listed = suites.chain(lists).filter_map(|(list, codes)| {
        let place = codes.iter().position(|code| *code == Code::Grease)?;
        Some(Assumption::GreasePlace { list, place })
    });
    let fixed = spec.slots.iter().enumerate();
    let fixed = fixed
        .filter(|(place, slot)| matches!(slot, Slot::Grease(_)) && !spec.permuted.contains(place))
        .map(|(place, _)| Assumption::GreasePlace {
            list: "extensions",
            place,
        });
    listed.chain(fixed)
}

fn ech_grease(spec: &HelloSpec, all: &[Seen]) -> Option<Assumption> {
    let drawn = || all.iter().filter_map(|one| one.ech);
    let aeads: BTreeSet<u16> = drawn().map(|(aead, _)| aead).collect();
    let payloads: BTreeSet<usize> = drawn().map(|(_, payload)| payload).collect();
    Some(Assumption::EchGrease {
        rule: spec.ech_grease()?.clone(),
        aeads: aeads.into_iter().collect(),
        payloads: payloads.into_iter().collect(),
    })
}
