//! CONNECT (RFC 9110, section 9.3.6).

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{End, Failure};
use crate::fault::planted;
use crate::proxy::{ProxyLogin, ProxyProblem};

/// The longest heads of an answer, interim ones included, in octets, and the most fields of one.
const LONGEST: usize = 8 * 1024;
const MOST_FIELDS: usize = 64;

pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: Option<&ProxyLogin>,
    end: End<'_>,
) -> Result<(), Failure> {
    stream.write_all(request(login, end).as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(512);
    loop {
        // One octet more than may be, to see that it is too long.
        let longest = if planted("proxies_talk_without_end") {
            usize::MAX >> 1
        } else {
            LONGEST
        };
        let room = (longest + 1).saturating_sub(answer.len()) as u64;
        let read = (&mut *stream).take(room).read_buf(&mut answer).await?;
        if read == 0 {
            return Err(ProxyProblem::Closed.into());
        }
        if let Some(over) = judge(&answer)? {
            return over.map_err(Failure::from);
        }
        if answer.len() > longest {
            return Err(ProxyProblem::TooLong.into());
        }
    }
}

fn request(login: Option<&ProxyLogin>, end: End<'_>) -> String {
    let authority = match end {
        End::Name(name, port) => format!("{name}:{port}"),
        End::Ip(ip, port) => std::net::SocketAddr::new(ip, port).to_string(),
    };
    let login = login.map_or_else(String::new, |login| {
        let pair = format!("{}:{}", login.user(), login.password());
        format!(
            "Proxy-Authorization: Basic {}\r\n",
            BASE64.encode(pair.as_bytes())
        )
    });
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{login}\r\n")
}

/// What the octets that have come say; none if that is not yet known.
fn judge(mut answer: &[u8]) -> Result<Option<Result<(), ProxyProblem>>, ProxyProblem> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(answer).map_err(|error| match error {
            httparse::Error::TooManyHeaders => ProxyProblem::TooLong,
            _ => ProxyProblem::Malformed,
        })?;
        let (httparse::Status::Complete(length), Some(status)) = (parsed, head.code) else {
            return Ok(None);
        };
        let rest = &answer[length..];
        return Ok(Some(match status {
            // Nothing was asked that it could switch to.
            101 if !planted("a_switch_of_protocols_is_waited_out") => return Err(ProxyProblem::Malformed),
            // Interim: another answer follows.
            100..=199 => {
                answer = rest;
                if answer.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            200..=299 if rest.is_empty() || planted("what_comes_early_is_lost") => Ok(()),
            200..=299 => Err(ProxyProblem::Early),
            // Some say of a wrong login what a server of its own would.
            401 | 407 => Err(ProxyProblem::Login),
            status => Err(ProxyProblem::Status(status)),
        }));
    }
}
