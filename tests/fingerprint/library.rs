//! A profile is found by what is asked, drawn from a seed, or takes its turn; what is none is refused.

use std::collections::BTreeSet;

use hotpool::fingerprint::{Browser, Headers, HelloSpec, Platform, Profile, ProfileLibrary, Rotation};

use crate::profiles::assert_h2_is_made;

#[test]
fn versions_that_are_not_known_are_named() {
    for (made, text) in [
        (
            Profile::chromium(155),
            "there is no profile of chromium 155, only of chromium 156",
        ),
        (
            Profile::firefox_esr(0),
            "there is no profile of firefox-esr 0, only of firefox-esr 153",
        ),
    ] {
        assert_eq!(made.unwrap_err().to_string(), text);
    }
    assert_eq!(Profile::chromium(9).unwrap_err().version(), 9);
}

#[test]
fn headers_that_no_request_may_have_are_refused() {
    for (http1, http2, why) in [
        (vec![("", "a")], vec![], "\"\": is no name"),
        (vec![("a b", "a")], vec![], "is no name"),
        (vec![("a", "b\r\nc: d")], vec![], "is no line"),
        (vec![], vec![("A", "b")], "has capitals"),
        (vec![], vec![(":path", "/")], "is no name"),
        (vec![("Transfer-Encoding", "chunked")], vec![], "says where each"),
        (vec![("transfer-encoding", "")], vec![], "says where each"),
        (vec![("Content-Length", "9")], vec![], "says where each"),
        (vec![], vec![("content-length", "9")], "says where each"),
        (
            vec![("Connection", "close, Content-length")],
            vec![],
            "names a field",
        ),
        (vec![("connection", "host")], vec![], "names a field"),
        (vec![("Host", ""), ("A", ""), ("host", "")], vec![], "two places"),
        (
            vec![],
            vec![("content-length", ""), ("content-length", "")],
            "two places",
        ),
        (vec![], vec![("connection", "close")], "one connection's affair"),
        (
            vec![],
            vec![("transfer-encoding", "chunked")],
            "one connection's affair",
        ),
        (vec![], vec![("upgrade", "x")], "one connection's affair"),
        (vec![], vec![("te", "gzip")], "not trailers"),
        (vec![], vec![("host", "a")], "in the authority"),
    ] {
        let error = Headers::new(http1, http2).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(Headers::new([("A", "b c")], [("a", "b\tc")]).is_ok());
    let places = [("Host", ""), ("Connection", "close"), ("Content-Length", "")];
    assert!(Headers::new(places, [("content-length", ""), ("te", "trailers")]).is_ok());
}

#[test]
fn every_seed_gives_a_profile_that_passes_the_checks() {
    let (mut hellos, mut flights) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..1000 {
        let profile = Profile::randomized(seed);
        assert_eq!(profile, Profile::randomized(seed), "the same for the same seed");
        let spec = profile.hello().unwrap();
        let made = HelloSpec::new(spec.cipher_suites().to_vec(), spec.slots().to_vec());
        assert_eq!(made.as_ref(), Ok(spec), "{seed}");
        assert_h2_is_made(&profile);
        hellos.insert(spec.ja3().to_string());
        flights.insert(profile.h2().unwrap().akamai().to_string());
    }
    assert!(
        hellos.len() > 990 && flights.len() > 400,
        "{} {}",
        hellos.len(),
        flights.len()
    );
}

#[test]
fn the_library_finds_by_what_is_asked() {
    let library = ProfileLibrary::new();
    assert_eq!(library.profiles().len(), 12);
    assert_eq!(library.by_name("netscape"), None);
    assert_eq!(library.recommended(), &Profile::chrome());
    let names = |found: &mut dyn Iterator<Item = &Profile>| -> Vec<String> {
        found.map(|profile| profile.name().to_owned()).collect()
    };
    assert_eq!(names(&mut library.of(Browser::Safari)), ["safari", "ios"]);
    assert_eq!(
        names(&mut library.on(Platform::Windows)),
        ["chrome", "edge", "firefox"]
    );
    let drawn: BTreeSet<String> = (0..200)
        .map(|seed| library.random(seed).name().to_owned())
        .collect();
    assert_eq!(
        drawn,
        library
            .browsers()
            .map(|profile| profile.name().to_owned())
            .collect()
    );
    let mine = Profile::custom("curl", Profile::go().hello().unwrap().clone());
    let library = library.with(mine.clone());
    assert_eq!(library.by_name("curl"), Some(&mine));
    assert_eq!(library.profiles().len(), 12);
}

#[test]
fn what_takes_the_place_of_the_recommended_one_is_recommended() {
    let mine = Profile::custom("chrome", Profile::go().hello().unwrap().clone());
    let library = ProfileLibrary::new().with(mine.clone());
    assert_eq!(library.recommended(), &mine);
    assert_eq!(library.by_name("chrome"), Some(library.recommended()));
    let another = Profile::custom("another", mine.hello().unwrap().clone());
    assert_eq!(library.with(another).recommended(), &mine);
}

#[test]
fn headers_of_ones_own_say_so_and_promise_no_platform() {
    let own = || Headers::new([("Host", "")], [("user-agent", "mine")]).unwrap();
    let (chrome, mine) = (Profile::chrome(), Profile::chrome().with_headers(own()));
    assert_eq!(
        (chrome.platform(), mine.platform()),
        (Platform::Windows, Platform::Any)
    );
    assert_eq!(
        mine.source(),
        format!("{}; the headers are the caller's", chrome.source())
    );
    assert_eq!(
        mine.clone().with_headers(own()).source(),
        mine.source(),
        "said once"
    );
    // The rest is as it was.
    assert_eq!(
        (mine.browser(), mine.guarantee(), mine.limits()),
        (chrome.browser(), chrome.guarantee(), chrome.limits())
    );
    let custom = || Profile::custom("mine", chrome.hello().unwrap().clone());
    assert_eq!(custom().with_headers(own()).source(), custom().source());
    let h2 = chrome.h2().unwrap().clone();
    assert_eq!(
        mine.with_h2(h2).source(),
        custom().source(),
        "nothing is promised any more"
    );
}

#[test]
fn hosts_keep_their_profile_and_connections_take_turns() {
    let library = ProfileLibrary::new();
    let browsers = || library.browsers().cloned();
    let (one, same) = (
        Rotation::per_host(browsers(), 7).unwrap(),
        Rotation::per_host(browsers(), 7).unwrap(),
    );
    let other = Rotation::per_host(browsers(), 8).unwrap();
    let hosts: Vec<String> = (0..200).map(|nth| format!("host{nth}.test")).collect();
    let mut seen = BTreeSet::new();
    for host in &hosts {
        assert_eq!(one.next(host), one.next(&host.to_uppercase()));
        assert_eq!(one.next(host), same.next(host));
        seen.insert(one.next(host).name());
    }
    assert_eq!(seen.len(), 7, "all of them are somebody's");
    assert!(
        hosts.iter().any(|host| one.next(host) != other.next(host)),
        "another seed"
    );
    let each = Rotation::per_connection(browsers(), 7).unwrap();
    let turns: BTreeSet<String> = (0..100)
        .map(|_| each.next("host.test").name().to_owned())
        .collect();
    assert_eq!(turns.len(), 7);
    assert!(Rotation::per_host([], 1).is_none());
}
