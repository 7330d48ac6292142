//! How a caller names a target: as text that is looked up as it stands, or as something parsed before.

use std::net::{IpAddr, SocketAddr};

use super::directory::Hash;
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
#[derive(Clone, Debug)]
pub struct Endpoint {
    target: Target<'static>,
    hash: Hash,
    pool: usize,
}

impl Endpoint {
    pub(super) fn new(inner: &Inner, target: Target<'_>) -> Self {
        Endpoint {
            hash: inner.directory.hash(target.as_str()),
            pool: pool(inner),
            target: target.into_owned(),
        }
    }

    /// The target.
    pub fn target(&self) -> &Target<'static> {
        &self.target
    }
}

/// A mark by which pools tell each other's hashes apart.
fn pool(inner: &Inner) -> usize {
    std::ptr::from_ref(inner).addr()
}

/// A target as its caller gave it.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Name<'a> {
    /// As written; perhaps no target at all.
    Text(&'a str),
    Parsed(Result<Target<'a>, TargetError>),
    Prepared(&'a Endpoint),
}

impl<'a> Name<'a> {
    /// The text to look up, with its hash. None if it is known to be no target.
    #[inline]
    pub(super) fn key(&self, inner: &Inner) -> Option<(Hash, &str)> {
        let text = match self {
            Name::Prepared(endpoint) if endpoint.pool == pool(inner) => {
                return Some((endpoint.hash, endpoint.target.as_str()));
            }
            Name::Prepared(endpoint) => endpoint.target.as_str(),
            Name::Text(text) => text,
            Name::Parsed(Ok(target)) => target.as_str(),
            Name::Parsed(Err(_)) => return None,
        };
        Some((inner.directory.hash(text), text))
    }

    /// The target that is meant.
    pub(crate) fn target(&self) -> Result<Target<'_>, TargetError> {
        match self {
            Name::Text(text) => Target::try_from(*text),
            Name::Parsed(Ok(target)) => Ok(target.into()),
            Name::Parsed(Err(error)) => Err(error.clone()),
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
        Name::Parsed(self.try_into())
    }
}

impl<'a> Named<'a> for &'a http::Uri {
    fn name(self) -> Name<'a> {
        match (self.scheme_str(), self.authority()) {
            (Some("https"), Some(authority)) if !authority.as_str().contains('@') => {
                Name::Text(authority.as_str())
            }
            _ => Name::Parsed(self.try_into()),
        }
    }
}

impl<'a> Named<'a> for Target<'a> {
    fn name(self) -> Name<'a> {
        Name::Parsed(Ok(self))
    }
}

impl<'a> Named<'a> for &'a Target<'_> {
    fn name(self) -> Name<'a> {
        Name::Parsed(Ok(self.into()))
    }
}

impl<'a> Named<'a> for &'a Endpoint {
    fn name(self) -> Name<'a> {
        Name::Prepared(self)
    }
}

impl<'a> Named<'a> for IpAddr {
    fn name(self) -> Name<'a> {
        Name::Parsed(Ok(self.into()))
    }
}

impl<'a> Named<'a> for SocketAddr {
    fn name(self) -> Name<'a> {
        Name::Parsed(Ok(self.into()))
    }
}
