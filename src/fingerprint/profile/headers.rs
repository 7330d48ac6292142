//! The headers that a client sends by itself, as data for the stack above.

use std::borrow::Cow;

use crate::fault::planted;

/// A name and a value.
type Field = (Cow<'static, str>, Cow<'static, str>);

/// What a client adds to a request of its user's, in its order: for a browser that of an address that was typed.
///
/// The pool sends none of it: it is for the HTTP stack above. On HTTP/1.1 `Host` stands where the client puts it, with an empty value; on HTTP/2 the
/// authority is a pseudo-header, and its place is the [spec's](crate::fingerprint::H2Spec). On either, `Content-Length` may have a place, with an empty
/// value, which is for the length of a request's body if that is known. Nothing else here says where a message ends.
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
    /// [`HeaderError`] names a field that no request of the protocol may have (RFC 9110 section 5, RFC 9113 section 8.2), or that would say where each ends
    /// (RFC 9112 section 6): `Transfer-Encoding`, `Content-Length` with a value, or a `Connection` that names either or `Host`. `Host` and `Content-Length`
    /// have one place each.
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
        check(&headers.http1, false)?;
        check(&headers.http2, true)?;
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

fn check(fields: &[Field], http2: bool) -> Result<(), HeaderError> {
    for (nth, (name, value)) in fields.iter().enumerate() {
        let checked = check_field(name, value, http2).and_then(|()| {
            let lower = name.to_ascii_lowercase();
            let place = ["host", "content-length"].contains(&&*lower);
            let twice = place
                && fields[..nth]
                    .iter()
                    .any(|(before, _)| before.eq_ignore_ascii_case(name));
            if twice {
                return Err("has two places");
            }
            match planted("profiles_say_where_messages_end") {
                true => Ok(()),
                false => check_meaning(&lower, value, http2),
            }
        });
        checked.map_err(|why| HeaderError {
            name: name.to_string(),
            why,
        })?;
    }
    Ok(())
}

fn check_field(name: &str, value: &str, lower: bool) -> Result<(), &'static str> {
    let wrong = Err;
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

/// What a field says that holds for every request with it.
fn check_meaning(name: &str, value: &str, http2: bool) -> Result<(), &'static str> {
    let vital = ["content-length", "transfer-encoding", "host"];
    let mut words = value.split(',').map(str::trim_ascii);
    let names_vital = |word: &str| vital.iter().any(|name| word.eq_ignore_ascii_case(name));
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
        | "http2-settings"
            if http2 =>
        {
            Err("is one connection's affair, which HTTP/2 does not allow")
        }
        "te" if http2 && !value.eq_ignore_ascii_case("trailers") => {
            Err("is not trailers alone, as on HTTP/2")
        }
        "host" if http2 => Err("stands in the authority on HTTP/2"),
        "transfer-encoding" => Err("says where each message ends"),
        "content-length" if !value.is_empty() => Err("says where each message ends"),
        "connection" if words.any(names_vital) => {
            Err("names a field that says where a message ends or whom it is for")
        }
        _ => Ok(()),
    }
}
