//! The two that are asked: nginx, and a server on hyper.

use http::Response;
use http_body_util::{BodyExt, Full};

use super::size;
use super::text::{Tagged, Text};
use crate::common::Dice;
use crate::servers::{Answer, Server};
use crate::support::outside::nginx::Nginx;
use crate::support::outside::{self, Outside};

/// Files of nginx: so many sizes as bodies have, and the large one.
pub(super) const FILES: u64 = 40;

/// How many requests a connection has at nginx. In a debug build it does not end by them: h2's feature `unstable` brings an assertion along that
/// fails where the body of an answer is read behind the end of its connection.
const A_CONNECTION: u32 = if cfg!(debug_assertions) { 1_000_000 } else { 500 };

/// How long the file of this number is.
pub(super) fn file_size(number: u64) -> u64 {
    match number {
        0 => size::LARGE,
        _ => size::ordinary(&mut Dice(number * 7_919)),
    }
}

/// Serves each file by length (`/f/N`) and in chunks (`/c/N`), says whose request it answers, and hangs up on some.
pub(super) fn nginx() -> Option<Outside> {
    let more = format!(
        "keepalive_requests {A_CONNECTION}; add_header x-tag $arg_tag always;
    location /hang {{ return 444; }}
    location /c/ {{ ssi on; ssi_types text/plain; ssi_silent_errors on; alias files/; }}
    location /f/ {{ alias files/; }}"
    );
    let recipe = Nginx { http2: true, more };
    let nginx = outside::start_good(&recipe, 1)?;
    let dir = nginx.place().dir.join("files");
    std::fs::create_dir(&dir).unwrap();
    for number in 0..FILES {
        let text = Text::of(number).first(file_size(number));
        std::fs::write(dir.join(number.to_string()), text).unwrap();
    }
    Some(nginx)
}

/// Answers `/TAG/SIZE/HOW` with so much of the tag's text: `l` by length, `c` in chunks, `b` broken off. A request's body must be of the tag's text,
/// too, and is counted.
pub(super) async fn hyper() -> Server {
    Server::hyper(&["h2", "http/1.1"], |request| async move {
        let path = request.uri().path().to_owned();
        let mut parts = path[1..].split('/');
        let tag: u64 = parts.next().unwrap().parse().unwrap();
        let size: u64 = parts.next().unwrap().parse().unwrap();
        let how = parts.next().unwrap();
        let (text, mut got, mut body) = (Text::of(tag), 0, request.into_body());
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
        let fails_at = (how == "b").then_some(size / 2);
        let answer = Tagged::new(tag, size, how != "c", fails_at);
        let mut answer: Answer = Response::new(answer.boxed());
        answer.headers_mut().insert("x-tag", tag.into());
        answer.headers_mut().insert("x-got", got.into());
        answer
    })
    .await
}

fn refuse(why: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(why).map_err(|never| match never {}).boxed());
    *answer.status_mut() = http::StatusCode::IM_A_TEAPOT;
    answer
}
