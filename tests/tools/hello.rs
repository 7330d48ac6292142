//! `probe --dump-hello` writes what a connection of a profile sends first.

use hotpool::fingerprint::{Ja4, hellos};

use crate::tool::run;

#[test]
fn the_first_bytes_of_each_profile_are_written_down() {
    for (profile, ja4) in [
        ("rustls", None),
        ("chromium", Some("t13d1517h2_8daaf6152771_cb7bf5808d99")),
        ("firefox", Some("t13d1617h2_86a278354501_3cbfd9057e0d")),
    ] {
        let file = std::env::temp_dir().join(format!("hotpool-hello-{profile}-{}", std::process::id()));
        let told = run(
            "probe",
            &["--profile", profile, "--dump-hello", file.to_str().unwrap()],
        );
        assert_eq!(told.code, 0, "{}", told.err);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let found = hellos(&bytes).next().unwrap().unwrap();
        assert_eq!(found.hello.host_name(), Some(&b"www.example.com"[..]));
        let seen = Ja4::of(&found.hello).to_string();
        assert!(told.out.contains(&seen), "{}", told.out);
        assert!(ja4.is_none_or(|ja4| ja4 == seen), "{profile}: {seen}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let told = run("probe", &["--dump-hello", "/nowhere/hello"]);
    assert_eq!(told.code, 1);
    assert!(told.err.contains("/nowhere/hello"), "{}", told.err);
}

#[test]
fn a_browser_probes_as_well() {
    let told = run("probe", &["--profile", "chromium", "--requests", "20", "--json"]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert_eq!(told.rows().len(), 2, "{}", told.out);
}
