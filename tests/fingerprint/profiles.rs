//! The profiles that come with the crate are what the captures show.

use std::collections::BTreeSet;

use hotpool::fingerprint::{Code, HelloSpec, Ja3, Ja4, Profile, Slot};

use crate::captures::{bytes, capture};

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
        assert_eq!(spec.reuses_x25519(), learned.reuses_x25519());
        assert_eq!(spec.reuses_x25519(), profile == Profile::firefox());
    }
}

#[test]
fn each_has_the_fingerprints_of_its_captures() {
    let captured = |name: &str| capture(name)[0].hello.clone();
    for (profile, fresh, resumed) in [
        (Profile::chromium(), "chromium-156-00", "chromium-156-resume-01"),
        (
            Profile::firefox(),
            "firefox-153esr-00",
            "firefox-153esr-resume-01",
        ),
    ] {
        let (spec, fresh, resumed) = (profile.hello().unwrap(), captured(fresh), captured(resumed));
        assert_eq!(spec.ja4(), Ja4::of(&fresh));
        assert_eq!(spec.ja4_resumed(), Ja4::of(&resumed));
        assert_eq!(spec.ja3_sorted(), Ja3::sorted(&fresh));
        assert_eq!(spec.ja3() == Ja3::of(&fresh), profile == Profile::firefox());
    }
    let firefox = Profile::firefox().hello().unwrap().ja3();
    assert_eq!(firefox.to_string(), "6447ab086255d194909d4013b1a89e87");
}

#[test]
fn each_passes_the_checks_that_any_spec_must() {
    for profile in [Profile::chromium(), Profile::firefox()] {
        let spec = profile.hello().unwrap();
        let made = HelloSpec::new(spec.cipher_suites().to_vec(), spec.slots().to_vec()).unwrap();
        let made = made.permuting(spec.permuted()).unwrap();
        let made = match spec.reuses_x25519() {
            true => made.reusing_x25519().unwrap(),
            false => made,
        };
        assert_eq!(made, *spec);
        assert_eq!(Profile::named(profile.name()), Some(profile));
    }
    assert_eq!(Profile::named("rustls"), Some(Profile::default()));
    assert_eq!(Profile::named("netscape"), None);
}

#[test]
fn what_goes_over_the_wire_makes_a_profile_and_not_its_name() {
    let firefox = Profile::firefox();
    let mine = Profile::new("mine", firefox.hello().unwrap().clone());
    assert_ne!(mine, firefox);
    assert_eq!(mine.with_h2(firefox.h2().unwrap().clone()), firefox);
    assert_ne!(Profile::firefox(), Profile::chromium());
    assert_ne!(Profile::firefox(), Profile::rustls());
}
