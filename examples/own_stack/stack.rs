//! An HTTP stack of one's own, over either protocol: whole requests in, whole answers out. What it does not have: redirects, cookies, decoding, streaming.

use bytes::Bytes;
use hotpool::{HotConn, HotConnPool, Protocol, RetrySafety};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Reader<'a> = BufReader<&'a mut HotConn>;

/// The stack: a pool, and what to do with it.
#[derive(Clone)]
pub(crate) struct Stack(pub(crate) HotConnPool);

impl Stack {
    /// Sends a request, once more if it was certainly not acted upon.
    pub(crate) async fn send(&self, request: &Request<Bytes>) -> Result<Response<Bytes>> {
        let mut again = true;
        loop {
            let mut conn = self.0.get(request.uri()).await?;
            let answer = match conn.protocol() {
                Protocol::Http2 => http2(&mut conn, request).await,
                _ => http1(&mut conn, request).await,
            };
            let ignored = [RetrySafety::NeverSent, RetrySafety::Unprocessed].contains(&conn.retry_safety());
            if answer.is_ok() || !ignored || !std::mem::take(&mut again) {
                return answer; // The lease goes home. If the exchange is not over, the pool has seen that, and closes the connection.
            }
        }
    }
}

async fn http1(conn: &mut HotConn, request: &Request<Bytes>) -> Result<Response<Bytes>> {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().ok_or("no host")?;
    let mut head = format!("{} {path} HTTP/1.1\r\nhost: {host}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(format!("content-length: {}\r\n\r\n", request.body().len()).into_bytes());
    conn.write_all(&head).await?;
    conn.write_all(request.body()).await?;
    conn.flush().await?; // until then TLS may hold some of it
    let mut read = BufReader::new(conn);
    loop {
        let answer = read_head(&mut read).await?;
        if !answer.status().is_informational() {
            let body = read_body(&mut read, request.method(), &answer).await?;
            return Ok(answer.map(|()| body.into()));
        }
    }
}

async fn read_head(read: &mut Reader<'_>) -> Result<Response<()>> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        if read.read_until(b'\n', &mut text).await? == 0 {
            return Err("the connection ended before the answer's head did".into());
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(&text)?;
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(parsed.code.ok_or("no status")?)?;
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())?;
        answer
            .headers_mut()
            .append(name, HeaderValue::from_bytes(field.value)?);
    }
    Ok(answer)
}

async fn read_body(read: &mut Reader<'_>, method: &Method, answer: &Response<()>) -> Result<Vec<u8>> {
    let (mut body, headers) = (Vec::new(), answer.headers());
    let bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&answer.status());
    if bare || method == Method::HEAD {
        return Ok(body);
    }
    let coding = headers.get("transfer-encoding");
    while coding.is_some_and(|coding| coding == "chunked") {
        let mut line = String::new();
        read.read_line(&mut line).await?;
        let size = line.split([';', '\r']).next().unwrap_or_default();
        let size = u64::from_str_radix(size.trim(), 16)?;
        read_more(read, size, &mut body).await?;
        while read.read_line(&mut line).await? > 2 {} // behind the last chunk, trailers
        if size == 0 {
            return Ok(body);
        }
    }
    match headers.get("content-length") {
        Some(length) => read_more(read, length.to_str()?.parse()?, &mut body).await?,
        None => _ = read.read_to_end(&mut body).await?,
    }
    Ok(body)
}

async fn read_more(read: &mut Reader<'_>, size: u64, body: &mut Vec<u8>) -> Result<()> {
    let came = read.take(size).read_to_end(body).await? as u64;
    (came == size)
        .then_some(())
        .ok_or("the connection ended before the answer did".into())
}

async fn http2(conn: &mut HotConn, request: &Request<Bytes>) -> Result<Response<Bytes>> {
    let (head, mut left) = request.clone().into_parts();
    let head = Request::from_parts(head, ());
    let (answer, mut send) = conn.h2()?.send_request(head, left.is_empty()).await?;
    while !left.is_empty() {
        send.reserve_capacity(left.len());
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
        let piece = left.split_to(room.ok_or("the peer takes no body")??.min(left.len()));
        send.send_data(piece, left.is_empty())?;
    }
    let (head, mut stream) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(Response::from_parts(head, body.into()))
}
