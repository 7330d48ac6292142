//! DNS by hickory: the system's name servers and hosts file, or name servers of one's own.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::{Answer, Resolve, ResolveError, Resolving};
use crate::error::is_local;
use crate::sync::Mutex;

/// Resolves through the name servers that the system is configured with, or through others, and reads the system's hosts file.
///
/// Names are absolute: no search domain is ever appended, so that the name which is resolved is the name the certificate must carry.
/// hickory's own cache is off; a pool remembers addresses by its own clock. Both families are asked for at once.
///
/// ```
/// use hotpool::{HickoryResolver, HotConnPool};
///
/// let own = HickoryResolver::with_servers(["192.0.2.53:53".parse()?]);
/// let pool = HotConnPool::builder().resolver(own).build()?;
/// # let _ = (pool, HickoryResolver::new());
/// # #[cfg(all(feature = "dot-aws-lc-rs", feature = "doh-aws-lc-rs"))] {
/// // With the features for it: over TLS and over HTTPS, by the name in their certificate.
/// let over_tls = HickoryResolver::over_tls(["192.0.2.53:853".parse()?], "dns.example");
/// let over_https = HickoryResolver::over_https(["192.0.2.53:443".parse()?], "dns.example", "/dns-query");
///
/// // A name server whose certificate is of a root of your own.
/// # use std::sync::Arc;
/// use hotpool::rustls::{ClientConfig, RootCertStore, crypto};
///
/// let roots = RootCertStore::empty(); // and what it is to trust
/// let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
///     .with_safe_default_protocol_versions()?
///     .with_root_certificates(roots)
///     .with_no_client_auth();
/// let at_home = HickoryResolver::over_tls(["192.0.2.53:853".parse()?], "dns.home.example").tls_config(config);
/// # let _ = (over_tls, over_https, at_home);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct HickoryResolver {
    /// None: the system's.
    servers: Option<Arc<[NameServerConfig]>>,
    #[cfg(any(
        feature = "dot-ring",
        feature = "dot-aws-lc-rs",
        feature = "doh-ring",
        feature = "doh-aws-lc-rs"
    ))]
    tls: Option<Box<rustls::ClientConfig>>,
    /// Made at the first question, so that a pool can be built where there is no runtime and no configuration yet.
    made: Arc<Mutex<Option<TokioResolver>>>,
}

impl HickoryResolver {
    /// A resolver that reads the system's configuration when it is first asked.
    pub fn new() -> Self {
        HickoryResolver::default()
    }

    /// A resolver that asks these name servers over UDP, and over TCP where an answer is too long for that.
    pub fn with_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        HickoryResolver::over(servers, || vec![ConnectionConfig::udp(), ConnectionConfig::tcp()])
    }

    /// A resolver that asks these name servers over TLS (RFC 7858), where each must show a certificate for `name`. Their usual port is 853.
    #[cfg(any(feature = "dot-ring", feature = "dot-aws-lc-rs"))]
    pub fn over_tls(servers: impl IntoIterator<Item = SocketAddr>, name: &str) -> Self {
        let name: Arc<str> = name.into();
        HickoryResolver::over(servers, || vec![ConnectionConfig::tls(Arc::clone(&name))])
    }

    /// A resolver that asks these name servers over HTTPS (RFC 8484), where each must show a certificate for `name`. Their usual port is 443, their usual
    /// path `/dns-query`.
    #[cfg(any(feature = "doh-ring", feature = "doh-aws-lc-rs"))]
    pub fn over_https(servers: impl IntoIterator<Item = SocketAddr>, name: &str, path: &str) -> Self {
        let (name, path): (Arc<str>, Arc<str>) = (name.into(), path.into());
        HickoryResolver::over(servers, || {
            vec![ConnectionConfig::https(
                Arc::clone(&name),
                Some(Arc::clone(&path)),
            )]
        })
    }

    /// How the name servers' certificates are judged, in place of Mozilla's roots. The protocols that it offers by ALPN are of no account.
    #[cfg(any(
        feature = "dot-ring",
        feature = "dot-aws-lc-rs",
        feature = "doh-ring",
        feature = "doh-aws-lc-rs"
    ))]
    pub fn tls_config(mut self, config: rustls::ClientConfig) -> Self {
        self.tls = Some(Box::new(config));
        self.made = Arc::default();
        self
    }

    fn over(
        servers: impl IntoIterator<Item = SocketAddr>,
        connections: impl Fn() -> Vec<ConnectionConfig>,
    ) -> Self {
        let server = |address: SocketAddr| {
            let mut connections = connections();
            for connection in &mut connections {
                connection.port = address.port();
            }
            NameServerConfig::new(address.ip(), true, connections)
        };
        HickoryResolver {
            servers: Some(servers.into_iter().map(server).collect()),
            ..HickoryResolver::default()
        }
    }

    fn made(&self) -> Result<TokioResolver, NetError> {
        let mut made = self.made.lock();
        if let Some(resolver) = &*made {
            return Ok(resolver.clone());
        }
        let mut builder = match &self.servers {
            None => TokioResolver::builder_tokio()?,
            Some(servers) => TokioResolver::builder_with_config(
                ResolverConfig::from_name_servers(servers.to_vec()),
                TokioRuntimeProvider::default(),
            ),
        };
        builder.options_mut().cache_size = 0;
        let resolver = self.secure(builder)?.build()?;
        *made = Some(resolver.clone());
        Ok(resolver)
    }

    #[cfg(not(any(
        feature = "dot-ring",
        feature = "dot-aws-lc-rs",
        feature = "doh-ring",
        feature = "doh-aws-lc-rs"
    )))]
    fn secure(
        &self,
        builder: ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError> {
        Ok(builder)
    }

    #[cfg(any(
        feature = "dot-ring",
        feature = "dot-aws-lc-rs",
        feature = "doh-ring",
        feature = "doh-aws-lc-rs"
    ))]
    fn secure(
        &self,
        builder: ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError> {
        let config = match &self.tls {
            Some(config) => (**config).clone(),
            None => mozilla().map_err(|error| NetError::from(error.to_string()))?,
        };
        Ok(builder.with_tls_config(config))
    }
}

/// The roots that a pool trusts, by the provider that is compiled in.
#[cfg(any(
    feature = "dot-ring",
    feature = "dot-aws-lc-rs",
    feature = "doh-ring",
    feature = "doh-aws-lc-rs"
))]
fn mozilla() -> Result<rustls::ClientConfig, rustls::Error> {
    #[cfg(any(feature = "dot-aws-lc-rs", feature = "doh-aws-lc-rs"))]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(any(feature = "dot-aws-lc-rs", feature = "doh-aws-lc-rs")))]
    let provider = rustls::crypto::ring::default_provider();
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

impl Resolve for HickoryResolver {
    fn resolve(&self, host: &str, _port: u16) -> Resolving {
        let name = format!("{host}.");
        let resolver = match self.made() {
            Ok(resolver) => resolver,
            Err(error) => return Resolving::ready(Err(failure(error))),
        };
        let (v6, v4, other) = (name.clone(), name, resolver.clone());
        Resolving::families(
            async move { resolver.ipv6_lookup(v6).await.map(answer).map_err(failure) },
            async move { other.ipv4_lookup(v4).await.map(answer).map_err(failure) },
        )
    }

    fn tells_ports_apart(&self) -> bool {
        false
    }
}

fn answer(lookup: Lookup) -> Answer {
    let records = lookup.answers();
    // That of every alias on the way counts, too.
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
    Answer {
        addresses: records
            .iter()
            .filter_map(|record| record.data.ip_addr())
            .collect(),
        ttl: Duration::from_secs(ttl.into()),
    }
}

fn failure(error: NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::Timeout,
        NetError::Dns(DnsError::NoRecordsFound(none)) => ResolveError::NotFound {
            ttl: Duration::from_secs(none.negative_ttl.unwrap_or(0).into()),
        },
        // A firewall of this machine's may drop what is sent.
        NetError::Io(error) if is_local(&error) || error.kind() == ErrorKind::PermissionDenied => {
            ResolveError::Local(error.to_string())
        }
        other => ResolveError::Failed(other.to_string()),
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HickoryResolver").finish_non_exhaustive()
    }
}
