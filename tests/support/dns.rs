//! A scripted name server on the loopback, over UDP and TCP, that says of each name what it was told to say, however wrong.
//!
//! Messages: RFC 1035 section 4.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::certs::{self, Leaf};

/// What it says of a name.
#[derive(Clone, Debug)]
pub enum Say {
    /// These addresses, each in the answer for its family, with this time to live in seconds.
    Addresses(Vec<IpAddr>, u32),
    /// SERVFAIL.
    ServFail,
    /// NXDOMAIN, with a SOA whose negative time to live is this.
    NoSuchName(u32),
    /// No error and no record.
    Nothing,
    /// No word at all.
    Silence,
    /// Two names that are aliases of each other.
    AliasLoop,
    /// Not a DNS message.
    Garbage,
    /// As told, but nothing for IPv6: silence there.
    SilentForV6(Vec<IpAddr>, u32),
}

#[derive(Default)]
struct Script {
    says: HashMap<String, Say>,
    asked: Vec<(String, u16)>,
}

/// The server. Dropping it ends it.
pub struct Dns {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _tasks: JoinSet<()>,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SOA: u16 = 6;
const CNAME: u16 = 5;
const IN: u16 = 1;
/// Above this an answer over UDP says that it is cut, and TCP is asked.
const MOST_OVER_UDP: usize = 1232;

impl Dns {
    /// Starts one at a port of the kernel's choice.
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let address = udp.local_addr().expect("bound");
            if let Ok(tcp) = TcpListener::bind(address).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("bound");
        let script = Arc::new(Mutex::new(Script::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&script)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&script)));
        Dns {
            address,
            script,
            _tasks: tasks,
        }
    }

    /// Starts one that speaks TLS alone, and shows `leaf`: DNS over HTTPS where a client offers HTTP/2, else DNS over TLS.
    pub async fn start_secure(leaf: &Leaf) -> Self {
        let mut config = ServerConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()
            .expect("versions that the provider knows")
            .with_no_client_auth()
            .with_single_cert(leaf.chain.clone(), leaf.key())
            .expect("a chain and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"dot".to_vec()];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let script = Arc::new(Mutex::new(Script::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_tls(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            Arc::clone(&script),
        ));
        Dns {
            address,
            script,
            _tasks: tasks,
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of `name` from now on. Of others: NXDOMAIN.
    pub fn say(&self, name: &str, say: Say) {
        self.script.lock().says.insert(name.to_owned(), say);
    }

    /// How often it was asked for the IPv6 addresses of `name`: once for each resolution. The others are asked for twice where their answer is cut.
    pub fn asked(&self, name: &str) -> usize {
        let script = self.script.lock();
        let such = |(asked, kind): &&(String, u16)| asked == name && *kind == AAAA;
        script.asked.iter().filter(such).count()
    }
}

async fn serve_udp(socket: UdpSocket, script: Arc<Mutex<Script>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Some(mut answer) = answer(&buffer[..length], &script) else {
            continue;
        };
        if answer.len() > MOST_OVER_UDP {
            answer.truncate(length.min(answer.len()));
            answer = cut(&buffer[..length]).unwrap_or(answer);
        }
        let _ = socket.send_to(&answer, from).await;
    }
}

async fn serve_tcp(listener: TcpListener, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        connections.spawn(async move { serve_stream(stream, script).await });
    }
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        connections.spawn(async move {
            let stream = acceptor.accept(stream).await.ok()?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => serve_https(stream, script).await,
                _ => serve_stream(stream, script).await,
            }
        });
    }
}

/// RFC 8484, POST alone.
async fn serve_https(stream: impl AsyncRead + AsyncWrite + Unpin, script: Arc<Mutex<Script>>) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let mut streams = JoinSet::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let script = Arc::clone(&script);
        streams.spawn(async move {
            let (mut body, mut query) = (request.into_body(), Vec::new());
            while let Some(piece) = body.data().await {
                query.extend(piece.ok()?);
            }
            let answer = answer(&query, &script)?;
            let head = http::Response::builder()
                .header("content-type", "application/dns-message")
                .header("content-length", answer.len());
            let mut body = respond.send_response(head.body(()).ok()?, false).ok()?;
            body.send_data(Bytes::from(answer), true).ok()
        });
    }
    None
}

async fn serve_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Arc<Mutex<Script>>,
) -> Option<()> {
    loop {
        let length = stream.read_u16().await.ok()?;
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.ok()?;
        if let Some(answer) = answer(&query, &script) {
            stream.write_u16(answer.len().try_into().ok()?).await.ok()?;
            stream.write_all(&answer).await.ok()?;
        }
    }
}

/// A question: its name, its type, and where in the message it ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(
            std::str::from_utf8(query.get(at..at + length)?)
                .ok()?
                .to_ascii_lowercase(),
        );
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

/// A response without records: the query's id and question, this code, and whether it is cut.
fn head(query: &[u8], end: usize, code: u8, is_cut: bool) -> Option<Vec<u8>> {
    let mut message = query.get(..end)?.to_vec();
    message[2] = 0x84 | (u8::from(is_cut) << 1) | (query[2] & 1);
    message[3] = 0x80 | code;
    message[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    Some(message)
}

fn cut(query: &[u8]) -> Option<Vec<u8>> {
    let (_, _, end) = question(query)?;
    head(query, end, 0, true)
}

fn answer(query: &[u8], script: &Mutex<Script>) -> Option<Vec<u8>> {
    let (name, kind, end) = question(query)?;
    let say = {
        let mut script = script.lock();
        script.asked.push((name.clone(), kind));
        script.says.get(&name).cloned()
    };
    let plain = |code| head(query, end, code, false);
    match say.unwrap_or(Say::NoSuchName(1)) {
        Say::Addresses(addresses, ttl) => Some(records(plain(0)?, &of_kind(&addresses, kind), ttl)),
        Say::SilentForV6(_, _) if kind == AAAA => None,
        Say::SilentForV6(addresses, ttl) => Some(records(plain(0)?, &of_kind(&addresses, kind), ttl)),
        Say::ServFail => plain(2),
        Say::NoSuchName(ttl) => Some(authority(plain(3)?, ttl)),
        Say::Nothing => plain(0),
        Say::Silence => None,
        Say::Garbage => Some(vec![0xff; 40]),
        Say::AliasLoop => Some(alias(plain(0)?, &name)),
    }
}

fn of_kind(addresses: &[IpAddr], kind: u16) -> Vec<IpAddr> {
    let right = |ip: &&IpAddr| ip.is_ipv4() && kind == A || ip.is_ipv6() && kind == AAAA;
    addresses.iter().filter(right).copied().collect()
}

/// Adds answers for the name that was asked for.
fn records(mut message: Vec<u8>, addresses: &[IpAddr], ttl: u32) -> Vec<u8> {
    message[6..8].copy_from_slice(&u16::try_from(addresses.len()).expect("so many").to_be_bytes());
    for ip in addresses {
        match ip {
            IpAddr::V4(v4) => record(&mut message, A, ttl, &v4.octets()),
            IpAddr::V6(v6) => record(&mut message, AAAA, ttl, &v6.octets()),
        }
    }
    message
}

fn authority(mut message: Vec<u8>, ttl: u32) -> Vec<u8> {
    message[9] = 1;
    let mut data = vec![0, 0]; // the root, twice: who is asked and who is written to
    for number in [1, 3600, 600, 86_400, ttl] {
        data.extend(number.to_be_bytes());
    }
    record(&mut message, SOA, ttl, &data);
    message
}

/// `name` is an alias of `x.name`, and that of `name`: whichever is asked for is answered with both.
fn alias(mut message: Vec<u8>, name: &str) -> Vec<u8> {
    message[7] = 2;
    let other = match name.strip_prefix("x.") {
        Some(other) => other.to_owned(),
        None => format!("x.{name}"),
    };
    let written = |name: &str| {
        let labels = name.split('.').flat_map(|label| {
            let length = u8::try_from(label.len()).expect("a label");
            [vec![length], label.as_bytes().to_vec()].concat()
        });
        labels.chain([0]).collect::<Vec<u8>>()
    };
    record(&mut message, CNAME, 60, &written(&other));
    message.extend(written(&other));
    fields(&mut message, CNAME, 60, &[0xc0, 12]);
    message
}

/// A record of the name that was asked for, which stands at byte 12.
fn record(message: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) {
    message.extend([0xc0, 12]);
    fields(message, kind, ttl, data);
}

fn fields(message: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
    message.extend(data);
}
