//! Whom connections look like.

mod about;
mod headers;
mod library;
mod random;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(super) use self::about::About;
pub use self::about::{Browser, Guarantee, Platform, UnknownVersion};
pub use self::headers::{HeaderError, Headers};
pub use self::library::{ProfileLibrary, Rotation};
use super::clients::{self, chromium, firefox, safari, tools};
use super::{H2Spec, HelloSpec};
use crate::fault::planted;

/// Whom connections look like, from the first byte on: a name, the recipe of the hello, that of HTTP/2, and the headers that fit both.
///
/// Only the first flight is shaped, and of what is later a [few frames](crate::guide::fingerprints#what-later-frames-still-tell): not TCP, not the timing. Each profile says [whence](Self::source) it is
/// known, what it [promises](Self::guarantee) and what it [cannot do](Self::limits). A clone costs one reference count.
///
/// Two profiles are equal if nothing that goes over the wire differs, headers included; their names do not count. A pool hands a connection of one
/// to nobody who asks for another.
///
/// ```
/// use hotpool::fingerprint::Profile;
///
/// assert_eq!(Profile::default(), Profile::rustls());
/// let esr = Profile::firefox_esr(153)?;
/// let hello = esr.hello().map(|hello| hello.ja4().to_string());
/// assert_eq!(hello.as_deref(), Some("t13d1617h2_86a278354501_3cbfd9057e0d"));
/// assert_eq!(esr.headers().http2().next().map(|(name, _)| name), Some("user-agent"));
/// assert!(Profile::firefox_esr(2).is_err());
/// # Ok::<(), hotpool::fingerprint::UnknownVersion>(())
/// ```
///
/// By name, or by what they are:
///
/// ```
/// use hotpool::fingerprint::{Browser, Platform, Profile};
///
/// let all = [
///     Profile::chromium(156)?, Profile::chrome(), Profile::edge(), Profile::firefox(), Profile::safari(), Profile::ios(),
///     Profile::curl(), Profile::node(), Profile::go(), Profile::python(), Profile::randomized(7),
/// ];
/// assert!(all.iter().all(|profile| profile.hello().is_some()));
/// assert_eq!(Profile::ios().browser(), Browser::Safari);
/// assert_eq!(Profile::ios().platform(), Platform::Ios);
/// assert_eq!(Profile::randomized(7), Profile::randomized(7));
/// assert_eq!(Profile::chromium(3).map_err(|unknown| unknown.version()), Err(3));
/// # Ok::<(), hotpool::fingerprint::UnknownVersion>(())
/// ```
#[derive(Clone)]
pub struct Profile(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    name: String,
    hello: Option<HelloSpec>,
    h2: Option<H2Spec>,
    headers: Headers,
    about: &'static About,
    /// What the headers of a caller's own make of the two.
    platform: Platform,
    source: Cow<'static, str>,
}

impl Profile {
    /// rustls's own, as it is. The default.
    pub fn rustls() -> Self {
        Profile::of("rustls", None, &clients::RUSTLS)
    }

    /// Chromium of this version on Linux: 156, as captured.
    ///
    /// # Errors
    /// [`UnknownVersion`] for any other.
    pub fn chromium(version: u32) -> Result<Self, UnknownVersion> {
        known("chromium", version, 156)?;
        let profile = Profile::of("chromium", Some(chromium::hello(true)), &chromium::CHROMIUM);
        Ok(profile.with(chromium::h2(), chromium::CHROMIUM_HEADERS.headers()))
    }

    /// Chrome 156 on Windows: Chromium's hello and HTTP/2, with the brand of Chrome in the headers.
    pub fn chrome() -> Self {
        let profile = Profile::of("chrome", Some(chromium::hello(true)), &chromium::CHROME);
        profile.with(chromium::h2(), chromium::CHROME_HEADERS.headers())
    }

    /// Edge 154 on Windows: Chromium's hello without trust_anchors.
    pub fn edge() -> Self {
        let profile = Profile::of("edge", Some(chromium::hello(false)), &chromium::EDGE);
        profile.with(chromium::h2(), chromium::EDGE_HEADERS.headers())
    }

    /// Firefox ESR of this version on Linux: 153, as captured.
    ///
    /// # Errors
    /// [`UnknownVersion`] for any other.
    pub fn firefox_esr(version: u32) -> Result<Self, UnknownVersion> {
        known("firefox-esr", version, 153)?;
        let profile = Profile::of("firefox-esr", Some(firefox::esr()), &firefox::ESR);
        Ok(profile.with(firefox::h2(), firefox::headers(firefox::ESR_AGENT)))
    }

    /// Firefox 156 on Windows.
    pub fn firefox() -> Self {
        let profile = Profile::of("firefox", Some(firefox::release()), &firefox::RELEASE);
        profile.with(firefox::h2(), firefox::headers(firefox::RELEASE_AGENT))
    }

    /// Safari 27 on macOS.
    pub fn safari() -> Self {
        let profile = Profile::of("safari", Some(safari::hello()), &safari::MACOS);
        profile.with(safari::h2(), safari::headers(safari::MACOS_AGENT))
    }

    /// Safari 27 on an iPhone.
    pub fn ios() -> Self {
        let profile = Profile::of("ios", Some(safari::hello()), &safari::IOS);
        profile.with(safari::h2(), safari::headers(safari::IOS_AGENT))
    }

    /// curl 7.88.1 with OpenSSL 3.0, as captured.
    pub fn curl() -> Self {
        let profile = Profile::of("curl", Some(tools::curl()), &tools::CURL);
        profile.with(tools::curl_h2(), tools::curl_headers())
    }

    /// Node 20, module `https`, as captured. It speaks HTTP/1.1.
    pub fn node() -> Self {
        Profile::of("node", Some(tools::node()), &tools::NODE).sending(tools::node_headers())
    }

    /// Go 1.19, `net/http`, as captured.
    pub fn go() -> Self {
        let profile = Profile::of("go", Some(tools::go()), &tools::GO);
        profile.with(tools::go_h2(), tools::go_headers())
    }

    /// Python 3.11, `urllib` with a context of `ssl.create_default_context()`, as captured. It speaks HTTP/1.1.
    pub fn python() -> Self {
        Profile::of("python", Some(tools::python()), &tools::PYTHON).sending(tools::python_headers())
    }

    /// Nobody: a hello and a way to open HTTP/2 that no client in particular has, the same for the same seed. It offers all suites, groups and signatures
    /// that both providers have, so a server that rustls over either can shake hands with shakes hands with it: not one that insists on
    /// X25519MLKEM768, or whose only certificates have keys of P-521 or ML-DSA, which aws-lc-rs alone has. It has no headers.
    pub fn randomized(seed: u64) -> Self {
        let (hello, h2) = random::specs(seed);
        let name = format!("randomized-{seed}");
        Profile::of(name, Some(hello), &clients::RANDOMIZED).with(h2, Headers::default())
    }

    /// A profile of the caller's own, with HTTP/2 as it is and no headers. The name is for people and logs.
    pub fn custom(name: impl Into<String>, hello: HelloSpec) -> Self {
        Profile::of(name, Some(hello), &clients::CUSTOM)
    }

    /// The same profile, with HTTP/2 of this spec. Then it is the caller's own, and promises nothing else.
    #[must_use]
    pub fn with_h2(mut self, h2: H2Spec) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.h2 = Some(h2);
        inner.claim(&clients::CUSTOM);
        self
    }

    /// The same profile, with these headers. Its hello and its HTTP/2 promise what they did; where it runs is no longer known, and its source says whose
    /// the headers are.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.headers = headers;
        inner.platform = Platform::Any;
        if inner.about.source != clients::CUSTOM.source {
            inner.source = format!("{}; the headers are the caller's", inner.about.source).into();
        }
        self
    }

    fn of(name: impl Into<String>, hello: Option<HelloSpec>, about: &'static About) -> Self {
        Profile(Arc::new(Inner {
            name: name.into(),
            hello,
            h2: None,
            headers: Headers::default(),
            about,
            platform: about.platform,
            source: about.source.into(),
        }))
    }

    fn with(mut self, h2: H2Spec, headers: Headers) -> Self {
        Arc::make_mut(&mut self.0).h2 = Some(h2);
        self.sending(headers)
    }

    fn sending(mut self, headers: Headers) -> Self {
        Arc::make_mut(&mut self.0).headers = headers;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The recipe of its hello. None if TLS sends its own.
    pub fn hello(&self) -> Option<&HelloSpec> {
        self.0.hello.as_ref()
    }

    /// The recipe of its HTTP/2. None if h2 opens connections its own way.
    pub fn h2(&self) -> Option<&H2Spec> {
        self.0.h2.as_ref()
    }

    /// The headers that the client sends by itself, for the HTTP stack above.
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    /// Whose it is.
    pub fn browser(&self) -> Browser {
        self.0.about.browser
    }

    /// Where its headers say that it runs.
    pub fn platform(&self) -> Platform {
        self.0.platform
    }

    /// Whence it is known: captured when and of what, or published where and when.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it promises.
    pub fn guarantee(&self) -> Guarantee {
        self.0.about.guarantee
    }

    /// What it cannot do, and what is not known of it, beside what [`Guarantee`] leaves out of every promise.
    pub fn limits(&self) -> &[&str] {
        self.0.about.limits
    }

    /// Whether it says nothing that an unshaped connection would not.
    pub(crate) fn is_plain(&self) -> bool {
        let Inner {
            name: _,
            hello,
            h2,
            headers,
            about: _,
            platform: _,
            source: _,
        } = &*self.0;
        hello.is_none() && h2.is_none() && headers.is_empty()
    }
}

impl Inner {
    fn claim(&mut self, about: &'static About) {
        (self.about, self.platform, self.source) = (about, about.platform, about.source.into());
    }
}

fn known(client: &'static str, version: u32, known: u32) -> Result<(), UnknownVersion> {
    if version == known {
        return Ok(());
    }
    Err(UnknownVersion {
        client,
        version,
        known,
    })
}

impl Default for Profile {
    fn default() -> Self {
        Profile::rustls()
    }
}

/// Taken apart without `..`: what is added does not compile until it is compared, too.
impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        let Inner {
            name: _,
            hello,
            h2,
            headers,
            about: _,
            platform: _,
            source: _,
        } = &*self.0;
        *hello == other.0.hello
            && (*h2 == other.0.h2 || planted("h2_spec_is_not_compared"))
            && (*headers == other.0.headers || planted("profile_headers_are_not_compared"))
    }
}

impl Eq for Profile {}

impl Hash for Profile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hello.hash(state);
        self.0.h2.hash(state);
        self.0.headers.hash(state);
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Profile").field(&self.0.name).finish()
    }
}
