//! Look like another client: choose a profile, see on the wire that its hello went out, learn a profile from a capture, and use that.
//!
//! Runs by itself, against a TLS server on the loopback (`support/server.rs`). The capture is what a relay in front of that server saw, or a file: TLS records or a
//! ClientHello, as the first bytes of a client are.
//!
//! ```sh
//! cargo run --example fingerprint -- [PROFILE [CAPTURE]]
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what happens")]
#![expect(clippy::disallowed_methods, reason = "the relay is no part of the pool")]

#[path = "support/server.rs"]
#[expect(dead_code, reason = "the relay stands where the server's own addresses would")]
mod server;

use std::net::SocketAddr;

use hotpool::fingerprint::{H2Spec, HelloSpec, Ja4, Profile, ProfileLibrary, hellos};
use hotpool::{ConnInfo, HotConnPool, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let server = server::Server::start().map_err(|error| error.to_string())?;

    // Choose one.
    let library = ProfileLibrary::new();
    let chosen = match arguments.first() {
        Some(name) => library
            .by_name(name)
            .ok_or_else(|| format!("no profile {name:?}"))?,
        None => library.recommended(),
    };
    println!("{}: {}", chosen.name(), chosen.source());
    println!("promises {}; but", chosen.guarantee());
    for limit in chosen.limits() {
        println!("  - {limit}");
    }
    let (flight, info) = connect(&server, chosen).await?;
    verify(chosen, &flight, &info)?;

    // Learn one, and use it.
    let capture = match arguments.get(1) {
        Some(file) => std::fs::read(file).map_err(|error| format!("{file}: {error}"))?,
        None => flight,
    };
    let hello = HelloSpec::from_client_hello(&capture)?;
    println!("{hello}");
    let learned = match chosen.h2() {
        Some(h2) => Profile::custom("learned", hello.spec).with_h2(H2Spec::clone(h2)),
        None => Profile::custom("learned", hello.spec),
    };
    let (flight, info) = connect(&server, &learned).await?;
    verify(&learned, &flight, &info)
}

/// What went over the wire is what the profile says.
fn verify(profile: &Profile, flight: &[u8], info: &ConnInfo) -> Result<(), AnyError> {
    let seen = hellos(flight).next().ok_or("no hello was sent")??;
    let seen = Ja4::of(&seen.hello).to_string();
    println!("{}: JA4 on the wire {seen}", profile.name());
    if profile
        .hello()
        .is_some_and(|hello| hello.ja4().to_string() != seen)
    {
        return Err("another JA4 than the profile's".into());
    }
    let Some(h2) = profile.h2() else {
        return Ok(());
    };
    let sent = info.h2.as_ref().and_then(|h2| h2.akamai());
    let sent = sent.ok_or("no text of Akamai's: HTTP/2 was not opened, and the profile says how")?;
    println!("{}: Akamai's text {sent}", profile.name());
    match h2.akamai() == sent {
        true => Ok(()),
        false => Err("another way to open HTTP/2 than the profile's".into()),
    }
}

/// Makes one request with the profile and its headers. Answers what went out first, and what the connection tells of itself.
async fn connect(server: &server::Server, profile: &Profile) -> Result<(Vec<u8>, ConnInfo), AnyError> {
    let target = server.target();
    let (name, port) = target.split_once(':').ok_or("no port")?;
    let (at, relay) = relay(SocketAddr::from(([127, 0, 0, 1], port.parse()?))).await?;
    let target = format!("{name}:{}", at.port());
    let pool = HotConnPool::builder()
        .roots(server.roots()?)
        .resolver(StaticResolver::new().with(&*target, [at.ip()])?)
        .profile(profile.clone())
        .build()?;
    let mut conn = pool.get(&target).await?;
    // Over HTTP/1.1 the headers are written as text, in the order of `headers().http1()`.
    if let Ok(mut h2) = conn.h2() {
        let mut request = http::Request::get(format!("https://{target}/"));
        for (name, value) in profile.headers().http2() {
            request = request.header(name, value);
        }
        let (response, _) = h2.send_request(request.body(())?, true).await?;
        println!("{}: {}", profile.name(), response.await?.status());
    }
    let info = conn.info().clone();
    drop(conn);
    pool.close().await;
    Ok((relay.await??, info))
}

/// Passes one connection on to the server. Ends with what the client sent first.
async fn relay(to: SocketAddr) -> Result<(SocketAddr, JoinHandle<std::io::Result<Vec<u8>>>), AnyError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let at = listener.local_addr()?;
    let relay = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(to).await?;
        let mut flight = Vec::new();
        while !matches!(hellos(&flight).next(), Some(Ok(_))) && client.read_buf(&mut flight).await? > 0 {}
        server.write_all(&flight).await?;
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await; // however it ends
        Ok(flight)
    });
    Ok((at, relay))
}
