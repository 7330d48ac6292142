//! A spec out of captured hellos.

use super::super::hello::{ClientHello, EncryptedClientHello, Extension, KeyShare, kind};
use super::super::{Record, hellos, is_grease};
use super::sample::{X25519, X25519MLKEM768, firefox_payload, share_len};
use super::{Code, EchGrease, HelloSpec, Slot, SpecError};

type Result<T> = std::result::Result<T, SpecError>;

/// What [`Slot::Padding`] brings a hello to, in octets.
pub(super) const PADDED: usize = 512;
/// The payloads of Chromium's [`EchGrease`], in octets.
pub(super) const CHROMIUM_PAYLOADS: [usize; 4] = [144, 176, 208, 240];

impl HelloSpec {
    /// Learns a spec from one captured hello: TLS records, of which the first hello counts, or a handshake message.
    ///
    /// One hello cannot show what the client draws: the order of its extensions is taken as fixed, and a session_ticket as sent on
    /// resumed connections too. [`from_client_hellos`](Self::from_client_hellos) learns both.
    ///
    /// # Errors
    /// [`SpecError`] says what is malformed or cannot be served.
    pub fn from_client_hello(bytes: &[u8]) -> Result<Self> {
        Learned::from_bytes(bytes)?.spec()
    }

    /// Learns a spec from several captured hellos of one client: the more, the surer. Where their extensions stand in different orders, the
    /// stretch over which they differ is taken as drawn for each connection; a session_ticket that fresh hellos have and resumed ones
    /// have not is dropped when resuming.
    ///
    /// # Errors
    /// As [`from_client_hello`](Self::from_client_hello), and [`SpecError::Disagree`] if the hellos are not of one client.
    pub fn from_client_hellos<B: AsRef<[u8]>>(captures: impl IntoIterator<Item = B>) -> Result<Self> {
        let mut all = captures
            .into_iter()
            .map(|bytes| Learned::from_bytes(bytes.as_ref()))
            .collect::<Result<Vec<Learned>>>()?;
        if all.iter().any(|one| one.resumed && one.ticket().is_none()) {
            all.iter_mut().for_each(Learned::drop_ticket_when_resuming);
        }
        if all.is_empty() {
            return Err(SpecError::NoHello);
        }
        // One with a session_ticket has all the slots that there are.
        let base = all.iter().position(|one| one.ticket().is_some()).unwrap_or(0);
        let base = all.swap_remove(base);
        let mut moved = Vec::new();
        for other in &all {
            base.agree(other)?;
            moved.extend(base.differences(other));
        }
        let permuted = match (moved.iter().min(), moved.iter().max()) {
            (Some(first), Some(last)) => *first..last + 1,
            _ => 0..0,
        };
        base.spec()?.permuting(permuted)
    }
}

/// What one hello shows.
struct Learned {
    cipher_suites: Vec<Code>,
    slots: Vec<Slot>,
    resumed: bool,
    reuses_x25519: bool,
}

impl Learned {
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        match bytes.first() {
            None => Err(SpecError::NoHello),
            Some(1) => Learned::new(&ClientHello::from_message(bytes)?, bytes.len()),
            Some(_) => {
                let found = hellos(bytes).next().ok_or(SpecError::NoHello)??;
                // As the first hello of a connection is written here.
                let [Record { version: 0x0301, .. }] = found.records[..] else {
                    return Err(SpecError::Records(found.records.len()));
                };
                Learned::new(&found.hello, found.message.len())
            }
        }
    }

    fn new(hello: &ClientHello, len: usize) -> Result<Self> {
        if hello.legacy_version != 0x0303 {
            return Err(SpecError::LegacyVersion(hello.legacy_version));
        }
        if hello.compression_methods != [0] {
            return Err(SpecError::Compression);
        }
        let psk = match hello.extension(kind::PRE_SHARED_KEY) {
            // With its type and length.
            Some(extension) => 4 + extension.body()?.len(),
            None => 0,
        };
        let context = Context { hello, len, psk };
        context.check_session_id()?;
        let slots = hello
            .extensions()
            .iter()
            .filter(|extension| extension.kind() != kind::PRE_SHARED_KEY)
            .map(|extension| context.slot(extension))
            .collect::<Result<_>>()?;
        Ok(Learned {
            cipher_suites: codes(&hello.cipher_suites),
            slots,
            resumed: psk > 0,
            reuses_x25519: reuses_x25519(hello.key_shares()),
        })
    }

    fn spec(self) -> Result<HelloSpec> {
        let spec = HelloSpec::new(self.cipher_suites, self.slots)?;
        match self.reuses_x25519 {
            true => spec.reusing_x25519(),
            false => Ok(spec),
        }
    }

    /// The place of session_ticket.
    fn ticket(&self) -> Option<usize> {
        self.slots.iter().position(is_ticket)
    }

    fn drop_ticket_when_resuming(&mut self) {
        if let Some(slot) = self.ticket().and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot::Native(kind::SESSION_TICKET);
        }
    }

    /// Whether the other hello has what this one has, in whatever order.
    fn agree(&self, other: &Learned) -> Result<()> {
        if self.cipher_suites != other.cipher_suites {
            return Err(SpecError::Disagree("the cipher suites"));
        }
        if self.reuses_x25519 != other.reuses_x25519 {
            return Err(SpecError::Disagree("the keys of X25519"));
        }
        let same_number = self.expected_in(other).count() == other.slots.len();
        if same_number
            && self
                .expected_in(other)
                .all(|(_, slot)| other.slots.contains(slot))
        {
            return Ok(());
        }
        Err(SpecError::Disagree("the extensions"))
    }

    /// The places of this hello at which the other has something else.
    fn differences(&self, other: &Learned) -> impl Iterator<Item = usize> {
        let pairs = self.expected_in(other).zip(&other.slots);
        pairs
            .filter(|((_, mine), theirs)| mine != theirs)
            .map(|((place, _), _)| place)
    }

    /// The slots that the other hello should have as well, with their places here: all, but a session_ticket that it dropped.
    fn expected_in(&self, other: &Learned) -> impl Iterator<Item = (usize, &Slot)> {
        let dropped = other.resumed && other.ticket().is_none();
        let slots = self.slots.iter().enumerate();
        slots.filter(move |(_, slot)| !(dropped && is_ticket(slot)))
    }
}

/// Whether the key of X25519 is that of X25519MLKEM768, where it stands last.
fn reuses_x25519(shares: &[KeyShare]) -> bool {
    let of = |group| shares.iter().find(|share| share.group == group);
    match (of(X25519MLKEM768), of(X25519)) {
        (Some(hybrid), Some(own)) => hybrid.exchange.ends_with(&own.exchange),
        _ => false,
    }
}

fn is_ticket(slot: &Slot) -> bool {
    matches!(
        slot,
        Slot::Native(kind::SESSION_TICKET) | Slot::NativeOrEmpty(kind::SESSION_TICKET)
    )
}

/// What the meaning of an extension depends on besides itself.
struct Context<'a> {
    hello: &'a ClientHello,
    /// The length of the handshake message, in octets.
    len: usize,
    /// The length of pre_shared_key with its header, in octets.
    psk: usize,
}

impl Context<'_> {
    /// With TLS 1.3 on offer 32 bytes are sent, without it none, or 32 beside a ticket.
    fn check_session_id(&self) -> Result<()> {
        let versions = self.hello.supported_versions();
        let modern = versions.is_some_and(|versions| versions.contains(&0x0304));
        match self.hello.session_id.len() {
            32 => Ok(()),
            0 if !modern => Ok(()),
            len => Err(SpecError::SessionId(len)),
        }
    }

    fn slot(&self, extension: &Extension) -> Result<Slot> {
        Ok(match extension {
            Extension::ServerName(names) if names.len() == 1 && names[0].kind == 0 => {
                Slot::Native(kind::SERVER_NAME)
            }
            Extension::ServerName(_) => return Err(SpecError::NoServerName),
            Extension::SessionTicket(_) => Slot::NativeOrEmpty(kind::SESSION_TICKET),
            Extension::SupportedGroups(list) => Slot::Groups(codes(list)),
            Extension::SignatureAlgorithms(list) => Slot::Signatures(codes(list)),
            Extension::SupportedVersions(list) => Slot::Versions(codes(list)),
            Extension::Alpn(protocols) => Slot::Alpn(texts(protocols)?),
            Extension::KeyShare(shares) => Slot::KeyShares(self.shares(shares)?),
            Extension::EncryptedClientHello(ech) => Slot::EchGrease(self.ech(ech)?),
            Extension::Padding(_) if self.len == PADDED => Slot::Padding,
            Extension::Padding(_) => return Err(SpecError::Content(kind::PADDING)),
            Extension::Opaque(kind, body) if is_grease(*kind) => Slot::Grease(body.clone()),
            other => Slot::Raw {
                kind: other.kind(),
                body: other.body()?,
            },
        })
    }

    /// A GREASE share must repeat the groups' own value; any other must be as long as its group wants it.
    fn shares(&self, shares: &[KeyShare]) -> Result<Vec<Code>> {
        for KeyShare { group, exchange } in shares {
            if is_grease(*group) {
                if !self.hello.supported_groups().contains(group) || exchange != &[0] {
                    return Err(SpecError::Grease("key_share"));
                }
            } else if share_len(*group) != Some(exchange.len()) {
                return Err(SpecError::Share(*group));
            }
        }
        Ok(shares.iter().map(|share| code(share.group)).collect())
    }

    /// The rule that a payload of this length follows, or else the length itself.
    fn ech(&self, ech: &EncryptedClientHello) -> Result<EchGrease> {
        let unlike = SpecError::Content(kind::ENCRYPTED_CLIENT_HELLO);
        let EncryptedClientHello::Outer {
            kdf,
            aead,
            enc,
            payload,
            ..
        } = ech
        else {
            return Err(unlike);
        };
        if *kdf != 1 || enc.len() != 32 {
            return Err(unlike);
        }
        let name = self.hello.host_name().map_or(0, <[u8]>::len);
        Ok(match (*aead, payload.len()) {
            (1, len) if CHROMIUM_PAYLOADS.contains(&len) => EchGrease::Chromium,
            (1 | 3, len) if len == firefox_payload(name, self.psk) => EchGrease::Firefox,
            (aead, len) => EchGrease::Fixed {
                aead,
                payload: u16::try_from(len).map_err(|_| unlike)?,
            },
        })
    }
}

fn codes(list: &[u16]) -> Vec<Code> {
    list.iter().map(|value| code(*value)).collect()
}

fn code(value: u16) -> Code {
    if is_grease(value) {
        Code::Grease
    } else {
        Code::Plain(value)
    }
}

fn texts(protocols: &[Vec<u8>]) -> Result<Vec<String>> {
    let texts = protocols.iter().map(|name| String::from_utf8(name.clone()));
    texts
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| SpecError::Content(kind::ALPN))
}
