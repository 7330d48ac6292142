//! The profiles that come with the crate are what the captures show.

use std::collections::BTreeSet;

use hotpool::fingerprint::{
    Akamai, Assumption, Code, Guarantee, H2Spec, Headers, HelloSpec, Ja3, Ja4, Profile, ProfileLibrary, Slot,
};

use crate::captures::{bytes, capture};
use crate::h2::completed;

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
            Profile::chromium(156).expect("known"),
            &[
                "chromium-156-00",
                "chromium-156-01",
                "chromium-156-02",
                "chromium-156-hrr-00",
                "chromium-156-resume-01",
            ][..],
        ),
        (
            Profile::firefox_esr(153).expect("known"),
            &[
                "firefox-153esr-00",
                "firefox-153esr-01",
                "firefox-153esr-resume-00",
                "firefox-153esr-resume-01",
            ],
        ),
    ] {
        let learned = HelloSpec::from_client_hellos(captures.iter().map(|name| bytes(name)))
            .unwrap()
            .spec;
        let spec = profile.hello().unwrap();
        assert_eq!(sorted(spec), sorted(&learned), "{}", profile.name());
        assert_eq!(spec.permuted(), learned.permuted());
        assert_eq!(spec.reuses_x25519(), learned.reuses_x25519());
        assert_eq!(
            spec.reuses_x25519(),
            profile == Profile::firefox_esr(153).expect("known")
        );
    }
}

#[test]
fn each_has_the_fingerprints_of_its_captures() {
    let captured = |name: &str| capture(name)[0].hello.clone();
    for (profile, fresh, resumed) in [
        (
            Profile::chromium(156).expect("known"),
            "chromium-156-00",
            "chromium-156-resume-01",
        ),
        (
            Profile::firefox_esr(153).expect("known"),
            "firefox-153esr-00",
            "firefox-153esr-resume-01",
        ),
    ] {
        let (spec, fresh, resumed) = (profile.hello().unwrap(), captured(fresh), captured(resumed));
        assert_eq!(spec.ja4(), Ja4::of(&fresh));
        assert_eq!(spec.ja4_resumed(), Ja4::of(&resumed));
        assert_eq!(spec.ja3_sorted(), Ja3::sorted(&fresh));
        assert_eq!(
            spec.ja3() == Ja3::of(&fresh),
            profile == Profile::firefox_esr(153).expect("known")
        );
    }
    let firefox = Profile::firefox_esr(153).expect("known").hello().unwrap().ja3();
    assert_eq!(firefox.to_string(), "6447ab086255d194909d4013b1a89e87");
}

#[test]
fn what_goes_over_the_wire_makes_a_profile_and_not_its_name() {
    let firefox = Profile::firefox_esr(153).expect("known");
    let mine = Profile::custom("mine", firefox.hello().unwrap().clone());
    assert_ne!(mine, firefox);
    let mine = mine.with_h2(firefox.h2().unwrap().clone());
    assert_ne!(mine, firefox, "it has no headers yet");
    assert_eq!(mine.with_headers(firefox.headers().clone()), firefox);
    let all = ProfileLibrary::new();
    for (nth, one) in all.profiles().iter().enumerate() {
        for other in &all.profiles()[nth + 1..] {
            assert_ne!(one, other);
        }
    }
}

type Prints = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
);

/// A client's figures as others published them: JA3, JA4, JA4 resumed, Akamai's text. Where and when stands in each profile's source.
const PUBLISHED: &[Prints] = &[
    (
        "chrome",
        "bd4930bd9b000ee684830e44bab76fdf",
        "t13d1517h2_8daaf6152771_cb7bf5808d99",
        Some("t13d1518h2_8daaf6152771_e2d80978ab2e"),
        Some("1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"),
    ),
    (
        "edge",
        "8e19337e7524d2573be54efb2b0784c9",
        "t13d1516h2_8daaf6152771_806a8c22fdea",
        None,
        None,
    ),
    (
        "firefox",
        "9d42e90b0225e779f03141ddcd699df2",
        "t13d1517h2_8daaf6152771_3cbfd9057e0d",
        Some("t13d1517h2_8daaf6152771_e6dcd7ae0a9e"),
        Some("1:65536;2:0;4:131072;5:16384|12517377|0|m,p,a,s"),
    ),
    (
        "safari",
        "ecdf4f49dd59effc439639da29186671",
        "t13d2013h2_a09f3c656075_7f0f34a4126d",
        None,
        Some("2:0;3:100;4:2097152;9:1|10420225|0|m,s,a,p"),
    ),
    (
        "ios",
        "ecdf4f49dd59effc439639da29186671",
        "t13d2013h2_a09f3c656075_7f0f34a4126d",
        None,
        Some("2:0;3:100;4:2097152;9:1|10420225|0|m,s,a,p"),
    ),
];

#[test]
fn those_that_were_published_have_the_published_prints() {
    let library = ProfileLibrary::new();
    for (name, ja3, ja4, resumed, akamai) in PUBLISHED {
        let profile = library.by_name(name).unwrap();
        let hello = profile.hello().unwrap();
        let promised = match akamai {
            Some(_) => Guarantee::Prints,
            None => Guarantee::HelloPrints,
        };
        assert_eq!(profile.guarantee(), promised, "{name}");
        // Where the order is drawn, what was published is the JA3 of the sorted extensions.
        let ours = match hello.permuted().is_empty() {
            true => hello.ja3(),
            false => hello.ja3_sorted(),
        };
        assert_eq!(ours.to_string(), *ja3, "{name}: {}", ours.text());
        assert_eq!(hello.ja4().to_string(), *ja4, "{name}: {}", hello.ja4().raw());
        let same = |resumed: &str| hello.ja4_resumed().to_string() == resumed;
        assert!(resumed.is_none_or(same), "{name}");
        let ours = profile.h2().unwrap().akamai().to_string();
        assert!(akamai.is_none_or(|akamai| akamai == ours), "{name}: {ours}");
    }
    // What was not published is Chromium's, and said to be.
    let edge = Profile::edge();
    assert_eq!(edge.h2(), Profile::chromium(156).expect("known").h2());
    assert!(edge.limits().iter().any(|limit| limit.contains("Akamai")));
    let claimed = library.profiles().iter();
    let claimed =
        claimed.filter(|profile| [Guarantee::Prints, Guarantee::HelloPrints].contains(&profile.guarantee()));
    assert_eq!(claimed.count(), PUBLISHED.len());
}

#[test]
fn the_guide_says_of_every_guarantee_what_is_equal() {
    let guide = include_str!("../../src/guide/fingerprints.md");
    for profile in ProfileLibrary::new().profiles() {
        let row = format!("\n| `{:?}` | ", profile.guarantee());
        assert!(guide.contains(&row), "{}: {row}", profile.name());
    }
}

/// Fresh and resumed, which is how these two were captured.
#[test]
fn curl_and_node_resume_as_they_were_captured() {
    for (profile, name) in [(Profile::curl(), "curl-7.88"), (Profile::node(), "node-20")] {
        let captures = ["00", "resume-00", "resume-01"].map(|which| bytes(&format!("{name}-{which}")));
        let learned = HelloSpec::from_client_hellos(captures).unwrap();
        assert!(
            !learned.assumptions.contains(&Assumption::NoneResumed),
            "{learned}"
        );
        assert_eq!(Some(&learned.spec), profile.hello(), "{name}");
    }
}

#[test]
fn curl_node_python_and_go_are_what_is_learned_from_their_captures() {
    for (profile, name, h2) in [
        (Profile::curl(), "curl-7.88-00", Some("curl-7.88")),
        (Profile::node(), "node-20-00", None),
        (Profile::python(), "python311-00", None),
        (Profile::go(), "go-1.19-00", Some("go-1.19")),
    ] {
        let (spec, captured) = (profile.hello().unwrap(), &capture(name)[0].hello);
        // Whether a client resumes no capture tells.
        let learned = HelloSpec::from_client_hello(&bytes(name)).unwrap().spec;
        let learned = match spec.resumes() {
            true => learned,
            false => learned.without_resumption(),
        };
        assert_eq!(spec, &learned, "{name}");
        assert_eq!(
            (spec.ja3(), spec.ja4()),
            (Ja3::of(captured), Ja4::of(captured)),
            "{name}"
        );
        let Some(h2) = h2 else {
            assert_eq!((profile.h2(), profile.guarantee()), (None, Guarantee::Fields));
            continue;
        };
        let flight = crate::h2::captured(h2);
        let akamai = Akamai::of_bytes(&flight).unwrap().to_string();
        let ours = profile.h2().unwrap().akamai().to_string();
        let learned = H2Spec::from_preface(&flight).unwrap();
        // Nothing was captured that shows these.
        let h2 = profile.h2().unwrap();
        let spec = completed(learned.spec, h2);
        assert_eq!(&spec, h2, "{name}");
        assert_eq!((ours, profile.guarantee()), (akamai, Guarantee::Fields));
    }
}

/// The lines of a request, as `(name, value)`; the host's name is nobody's default.
fn lines(name: &str) -> Vec<(String, String)> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h1");
    let text = std::fs::read_to_string(directory.join(format!("{name}.h1.txt"))).unwrap();
    let fields = text.lines().skip(1).take_while(|line| !line.is_empty());
    let fields = fields.map(|line| line.split_once(": ").unwrap());
    let own = |(name, value): (&str, &str)| {
        let value = if name == "Host" { "" } else { value };
        (name.to_owned(), value.replace("Headless", ""))
    };
    fields.map(own).collect()
}

fn owned<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    fields.map(own).collect()
}

#[test]
fn the_headers_are_the_captured_ones_in_their_order() {
    let library = ProfileLibrary::new();
    for (name, capture) in [
        ("chromium", "chromium-156"),
        ("firefox-esr", "firefox-153esr"),
        ("curl", "curl-7.88"),
        ("node", "node-20"),
        ("python", "python311"),
        ("go", "go-1.19"),
    ] {
        let profile = library.by_name(name).unwrap();
        assert_eq!(owned(profile.headers().http1()), lines(capture), "{name}");
        if profile.h2().is_some() {
            let flight = crate::h2::captured(capture);
            let seen = crate::h2::fields(&flight);
            let seen: Vec<_> = seen
                .into_iter()
                .filter(|(name, _)| !name.starts_with(':'))
                .collect();
            assert_eq!(owned(profile.headers().http2()), seen, "{name}");
        }
    }
    // The others are the same browsers under other names.
    for (name, like) in [
        ("chrome", "chromium"),
        ("edge", "chromium"),
        ("firefox", "firefox-esr"),
    ] {
        let names = |name| {
            let profile = library.by_name(name).unwrap();
            owned(profile.headers().http2())
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(name), names(like), "{name}");
    }
}

/// As leyline-http 0.1.6 has it for Chrome and Edge. Debian's Chromium decodes JPEG XL as well, and says so.
#[test]
fn chrome_and_edge_accept_what_was_published_of_them() {
    const PUBLISHED: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
                             application/signed-exchange;v=b3;q=0.7";
    for profile in [Profile::chrome(), Profile::edge()] {
        let headers = profile.headers();
        for (name, value) in headers.http1().chain(headers.http2()) {
            if name.eq_ignore_ascii_case("accept") {
                assert_eq!(value, PUBLISHED, "{}", profile.name());
            }
        }
    }
    let debian = Profile::chromium(156).expect("known");
    let mut accepted = debian.headers().http2().filter(|(name, _)| *name == "accept");
    assert!(accepted.all(|(_, value)| value.contains("image/jxl")));
}

#[test]
fn each_says_whence_it_is_known_and_passes_the_checks() {
    for profile in ProfileLibrary::new().profiles() {
        let name = profile.name();
        assert!(!profile.source().is_empty(), "{name}");
        let Some(spec) = profile.hello() else {
            assert_eq!(profile, &Profile::rustls());
            continue;
        };
        assert!(!profile.limits().is_empty(), "{name}");
        assert!(
            profile.source().contains("2026-1") || profile.source().contains("2026-09"),
            "{name}"
        );
        let made = HelloSpec::new(spec.cipher_suites().to_vec(), spec.slots().to_vec()).unwrap();
        let made = made.permuting(spec.permuted()).unwrap();
        let made = match spec.reuses_x25519() {
            true => made.reusing_x25519().unwrap(),
            false => made,
        };
        let made = match spec.resumes() {
            true => made,
            false => made.without_resumption(),
        };
        assert_eq!(made, *spec, "{name}");
        assert_h2_is_made(profile);
        let headers = profile.headers();
        let again = Headers::new(owned(headers.http1()), owned(headers.http2())).unwrap();
        assert_eq!(&again, headers, "{name}");
        // What a client says of itself is the same over either protocol, whatever the order.
        let agent = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("user-agent");
        let agents = (headers.http1().find(agent), headers.http2().find(agent));
        if let (Some((_, one)), Some((_, other)), true) = (agents.0, agents.1, name != "go") {
            assert_eq!(one, other, "{name}");
        }
    }
}

pub(crate) fn assert_h2_is_made(profile: &Profile) {
    let Some(spec) = profile.h2() else { return };
    let made = H2Spec::new(spec.settings(), spec.pseudo_order())
        .and_then(|made| made.with_window_update(spec.window_update()))
        .and_then(|made| made.with_first_stream(spec.first_stream()))
        .and_then(|made| made.with_headers_priority(spec.headers_priority()))
        .and_then(|made| made.with_stream_window_update(spec.stream_window_update()))
        .map(|made| {
            made.with_huffman(spec.huffman())
                .with_literal_path(spec.literal_path())
                .with_never_indexed(spec.never_indexed())
                .with_table_limit(spec.table_limit())
                .with_every_table_size(spec.every_table_size())
                .with_goodbye(spec.goodbye())
                .with_ping(spec.ping())
        });
    assert_eq!(made.as_ref(), Ok(spec), "{}", profile.name());
}
