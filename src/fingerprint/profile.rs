//! Whom connections look like.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{H2Spec, HelloSpec, browsers};
use crate::fault::planted;

/// Whom connections look like, from the first byte on: a name, the recipe of the hello, and that of HTTP/2.
///
/// Only the first flight is shaped: not TCP, not the timing, not how a connection ends. A clone costs one reference count.
///
/// Two profiles are equal if nothing that goes over the wire differs; their names do not count.
///
/// ```
/// use hotpool::fingerprint::Profile;
///
/// assert_eq!(Profile::default(), Profile::rustls());
/// let hello = Profile::firefox().hello().map(|hello| hello.ja4().to_string());
/// assert_eq!(hello.as_deref(), Some("t13d1617h2_86a278354501_3cbfd9057e0d"));
/// ```
#[derive(Clone)]
pub struct Profile(Arc<Inner>);

struct Inner {
    name: String,
    hello: Option<HelloSpec>,
    h2: Option<H2Spec>,
}

impl Profile {
    /// rustls's own, as it is. The default.
    pub fn rustls() -> Self {
        Profile(Arc::new(Inner {
            name: "rustls".to_owned(),
            hello: None,
            h2: None,
        }))
    }

    /// Chromium 156, as captured from Debian's 156.0.8078.79 on 2026-11-21.
    pub fn chromium() -> Self {
        Profile::new("chromium", browsers::chromium()).with_h2(browsers::chromium_h2())
    }

    /// Firefox 153 ESR, as captured from Debian's 153.7.0 on 2026-11-21.
    pub fn firefox() -> Self {
        Profile::new("firefox", browsers::firefox()).with_h2(browsers::firefox_h2())
    }

    /// A profile of the caller's own, with HTTP/2 as it is. The name is for people and logs.
    pub fn new(name: impl Into<String>, hello: HelloSpec) -> Self {
        Profile(Arc::new(Inner {
            name: name.into(),
            hello: Some(hello),
            h2: None,
        }))
    }

    /// The same profile, with HTTP/2 of this spec.
    #[must_use]
    pub fn with_h2(self, h2: H2Spec) -> Self {
        Profile(Arc::new(Inner {
            name: self.0.name.clone(),
            hello: self.0.hello.clone(),
            h2: Some(h2),
        }))
    }

    /// The one of this name: `rustls`, `chromium` or `firefox`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "rustls" => Profile::rustls(),
            "chromium" => Profile::chromium(),
            "firefox" => Profile::firefox(),
            _ => return None,
        })
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
}

impl Default for Profile {
    fn default() -> Self {
        Profile::rustls()
    }
}

/// Taken apart without `..`: what is added does not compile until it is compared, too.
impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        let Inner { name: _, hello, h2 } = &*self.0;
        *hello == other.0.hello && (*h2 == other.0.h2 || planted("h2_spec_is_not_compared"))
    }
}

impl Eq for Profile {}

impl Hash for Profile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hello.hash(state);
        self.0.h2.hash(state);
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Profile").field(&self.0.name).finish()
    }
}
