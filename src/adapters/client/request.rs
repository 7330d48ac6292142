//! What a request must be to be sent, and where it ends.
//!
//! A request that two readers could take for two different ones is not sent (RFC 9112 section 11.2).

use std::ops::Deref;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request};

use super::upload::Upload;
use crate::fault::planted;
use crate::{Error, ErrorKind, Phase, Target};

/// Why a request is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("its content-length is no number, or several")]
    Length,
    #[error("its content-length is not the length of its body")]
    OtherLength,
    #[error("it has a content-length and a transfer-encoding")]
    TwoFramings,
    #[error("its transfer-encoding is not chunked alone")]
    Coding,
    #[error("its host is no authority, or several")]
    Host,
    #[error(
        "its uri is not https with a host and what is asked for there, or of CONNECT a host and port alone"
    )]
    Uri,
    #[error("its host is another than the one it would open a tunnel to")]
    OtherHost,
    #[error("its connection header names a field that says where it ends or whom it is for")]
    Connection,
    #[error("its body ended before its content-length")]
    Short,
    #[error("its body went on behind its content-length")]
    Long,
    #[error("its trailers have a field that must stand in its head")]
    Trailer,
    #[error("it would open a tunnel, and has a body")]
    TunnelBody,
    #[error("it asks to be told itself, and has a body")]
    TraceBody,
    #[error("it asks for a protocol by `Upgrade`, and for one on a stream of HTTP/2")]
    TwoProtocols,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::new(ErrorKind::Request, Phase::Use).with_source(refused)
    }
}

/// The head of a request, for as many tries as it takes.
pub(super) struct Head {
    parts: request::Parts,
    /// The headers, while they are on their way.
    sent: Vec<(HeaderName, HeaderValue)>,
}

impl Head {
    pub(super) fn new(parts: request::Parts) -> Self {
        Head {
            parts,
            sent: Vec::new(),
        }
    }

    /// The headers, for somebody who keeps them. A list of them stays, which is half the cost of another map.
    pub(super) fn take_headers(&mut self) -> HeaderMap {
        let fields = self.parts.headers.iter();
        self.sent = fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        std::mem::take(&mut self.parts.headers)
    }

    /// Puts the headers back for another try.
    pub(super) fn restore(&mut self) {
        for (name, value) in self.sent.drain(..) {
            self.parts.headers.append(name, value);
        }
    }
}

impl Deref for Head {
    type Target = request::Parts;

    fn deref(&self) -> &request::Parts {
        &self.parts
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// There is none, and nothing is said of it.
    None,
    Known(u64),
    Unknown,
}

/// Which fields a head has that concern whoever sends it. Found in one look at each name: most requests have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Concerns(u8);

impl Concerns {
    pub(super) const HOST: Concerns = Concerns(1);
    pub(super) const EXPECT: Concerns = Concerns(1 << 1);
    pub(super) const UPGRADE: Concerns = Concerns(1 << 2);
    /// What says where the message ends, `Trailer` among it.
    const FRAMING: Concerns = Concerns(1 << 3);
    const CONNECTION: Concerns = Concerns(1 << 4);
    /// What else is one connection's affair (RFC 9113 section 8.2.2).
    const HOP: Concerns = Concerns(1 << 5);

    pub(super) fn of(headers: &HeaderMap) -> Self {
        let each = headers.keys().map(|name| match name.as_str() {
            "host" => Concerns::HOST.0,
            "expect" => Concerns::EXPECT.0,
            "upgrade" => Concerns::UPGRADE.0,
            "content-length" | "transfer-encoding" | "trailer" => Concerns::FRAMING.0,
            "connection" => Concerns::CONNECTION.0,
            "te" | "keep-alive" | "proxy-connection" | "http2-settings" => Concerns::HOP.0,
            _ => 0,
        });
        Concerns(each.fold(0, |all, one| all | one))
    }

    pub(super) fn has(self, other: Concerns) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all fields may stand in HTTP/2 as they are.
    pub(super) fn are_none(self) -> bool {
        self.0 == 0
    }
}

/// Whether it is an extended CONNECT (RFC 8441): which names a URI and a host as any other request does, and HTTP/1.1 has not.
pub(super) fn is_extended(head: &request::Parts) -> bool {
    head.method == Method::CONNECT && head.extensions.get::<h2::ext::Protocol>().is_some()
}

/// Whether it would open a tunnel to a host and port (RFC 9110 section 9.3.6).
fn is_tunnel(head: &request::Parts) -> bool {
    head.method == Method::CONNECT && !is_extended(head)
}

/// Whether it asks for the options of a server as a whole, and does not say of which (RFC 9112 section 3.2.4).
pub(super) fn is_of_the_server(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS && head.uri == "*" && !planted("nobody_serves_as_a_whole")
}

/// The URI of a server as a whole.
pub(super) fn server(target: &Target<'_>) -> Result<Uri, Refused> {
    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(target.to_string());
    uri.path_and_query("*").build().map_err(|_| Refused::Uri)
}

/// Whether it names whom the request is for, wherever its connection leads: nobody is told a password, or asked for something in the clear (RFC 9110 section 4.2).
pub(super) fn check_uri(head: &request::Parts) -> Result<(), Refused> {
    let authority = head.uri.authority().filter(|authority| is_plain(authority));
    let authority = authority.ok_or(Refused::Uri)?;
    let fits = if is_tunnel(head) {
        let to_a_port = authority.port_u16().is_some_and(|port| port > 0);
        head.uri.scheme().is_none() && (to_a_port || planted("tunnels_lead_to_no_port"))
    } else {
        let of_a_resource = head.uri.path() != "*" || head.method == Method::OPTIONS;
        head.uri.scheme() == Some(&Scheme::HTTPS) && of_a_resource
    };
    match fits {
        true => Ok(()),
        false => Err(Refused::Uri),
    }
}

/// Where a request ends, by what its headers say and by what its body knows.
pub(super) fn length(head: &request::Parts, concerns: Concerns, upload: &Upload) -> Result<Length, Refused> {
    if is_extended(head) && concerns.has(Concerns::UPGRADE) && !planted("two_protocols_are_asked_for") {
        return Err(Refused::TwoProtocols);
    }
    match said_length(head, concerns, upload)? {
        // What is sent into a tunnel has no length (RFC 9110 section 9.3.6).
        Length::Known(_) if head.method == Method::CONNECT && !planted("tunnels_have_lengths") => {
            Err(Refused::TunnelBody)
        }
        // RFC 9110 section 9.3.8.
        Length::Known(1..) | Length::Unknown
            if head.method == Method::TRACE && !planted("traces_have_bodies") =>
        {
            Err(Refused::TraceBody)
        }
        length => Ok(length),
    }
}

fn said_length(head: &request::Parts, concerns: Concerns, upload: &Upload) -> Result<Length, Refused> {
    let headers = &head.headers;
    if concerns.has(Concerns::HOST) {
        check_host(head)?;
    }
    if concerns.has(Concerns::CONNECTION) {
        check_connection(headers)?;
    }
    let exact = upload.exact();
    // One of no bytes may have trailers.
    let is_none = upload.is_at_end() || exact == Some(0) && planted("trailers_need_a_body");
    let is_none = is_none && !expects_body(&head.method);
    if !concerns.has(Concerns::FRAMING) {
        return Ok(match exact {
            Some(0) if head.method == Method::CONNECT || is_none => Length::None,
            Some(length) => Length::Known(length),
            None => Length::Unknown,
        });
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if head.method == Method::CONNECT && exact == Some(0) && !headers.contains_key(CONTENT_LENGTH) {
        return Ok(Length::None);
    }
    if let Some(coding) = codings.next() {
        if headers.contains_key(CONTENT_LENGTH) && !planted("two_framings_are_sent") {
            return Err(Refused::TwoFramings);
        }
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        return chunked.then_some(Length::Unknown).ok_or(Refused::Coding);
    }
    if let Some(length) = content_length(headers)? {
        return match exact {
            Some(exact) if exact != length => Err(Refused::OtherLength),
            _ => Ok(Length::Known(length)),
        };
    }
    if headers.contains_key(TRAILER) {
        return Ok(Length::Unknown); // which have their place behind chunks
    }
    Ok(match exact {
        Some(0) if is_none => Length::None,
        Some(length) => Length::Known(length),
        None => Length::Unknown,
    })
}

/// Content-Length, where it is said: once, or several times the same.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.to_str().map_err(|_| Refused::Length)?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let said = plain
            .then(|| digits.parse().ok())
            .flatten()
            .ok_or(Refused::Length)?;
        if length.replace(said).is_some_and(|before| before != said) {
            return Err(Refused::Length);
        }
    }
    Ok(length)
}

/// Whether nothing said of a body would be taken for something forgotten (RFC 9110 section 8.6).
fn expects_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn check_host(head: &request::Parts) -> Result<(), Refused> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else { return Ok(()) };
    let named = match hosts.next() {
        None => authority(host).ok_or(Refused::Host)?,
        Some(_) => return Err(Refused::Host),
    };
    // Which of them a tunnel leads to would be the protocol's choice (RFC 9112 section 3.2.3).
    let tunnel = is_tunnel(head) || head.method == Method::CONNECT && planted("no_connect_has_a_host");
    let elsewhere = tunnel && head.uri.authority() != Some(&named);
    match elsewhere && !planted("tunnels_lead_to_their_host_header") {
        true => Err(Refused::OtherHost),
        false => Ok(()),
    }
}

/// The authority that a Host header names.
pub(super) fn authority(host: &HeaderValue) -> Option<Authority> {
    Authority::try_from(host.as_bytes()).ok().filter(is_plain)
}

/// Whether it names a host and no user.
fn is_plain(authority: &Authority) -> bool {
    let text = authority.as_str().as_bytes();
    !text.contains(&b'@') && !matches!(text, [] | [b':', ..])
}

/// Who passes the request on would leave out what `Connection` names (RFC 9110 section 7.6.1).
fn check_connection(headers: &HeaderMap) -> Result<(), Refused> {
    let vital = [CONTENT_LENGTH, TRANSFER_ENCODING, HOST];
    match connection_options(headers).any(|name| vital.contains(&name)) {
        true => Err(Refused::Connection),
        false => Ok(()),
    }
}

/// The fields that `Connection` names.
pub(super) fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(CONNECTION).into_iter();
    let options = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
}

/// Whether trailers may have it (RFC 9110 section 6.5.1): nothing that says where the message ends, whom it is for, or how it is to be read, and nothing
/// that is one connection's affair (RFC 9113 section 8.2.2).
pub(super) fn check_trailers(trailers: &HeaderMap) -> Result<(), Refused> {
    use http::header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, COOKIE, EXPECT, TE, TRAILER, UPGRADE,
    };
    let headish = [
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        HOST,
        CONNECTION,
        AUTHORIZATION,
        CONTENT_ENCODING,
        CONTENT_RANGE,
        CONTENT_TYPE,
        COOKIE,
        EXPECT,
        TE,
        TRAILER,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    match headish.iter().any(|name| trailers.contains_key(name)) {
        true => Err(Refused::Trailer),
        false => Ok(()),
    }
}
