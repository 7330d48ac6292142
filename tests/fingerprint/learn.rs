//! Whatever is given for a capture: a spec that is like it comes of it, or a reason.

use hotpool::fingerprint::{Akamai, H2Spec, HelloSpec, Ja3, Ja4, SpecError, hellos, to_records};

use crate::captures::{bytes, capture, names};
use crate::h2;

/// What becomes of bytes that may be anything.
fn check(given: &[u8]) {
    match HelloSpec::from_client_hello(given) {
        Ok(learned) => {
            assert!(!learned.assumptions.is_empty() && learned.to_string().lines().count() > 1);
            let spec = learned.spec;
            let hello = hellos(given).next().unwrap().unwrap().hello;
            let resumed = spec.ja4_resumed() == Ja4::of(&hello);
            assert!(resumed || spec.ja4() == Ja4::of(&hello));
            assert!(resumed || spec.ja3() == Ja3::of(&hello));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match H2Spec::from_preface(given) {
        Ok(learned) => assert_eq!(Ok(learned.spec.akamai()), Akamai::of_bytes(given)),
        Err(error) => assert!(!error.to_string().is_empty() && !error.field().is_empty()),
    }
}

#[test]
fn a_capture_that_is_cut_or_changed_anywhere_is_learned_or_refused() {
    let flights = ["chromium-156", "firefox-153esr", "curl-7.88", "go-1.19"];
    let flights = flights.map(h2::captured);
    for capture in names().iter().map(|name| bytes(name)).chain(flights) {
        // Every octet of a short one, and of a long one each place of a field in some capture or other.
        let stride = capture.len().div_ceil(300);
        for at in (0..capture.len()).step_by(stride) {
            check(&capture[..at]);
            let mut changed = capture.clone();
            changed[at] ^= 1 << (at % 8);
            check(&changed);
        }
        check(&[&capture[..], b"more"].concat());
    }
}

#[test]
fn a_hello_in_records_that_are_not_written_here_is_not_learned() {
    for name in names() {
        let message = &capture(&name)[0].message;
        let learned = |version, limit| HelloSpec::from_client_hello(&to_records(message, version, limit));
        assert_eq!(learned(0x0301, 16_384), HelloSpec::from_client_hello(message));
        assert_eq!(learned(0x0303, 16_384), Err(SpecError::Records(1)), "{name}");
        let half = u16::try_from(message.len().div_ceil(2)).unwrap();
        assert_eq!(learned(0x0301, half), Err(SpecError::Records(2)), "{name}");
    }
}

#[test]
fn curl_node_python_and_go_are_learned_with_both_their_fingerprints() {
    for name in ["curl-7.88-00", "node-20-00", "python311-00", "go-1.19-00"] {
        let hello = &capture(name)[0].hello;
        let spec = HelloSpec::from_client_hello(&bytes(name)).unwrap().spec;
        assert_eq!(
            (spec.ja3(), spec.ja4()),
            (Ja3::of(hello), Ja4::of(hello)),
            "{name}"
        );
    }
}
