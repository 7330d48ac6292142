//! What one captured hello shows.

use super::super::hello::{ClientHello, EncryptedClientHello, Extension, KeyShare, kind};
use super::super::{Record, hellos, is_grease};
use super::sample::{X25519, X25519MLKEM768, firefox_payload, share_len};
use super::shape::padding_of;
use super::{Code, EchGrease, HelloSpec, Slot, SpecError};

type Result<T> = std::result::Result<T, SpecError>;

/// The payloads of Chromium's [`EchGrease`], in octets.
pub(super) const CHROMIUM_PAYLOADS: [usize; 4] = [144, 176, 208, 240];

/// A captured hello as the recipe that gives it.
pub(super) struct Seen {
    cipher_suites: Vec<Code>,
    pub(super) slots: Vec<Slot>,
    pub(super) resumed: bool,
    reuses_x25519: bool,
    /// The length of the handshake message, and of the name in it, in octets.
    pub(super) len: usize,
    pub(super) name: usize,
    /// The cipher and the length of the payload of its encrypted_client_hello.
    pub(super) ech: Option<(u16, usize)>,
}

impl Seen {
    pub(super) fn in_capture(bytes: &[u8]) -> Result<Self> {
        match bytes.first() {
            None => Err(SpecError::NoHello),
            Some(1) => Seen::new(&ClientHello::from_message(bytes)?, bytes.len()),
            Some(_) => {
                let found = hellos(bytes).next().ok_or(SpecError::NoHello)??;
                // As the first hello of a connection is written here.
                let [Record { version: 0x0301, .. }] = found.records[..] else {
                    return Err(SpecError::Records(found.records.len()));
                };
                Seen::new(&found.hello, found.message.len())
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
        let ech = match hello.extension(kind::ENCRYPTED_CLIENT_HELLO) {
            Some(Extension::EncryptedClientHello(EncryptedClientHello::Outer { aead, payload, .. })) => {
                Some((*aead, payload.len()))
            }
            _ => None,
        };
        Ok(Seen {
            cipher_suites: codes(&hello.cipher_suites),
            slots,
            resumed: psk > 0,
            reuses_x25519: reuses_x25519(hello.key_shares()),
            len,
            name: context.name_len(),
            ech,
        })
    }

    pub(super) fn spec(&self) -> Result<HelloSpec> {
        let spec = HelloSpec::new(self.cipher_suites.clone(), self.slots.clone())?;
        match self.reuses_x25519 {
            true => spec.reusing_x25519(),
            false => Ok(spec),
        }
    }

    /// The place of session_ticket.
    pub(super) fn ticket(&self) -> Option<usize> {
        self.slots.iter().position(is_ticket)
    }

    pub(super) fn drop_ticket_when_resuming(&mut self) {
        if let Some(slot) = self.ticket().and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot::Native(kind::SESSION_TICKET);
        }
    }

    pub(super) fn is_padded(&self) -> bool {
        self.slots.contains(&Slot::Padding)
    }

    /// Whether the other hello has what this one has, in whatever order.
    pub(super) fn agree(&self, other: &Seen) -> Result<()> {
        if self.cipher_suites != other.cipher_suites {
            return Err(SpecError::Disagree("the cipher suites"));
        }
        if self.reuses_x25519 != other.reuses_x25519 {
            return Err(SpecError::Disagree("the keys of X25519"));
        }
        let unlike = Err(SpecError::Disagree("the extensions"));
        if self.expected_in(other).count() != other.slots.len() {
            return unlike;
        }
        let mut rest: Vec<&Slot> = other.slots.iter().collect();
        for (_, slot) in self.expected_in(other) {
            match rest.iter().position(|one| *one == slot) {
                Some(place) => drop(rest.swap_remove(place)),
                None if matches!(slot, Slot::EchGrease(_)) && other.ech.is_some() => {
                    return Err(SpecError::Disagree("how they draw encrypted_client_hello"));
                }
                None => return unlike,
            }
        }
        Ok(())
    }

    /// The places of this hello at which the other has something else.
    pub(super) fn differences(&self, other: &Seen) -> impl Iterator<Item = usize> {
        let pairs = self.expected_in(other).zip(&other.slots);
        pairs
            .filter(|((_, mine), theirs)| mine != theirs)
            .map(|((place, _), _)| place)
    }

    /// The slots that the other hello should have as well, with their places here: all, but a session_ticket that it dropped, and padding that its
    /// length does not call for.
    fn expected_in(&self, other: &Seen) -> impl Iterator<Item = (usize, &Slot)> {
        let dropped = other.resumed && other.ticket().is_none();
        let bare = !other.is_padded() && padding_of(other.len).is_none();
        let slots = self.slots.iter().enumerate();
        slots.filter(move |(_, slot)| !(dropped && is_ticket(slot) || bare && **slot == Slot::Padding))
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

    fn name_len(&self) -> usize {
        self.hello.host_name().map_or(0, <[u8]>::len)
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
            Extension::Padding(zeros) => self.padding(usize::from(*zeros))?,
            Extension::Opaque(kind, body) if is_grease(*kind) => {
                // Whatever else stands there may have been drawn.
                match body.iter().all(|byte| *byte == 0) {
                    true => Slot::Grease(body.clone()),
                    false => return Err(SpecError::Drawn(*kind)),
                }
            }
            other => Slot::Raw {
                kind: other.kind(),
                body: other.body()?,
            },
        })
    }

    /// As many zeros as the rule has for a hello without them, and that is one which [`Slot::Padding`] sends.
    fn padding(&self, zeros: usize) -> Result<Slot> {
        match self.len.checked_sub(4 + zeros).and_then(padding_of) {
            Some(rule) if rule == zeros => Ok(Slot::Padding),
            _ => Err(SpecError::Content(kind::PADDING)),
        }
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
        Ok(match (*aead, payload.len()) {
            (1, len) if CHROMIUM_PAYLOADS.contains(&len) => EchGrease::Chromium,
            (3, len) if CHROMIUM_PAYLOADS.contains(&len) => EchGrease::ChromiumWithoutAes,
            (1 | 3, len) if len == firefox_payload(self.name_len(), self.psk) => EchGrease::Firefox,
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
