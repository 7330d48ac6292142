//! Whatever the text: it is refused, or its canonical form is one, and every part of the crate can use it.
#![no_main]

use hotpool::Target;
use hotpool::rustls::pki_types::ServerName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(uri) = text.parse::<hotpool::http::Uri>() {
        // A URL given as text and the same URL parsed beforehand name the same target, or none.
        if text.contains("://") {
            assert_eq!(Target::try_from(&uri).ok(), Target::try_from(text).ok());
        }
    }
    let Ok(target) = Target::try_from(text) else { return };
    let canonical = target.to_string();
    let again = Target::try_from(canonical.as_str()).expect("canonical text parses");
    assert_eq!(again, target);
    assert_eq!(again.to_string(), canonical);

    let host = target.host();
    assert!(host.is_ascii() && !host.is_empty() && !host.ends_with('.'));
    assert_ne!(target.port(), 0);
    match target.ip() {
        Some(ip) => assert!(host.starts_with(&ip.to_string())),
        None => {
            assert!(host.len() <= 253 && host.split('.').all(|label| (1..=63).contains(&label.len())));
            assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase()));
            ServerName::try_from(host).expect("a name that TLS can ask for");
        }
    }
});
