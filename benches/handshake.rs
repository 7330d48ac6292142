//! What a shaped handshake costs beside a stock one with the same key shares, and what is left of it afterwards: over the loopback, in one run, turn
//! by turn, by CPU time.
//!
//! | line | what is measured |
//! |---|---|
//! | `full` | a TLS 1.3 handshake with X25519MLKEM768, its certificate verified, until the server's first answer was read; behind it the client's part |
//! | `resumed` | the same with a ticket |
//! | `crowded` | the same where other names have as many tickets as there is room for, and each handshake brings one more than it takes |
//! | `after` | 16 MiB read from the server, on a connection that stays; beside it a second stock connection, which shows the noise: the middle of five such sets, and the most that two stock ones differed by in any |
//!
//! `--count PROFILE stock|shaped full|resumed N` does so many handshakes of one kind beside a server on a thread of its own, for
//! `valgrind --tool=callgrind --toggle-collect='*handshake*counted*'`. The client's instructions of a handshake, as it counts them:
//!
//! | | stock | shaped | |
//! |---|---|---|---|
//! | Chromium, full | 2,886,170 | 3,027,821 | 1.049 |
//! | Chromium, resumed | 1,503,128 | 1,592,059 | 1.059 |
//! | Firefox, full | 2,914,199 | 2,958,156 | 1.015 |
//! | Firefox, resumed | 1,533,839 | 1,535,068 | 1.001 |
//!
//! Of Chromium's 91,221 are the key in its encrypted_client_hello, which BoringSSL makes for each connection as well, resumed or not; Firefox has
//! none. Of what is left of a full handshake half is the transcript of a longer hello; a resumed one is hashed once here, and twice by stock rustls,
//! for its binder and for the transcript. callgrind knows neither ADX nor SHA's instructions, so that both weigh more there than in time.
//!
//! Chromium's share of X25519 has a key of its own, and Firefox sends a third share, of P-256, neither of which stock rustls does: its stock makes
//! that key, too, and throws it away. So that nothing but the shape differs, the server chooses the cipher suite. The key of encrypted_client_hello
//! counts as the shape's. It exits with an error if a handshake costs more than 1.10 times a stock one, or reading more than 3 % beside it and the
//! noise. `cargo bench --features __internals --bench handshake`; `-- --test` runs each a few times and judges nothing.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and spawns")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on must say so")]

use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hotpool::fingerprint::Profile;
use hotpool::rustls::crypto::aws_lc_rs::{self, Ticketer, kx_group};
use hotpool::rustls::crypto::{ActiveKeyExchange, CryptoProvider, SupportedKxGroup};
use hotpool::rustls::ffdhe_groups::FfdheGroup;
use hotpool::rustls::pki_types::ServerName;
use hotpool::rustls::version::TLS13;
use hotpool::rustls::{
    CipherSuite, ClientConfig, ClientConnection, Error, HandshakeKind, NamedGroup, ProtocolVersion,
    ServerConfig, SupportedCipherSuite,
};
use hotpool::shaped::{Connection, Shape};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[path = "../tests/support/mod.rs"]
mod support;

use support::certs;
use support::measure::{median, thread_cpu as cpu};

/// The most that a shaped handshake may cost, in stock ones.
const MOST: f64 = 1.10;
/// The most that reading afterwards may differ by beside the noise.
const MOST_AFTER: f64 = 0.03;
/// Connections are read from in so many sets, since where one's buffers lie makes some per cent of difference as long as it lives.
const SETS: usize = 5;
const NAME: &str = "peer.test";

/// How long a measurement is.
#[derive(Clone, Copy)]
struct Length {
    handshakes: usize,
    reads: usize,
    /// Octets of one read.
    read: u32,
}

/// The CPU time that `future` takes of this thread while it is polled: what runs between its polls is the server's.
async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let mut future = pin!(future);
    let mut spent = Duration::ZERO;
    let output = poll_fn(|cx| {
        let began = cpu();
        let polled = future.as_mut().poll(cx);
        spent += cpu() - began;
        polled
    });
    let output = output.await;
    (output, spent)
}

/// Two ends of a connection over the loopback.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(at), listener.accept());
    let (near, far) = (near.unwrap(), far.unwrap().0);
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// Answers each request, four octets that say how many, with as many.
async fn serve(config: &Arc<ServerConfig>) -> TcpStream {
    let (near, far) = pair().await;
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    tokio::spawn(async move {
        let mut tls = acceptor.accept(far).await?;
        let filler = vec![7; 1 << 16];
        loop {
            let mut left = tls.read_u32().await? as usize;
            while left > 0 {
                let count = left.min(filler.len());
                tls.write_all(&filler[..count]).await?;
                left -= count;
            }
            tls.flush().await?;
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        io::Result::Ok(())
    });
    near
}

/// Asks for `count` octets and reads them.
async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), count: u32, space: &mut [u8]) {
    stream.write_u32(count).await.unwrap();
    stream.flush().await.unwrap();
    let mut left = count as usize;
    while left > 0 {
        let got = stream.read(black_box(space)).await.unwrap();
        assert!(got > 0);
        left -= got;
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn session(&self) -> &ClientConnection;
}

impl Stream for TlsStream<TcpStream> {
    fn session(&self) -> &ClientConnection {
        self.get_ref().1
    }
}

impl Stream for Connection<TcpStream> {
    fn session(&self) -> &ClientConnection {
        Connection::session(self)
    }
}

/// One of the two that are compared.
enum Client {
    Stock(TlsConnector),
    Shaped(Shape, Arc<ClientConfig>),
}

impl Client {
    async fn connect(&self, io: TcpStream) -> Box<dyn Stream> {
        self.connect_to(NAME, io).await
    }

    async fn connect_to(&self, name: &str, io: TcpStream) -> Box<dyn Stream> {
        match self {
            Client::Stock(connector) => {
                // The other takes its name as a text, too.
                let name = ServerName::try_from(name.to_owned()).unwrap();
                Box::new(connector.connect(name, io).await.unwrap())
            }
            Client::Shaped(shape, config) => Box::new(shape.connect(config, name, io).await.unwrap()),
        }
    }

    /// Takes as many tickets of other names as there is room for.
    async fn crowd(&self) {
        const KEPT_OF_A_NAME: usize = 64;
        const ROOM: usize = 2048;
        let names: Vec<String> = (0..ROOM / KEPT_OF_A_NAME)
            .map(|nth| format!("n{nth}.test"))
            .collect();
        let leaf = certs::authority().server(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let server = server_of(&leaf, KEPT_OF_A_NAME);
        for name in &names {
            let mut tls = self.connect_to(name, serve(&server).await).await;
            read(&mut tls, 1, &mut [0; 64]).await;
        }
    }

    /// Nanoseconds of a handshake of this kind, of both ends and of the client alone.
    async fn handshake(&self, server: &Arc<ServerConfig>, kind: HandshakeKind) -> [f64; 2] {
        let io = serve(server).await;
        let began = cpu();
        let (mut tls, spent) = timed(self.connect(io)).await;
        vouch(tls.session(), Some(kind));
        // Tickets come with the first answer.
        read(&mut tls, 1, &mut [0; 64]).await;
        [cpu() - began, spent].map(|time| time.as_nanos() as f64)
    }
}

/// Both are the same handshakes.
fn vouch(session: &ClientConnection, kind: Option<HandshakeKind>) {
    let agreed = (
        session.protocol_version(),
        session.negotiated_key_exchange_group().map(|group| group.name()),
        session.negotiated_cipher_suite().map(|suite| suite.suite()),
    );
    let expected = (
        Some(ProtocolVersion::TLSv1_3),
        Some(NamedGroup::X25519MLKEM768),
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
    );
    assert_eq!(agreed, expected);
    assert!(kind.is_none() || session.handshake_kind() == kind);
}

/// X25519MLKEM768, with whose key comes one of another group that nobody needs.
#[derive(Debug)]
struct With(&'static dyn SupportedKxGroup);

impl SupportedKxGroup for With {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        black_box(self.0.start()?.pub_key());
        kx_group::X25519MLKEM768.start()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        kx_group::X25519MLKEM768.name()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        kx_group::X25519MLKEM768.usable_for_version(version)
    }
}

static WITH_X25519: With = With(kx_group::X25519);
static WITH_P256: With = With(kx_group::SECP256R1);

/// rustls itself, which sends shares of X25519MLKEM768 and X25519.
fn stock(first: &'static With) -> Client {
    let provider = CryptoProvider {
        kx_groups: vec![first, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(certs::authority().roots())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Client::Stock(TlsConnector::from(Arc::new(config)))
}

fn shaped(profile: &Profile) -> Client {
    let shape = Shape::new(profile.hello().unwrap(), &aws_lc_rs::default_provider()).unwrap();
    let mut config = ClientConfig::builder_with_provider(shape.provider())
        .with_protocol_versions(&shape.versions())
        .unwrap()
        .with_root_certificates(certs::authority().roots())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    shape.complete(&mut config);
    Client::Shaped(shape, Arc::new(config))
}

/// A server that chooses TLS_AES_128_GCM_SHA256, and gives so many tickets.
fn server(tickets: usize) -> Arc<ServerConfig> {
    server_of(&certs::good(), tickets)
}

fn server_of(leaf: &certs::Leaf, tickets: usize) -> Arc<ServerConfig> {
    let mut provider = aws_lc_rs::default_provider();
    let first = |suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(first);
    let mut config = leaf.config(provider, &[&TLS13]);
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new().unwrap();
    config.send_tls13_tickets = tickets;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Medians of both ends, and of the client alone.
struct Medians {
    stock: [f64; 2],
    shaped: [f64; 2],
    /// Of the ratios of each turn: what slows the machine for a while slows both.
    ratio: [f64; 2],
}

/// A stock one and a shaped one, turn by turn.
async fn handshakes(length: Length, stock: &Client, shaped: &Client, tickets: usize) -> Medians {
    let server = server(tickets);
    let kind = match tickets {
        0 => HandshakeKind::Full,
        _ => HandshakeKind::Resumed,
    };
    if tickets > 0 {
        for client in [stock, shaped] {
            client.handshake(&server, HandshakeKind::Full).await;
        }
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..length.handshakes {
        // Neither is always the first.
        if turn % 2 == 0 {
            theirs.push(stock.handshake(&server, kind).await);
            ours.push(shaped.handshake(&server, kind).await);
        } else {
            ours.push(shaped.handshake(&server, kind).await);
            theirs.push(stock.handshake(&server, kind).await);
        }
    }
    let medians = |times: &[[f64; 2]]| [0, 1].map(|nth| median(times.iter().map(|both| both[nth]).collect()));
    let turns = ours.iter().zip(&theirs);
    let ratios: Vec<[f64; 2]> = turns
        .map(|(ours, theirs)| [ours[0] / theirs[0], ours[1] / theirs[1]])
        .collect();
    Medians {
        stock: medians(&theirs),
        shaped: medians(&ours),
        ratio: medians(&ratios),
    }
}

/// Nanoseconds of reading over a stock connection and a shaped one, and what the shaped one and another stock one take of the first's, turn by turn.
async fn after(length: Length, stock: &Client, shaped: &Client) -> ([f64; 2], [f64; 2]) {
    let server = server(0);
    let mut streams = Vec::new();
    for client in [stock, shaped, stock] {
        streams.push(client.connect(serve(&server).await).await);
    }
    let mut space = vec![0; 1 << 16];
    let mut times = [const { Vec::new() }; 3];
    for turn in 0..length.reads + 1 {
        for nth in 0..3 {
            let nth = (nth + turn) % 3;
            let ((), spent) = timed(read(&mut streams[nth], length.read, &mut space)).await;
            if turn > 0 {
                // The first one only warms.
                times[nth].push(spent.as_nanos() as f64);
            }
        }
    }
    let [theirs, ours, again] = times;
    let of_theirs = |times: &[f64]| {
        median(
            times
                .iter()
                .zip(&theirs)
                .map(|(one, theirs)| one / theirs)
                .collect(),
        )
    };
    let ratios = [of_theirs(&ours), of_theirs(&again)];
    ([median(theirs), median(ours)], ratios)
}

/// One handshake of the client's, whose server runs on a thread of its own: what callgrind counts.
#[inline(never)]
fn counted(runtime: &Runtime, client: &Client, io: TcpStream) -> Box<dyn Stream> {
    runtime.block_on(client.connect(io))
}

/// So many handshakes of one kind, with a server on a thread of its own.
fn count(client: &Client, kind: HandshakeKind, handshakes: usize) {
    let resumed = kind == HandshakeKind::Resumed;
    let server = server(usize::from(resumed));
    let servers = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let io = || servers.block_on(serve(&server)).into_std().unwrap();
    let tickets = |tls: &mut Box<dyn Stream>| runtime.block_on(read(tls, 1, &mut [0; 64]));
    let local = |io| runtime.block_on(async { TcpStream::from_std(io).unwrap() });
    // The first has no ticket yet.
    let mut first = runtime.block_on(client.connect(local(io())));
    tickets(&mut first);
    for _ in 0..handshakes {
        let mut tls = counted(&runtime, client, local(io()));
        vouch(tls.session(), Some(kind));
        tickets(&mut tls);
    }
}

/// What `--count PROFILE stock|shaped full|resumed N` asks for.
fn count_as_asked(asked: &[String]) -> ExitCode {
    let [profile, which, kind, handshakes] = asked else {
        println!("--count PROFILE stock|shaped full|resumed N");
        return ExitCode::FAILURE;
    };
    let (profile, first) = match profile.as_str() {
        "chromium" => (Profile::chromium(156).unwrap(), &WITH_X25519),
        _ => (Profile::firefox_esr(153).unwrap(), &WITH_P256),
    };
    let client = match which.as_str() {
        "stock" => stock(first),
        _ => shaped(&profile),
    };
    let kind = match kind.as_str() {
        "full" => HandshakeKind::Full,
        _ => HandshakeKind::Resumed,
    };
    count(&client, kind, handshakes.parse().unwrap());
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().collect();
    if let Some(place) = asked.iter().position(|word| word == "--count") {
        return count_as_asked(&asked[place + 1..]);
    }
    let judged = !std::env::args().any(|word| word == "--test");
    let length = match judged {
        true => Length {
            handshakes: 1000,
            reads: 30,
            read: 16 << 20,
        },
        false => Length {
            handshakes: std::env::var("N").map_or(3, |n| n.parse().unwrap()),
            reads: 1,
            read: 1 << 20,
        },
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut failed = false;
    for (profile, first) in [
        (Profile::chromium(156).unwrap(), &WITH_X25519),
        (Profile::firefox_esr(153).unwrap(), &WITH_P256),
    ] {
        let (stock, shaped) = (stock(first), shaped(&profile));
        for (line, tickets) in [("full", 0), ("resumed", 1), ("crowded", 2)] {
            if line == "crowded" {
                runtime.block_on(shaped.crowd());
                runtime.block_on(stock.crowd());
            }
            let Medians {
                stock: theirs,
                shaped: ours,
                ratio: [ratio, of_client],
            } = runtime.block_on(handshakes(length, &stock, &shaped, tickets));
            failed |= ratio > MOST;
            println!(
                "{:<9} {line:<8} stock {:>7.1} us   shaped {:>7.1} us   {ratio:.3} (client {:.1} us, {:.1} us, {:.3})",
                profile.name(),
                theirs[0] / 1e3,
                ours[0] / 1e3,
                theirs[1] / 1e3,
                ours[1] / 1e3,
                of_client,
            );
        }
        let few = Length {
            reads: length.reads.div_ceil(SETS),
            ..length
        };
        let sets: Vec<_> = (0..SETS)
            .map(|_| runtime.block_on(after(few, &stock, &shaped)))
            .collect();
        let middle = |of: fn(&([f64; 2], [f64; 2])) -> f64| median(sets.iter().map(of).collect());
        let (theirs, ours) = (middle(|set| set.0[0]), middle(|set| set.0[1]));
        let ratio = middle(|set| set.1[0]);
        let noise = sets.iter().map(|set| (set.1[1] - 1.0).abs()).fold(0.0, f64::max);
        failed |= ratio - 1.0 > MOST_AFTER + noise;
        let mib = f64::from(length.read) / f64::from(1 << 20);
        println!(
            "{:<9} after    stock {:>7.1} us   shaped {:>7.1} us   {ratio:.3} (noise {noise:.3}) for each MiB",
            profile.name(),
            theirs / 1e3 / mib,
            ours / 1e3 / mib
        );
    }
    if failed && judged {
        println!("a handshake costs more than {MOST} stock ones, or reading after it more than reading");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
