//! How a connection of a profile opens HTTP/2, as its peer reads it.

use std::error::Error;

use hotpool::fingerprint::{Akamai, Profile};
use hotpool::{HotConnPool, PoolConfig, StaticResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::dump::PATIENCE;
use crate::server::loopback;

/// The name that is asked for: reserved for tests (RFC 2606).
const NAME: &str = "probe.test";

/// An empty SETTINGS frame.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// Lets a pool of `profile` make a request of a listener on the loopback. Answers Akamai's text of what arrives there; none if that is not HTTP/2.
pub(crate) async fn opening_of(profile: &Profile) -> Result<Option<Akamai>, Box<dyn Error>> {
    let (authority, acceptor) = loopback::tls(&[NAME])?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let at = listener.local_addr()?;
    let name = format!("{NAME}:{}", at.port());
    let mut config = PoolConfig::default();
    config.acquire_timeout = PATIENCE;
    let pool = HotConnPool::builder()
        .config(config)
        .roots(loopback::roots(&authority)?)
        .resolver(StaticResolver::new().with(&*name, [at.ip()])?)
        .profile(profile.clone())
        .build()?;
    let ask = async {
        let mut conn = pool.get(&*name).await?;
        if let Ok(mut h2) = conn.h2() {
            let request = http::Request::get(format!("https://{name}/")).body(())?;
            let (answer, _) = h2.send_request(request, true).await?;
            let _ = answer.await; // none comes: the listener has read enough
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let hear = async {
        let mut tls = acceptor.accept(listener.accept().await?.0).await?;
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Ok(None);
        }
        tls.write_all(SETTINGS).await?;
        tls.flush().await?;
        let mut flight = Vec::new();
        loop {
            match Akamai::of_bytes(&flight) {
                // The pseudo-headers come last.
                Ok(akamai) if !akamai.to_string().ends_with('|') => return Ok(Some(akamai)),
                _ if tls.read_buf(&mut flight).await? == 0 => {
                    return Err("the connection ended before its request".into());
                }
                _ => {}
            }
        }
    };
    let both: Result<_, Box<dyn Error>> = tokio::try_join!(ask, hear);
    pool.close().await;
    Ok(both?.1)
}
