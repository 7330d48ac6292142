//! Whatever a client sent: it is refused, or it is written again byte for byte and has its fingerprints.
#![no_main]

use hotpool::fingerprint::{ClientHello, Extension, HelloSpec, Ja3, Ja4, hellos, to_records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(hello) = ClientHello::from_message(bytes) {
        check(&hello, bytes);
        assert!(!hello.is_truncated());
        let stream = to_records(bytes, 0x0301, 100);
        let found = hellos(&stream).next().expect("one").expect("the same hello");
        assert_eq!(found.message, bytes);
    }
    if let Ok(hello) = ClientHello::from_truncated_message(bytes) {
        check(&hello, bytes);
        assert!(hello.is_truncated());
    }
    for found in hellos(bytes).flatten() {
        check(&found.hello, &found.message);
    }
});

/// What was read of `message` gives it back, has its fingerprints, and can be learned or is refused.
fn check(hello: &ClientHello, message: &[u8]) {
    assert_eq!(hello.to_message().as_deref(), Ok(message));
    assert_eq!(Ja3::of(hello).to_string().len(), 32);
    assert_eq!(Ja4::of(hello).to_string().len(), 36);
    assert_eq!(Ja4::original(hello).raw()[..10], Ja4::of(hello).raw()[..10]);
    for extension in hello.extensions() {
        let body = extension.body().expect("what was read can be written");
        if let Extension::Opaque(kind, content) = extension {
            assert_eq!(&body, content);
            assert_eq!(Extension::from_body(*kind, &body).as_ref(), Ok(extension));
        }
    }
    if let Ok(learned) = HelloSpec::from_client_hello(message) {
        let spec = learned.spec;
        assert!([spec.ja4(), spec.ja4_resumed()].contains(&Ja4::of(hello)));
    }
}
