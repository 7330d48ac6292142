//! A hello of a spec's shape, with fillers where a connection has values of its own. What can be seen without those is read off it.

use super::super::hello::{
    Binders, ClientHello, EncryptedClientHello, Extension, KeyShare, PreSharedKey, ServerName, kind,
};
use super::{Code, EchGrease, HelloSpec, Slot};

/// What stands for a GREASE value in a list, and for the types of the two GREASE extensions.
const GREASE: [u16; 2] = [0x0a0a, 0x1a1a];

pub(super) const X25519MLKEM768: u16 = 0x11ec;
pub(super) const X25519: u16 = 0x001d;

/// The longest name of a host, in octets (RFC 1035 section 3.1).
const LONGEST_NAME: usize = 253;

impl HelloSpec {
    /// A hello of this shape that is as long as any, pre_shared_key and padding aside.
    pub(super) fn sample(&self, resumed: bool) -> ClientHello {
        let mut grease = GREASE.into_iter().cycle();
        let mut extensions: Vec<Extension> = self
            .slots
            .iter()
            .filter(|slot| !(resumed && **slot == Slot::Native(kind::SESSION_TICKET)))
            .map(|slot| slot.sample(&mut grease))
            .collect();
        if resumed {
            extensions.push(Extension::PreSharedKey(PreSharedKey {
                identities: Vec::new(),
                binders: Binders::Present(Vec::new()),
            }));
        }
        ClientHello {
            legacy_version: 0x0303,
            random: [0; 32],
            session_id: vec![0; 32],
            cipher_suites: plain(&self.cipher_suites),
            compression_methods: vec![0],
            extensions: Some(extensions),
        }
    }
}

impl Slot {
    fn sample(&self, grease: &mut impl Iterator<Item = u16>) -> Extension {
        match self {
            Slot::Native(kind::SERVER_NAME) => Extension::ServerName(vec![ServerName {
                kind: 0,
                name: vec![b'a'; LONGEST_NAME],
            }]),
            Slot::Native(kind) | Slot::NativeOrEmpty(kind) => Extension::Opaque(*kind, Vec::new()),
            Slot::Raw { kind, body } => {
                Extension::from_body(*kind, body).unwrap_or_else(|_| Extension::Opaque(*kind, body.clone()))
            }
            Slot::Grease(body) => Extension::Opaque(grease.next().unwrap_or(GREASE[0]), body.clone()),
            Slot::Groups(codes) => Extension::SupportedGroups(plain(codes)),
            Slot::Signatures(codes) => Extension::SignatureAlgorithms(plain(codes)),
            Slot::Versions(codes) => Extension::SupportedVersions(plain(codes)),
            Slot::Alpn(protocols) => {
                Extension::Alpn(protocols.iter().map(|name| name.as_bytes().to_vec()).collect())
            }
            Slot::KeyShares(codes) => Extension::KeyShare(codes.iter().map(|code| share(*code)).collect()),
            Slot::EchGrease(ech) => Extension::EncryptedClientHello(EncryptedClientHello::Outer {
                kdf: 1,
                aead: 1,
                config_id: 0,
                enc: vec![0; 32],
                payload: vec![0; ech.longest()],
            }),
            Slot::Padding => Extension::Padding(0),
        }
    }
}

impl EchGrease {
    /// As long as any payload but one beside a long ticket, in octets.
    pub(super) fn likely(&self) -> usize {
        const TICKET: usize = 320;
        match self {
            EchGrease::Firefox => firefox_payload(0, TICKET),
            EchGrease::Chromium | EchGrease::ChromiumWithoutAes | EchGrease::Fixed { .. } => self.longest(),
        }
    }

    /// The longest payload on a connection that resumes nothing, in octets.
    fn longest(&self) -> usize {
        match self {
            EchGrease::Chromium | EchGrease::ChromiumWithoutAes => 240,
            EchGrease::Firefox => firefox_payload(LONGEST_NAME, 0),
            EchGrease::Fixed { payload, .. } => usize::from(*payload),
        }
    }
}

/// The length of Firefox's payload for a name of `name` octets beside a pre_shared_key that takes `psk` octets with its header: 219 and
/// what pre_shared_key and a name over 100 octets add, rounded up to 31 modulo 32, and the cipher's tag of 16.
pub(super) fn firefox_payload(name: usize, psk: usize) -> usize {
    let inner = 219 + psk + name.saturating_sub(100);
    (inner + 1).next_multiple_of(32) - 1 + 16
}

/// The length of a group's share, in octets. `None` if there is no implementation of it.
pub(super) fn share_len(group: u16) -> Option<usize> {
    match group {
        X25519MLKEM768 => Some(1216),
        X25519 => Some(32),
        0x0017 => Some(65), // secp256r1
        0x0018 => Some(97), // secp384r1
        _ => None,
    }
}

fn share(code: Code) -> KeyShare {
    let (group, len) = match code {
        Code::Grease => (GREASE[0], 1),
        Code::Plain(group) => (group, share_len(group).unwrap_or(0)),
    };
    KeyShare {
        group,
        exchange: vec![0; len],
    }
}

fn plain(codes: &[Code]) -> Vec<u16> {
    codes
        .iter()
        .map(|code| match code {
            Code::Grease => GREASE[0],
            Code::Plain(code) => *code,
        })
        .collect()
}
