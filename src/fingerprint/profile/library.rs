//! Finding a profile, and taking turns.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::seed::Seed;
use super::{Browser, Platform, Profile};

/// Profiles to choose from: those of this crate, and the caller's own.
///
/// ```
/// use hotpool::fingerprint::{Browser, Platform, ProfileLibrary};
///
/// let library = ProfileLibrary::new();
/// assert_eq!(library.by_name("chrome"), Some(library.recommended()));
/// assert_eq!(library.of(Browser::Firefox).count(), 2);
/// assert_eq!(library.on(Platform::Ios).count(), 1);
/// assert_eq!(library.random(7), library.random(7));
/// ```
#[derive(Clone, Debug)]
pub struct ProfileLibrary {
    profiles: Vec<Profile>,
    recommended: Profile,
}

impl Default for ProfileLibrary {
    fn default() -> Self {
        ProfileLibrary::new()
    }
}

impl ProfileLibrary {
    /// All profiles of this crate but the randomized ones.
    pub fn new() -> Self {
        let recommended = Profile::chrome();
        let captured = [Profile::chromium(156), Profile::firefox_esr(153)];
        let mut profiles = vec![Profile::rustls()];
        profiles.extend(captured.into_iter().flatten());
        profiles.extend([
            recommended.clone(),
            Profile::edge(),
            Profile::firefox(),
            Profile::safari(),
            Profile::ios(),
            Profile::curl(),
            Profile::node(),
            Profile::go(),
            Profile::python(),
        ]);
        ProfileLibrary {
            profiles,
            recommended,
        }
    }

    /// The same with one more, which takes the place of one of its name, as the recommended one, too.
    #[must_use]
    pub fn with(mut self, profile: Profile) -> Self {
        if self.recommended.name() == profile.name() {
            self.recommended = profile.clone();
        }
        match self.profiles.iter_mut().find(|one| one.name() == profile.name()) {
            Some(old) => *old = profile,
            None => self.profiles.push(profile),
        }
        self
    }

    /// All of them.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The one of this name: `chrome`, `firefox-esr`, `curl` …
    pub fn by_name(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name() == name)
    }

    /// Those of this browser; [`Browser::None`] for those that are none.
    pub fn of(&self, browser: Browser) -> impl Iterator<Item = &Profile> {
        self.profiles
            .iter()
            .filter(move |profile| profile.browser() == browser)
    }

    /// Those whose headers say that they run there.
    pub fn on(&self, platform: Platform) -> impl Iterator<Item = &Profile> {
        let matching = move |profile: &&Profile| profile.platform() == platform;
        self.profiles.iter().filter(matching)
    }

    /// The one that most people have: Chrome on Windows, or what stands there under its name.
    pub fn recommended(&self) -> &Profile {
        &self.recommended
    }

    /// One of the browsers, the same for the same seed.
    pub fn random(&self, seed: u64) -> &Profile {
        let browsers: Vec<&Profile> = self.browsers().collect();
        let one = Seed::new(seed).one(&browsers);
        one.unwrap_or(&self.recommended)
    }

    /// Those that are browsers.
    pub fn browsers(&self) -> impl Iterator<Item = &Profile> {
        let browser = |profile: &&Profile| profile.browser() != Browser::None;
        self.profiles.iter().filter(browser)
    }
}

/// Takes turns among profiles.
///
/// A profile is part of a connection's identity: what was dialled with one is lent to nobody who asks for another, nor are its TLS sessions. So a
/// host has up to as many sets of connections as there are profiles that are asked for, under one cap. [Per host](Self::per_host) there is one set for each, and connections
/// are found again as ever. [Per connection](Self::per_connection) asks for any of them each time: a call finds an idle connection
/// only if it was dialled with what it drew.
///
/// ```
/// use hotpool::fingerprint::{Browser, Profile, ProfileLibrary, Rotation};
///
/// let library = ProfileLibrary::new();
/// assert!(library.browsers().all(|profile| profile.hello().is_some()));
///
/// let hosts = Rotation::per_host(library.of(Browser::Firefox).cloned(), 7).expect("some");
/// assert_eq!(hosts.next("example.com"), hosts.next("example.com")); // a host sees one client
/// let turns = Rotation::per_connection([Profile::chrome(), Profile::safari()], 7).expect("two");
/// assert!(turns.profiles().contains(turns.next("example.com"))); // whoever comes next
/// ```
#[derive(Debug)]
pub struct Rotation {
    profiles: Vec<Profile>,
    seed: u64,
    drawn: Option<AtomicU64>,
}

impl Rotation {
    /// The same profile for the same host, as long as the profiles and the seed are the same. None without profiles.
    pub fn per_host(profiles: impl IntoIterator<Item = Profile>, seed: u64) -> Option<Self> {
        Rotation::new(profiles, seed, None)
    }

    /// A profile for each call, by the seed. None without profiles.
    pub fn per_connection(profiles: impl IntoIterator<Item = Profile>, seed: u64) -> Option<Self> {
        Rotation::new(profiles, seed, Some(AtomicU64::new(0)))
    }

    fn new(profiles: impl IntoIterator<Item = Profile>, seed: u64, drawn: Option<AtomicU64>) -> Option<Self> {
        let profiles: Vec<Profile> = profiles.into_iter().collect();
        (!profiles.is_empty()).then_some(Rotation {
            profiles,
            seed,
            drawn,
        })
    }

    /// The profile for a connection to this host, however it is written in capitals.
    pub fn next(&self, host: &str) -> &Profile {
        let turn = match &self.drawn {
            Some(drawn) => drawn.fetch_add(1, Ordering::Relaxed),
            // FNV-1a, spread by the seed's own steps: hosts are no secret.
            None => host.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
            }),
        };
        let mut seed = Seed::new(self.seed);
        let place = Seed::new(seed.next() ^ turn).below(self.profiles.len());
        &self.profiles[place]
    }

    /// Those it takes turns among.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }
}
