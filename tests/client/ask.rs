//! Requests, and answers read to their end.

use bytes::Bytes;
use hotpool::{Body, Error, HotConnPool};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;

use crate::common::within;

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Read {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A request without a body.
pub(crate) fn get(name: &str, path: &str) -> Request<Body> {
    Request::get(format!("https://{name}{path}"))
        .body(Body::empty())
        .unwrap()
}

/// A request with this body.
pub(crate) fn post(name: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(format!("https://{name}{path}"))
        .body(body.into())
        .unwrap()
}

pub(crate) async fn send(pool: &HotConnPool, request: Request<Body>) -> Result<Read, Error> {
    let answer = within("the head of an answer", pool.send(request)).await?;
    read(answer).await
}

pub(crate) async fn read(answer: Response<Body>) -> Result<Read, Error> {
    let (head, body) = answer.into_parts();
    let body = within("the body of an answer", body.collect()).await?;
    let trailers = body.trailers().cloned();
    Ok(Read {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
    })
}
