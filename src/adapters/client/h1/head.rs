//! The head of a request as text.

use std::io::Write;

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Uri, request};

use crate::adapters::client::request::Length;
use crate::fault::planted;
use crate::fingerprint::Headers;

/// The head: the caller's headers, and of `defaults` what the caller has not, in their order and as they are spelled.
pub(super) fn write_head(
    out: &mut BytesMut,
    head: &request::Parts,
    defaults: Option<&Headers>,
    length: Length,
) {
    put_request_line(out, &head.method, &head.uri);
    let defaults = defaults.filter(|defaults| defaults.http1().len() > 0);
    match defaults {
        None => {
            put_host(out, "host", head);
            put_others(out, &head.headers, |_| false, false);
            put_length(out, length, false);
        }
        Some(defaults) => {
            for (name, value) in defaults.http1() {
                put_default(out, (name, value), head, length);
            }
            let listed = |name: &str| {
                defaults
                    .http1()
                    .any(|(known, _)| known.eq_ignore_ascii_case(name))
            };
            if !listed("host") {
                put_host(out, "Host", head);
            }
            put_others(out, &head.headers, listed, true);
            if !matches!(length, Length::Known(_)) || !listed(CONTENT_LENGTH.as_str()) {
                put_length(out, length, true);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// In origin form, but for CONNECT (RFC 9112 section 3.2).
fn put_request_line(out: &mut BytesMut, method: &Method, uri: &Uri) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    match uri.path_and_query().map(|path| path.as_str()) {
        _ if method == Method::CONNECT => out.extend_from_slice(authority.as_bytes()),
        Some(path) => {
            if path.starts_with('?') {
                out.put_u8(b'/');
            }
            out.extend_from_slice(path.as_bytes());
        }
        None => out.put_u8(b'/'),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The caller's, or what the URI names.
fn put_host(out: &mut BytesMut, name: &str, head: &request::Parts) {
    let named = head.uri.authority().map_or("", |authority| authority.as_str());
    let host = head
        .headers
        .get(HOST)
        .map_or(named.as_bytes(), |host| host.as_bytes());
    put_field(out, name, host);
}

/// A field that the profile has, in its place: with the caller's value if there is one.
fn put_default(out: &mut BytesMut, (name, value): (&str, &str), head: &request::Parts, length: Length) {
    if name.eq_ignore_ascii_case("host") {
        return put_host(out, name, head);
    }
    if CONTENT_LENGTH == *name && !planted("lengths_stand_as_they_were_written") {
        if let Length::Known(length) = length {
            put_field(out, name, length.to_string().as_bytes());
        }
        return;
    }
    let mut own = head.headers.get_all(name).iter().peekable();
    if own.peek().is_none() || planted("profiles_override_the_caller") {
        return put_field(out, name, value.as_bytes());
    }
    for value in own {
        put_field(out, name, value.as_bytes());
    }
}

/// The caller's other fields. What says where the message ends is written by who ends it.
fn put_others(out: &mut BytesMut, headers: &HeaderMap, listed: impl Fn(&str) -> bool, titled: bool) {
    let own = |name: &http::HeaderName| [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
    for (name, value) in headers {
        if !own(name) && !listed(name.as_str()) {
            put_named(out, name.as_str(), titled, value.as_bytes());
        }
    }
}

fn put_length(out: &mut BytesMut, length: Length, titled: bool) {
    match length {
        Length::None => {}
        Length::Known(length) => {
            put_name(out, CONTENT_LENGTH.as_str(), titled);
            let _ = write!(out.writer(), ": {length}\r\n"); // to memory it does not fail
        }
        Length::Unknown => put_named(out, TRANSFER_ENCODING.as_str(), titled, b"chunked"),
    }
}

pub(super) fn put_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    put_named(out, name, false, value);
}

fn put_named(out: &mut BytesMut, name: &str, titled: bool, value: &[u8]) {
    put_name(out, name, titled);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// As it is, or as browsers spell it: a capital after each hyphen.
fn put_name(out: &mut BytesMut, name: &str, titled: bool) {
    if !titled {
        return out.extend_from_slice(name.as_bytes());
    }
    let mut first = true;
    for byte in name.bytes() {
        out.put_u8(if first { byte.to_ascii_uppercase() } else { byte });
        first = byte == b'-';
    }
}
