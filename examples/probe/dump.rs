//! What a connection of a profile sends first, off the wire.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use hotpool::fingerprint::{Ja3, Ja4, Profile, hellos};
use hotpool::{HotConnPool, PoolConfig, StaticResolver};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// The name that is asked for: reserved for examples (RFC 2606).
const NAME: &str = "www.example.com";
/// The listener is of this process.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Writes what a connection of `profile` sends first to `file`.
pub(crate) async fn dump(profile: Profile, file: &Path) -> Result<(), Box<dyn Error>> {
    let flight = flight_of(&profile).await?;
    std::fs::write(file, &flight).map_err(|error| format!("{}: {error}", file.display()))?;
    let found = hellos(&flight).next().ok_or("no hello was sent")??;
    let mut out = std::io::stdout();
    writeln!(out, "profile  {}", profile.name())?;
    writeln!(out, "bytes    {}", flight.len())?;
    writeln!(out, "ja3      {}", Ja3::of(&found.hello))?;
    writeln!(out, "ja3n     {}", Ja3::sorted(&found.hello))?;
    writeln!(out, "ja4      {}", Ja4::of(&found.hello))?;
    writeln!(out, "ja4_r    {}", Ja4::of(&found.hello).raw())?;
    Ok(())
}

/// Lets a pool of `profile` dial a listener on the loopback. Answers what arrives there first: a whole hello.
pub(crate) async fn flight_of(profile: &Profile) -> Result<Vec<u8>, Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let at = listener.local_addr()?;
    let name = format!("{NAME}:{}", at.port());
    let mut config = PoolConfig::default();
    config.acquire_timeout = PATIENCE;
    let pool = HotConnPool::builder()
        .config(config)
        .resolver(StaticResolver::new().with(&*name, [at.ip()])?)
        .profile(profile.clone())
        .build()?;
    // The listener answers nothing, and is gone after the first flight: so the call ends.
    let (got, flight) = tokio::join!(pool.get(name), first_flight(listener));
    drop(got);
    pool.close().await;
    flight
}

/// What the first connection sends, up to its first whole hello.
async fn first_flight(listener: TcpListener) -> Result<Vec<u8>, Box<dyn Error>> {
    let (mut tcp, _) = listener.accept().await?;
    let mut flight = Vec::new();
    while !matches!(hellos(&flight).next(), Some(Ok(_))) {
        if tcp.read_buf(&mut flight).await? == 0 {
            return Err("the connection ended before its hello".into());
        }
    }
    Ok(flight)
}
