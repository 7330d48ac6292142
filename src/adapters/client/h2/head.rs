//! The head of a request on HTTP/2.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, request};

use crate::adapters::client::request::{Concerns, Head, Length, Refused, authority, connection_options};
use crate::fault::planted;
use crate::fingerprint::Headers;
use crate::{Error, ErrorKind, Phase};

/// The head: the caller's headers without those that are one connection's affair, and of `defaults` what the caller has not, in their order.
///
/// # Errors
/// What the URI and the host say makes no URI.
pub(in crate::adapters::client) fn of(
    head: &mut Head,
    concerns: Concerns,
    defaults: Option<&Headers>,
    length: Length,
) -> Result<Request<()>, Error> {
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = match concerns.has(Concerns::HOST) {
        true => uri(head)?,
        false => head.uri.clone(),
    };
    *request.headers_mut() = headers(head, concerns, defaults, length)?;
    if let Some(protocol) = head.extensions.get::<h2::ext::Protocol>() {
        request.extensions_mut().insert(protocol.clone());
    }
    Ok(request)
}

/// The request's own, with its host as the authority.
fn uri(head: &request::Parts) -> Result<Uri, Error> {
    let Some(host) = head.headers.get(HOST) else {
        return Ok(head.uri.clone());
    };
    let mut parts = head.uri.clone().into_parts();
    parts.authority = Some(authority(host).ok_or(Refused::Host)?);
    if parts.scheme.is_some() {
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).map_err(|problem| Error::new(ErrorKind::Request, Phase::Use).with_source(problem))
}

fn headers(
    head: &mut Head,
    concerns: Concerns,
    defaults: Option<&Headers>,
    length: Length,
) -> Result<HeaderMap, Error> {
    let defaults = defaults.filter(|defaults| defaults.http2().len() > 0);
    let mut headers = match defaults {
        None if concerns.are_none() => head.take_headers(),
        _ => build(&head.headers, defaults, length)?,
    };
    if let Length::Known(length) = length
        && !(planted("lengths_stand_as_they_were_written") && headers.contains_key(CONTENT_LENGTH))
    {
        headers.insert(CONTENT_LENGTH, length.into()); // once, however the caller wrote it
    }
    Ok(headers)
}

fn build(own: &HeaderMap, defaults: Option<&Headers>, length: Length) -> Result<HeaderMap, Error> {
    let malformed = || Error::new(ErrorKind::Request, Phase::Use);
    let mut headers = HeaderMap::with_capacity(own.len() + defaults.map_or(0, |list| list.http2().len()));
    for (name, value) in defaults.iter().flat_map(|defaults| defaults.http2()) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        if own.contains_key(&name) && !planted("profiles_override_the_caller") {
            let values = own.get_all(&name).iter().filter(|_| goes(&name, own));
            values.for_each(|value| _ = headers.append(&name, value.clone()));
        } else if name == CONTENT_LENGTH && !planted("profiles_say_where_messages_end") {
            if let Length::Known(length) = length {
                headers.append(name, length.into());
            }
        } else {
            headers.append(name, HeaderValue::from_str(value).map_err(|_| malformed())?);
        }
    }
    let named: Vec<HeaderName> = connection_options(own).collect();
    for name in own.keys() {
        if !headers.contains_key(name) && !named.contains(name) && goes(name, own) {
            let values = own.get_all(name).iter();
            values.for_each(|value| _ = headers.append(name, value.clone()));
        }
    }
    Ok(headers)
}

/// Whether a field may stand in HTTP/2 (RFC 9113 section 8.2.2). The host stands in the authority.
fn goes(name: &HeaderName, own: &HeaderMap) -> bool {
    let stays = [CONNECTION, TRANSFER_ENCODING, UPGRADE, HOST];
    if planted("hops_reach_http2") {
        return true;
    }
    let old = ["keep-alive", "proxy-connection", "http2-settings"];
    match *name == TE {
        true => own
            .get_all(TE)
            .iter()
            .all(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers")),
        false => !stays.contains(name) && !old.contains(&name.as_str()),
    }
}
