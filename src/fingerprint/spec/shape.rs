//! TLS's own hello in the shape of a spec.

use super::super::hello::{
    Binders, ClientHello, EncryptedClientHello, Extension, HelloError, KeyShare, PreSharedKey, kind,
};
use super::draws::Draws;
use super::learn::{CHROMIUM_PAYLOADS, PADDED};
use super::sample::{firefox_payload, share_len};
use super::{Code, EchGrease, HelloSpec, Slot};

/// Why a hello cannot be brought into the shape of a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Neither TLS itself nor the draws have a share of this group.
    #[error("there is no key share for group {0:#06x}")]
    NoShare(u16),
    /// TLS itself sent an extension that must be taken along and has no place in a spec.
    #[error("extension {0} cannot be taken along")]
    Extension(u16),
    /// The hello cannot be written: something is longer than its length prefix allows.
    #[error(transparent)]
    Hello(#[from] HelloError),
}

type Result<T> = std::result::Result<T, ShapeError>;

impl HelloSpec {
    /// The hello that goes out in place of `native`, which is what TLS itself would send, whole or cut before its binders.
    ///
    /// From `native` come the random, the session id, the name, tickets of either version, a cookie and the key shares; everything else from the spec
    /// and the draws. ALPN is what both have, in the order of the spec, and settings are offered only for what ALPN is. Equal
    /// arguments give equal hellos, and a native hello that was cut before its binders gives the same as the whole one, cut there.
    ///
    /// # Errors
    /// [`ShapeError`]: a share is missing, or the hello does not fit its lengths.
    pub fn shape(&self, native: &ClientHello, draws: &Draws) -> Result<ClientHello> {
        self.shape_after(native, draws, None)
    }

    /// The same for the hello that answers a HelloRetryRequest, where `first` is what [`shape`](Self::shape) gave for the first: its
    /// encrypted_client_hello is repeated. If `native` has one share alone, of a group that the first had none of, that is what is sent.
    ///
    /// # Errors
    /// As [`shape`](Self::shape).
    pub fn shape_again(
        &self,
        native: &ClientHello,
        draws: &Draws,
        first: &ClientHello,
    ) -> Result<ClientHello> {
        self.shape_after(native, draws, Some(first))
    }

    fn shape_after(
        &self,
        native: &ClientHello,
        draws: &Draws,
        first: Option<&ClientHello>,
    ) -> Result<ClientHello> {
        if native.extension(kind::EARLY_DATA).is_some() {
            return Err(ShapeError::Extension(kind::EARLY_DATA));
        }
        let shaping = Shaping {
            spec: self,
            native,
            draws,
            first,
        };
        let mut extensions = Vec::with_capacity(self.slots.len() + 2);
        let mut padding = None;
        for &place in &draws.order {
            match self.slots.get(place) {
                Some(Slot::Padding) => padding = Some(extensions.len()),
                Some(slot) => extensions.extend(shaping.extension(place, slot)?),
                None => {}
            }
        }
        if let Some(cookie) = native.extension(kind::COOKIE) {
            let place = extensions
                .iter()
                .position(|extension| extension.kind() == kind::PSK_KEY_EXCHANGE_MODES);
            extensions.insert(place.unwrap_or(extensions.len()), cookie.clone());
        }
        extensions.extend(native.extension(kind::PRE_SHARED_KEY).cloned());
        let mut hello = ClientHello {
            legacy_version: native.legacy_version,
            random: native.random,
            session_id: native.session_id.clone(),
            cipher_suites: codes(&self.cipher_suites, draws.ciphers),
            compression_methods: vec![0],
            extensions: Some(extensions),
        };
        if let Some(place) = padding {
            pad(&mut hello, place)?;
        }
        Ok(hello)
    }
}

/// What the slots are filled from.
struct Shaping<'a> {
    spec: &'a HelloSpec,
    native: &'a ClientHello,
    draws: &'a Draws,
    first: Option<&'a ClientHello>,
}

impl Shaping<'_> {
    fn extension(&self, place: usize, slot: &Slot) -> Result<Option<Extension>> {
        let draws = self.draws;
        Ok(Some(match slot {
            Slot::Native(kind::SESSION_TICKET) if self.resumes() => return Ok(None),
            Slot::Native(kind @ kind::SERVER_NAME) => return Ok(self.native.extension(*kind).cloned()),
            Slot::Native(kind) | Slot::NativeOrEmpty(kind) => match self.native.extension(*kind) {
                Some(extension) => extension.clone(),
                None => Extension::from_body(*kind, &[])?,
            },
            Slot::Raw {
                kind: kind @ (kind::APPLICATION_SETTINGS | kind::APPLICATION_SETTINGS_OLD),
                body,
            } => return self.settings(*kind, body),
            Slot::Raw { kind, body } => Extension::from_body(*kind, body)?,
            Slot::Grease(body) => Extension::Opaque(self.grease_kind(place), body.clone()),
            Slot::Groups(list) => Extension::SupportedGroups(codes(list, draws.groups)),
            Slot::Signatures(list) => Extension::SignatureAlgorithms(codes(list, draws.signatures)),
            Slot::Versions(list) => Extension::SupportedVersions(codes(list, draws.versions)),
            Slot::Alpn(protocols) => {
                let offered = self.offered(protocols.iter().map(String::as_bytes));
                return Ok((!offered.is_empty()).then_some(Extension::Alpn(offered)));
            }
            Slot::KeyShares(list) => Extension::KeyShare(self.shares(list)?),
            Slot::EchGrease(ech) => self.ech(ech)?,
            Slot::Padding => return Ok(None),
        }))
    }

    /// Whether it offers a ticket of TLS 1.3.
    fn resumes(&self) -> bool {
        self.native.extension(kind::PRE_SHARED_KEY).is_some()
    }

    /// The first GREASE extension of the spec has the first value, wherever it is permuted to.
    fn grease_kind(&self, place: usize) -> u16 {
        let before = self.spec.slots.iter().take(place);
        let nth = before.filter(|slot| matches!(slot, Slot::Grease(_))).count();
        let [first, second] = self.draws.extensions;
        if nth == 0 { first } else { second }
    }

    /// Those of `protocols` that TLS itself asks for.
    fn offered<'b>(&self, protocols: impl Iterator<Item = &'b [u8]>) -> Vec<Vec<u8>> {
        let native = self.native.alpn_protocols();
        let wanted = protocols.filter(|protocol| native.iter().any(|one| one == protocol));
        wanted.map(<[u8]>::to_vec).collect()
    }

    /// Settings for the protocols that are asked for.
    fn settings(&self, kind: u16, body: &[u8]) -> Result<Option<Extension>> {
        let (Extension::ApplicationSettings(all) | Extension::ApplicationSettingsOld(all)) =
            Extension::from_body(kind, body)?
        else {
            return Ok(None);
        };
        let offered = self.offered(all.iter().map(Vec::as_slice));
        Ok(match (offered.is_empty(), kind) {
            (true, _) => None,
            (false, kind::APPLICATION_SETTINGS) => Some(Extension::ApplicationSettings(offered)),
            (false, _) => Some(Extension::ApplicationSettingsOld(offered)),
        })
    }

    fn shares(&self, list: &[Code]) -> Result<Vec<KeyShare>> {
        if let [retried] = self.native.key_shares() {
            // The group of a HelloRetryRequest: its share goes alone, without GREASE.
            if !list.contains(&Code::Plain(retried.group)) {
                return Ok(vec![retried.clone()]);
            }
        }
        let share = |code: &Code| match code {
            Code::Grease => Ok(KeyShare {
                group: self.draws.groups,
                exchange: vec![0],
            }),
            Code::Plain(group) => {
                let all = self.native.key_shares().iter().chain(&self.draws.shares);
                let mut wanted = all
                    .filter(|share| share.group == *group && share_len(*group) == Some(share.exchange.len()));
                wanted.next().cloned().ok_or(ShapeError::NoShare(*group))
            }
        };
        list.iter().map(share).collect()
    }

    fn ech(&self, ech: &EchGrease) -> Result<Extension> {
        let repeated = self
            .first
            .and_then(|first| first.extension(kind::ENCRYPTED_CLIENT_HELLO));
        if let Some(repeated) = repeated {
            return Ok(repeated.clone());
        }
        let drawn = &self.draws.ech;
        let name = self.native.host_name().map_or(0, <[u8]>::len);
        let len = match ech {
            // Two bits pick among four.
            EchGrease::Chromium => CHROMIUM_PAYLOADS[(drawn.len & 3) as usize],
            EchGrease::Firefox => firefox_payload(name, psk_len(self.native)?),
            EchGrease::Fixed { payload, .. } => usize::from(*payload),
        };
        Ok(Extension::EncryptedClientHello(EncryptedClientHello::Outer {
            kdf: 1,
            aead: drawn.aead(ech),
            config_id: drawn.config_id,
            enc: drawn.enc.to_vec(),
            payload: drawn.payload(len),
        }))
    }
}

fn codes(list: &[Code], grease: u16) -> Vec<u16> {
    let value = |code: &Code| match code {
        Code::Grease => grease,
        Code::Plain(code) => *code,
    };
    list.iter().map(value).collect()
}

/// The length of pre_shared_key with its header and its binders, even if they were cut off, in octets.
fn psk_len(hello: &ClientHello) -> Result<usize> {
    let Some(extension) = hello.extension(kind::PRE_SHARED_KEY) else {
        return Ok(0);
    };
    Ok(4 + extension.body()?.len() + missing(extension))
}

fn missing(extension: &Extension) -> usize {
    match extension {
        Extension::PreSharedKey(PreSharedKey {
            binders: Binders::Cut(missing),
            ..
        }) => usize::from(*missing),
        _ => 0,
    }
}

/// Puts padding at `place`, as RFC 7685 and BoringSSL have it: one byte at least, since some servers take no empty extension for the last.
fn pad(hello: &mut ClientHello, place: usize) -> Result<()> {
    let cut = hello.extensions().last().map_or(0, missing);
    let len = hello.to_message()?.len() + cut;
    if !(PADDED / 2..PADDED).contains(&len) {
        return Ok(());
    }
    let zeros = (PADDED - len).saturating_sub(4).max(1);
    if let (Some(extensions), Ok(zeros)) = (&mut hello.extensions, u16::try_from(zeros)) {
        extensions.insert(place, Extension::Padding(zeros));
    }
    Ok(())
}
