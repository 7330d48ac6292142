//! Whatever is given for a capture: a spec comes of it that is like it and passes the other doors, or a reason.
#![no_main]

use hotpool::fingerprint::{Akamai, ClientHello, Draws, Extension, H2Spec, HelloSpec, Ja3, Ja4, hellos};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match HelloSpec::from_client_hello(bytes) {
        Ok(learned) => {
            assert!(!learned.to_string().is_empty() && learned.captures == 1);
            let spec = learned.spec;
            let hello = match bytes[0] {
                1 => ClientHello::from_message(bytes).expect("it was learned"),
                _ => hellos(bytes).next().expect("one").expect("it was learned").hello,
            };
            like(&spec, &hello);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(both) = HelloSpec::from_client_hellos([bytes, bytes]) {
        assert!(both.spec.permuted().is_empty(), "nothing moved");
    }
    match H2Spec::from_preface(bytes) {
        Ok(learned) => {
            assert!(!learned.to_string().is_empty());
            let spec = learned.spec;
            assert_eq!(Ok(spec.akamai()), Akamai::of_bytes(bytes));
            let made = H2Spec::new(spec.settings(), spec.pseudo_order())
                .and_then(|made| made.with_window_update(spec.window_update()))
                .and_then(|made| made.with_priority_frames(spec.priority_frames()))
                .and_then(|made| made.with_first_stream(spec.first_stream()))
                .and_then(|made| made.with_headers_priority(spec.headers_priority()))
                .and_then(|made| made.with_stream_window_update(spec.stream_window_update())).map(|made| made.with_huffman(spec.huffman()).with_literal_path(spec.literal_path()));
            assert_eq!(made, Ok(spec));
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.field().is_empty()),
    }
});

/// A spec that was learned has its hello's fingerprints, and gives a hello that has them as well.
fn like(spec: &HelloSpec, hello: &ClientHello) {
    let prints = (Ja3::of(hello), Ja4::of(hello));
    let resumed = spec.ja4_resumed() == prints.1;
    assert!(resumed || (spec.ja3(), spec.ja4()) == prints);
    let made = HelloSpec::new(spec.cipher_suites().to_vec(), spec.slots().to_vec());
    let made = made.and_then(|made| match spec.reuses_x25519() {
        true => made.reusing_x25519(),
        false => Ok(made),
    });
    assert_eq!(made.as_ref(), Ok(spec));
    // The hello itself has all that TLS would bring.
    let draws: Result<Draws, ()> = spec.draw(
        || Ok([9; 32]),
        |buffer| {
            buffer.fill(5);
            Ok(())
        },
    );
    let draws = draws.expect("a source");
    let shaped = spec.shape(hello, &draws).expect("it has its own shares");
    assert_eq!((Ja3::of(&shaped), Ja4::of(&shaped)), prints);
    // So does one that would speak what a pool speaks, and nothing else.
    let mut native = hello.clone();
    for extension in native.extensions.iter_mut().flatten() {
        if let Extension::Alpn(protocols) = extension {
            *protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
    }
    let shaped = spec.shape(&native, &draws).expect("it has its own shares");
    assert_eq!((Ja3::of(&shaped), Ja4::of(&shaped)), prints);
}
