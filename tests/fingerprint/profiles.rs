//! The profiles that come with the crate are what the captures show.

use std::collections::BTreeSet;

use hotpool::fingerprint::{Code, HelloSpec, Profile, Slot};

use crate::captures::bytes;

/// A spec whose permuted extensions are sorted, since the capture drew their order.
fn sorted(spec: &HelloSpec) -> (Vec<Code>, Vec<Slot>, BTreeSet<String>, Vec<Slot>) {
    let permuted = spec.permuted();
    let slots = spec.slots();
    let between: BTreeSet<String> = slots[permuted.clone()]
        .iter()
        .map(|slot| format!("{slot:?}"))
        .collect();
    assert_eq!(between.len(), permuted.len());
    (
        spec.cipher_suites().to_vec(),
        slots[..permuted.start].to_vec(),
        between,
        slots[permuted.end..].to_vec(),
    )
}

#[test]
fn each_is_what_is_learned_from_its_captures() {
    for (profile, captures) in [
        (
            Profile::chromium(),
            &[
                "chromium-156-00",
                "chromium-156-01",
                "chromium-156-02",
                "chromium-156-hrr-00",
                "chromium-156-resume-01",
            ][..],
        ),
        (
            Profile::firefox(),
            &[
                "firefox-153esr-00",
                "firefox-153esr-01",
                "firefox-153esr-resume-00",
                "firefox-153esr-resume-01",
            ],
        ),
    ] {
        let learned = HelloSpec::from_client_hellos(captures.iter().map(|name| bytes(name))).unwrap();
        let spec = profile.hello().unwrap();
        assert_eq!(sorted(spec), sorted(&learned), "{}", profile.name());
        assert_eq!(spec.permuted(), learned.permuted());
    }
}

#[test]
fn each_passes_the_checks_that_any_spec_must() {
    for profile in [Profile::chromium(), Profile::firefox()] {
        let spec = profile.hello().unwrap();
        let made = HelloSpec::new(spec.cipher_suites().to_vec(), spec.slots().to_vec()).unwrap();
        assert_eq!(made.permuting(spec.permuted()).as_ref(), Ok(spec));
        assert_eq!(Profile::named(profile.name()), Some(profile));
    }
    assert_eq!(Profile::named("rustls"), Some(Profile::default()));
    assert_eq!(Profile::named("netscape"), None);
}

#[test]
fn what_goes_over_the_wire_makes_a_profile_and_not_its_name() {
    let spec = Profile::firefox().hello().unwrap().clone();
    assert_eq!(Profile::new("mine", spec), Profile::firefox());
    assert_ne!(Profile::firefox(), Profile::chromium());
    assert_ne!(Profile::firefox(), Profile::rustls());
}
