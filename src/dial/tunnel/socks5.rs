//! SOCKS5 (RFC 1928), with a user and a password where a login is given (RFC 1929).
//!
//! Every answer says how long it is before it ends: nothing is read beyond.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{End, Failure};
use crate::proxy::{ProxyLogin, ProxyProblem};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
/// No method of those on offer.
const NONE: u8 = 0xff;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;
const DONE: u8 = 0;

pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: Option<&ProxyLogin>,
    end: End<'_>,
) -> Result<(), Failure> {
    if login.is_some_and(|login| !login.fits_socks5()) {
        return Err(ProxyProblem::Login.into());
    }
    let methods: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    say(stream, methods).await?;
    match (hear(stream).await?, login) {
        ([VERSION, NO_LOGIN], _) => {}
        ([VERSION, PASSWORD], Some(login)) => log_in(stream, login).await?,
        ([VERSION, NONE], _) => return Err(ProxyProblem::Login.into()),
        _ => return Err(ProxyProblem::Malformed.into()),
    }
    say(stream, &request(end)).await?;
    let kind = match hear(stream).await? {
        [VERSION, DONE, _, kind] => kind,
        [VERSION, code, ..] => return Err(ProxyProblem::Reply(code).into()),
        _ => return Err(ProxyProblem::Malformed.into()),
    };
    // Where the proxy connects from: read, and of no use.
    let length = match kind {
        V4 => 4,
        V6 => 16,
        NAME => hear::<1>(stream).await?[0].into(),
        _ => return Err(ProxyProblem::Malformed.into()),
    };
    let mut bound = [0; u8::MAX as usize + 2];
    stream.read_exact(&mut bound[..length + 2]).await?;
    Ok(())
}

async fn log_in(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    login: &ProxyLogin,
) -> Result<(), Failure> {
    let mut text = vec![PASSWORD_VERSION];
    for part in [login.user(), login.password()] {
        text.push(part.len() as u8); // at most 255: it fits
        text.extend_from_slice(part.as_bytes());
    }
    say(stream, &text).await?;
    match hear(stream).await? {
        [PASSWORD_VERSION, DONE] => Ok(()),
        [PASSWORD_VERSION, _] => Err(ProxyProblem::Login.into()),
        _ => Err(ProxyProblem::Malformed.into()),
    }
}

fn request(end: End<'_>) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match end {
        End::Name(name, port) => {
            request.extend([NAME, name.len() as u8]); // at most 253, by its parser
            request.extend_from_slice(name.as_bytes());
            port
        }
        End::Ip(IpAddr::V4(ip), port) => {
            request.push(V4);
            request.extend(ip.octets());
            port
        }
        End::Ip(IpAddr::V6(ip), port) => {
            request.push(V6);
            request.extend(ip.octets());
            port
        }
    };
    request.extend(port.to_be_bytes());
    request
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &[u8]) -> Result<(), Failure> {
    stream.write_all(text).await?;
    Ok(stream.flush().await?)
}

async fn hear<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], Failure> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets).await?;
    Ok(octets)
}
