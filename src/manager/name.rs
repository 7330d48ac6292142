//! How a caller names a target: as text that is looked up as it stands, or as something parsed before.

use std::net::{IpAddr, SocketAddr};

use super::directory::{Hash, Key, Met};
use super::inner::Inner;
use crate::fault::planted;
use crate::target::{Target, TargetError};

/// What names a [`Target`]: text, an [`http::Uri`], an address, a target, or an [`Endpoint`].
///
/// Text is looked up as it is written and parsed only where the pool knows no host of that name: so a name in canonical form costs no
/// parsing, and a bad one is an error like any other.
pub trait IntoTarget<'a>: Named<'a> {}

impl<'a, T: Named<'a>> IntoTarget<'a> for T {}

/// A target of one pool, prepared: its text is canonical and its hash known. Cheaper than text where the same target is asked for again
/// and again. Made by [`HotConnPool::endpoint`](crate::HotConnPool::endpoint); other pools take it as its target.
///
/// ```
/// use hotpool::{Endpoint, GetOptions, HotConnPool, IntoTarget, Require};
///
/// let pool = HotConnPool::builder().build()?;
/// let endpoint: Endpoint = pool.endpoint("EXAMPLE.com:443")?;
/// assert_eq!(endpoint.target().to_string(), "example.com");
///
/// /// Whatever names a target will do.
/// fn is_warm<'a>(pool: &HotConnPool, target: impl IntoTarget<'a>) -> Result<bool, hotpool::Error> {
///     Ok(pool.try_get(target)?.is_some()) // neither waits nor dials
/// }
/// assert!(!is_warm(&pool, &endpoint)? && !is_warm(&pool, "example.com:8443")?);
/// assert!(pool.try_get_with(&endpoint, GetOptions::new().require(Require::Http2))?.is_none());
/// pool.network_changed(); // what stood before is trusted no more
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Endpoint {
    target: Target<'static>,
    hash: Hash,
    /// Whose `hash` and `met` are.
    directory: u64,
    met: Met,
}

impl Endpoint {
    pub(super) fn new(inner: &Inner, target: Target<'_>) -> Self {
        Endpoint {
            hash: inner.directory.hash(target.as_str()),
            directory: inner.directory.number,
            met: Met::default(),
            target: target.into_owned(),
        }
    }

    /// The target.
    pub fn target(&self) -> &Target<'static> {
        &self.target
    }
}

impl Clone for Endpoint {
    fn clone(&self) -> Self {
        Endpoint {
            target: self.target.clone(),
            hash: self.hash,
            directory: self.directory,
            met: Met::default(), // each finds out by itself
        }
    }
}

/// A target as its caller gave it.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Name<'a> {
    /// As written; perhaps no target at all.
    Text(&'a str),
    Target(&'a Target<'a>),
    /// Boxed, so that the others are small to move.
    Parsed(Box<Result<Target<'a>, TargetError>>),
    Prepared(&'a Endpoint),
}

impl<'a> Name<'a> {
    fn parsed(target: Result<Target<'a>, TargetError>) -> Self {
        Name::Parsed(Box::new(target))
    }

    /// What to look up. None if it is known to be no target.
    #[inline]
    pub(super) fn key(&self, inner: &Inner) -> Option<Key<'_>> {
        let text = match self {
            Name::Prepared(endpoint) if endpoint.directory == inner.directory.number => {
                return Some(Key {
                    hash: endpoint.hash,
                    text: endpoint.target.as_str(),
                    met: Some(&endpoint.met),
                });
            }
            Name::Prepared(endpoint) => endpoint.target.as_str(),
            Name::Text(text) => text,
            Name::Target(target) => target.as_str(),
            Name::Parsed(parsed) => parsed.as_ref().as_ref().ok()?.as_str(),
        };
        Some(inner.directory.key(text))
    }

    /// The target that is meant.
    pub(crate) fn target(&self) -> Result<Target<'_>, TargetError> {
        match self {
            Name::Text(text) => Target::try_from(*text),
            Name::Target(target) => Ok((*target).into()),
            Name::Parsed(parsed) => match parsed.as_ref() {
                Ok(target) => Ok(target.into()),
                Err(error) => Err(error.clone()),
            },
            Name::Prepared(endpoint) if planted("endpoints_lose_their_port") => {
                Target::try_from(endpoint.target.host())
            }
            Name::Prepared(endpoint) => Ok((&endpoint.target).into()),
        }
    }
}

mod sealed {
    use super::Name;

    pub trait Named<'a> {
        fn name(self) -> Name<'a>;
    }
}

pub(crate) use sealed::Named;

impl<'a> Named<'a> for &'a str {
    fn name(self) -> Name<'a> {
        Name::Text(self)
    }
}

impl<'a> Named<'a> for &'a String {
    fn name(self) -> Name<'a> {
        Name::Text(self)
    }
}

impl<'a> Named<'a> for String {
    fn name(self) -> Name<'a> {
        Name::parsed(self.try_into())
    }
}

/// All of it is looked at, which takes less than to stop early.
fn has_escape(authority: &str) -> bool {
    let found = |found, byte| found | (byte == b'@') | (byte == b'%');
    authority.bytes().fold(false, found)
}

impl<'a> Named<'a> for &'a http::Uri {
    fn name(self) -> Name<'a> {
        match (self.scheme_str(), self.authority()) {
            // What is escaped in a URI is not text as it is written elsewhere: the zone of an address, say.
            (Some("https"), Some(authority)) if !has_escape(authority.as_str()) => {
                Name::Text(authority.as_str())
            }
            _ => Name::parsed(self.try_into()),
        }
    }
}

impl<'a> Named<'a> for Target<'a> {
    fn name(self) -> Name<'a> {
        Name::parsed(Ok(self))
    }
}

impl<'a> Named<'a> for &'a Target<'_> {
    fn name(self) -> Name<'a> {
        Name::Target(self)
    }
}

impl<'a> Named<'a> for &'a Endpoint {
    fn name(self) -> Name<'a> {
        Name::Prepared(self)
    }
}

impl<'a> Named<'a> for IpAddr {
    fn name(self) -> Name<'a> {
        Name::parsed(Ok(self.into()))
    }
}

impl<'a> Named<'a> for SocketAddr {
    fn name(self) -> Name<'a> {
        Name::parsed(Ok(self.into()))
    }
}
