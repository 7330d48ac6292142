//! The HTTP/1.1 side of a peer (RFC 9112): enough of it to answer any well-formed client, one request at a time.

use std::fmt::Write as _;
use std::io;

use bytes::{Buf, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::life::{Desk, End};
use super::routes::{self, Answer, Framing, Manner};
use super::tap::Tap;

/// A request head longer than this ends the connection.
const LONGEST_HEAD: usize = 256 * 1024;

/// Answers requests until one side ends it.
pub(super) async fn talk(tap: Tap, desk: Desk) -> End {
    let mut talk = Talk {
        tap,
        unread: BytesMut::new(),
        desk,
    };
    loop {
        match talk.exchange().await {
            Ok(Next::Another) => {}
            Ok(Next::Close) => return End::Ours,
            // The end of the stream, a broken stream, or a request that makes no sense: nothing more to say.
            Err(_) => return End::Theirs,
        }
    }
}

enum Next {
    Another,
    Close,
}

struct Talk {
    tap: Tap,
    unread: BytesMut,
    desk: Desk,
}

struct Head {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, _version) = (first.next()?, first.next()?, first.next()?);
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers = lines.map(header).collect::<Option<_>>()?;
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn says(&self, name: &str, word: &str) -> bool {
        let words = |value: &str| {
            value
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case(word))
        };
        self.header(name).is_some_and(words)
    }
}

impl Talk {
    async fn exchange(&mut self) -> io::Result<Next> {
        let head = self.head().await?;
        let conn = &self.desk.conn;
        let nth = conn.request(&head.path, |counts| &mut counts.http1_requests);
        let answer = Answer::to(&head.path);
        if head.says("expect", "100-continue") && answer.manner != Manner::Early {
            self.tap.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let early = answer.manner == Manner::Early;
        let received = if early { 0 } else { self.body(&head).await? };
        self.desk.may_answer().await;
        match answer.manner {
            Manner::Reset(_) => return Ok(Next::Close),
            Manner::Slow(pause) => tokio::time::sleep(pause).await,
            Manner::Hints => {
                self.tap
                    .write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
                    .await?
            }
            Manner::Upgrade => return self.upgrade(nth).await,
            _ => {}
        }
        self.answer(&head, &answer, nth, received).await?;
        if early {
            self.body(&head).await?;
        }
        let close = answer.manner == Manner::Close
            || answer.framing == Framing::Eof
            || head.says("connection", "close");
        Ok(if close { Next::Close } else { Next::Another })
    }

    async fn answer(&mut self, head: &Head, answer: &Answer, nth: u64, received: usize) -> io::Result<()> {
        let size = answer.body.size(received);
        let mut text = self.status_line(answer.status, nth);
        if let Manner::Later(seconds) = answer.manner {
            text.push_str(&format!("retry-after: {seconds}\r\n"));
        }
        if answer.has_body() {
            match answer.framing {
                Framing::Length | Framing::Half => write!(text, "content-length: {size}\r\n"),
                Framing::Chunked => write!(text, "transfer-encoding: chunked\r\n"),
                Framing::Eof => Ok(()),
            }
            .map_err(io::Error::other)?;
        }
        if answer.manner == Manner::Close || answer.framing == Framing::Eof {
            text.push_str("connection: close\r\n");
        }
        text.push_str("\r\n");
        let mut out = text.into_bytes();
        if answer.has_body() && head.method != "HEAD" {
            self.send_body(answer, size, received, &mut out).await?;
        }
        self.tap.write_all(&out).await?;
        self.tap.flush().await?;
        if answer.framing == Framing::Half {
            // The other half never comes. Reading on notices the client's end.
            while self.tap.read_buf(&mut self.unread).await? > 0 {
                self.unread.clear();
            }
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Writes the body behind what `out` holds already, and leaves its last piece there.
    async fn send_body(
        &mut self,
        answer: &Answer,
        size: usize,
        received: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let limit = if answer.framing == Framing::Half {
            size / 2
        } else {
            size
        };
        let chunked = answer.framing == Framing::Chunked;
        for piece in answer.body.pieces(limit, received) {
            if out.len() + piece.len() > routes::PIECE {
                self.tap.write_all(out).await?;
                out.clear();
            }
            if chunked {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            }
            out.extend_from_slice(&piece);
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
        }
        if chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        if let Manner::Extra(count) = answer.manner {
            out.extend_from_slice(&routes::filler(count));
        }
        Ok(())
    }

    async fn upgrade(&mut self, nth: u64) -> io::Result<Next> {
        let mut text = self.status_line(StatusCode::SWITCHING_PROTOCOLS, nth);
        text.push_str("connection: upgrade\r\nupgrade: echo\r\n\r\n");
        self.tap.write_all(text.as_bytes()).await?;
        loop {
            let bytes = self.unread.split();
            self.tap.write_all(&bytes).await?;
            self.tap.flush().await?;
            self.more().await?;
        }
    }

    fn status_line(&self, status: StatusCode, nth: u64) -> String {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Unnamed")
        );
        for (name, value) in routes::identity(&self.desk.conn, nth, "h1") {
            text.extend([name, ": ", &value, "\r\n"]);
        }
        text
    }

    async fn head(&mut self) -> io::Result<Head> {
        let text = self.until(b"\r\n\r\n").await?;
        Head::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads the request's body and forgets it; the answer is its length.
    async fn body(&mut self, head: &Head) -> io::Result<usize> {
        if !head.says("transfer-encoding", "chunked") {
            let length = head.header("content-length").map_or(Ok(0), str::parse);
            let length = length.map_err(|_| io::ErrorKind::InvalidData)?;
            self.skip(length).await?;
            return Ok(length);
        }
        let mut total = 0;
        loop {
            let line = self.until(b"\r\n").await?;
            let digits = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size == 0 {
                while !self.until(b"\r\n").await?.is_empty() {}
                return Ok(total);
            }
            self.skip(size).await?;
            self.until(b"\r\n").await?;
            total += size;
        }
    }

    /// The text up to `mark`, which is read too and left out.
    async fn until(&mut self, mark: &[u8]) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(mark.len()).position(|window| window == mark) {
                let text = self.unread.split_to(end);
                self.unread.advance(mark.len());
                return String::from_utf8(text.to_vec()).map_err(io::Error::other);
            }
            if self.unread.len() > LONGEST_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.more().await?;
        }
    }

    async fn skip(&mut self, mut count: usize) -> io::Result<()> {
        loop {
            let here = count.min(self.unread.len());
            self.unread.advance(here);
            count -= here;
            if count == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.tap.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
