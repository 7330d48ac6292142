//! Proxies of other makers, each for one user: tinyproxy (CONNECT) and microsocks (SOCKS5).

use std::io;

use super::super::peers_table::Evidence;
use super::{Outside, Place, Recipe};

/// Whom they let through.
pub const USER: &str = "user";
pub const PASSWORD: &str = "secret";

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyServer {
    TinyProxy,
    MicroSocks,
}

impl Recipe for ProxyServer {
    fn name(&self) -> &'static str {
        match self {
            ProxyServer::TinyProxy => "tinyproxy",
            ProxyServer::MicroSocks => "microsocks",
        }
    }

    fn program(&self) -> &'static str {
        self.name()
    }

    fn version_argument(&self) -> &'static str {
        match self {
            ProxyServer::TinyProxy => "-v",
            ProxyServer::MicroSocks => "-h", // which has no other: it names itself
        }
    }

    fn arguments(&self, place: &Place) -> io::Result<Vec<String>> {
        let (ip, port) = (place.ips[0], place.port);
        let text = match self {
            ProxyServer::TinyProxy => {
                let text = format!(
                    "Port {port}\nListen {ip}\nTimeout 60\nMaxClients 50\nAllow 127.0.0.0/8\nLogLevel Connect\n\
                     BasicAuth {USER} {PASSWORD}\n"
                );
                std::fs::write(place.dir.join("server.conf"), text)?;
                "-d -c server.conf".to_owned()
            }
            ProxyServer::MicroSocks => format!("-i {ip} -p {port} -u {USER} -P {PASSWORD}"),
        };
        Ok(text.split(' ').map(str::to_owned).collect())
    }
}

impl ProxyServer {
    /// How often it led somewhere, by its log.
    pub fn led(self, proxy: &Outside) -> usize {
        let says = match self {
            ProxyServer::TinyProxy => "Established connection to host",
            ProxyServer::MicroSocks => "connected to",
        };
        proxy.output().matches(says).count()
    }

    /// That it did.
    pub fn evidence(self, proxy: &Outside, case: &str) -> Evidence {
        Evidence::counted_by(proxy, case, self.led(proxy))
    }
}
