//! One handshake, with the configuration of its identity.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::Interned;
use super::error::handshake_error;
use super::shape::{self, Rejected, Shaped};
use super::tickets::{MOST_SESSIONS, Room, Tickets, spread};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::Protocol;
use crate::fault::planted;
use crate::fingerprint::{HelloPrints, Outline, kind};
use crate::identity::{Identity, IdentityId, Require};
use crate::sync::Mutex;
use crate::target::Target;

/// The length of a record's header, in octets.
const RECORD_HEADER: usize = 5;
/// Identities and ports whose sessions are remembered: as many as there may be sessions. With one more, one that is drawn goes: those that come in turn find some of what
/// they left, where the oldest would ever be the one that comes next.
const MOST_CONFIGS: usize = MOST_SESSIONS;

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version, as rustls names it: `TLSv1_3` or `TLSv1_2`.
    pub version: &'static str,
    /// The cipher suite, as rustls names it: `TLS13_AES_256_GCM_SHA384`, say.
    pub suite: &'static str,
    /// The group of the key exchange, as IANA numbers it. None where there was none.
    pub group: Option<u16>,
    /// Whether it resumed an earlier session.
    pub resumed: bool,
    /// Whether the hello was shaped by a profile. False where there is none, and where a connection fell back from one.
    pub shaped: bool,
    /// Whether HTTP/2 settings were exchanged within the handshake (draft-vvv-tls-alps). What they say is not used.
    pub application_settings: bool,
    /// The fingerprints of the first hello, as it went out. None if it could not be read.
    pub prints: Option<HelloPrints>,
}

/// What a handshake goes with: the profile of its identity, or less where a server would not have that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Dress {
    /// All of the profile.
    #[default]
    Profile,
    /// All of it, and records that a server takes of which the profile invited it to say how long they may be, in octets.
    ShortRecords(u16),
    /// None of it.
    Unshaped,
}

impl Dress {
    /// How long a record may be at most, its header included, if the server says so. In octets.
    fn fragment(self) -> Option<usize> {
        match self {
            // The limit counts the type of the content (RFC 8449 section 4), rustls a record's header.
            Dress::ShortRecords(limit) => Some(usize::from(limit) - 1 + RECORD_HEADER),
            Dress::Profile | Dress::Unshaped => None,
        }
    }
}

/// Makes TLS connections.
///
/// One configuration for each identity and port, each with a session store of its own, because rustls looks sessions up by the
/// server's name alone: so a ticket is never offered under another identity, nor to another port of the same host. Verifier and certificate resolver are
/// shared within an identity and by nothing across, so that rustls itself would refuse a session of another.
#[derive(Default)]
pub(crate) struct Connector {
    configs: Mutex<Configs>,
    /// For the sessions of all of them.
    room: Arc<Room>,
}

type Key = (IdentityId, u16, Discriminant<Dress>);

#[derive(Default)]
struct Configs {
    /// One of each dress: a peer that names another limit of its records each time has no place more for it.
    kept: HashMap<Key, Used>,
    /// Counts those that went.
    gone: u64,
    /// The highest number of an identity that was retired. Whoever rests on a setup of the pool's that has no higher one is retired as well; a dial of
    /// theirs may be under way.
    retired: Option<u64>,
}

struct Used {
    config: Arc<ClientConfig>,
    /// Where its sessions are. Closed with it: its connections may live on, and nobody will ask for what they are given.
    sessions: Option<Arc<Tickets>>,
    /// Held: sessions are of use when no connection is left, to whoever asks for the same again and is given the same number.
    _identity: Arc<Interned>,
}

impl Drop for Used {
    fn drop(&mut self) {
        if let Some(sessions) = &self.sessions {
            sessions.close();
        }
    }
}

impl Connector {
    /// Forgets the sessions of these identities.
    pub(crate) fn forget(&self, retired: &HashSet<IdentityId>) {
        let mut configs = self.configs.lock();
        configs.retired = configs.retired.max(retired.iter().map(|id| id.0).max());
        let gone = configs.kept.extract_if(|(id, ..), _| retired.contains(id));
        let gone: Vec<_> = gone.collect();
        drop(configs);
        drop(gone); // outside the lock
    }

    fn config(&self, identity: &Arc<Interned>, port: u16, dress: Dress) -> Arc<ClientConfig> {
        let mut configs = self.configs.lock();
        let key = (identity.id, port, discriminant(&dress));
        if let Some(used) = configs.kept.get_mut(&key) {
            let limit = dress.fragment();
            if limit.is_some() && limit != used.config.max_fragment_size {
                let mut config = (*used.config).clone();
                config.max_fragment_size = limit;
                used.config = Arc::new(config);
            }
            return Arc::clone(&used.config);
        }
        let (config, sessions) = configs.derive(identity, dress, &self.room);
        let config = Arc::new(config);
        let used = Used {
            config: Arc::clone(&config),
            sessions,
            _identity: Arc::clone(identity),
        };
        let gone = match configs.is_retired(identity) {
            true => Some(used),
            false => configs.keep(key, used),
        };
        drop(configs);
        drop(gone); // outside the lock
        config
    }

    /// Shakes hands with `target` over `stream`; answers the protocol that ALPN settled.
    ///
    /// Cancel safe: dropping it drops the stream.
    pub(crate) async fn connect<IO>(
        &self,
        target: &Target<'_>,
        identity: &Arc<Interned>,
        dress: Dress,
        stream: IO,
    ) -> Result<(TlsStream<Shaped<IO>>, Protocol, TlsInfo), Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let require = identity.identity.require;
        let config = self.config(identity, target.port(), dress);
        let name = server_name(target)?;
        let (stream, seen) = match shaper(identity, dress) {
            Some(shaper) => shape::connect(shaper, config, name, stream).await,
            None => shape::watch(config, name, stream).await,
        }
        .map_err(handshake_error)?;
        let session = stream.get_ref().1;
        let protocol = agreed(session.alpn_protocol(), require)?;
        let info = info(session, &seen);
        Ok((stream, protocol, info))
    }

    /// How to try once more, on another transport, after `error`; none if that is final.
    pub(crate) fn again(&self, identity: &Interned, dress: Dress, error: &Error) -> Option<Dress> {
        let why = error.cause_as::<Rejected>()?;
        match (why, dress) {
            (Rejected::RecordLimit(limit), Dress::Profile) => Some(Dress::ShortRecords(*limit)),
            (_, Dress::Unshaped) => None,
            _ => identity.identity.tls.falls_back().then_some(Dress::Unshaped),
        }
    }
}

/// What shapes a connection that goes with `dress`.
fn shaper(identity: &Interned, dress: Dress) -> Option<&Arc<shape::Shaper>> {
    let shaper = identity.identity.tls.shaper();
    shaper.filter(|_| dress != Dress::Unshaped)
}

impl Configs {
    /// A configuration for one more port of `identity`, or another dress, and where its sessions are.
    fn derive(
        &self,
        identity: &Interned,
        dress: Dress,
        room: &Arc<Room>,
    ) -> (ClientConfig, Option<Arc<Tickets>>) {
        let shaper = shaper(identity, dress);
        let Identity {
            require,
            tls,
            partition: _, // it is kept apart by being another identity
            epoch: _,     // as well
            sources: _,   // as well
            login: _,     // as well
            dial: _,      // as well
        } = &identity.identity;
        let shared = planted("identities_share_their_sessions");
        let mut others = self.kept.iter();
        let other =
            others.find(|((id, _, worn), _)| *id == identity.id && *worn == discriminant(&dress) || shared);
        let mut config = match other {
            Some((_, used)) => (*used.config).clone(),
            None => tls.config(shaper.map(|shaper| &**shaper)),
        };
        config.alpn_protocols = require.offers().iter().map(|p| p.alpn().into()).collect();
        config.enable_early_data = false;
        let mut sessions = tls.sessions(shaper.map(|shaper| &**shaper), room);
        if shared && let Some((_, other)) = other {
            sessions.clone_from(&other.sessions);
        }
        config.resumption = match &sessions {
            Some(sessions) => Resumption::store(Arc::<Tickets>::clone(sessions)),
            None => Resumption::disabled(),
        };
        config.max_fragment_size = dress.fragment().or(config.max_fragment_size);
        (config, sessions)
    }

    /// Whether nobody will ask for what this identity is given.
    fn is_retired(&self, identity: &Interned) -> bool {
        let epoch = identity.identity.epoch;
        epoch.is_some_and(|epoch| Some(epoch) <= self.retired)
    }

    /// Keeps one more, and answers what goes for it, with its sessions.
    fn keep(&mut self, key: Key, used: Used) -> Option<Used> {
        let mut drawn = None;
        let most = match planted("few_identities_resume") {
            true => MOST_CONFIGS / 8,
            false => MOST_CONFIGS,
        };
        if self.kept.len() >= most {
            self.gone += 1;
            let place = spread(self.gone) as usize % most; // 32 bits
            drawn = self.kept.keys().nth(place).copied();
        }
        self.kept.insert(key, used);
        drawn.and_then(|drawn| self.kept.remove(&drawn))
    }
}

fn server_name(target: &Target<'_>) -> Result<ServerName<'static>, Error> {
    match target.ip() {
        Some(ip) => Ok(ServerName::IpAddress(ip.into())),
        None => ServerName::try_from(target.host().to_owned()).map_err(|_| {
            let problem = io::Error::new(
                io::ErrorKind::InvalidInput,
                "the host is no legal TLS server name",
            );
            Error::new(ErrorKind::Tls, Phase::Tls).with_source(problem)
        }),
    }
}

/// A peer that chose nothing is taken to speak HTTP/1.1, as before ALPN (RFC 7301 section 3.1), unless h2 was required.
fn agreed(alpn: Option<&[u8]>, require: Require) -> Result<Protocol, Error> {
    let protocol = match alpn {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    match require.offers().contains(&protocol) {
        true => Ok(protocol),
        false => Err(Error::new(ErrorKind::Protocol, Phase::Tls)),
    }
}

fn info(session: &rustls::ClientConnection, seen: &shape::Seen) -> TlsInfo {
    let told = session
        .negotiated_key_exchange_group()
        .map(|group| group.name().into());
    TlsInfo {
        group: seen.group.or(told),
        shaped: seen.shaped,
        application_settings: seen.answers.contains(&kind::APPLICATION_SETTINGS),
        prints: seen
            .hellos
            .first()
            .and_then(|hello| Outline::of(hello).ok())
            .map(HelloPrints::of_outline),
        version: session
            .protocol_version()
            .and_then(|version| version.as_str())
            .unwrap_or("unknown"),
        suite: session
            .negotiated_cipher_suite()
            .and_then(|s| s.suite().as_str())
            .unwrap_or("unknown"),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}

#[cfg(test)]
mod tests;
