//! The HTTP/2 side of a peer, on stock h2.

use std::future::poll_fn;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream, server};
use http::{Request, Response, StatusCode};
use tokio::task::JoinSet;

use super::life::{Desk, End};
use super::routes::{self, Answer, Framing, Manner};
use super::tap::Tap;

/// What a builder says of HTTP/2. What is not said is h2's default.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) max_streams: Option<u32>,
    pub(super) windows: Option<(u32, u32)>,
}

/// Answers streams, all at once, until one side ends the connection.
pub(super) async fn talk(tap: Tap, desk: Desk, options: &Options) -> End {
    let mut builder = server::Builder::new();
    if let Some(count) = options.max_streams {
        builder.max_concurrent_streams(count);
    }
    if let Some((stream, connection)) = options.windows {
        builder
            .initial_window_size(stream)
            .initial_connection_window_size(connection);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(tap).await else {
        return End::Theirs;
    };
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            // A stream's own error is the client's business.
            Some(ended) = streams.join_next() => drop(ended.expect("a peer's stream does not panic")),
            next = connection.accept() => match next {
                Some(Ok((request, respond))) => {
                    let path = request.uri().path();
                    let nth = desk.conn.request(path, |counts| &mut counts.http2_requests);
                    streams.spawn(serve(request, respond, desk.clone(), nth));
                }
                // Only the protocol's own end or an error ends it; h2 has sent what there was to send.
                Some(Err(_)) | None => return End::Theirs,
            },
        }
    }
}

/// Answers one stream, unless the client resets it first.
async fn serve(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    mut desk: Desk,
    nth: u64,
) -> Result<(), h2::Error> {
    let answer = Answer::to(request.uri().path());
    let bodiless = request.method() == http::Method::HEAD || !answer.has_body();
    let mut body = request.into_body();
    let ready = async {
        let received = if answer.manner == Manner::Early {
            0
        } else {
            read(&mut body).await?
        };
        desk.may_answer().await;
        if let Manner::Slow(pause) = answer.manner {
            tokio::time::sleep(pause).await;
        }
        Ok::<usize, h2::Error>(received)
    };
    let received = tokio::select! {
        biased;
        reset = poll_fn(|cx| respond.poll_reset(cx)) => return note_reset(&desk, reset),
        received = ready => match received {
            Ok(received) => received,
            // A reset may show in the body before it shows in `respond`.
            Err(error) if error.is_reset() => return note_reset(&desk, Err(error)),
            Err(error) => return Err(error),
        },
    };
    if let Manner::Reset(code) = answer.manner {
        respond.send_reset(Reason::from(code));
        return Ok(());
    }
    if answer.manner == Manner::Hints {
        respond.send_informational(head(StatusCode::EARLY_HINTS, []))?;
    }
    let response = full_head(&desk, &answer, nth, received);
    let mut out = respond.send_response(response, bodiless)?;
    if !bodiless {
        match send_body(&mut out, &answer, received).await {
            Ok(None) => {}
            Ok(Some(reason)) => return note_reset(&desk, Ok(reason)),
            Err(error) if error.is_reset() => return note_reset(&desk, Err(error)),
            Err(error) => return Err(error),
        }
    }
    if answer.manner == Manner::Early {
        read(&mut body).await?;
    }
    Ok(())
}

fn note_reset(desk: &Desk, reset: Result<Reason, h2::Error>) -> Result<(), h2::Error> {
    if reset.as_ref().map_or_else(h2::Error::is_reset, |_| true) {
        desk.conn.count(|counts| counts.stream_resets += 1);
    }
    reset.map(drop)
}

fn head<const N: usize>(status: StatusCode, headers: [(&str, String); N]) -> Response<()> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(()).expect("headers of the peer's own making")
}

fn full_head(desk: &Desk, answer: &Answer, nth: u64, received: usize) -> Response<()> {
    let mut response = head(answer.status, routes::identity(&desk.conn, nth, "h2"));
    if let Manner::Later(seconds) = answer.manner {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    if answer.has_body() && matches!(answer.framing, Framing::Length | Framing::Half) {
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, answer.body.size(received).into());
    }
    response
}

async fn read(body: &mut RecvStream) -> Result<usize, h2::Error> {
    let mut received = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        received += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(received)
}

/// Sends the body; the answer is the client's reason if it reset a stream whose body never ends.
async fn send_body(
    out: &mut SendStream<Bytes>,
    answer: &Answer,
    received: usize,
) -> Result<Option<Reason>, h2::Error> {
    let size = answer.body.size(received);
    let half = answer.framing == Framing::Half;
    for mut piece in answer.body.pieces(if half { size / 2 } else { size }, received) {
        while !piece.is_empty() {
            out.reserve_capacity(piece.len());
            let Some(room) = poll_fn(|cx| out.poll_capacity(cx)).await else {
                return Ok(None);
            };
            let taken = piece.split_to(room?.min(piece.len()));
            out.send_data(taken, false)?;
        }
    }
    if half {
        return poll_fn(|cx| out.poll_reset(cx)).await.map(Some);
    }
    out.send_data(Bytes::new(), true)?;
    Ok(None)
}
