//! `probe --dump-hello` writes what a connection of a profile sends first, `--fingerprints` what a peer makes of it.

use hotpool::fingerprint::{Akamai, Ja3, Ja4, Profile, ProfileLibrary, hellos};
use hotpool::{HotConnPool, StaticResolver};

use crate::support::certs;
use crate::support::frames::{FramePeer, HEADERS, Wire, frame};
use crate::tool::run;

#[test]
fn the_first_bytes_of_each_profile_are_written_down() {
    for (profile, ja4) in [
        ("rustls", None),
        ("chromium", Some("t13d1517h2_8daaf6152771_cb7bf5808d99")),
        ("firefox-esr", Some("t13d1617h2_86a278354501_3cbfd9057e0d")),
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

/// A line for each profile, and in it what the tool's own connections have on the wire.
#[test]
fn the_table_of_fingerprints_says_what_goes_over_the_wire() {
    let told = run("probe", &["--fingerprints"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let library = ProfileLibrary::new();
    assert_eq!(
        told.out.lines().count(),
        1 + library.profiles().len(),
        "{}",
        told.out
    );
    for (profile, line) in library.profiles().iter().zip(told.out.lines().skip(1)) {
        let name = profile.name();
        assert_eq!(line.split(' ').next(), Some(name));
        assert!(line.ends_with(profile.source()), "{line}");
        let file = std::env::temp_dir().join(format!("hotpool-print-{name}-{}", std::process::id()));
        let dumped = run(
            "probe",
            &["--profile", name, "--dump-hello", file.to_str().unwrap()],
        );
        assert_eq!(dumped.code, 0, "{}", dumped.err);
        let hello = hellos(&std::fs::read(&file).unwrap())
            .next()
            .unwrap()
            .unwrap()
            .hello;
        std::fs::remove_file(&file).unwrap();
        assert!(line.contains(&Ja4::of(&hello).to_string()), "{line}");
        let ja3 = [
            Ja3::of(&hello).to_string(),
            format!("{} sorted", Ja3::sorted(&hello)),
        ];
        assert!(ja3.iter().any(|ja3| line.contains(ja3)), "{ja3:?}: {line}");
        let akamai = match (profile.h2(), name) {
            (Some(h2), _) => h2.akamai().to_string(),
            (None, "rustls") => as_a_peer_reads_it(profile),
            (None, _) => "HTTP/1.1 alone".to_owned(),
        };
        assert!(line.contains(&akamai), "{akamai}: {line}");
    }
}

/// Akamai's text of what a pool of this test sends to a peer that speaks in frames.
fn as_a_peer_reads_it(profile: &Profile) -> String {
    let (tell, heard) = std::sync::mpsc::channel();
    let peer = FramePeer::start(move |mut wire: Wire| {
        let tell = tell.clone();
        Box::pin(async move {
            let mut flight = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            wire.settings(&[]).await;
            while let Some(read) = wire.read().await {
                flight.extend(frame(read.kind, read.flags, read.stream, &read.payload));
                if read.kind == HEADERS {
                    let _ = tell.send(Akamai::of_bytes(&flight).unwrap().to_string());
                    wire.answer(read.stream).await;
                }
            }
        })
    });
    let name = format!("peer.test:{}", peer.port());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let pool = HotConnPool::builder()
            .roots(certs::authority().roots())
            .resolver(StaticResolver::new().with(&*name, [peer.ip()]).unwrap())
            .profile(profile.clone())
            .build()
            .unwrap();
        let mut conn = pool.get(&*name).await.unwrap();
        let request = http::Request::get("https://peer.test/").body(()).unwrap();
        let sent = conn.h2().unwrap().send_request(request, true).await.unwrap();
        assert_eq!(sent.0.await.unwrap().status(), 200);
        drop(conn);
        pool.close().await;
    });
    heard.recv().unwrap()
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
