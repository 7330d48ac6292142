//! Exchanges of which each octet belongs to one request: bodies by tag, a server that answers with them, and what an answer must be.

pub(crate) mod journal;
pub(crate) mod size;
pub(crate) mod text;

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use self::journal::{Journal, Served};
use self::text::{Tagged, Text};
use crate::servers::{Answer, Line, Server};

/// Whose text the body of a request is: another's than that of its answer, so that none is taken for the other.
pub(crate) fn of_request(tag: u64) -> u64 {
    !tag
}

/// What an answer must be.
pub(crate) struct Expected {
    /// What it says whose it is.
    pub(crate) tag: u64,
    /// Whose text its body is.
    pub(crate) text: u64,
    pub(crate) size: u64,
    /// How much of the request's body it says to have seen.
    pub(crate) got: Option<u64>,
}

impl Expected {
    pub(crate) fn check_head(&self, status: StatusCode, headers: &HeaderMap) {
        let said = |name: &str| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap().parse::<u64>().unwrap())
        };
        assert_eq!(
            (status.as_u16(), said("x-tag"), said("x-got")),
            (200, Some(self.tag), self.got)
        );
    }
}

/// Answers `/TAG/SIZE/HOW` with so much of the tag's text: `l` by length, `c` in chunks, `b` broken off half-way, `x` with its whole connection cut there.
/// A request's body must be of its tag's text, too, and is counted. What comes is noted in the journal.
pub(crate) async fn server(alpn: &[&str], journal: Arc<Journal>) -> Server {
    let answer = move |request, line| answer(request, line, Arc::clone(&journal));
    Server::hyper_by_line(alpn, answer).await
}

async fn answer(request: Request<Incoming>, line: Line, journal: Arc<Journal>) -> Answer {
    let path = request.uri().path().to_owned();
    let mut parts = path[1..].split('/');
    let tag: u64 = parts.next().unwrap().parse().unwrap();
    let size: u64 = parts.next().unwrap().parse().unwrap();
    let how = parts.next().unwrap();
    journal.came(tag, &line);
    let head = request.method() == Method::HEAD;
    let (text, mut got, mut body) = (Text::of(of_request(tag)), 0, request.into_body());
    while let Some(frame) = body.frame().await {
        // One that breaks off has no answer.
        let Ok(frame) = frame else {
            return refuse("broken off");
        };
        let Ok(data) = frame.into_data() else { continue };
        if !text.stands_at(got, &data) {
            return refuse("another's body");
        }
        got += data.len() as u64;
    }
    let fails_at = ["b", "x"].contains(&how).then_some(size / 2);
    let body = match head {
        true => Tagged::new(tag, 0, true, None), // hyper would send one over HTTP/2
        false => Tagged::new(tag, size, how != "c", fails_at),
    };
    let body = Served::new(body, tag, line, journal, how == "x");
    let mut answer: Answer = Response::new(body.boxed());
    answer.headers_mut().insert("x-tag", tag.into());
    answer.headers_mut().insert("x-got", got.into());
    if head {
        answer.headers_mut().insert("content-length", size.into());
    }
    answer
}

fn refuse(why: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(why).map_err(|never| match never {}).boxed());
    *answer.status_mut() = StatusCode::IM_A_TEAPOT;
    answer
}
