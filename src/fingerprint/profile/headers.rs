//! The headers that a client sends by itself, as data for the stack above.

use std::borrow::Cow;

/// A name and a value.
type Field = (Cow<'static, str>, Cow<'static, str>);

/// What a client adds to a request of its user's, in its order: for a browser that of an address that was typed.
///
/// The pool sends none of it: it is for the HTTP stack above. On HTTP/1.1 `Host` stands where the client puts it, with an empty value; on HTTP/2 the
/// authority is a pseudo-header, and its place is the [spec's](crate::fingerprint::H2Spec).
///
/// ```
/// use hotpool::fingerprint::{HeaderError, Headers, Profile};
///
/// let headers = Headers::new(
///     [("Host", ""), ("User-Agent", "example/1.0")], // HTTP/1.1, as it is written
///     [("user-agent", "example/1.0")],
/// )?;
/// assert_eq!(headers.http1().map(|(name, _)| name).collect::<Vec<_>>(), ["Host", "User-Agent"]);
/// assert!(!headers.is_empty() && Headers::default().is_empty());
/// let profile = Profile::curl().with_headers(headers);
/// assert_eq!(profile.headers().http2().len(), 1);
/// let bad: Result<_, HeaderError> = Headers::new([("a b", "")], []);
/// assert!(bad.is_err());
/// # Ok::<(), HeaderError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Headers {
    http1: Vec<Field>,
    http2: Vec<Field>,
}

/// A header that no request may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header {name:?}: {why}")]
pub struct HeaderError {
    name: String,
    why: &'static str,
}

impl Headers {
    /// These, on either protocol.
    ///
    /// # Errors
    /// [`HeaderError`] names a field that no request of the protocol may have (RFC 9110 section 5, RFC 9113 section 8.2).
    pub fn new<N, V>(
        http1: impl IntoIterator<Item = (N, V)>,
        http2: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, HeaderError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let owned = |(name, value): (N, V)| (Cow::Owned(name.into()), Cow::Owned(value.into()));
        let headers = Headers {
            http1: http1.into_iter().map(owned).collect(),
            http2: http2.into_iter().map(owned).collect(),
        };
        headers.http1.iter().try_for_each(|field| check(field, false))?;
        headers.http2.iter().try_for_each(|field| check(field, true))?;
        Ok(headers)
    }

    /// Those that were observed. The tests make the checks.
    pub(in crate::fingerprint) fn observed(
        http1: &[(&'static str, &'static str)],
        http2: &[(&'static str, &'static str)],
    ) -> Self {
        let of = |&(name, value): &(&'static str, &'static str)| (Cow::Borrowed(name), Cow::Borrowed(value));
        Headers {
            http1: http1.iter().map(of).collect(),
            http2: http2.iter().map(of).collect(),
        }
    }

    /// On HTTP/1.1, in order, with the names as the client writes them.
    pub fn http1(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.http1.iter().map(|(name, value)| (&**name, &**value))
    }

    /// On HTTP/2, in order, behind the pseudo-headers.
    pub fn http2(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.http2.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.http1.is_empty() && self.http2.is_empty()
    }
}

fn check((name, value): &Field, lower: bool) -> Result<(), HeaderError> {
    let wrong = |why| {
        let name = name.to_string();
        Err(HeaderError { name, why })
    };
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return wrong("is no name");
    }
    if lower && name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return wrong("has capitals, which HTTP/2 does not allow");
    }
    if !value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return wrong("has a value that is no line of ASCII");
    }
    Ok(())
}
