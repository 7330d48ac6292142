//! TLS's own hello in the shape of a spec.

use super::super::hello::{CLIENT_HELLO, ClientHello, HelloError, MOST_OCTETS, Outline, Writer, kind, names};
use super::draws::Draws;
use super::sample::{firefox_payload, share_len};
use super::seen::CHROMIUM_PAYLOADS;
use super::{Code, EchGrease, HelloSpec, Slot};

/// What [`Slot::Padding`] brings a hello to, in octets.
pub(super) const PADDED: usize = 512;

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

type Result<T = ()> = std::result::Result<T, ShapeError>;

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
        self.shape_value(native, draws, None)
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
        self.shape_value(native, draws, Some(first))
    }

    fn shape_value(
        &self,
        native: &ClientHello,
        draws: &Draws,
        first: Option<&ClientHello>,
    ) -> Result<ClientHello> {
        let message = native.to_message()?;
        let first = first.map(ClientHello::to_message).transpose()?;
        let first = first.as_deref().map(Outline::of).transpose()?;
        let shaped = self.shape_message(Outline::of(&message)?, draws, first)?;
        Ok(match native.is_truncated() {
            true => ClientHello::from_truncated_message(&shaped)?,
            false => ClientHello::from_message(&shaped)?,
        })
    }

    /// The same as a handshake message, of a handshake message.
    pub(crate) fn shape_message(
        &self,
        native: Outline<'_>,
        draws: &Draws,
        first: Option<Outline<'_>>,
    ) -> Result<Vec<u8>> {
        if native.extension(kind::EARLY_DATA).is_some() {
            return Err(ShapeError::Extension(kind::EARLY_DATA));
        }
        let shaping = Shaping {
            spec: self,
            native,
            keys: native.extension(kind::PRE_SHARED_KEY),
            alpn: native.extension(kind::ALPN).and_then(|body| body.get(2..)),
            draws,
            first,
        };
        let mut w = Writer::with_capacity(MOST_OCTETS);
        w.u8(CLIENT_HELLO);
        w.vec24("client_hello", |w| {
            w.bytes(native.head);
            codes("cipher_suites", &self.cipher_suites, draws.ciphers, w)?;
            w.opaque8("compression_methods", &[0])?;
            w.vec16("extensions", |w| shaping.extensions(w))
        })?;
        Ok(w.into_bytes())
    }
}

/// What the slots are filled from.
struct Shaping<'a> {
    spec: &'a HelloSpec,
    native: Outline<'a>,
    /// The body of its pre_shared_key: it offers a ticket of TLS 1.3.
    keys: Option<&'a [u8]>,
    /// The protocols that it asks for, each behind its length.
    alpn: Option<&'a [u8]>,
    draws: &'a Draws,
    first: Option<Outline<'a>>,
}

impl Shaping<'_> {
    fn extensions(&self, w: &mut Writer) -> Result {
        let mut padding = None;
        let mut cookie = self.native.extension(kind::COOKIE);
        for &place in &self.draws.order {
            match self.spec.slots.get(place) {
                Some(Slot::Padding) => padding = Some(w.len()),
                Some(slot) => {
                    if slot.kind() == Some(kind::PSK_KEY_EXCHANGE_MODES) {
                        verbatim(kind::COOKIE, cookie.take(), w)?;
                    }
                    self.extension(place, slot, w)?;
                }
                None => {}
            }
        }
        verbatim(kind::COOKIE, cookie, w)?;
        if let Some(keys) = self.keys {
            extension(kind::PRE_SHARED_KEY, w, |w| {
                w.bytes(keys);
                w.leave_out(self.native.missing);
                Ok(())
            })?;
        }
        if let Some(place) = padding {
            pad(place, w);
        }
        Ok(())
    }

    fn extension(&self, place: usize, slot: &Slot, w: &mut Writer) -> Result {
        let draws = self.draws;
        match slot {
            Slot::Native(kind::SESSION_TICKET) if self.keys.is_some() => Ok(()),
            Slot::Native(kind @ kind::SERVER_NAME) => verbatim(*kind, self.native.extension(*kind), w),
            Slot::Native(kind) | Slot::NativeOrEmpty(kind) => {
                verbatim(*kind, Some(self.native.extension(*kind).unwrap_or_default()), w)
            }
            Slot::Raw {
                kind: kind @ (kind::APPLICATION_SETTINGS | kind::APPLICATION_SETTINGS_OLD),
                body,
            } => self.protocols(*kind, || names(body.get(2..).unwrap_or_default()), w),
            Slot::Raw { kind, body } => verbatim(*kind, Some(body), w),
            Slot::Grease(body) => verbatim(self.grease_kind(place), Some(body), w),
            Slot::Groups(list) => extension(kind::SUPPORTED_GROUPS, w, |w| {
                codes("supported_groups", list, draws.groups, w)
            }),
            Slot::Signatures(list) => extension(kind::SIGNATURE_ALGORITHMS, w, |w| {
                codes("signature_algorithms", list, draws.signatures, w)
            }),
            Slot::Versions(list) => extension(kind::SUPPORTED_VERSIONS, w, |w| {
                Ok(w.vec8("supported_versions", |w| {
                    list.iter().for_each(|code| w.u16(value(*code, draws.versions)));
                })?)
            }),
            Slot::Alpn(protocols) => self.protocols(kind::ALPN, || protocols.iter().map(String::as_bytes), w),
            Slot::KeyShares(list) => extension(kind::KEY_SHARE, w, |w| {
                w.vec16("key_share", |w| self.shares(list, w))
            }),
            Slot::EchGrease(ech) => extension(kind::ENCRYPTED_CLIENT_HELLO, w, |w| self.ech(ech, w)),
            Slot::Padding => Ok(()),
        }
    }

    /// The first GREASE extension of the spec has the first value, wherever it is permuted to.
    fn grease_kind(&self, place: usize) -> u16 {
        let before = self.spec.slots.iter().take(place);
        let nth = before.filter(|slot| matches!(slot, Slot::Grease(_))).count();
        let [first, second] = self.draws.extensions;
        if nth == 0 { first } else { second }
    }

    /// Those of `protocols` that TLS itself asks for, in an extension of this type. None: no extension.
    fn protocols<'b, P>(&self, kind: u16, protocols: impl Fn() -> P, w: &mut Writer) -> Result
    where
        P: Iterator<Item = &'b [u8]>,
    {
        let wanted = |name: &&[u8]| names(self.alpn.unwrap_or_default()).any(|one| one == *name);
        if !protocols().any(|name| wanted(&name)) {
            return Ok(());
        }
        extension(kind, w, |w| {
            w.vec16("protocols", |w| {
                let mut offered = protocols().filter(wanted);
                Ok(offered.try_for_each(|name| w.opaque8("protocols", name))?)
            })
        })
    }

    fn shares(&self, list: &[Code], w: &mut Writer) -> Result {
        let mut native = self.native.key_shares();
        if let (Some((group, exchange)), None) = (native.next(), native.next()) {
            // The group of a HelloRetryRequest: its share goes alone, without GREASE.
            if !list.contains(&Code::Plain(group)) {
                return share(group, exchange, w);
            }
        }
        list.iter().try_for_each(|code| match code {
            Code::Grease => share(self.draws.groups, &[0], w),
            Code::Plain(group) => {
                let drawn = self.draws.shares.iter();
                let drawn = drawn.map(|share| (share.group, share.exchange.as_slice()));
                let mut all = self.native.key_shares().chain(drawn);
                let wanted =
                    all.find(|(of, exchange)| of == group && share_len(*group) == Some(exchange.len()));
                let (_, exchange) = wanted.ok_or(ShapeError::NoShare(*group))?;
                share(*group, exchange, w)
            }
        })
    }

    fn ech(&self, ech: &EchGrease, w: &mut Writer) -> Result {
        const OUTER: u8 = 0;
        const HKDF_SHA256: u16 = 1;
        let repeated = self
            .first
            .and_then(|first| first.extension(kind::ENCRYPTED_CLIENT_HELLO));
        if let Some(repeated) = repeated {
            w.bytes(repeated);
            return Ok(());
        }
        let drawn = &self.draws.ech;
        let len = match ech {
            // Two bits pick among four.
            EchGrease::Chromium | EchGrease::ChromiumWithoutAes => {
                CHROMIUM_PAYLOADS[(drawn.len & 3) as usize]
            }
            EchGrease::Firefox => firefox_payload(self.native.name_len(), self.psk_len()),
            EchGrease::Fixed { payload, .. } => usize::from(*payload),
        };
        w.u8(OUTER);
        w.u16(HKDF_SHA256);
        w.u16(drawn.aead(ech));
        w.u8(drawn.config_id);
        w.opaque16("encrypted_client_hello.enc", &drawn.enc)?;
        Ok(w.opaque16("encrypted_client_hello.payload", &drawn.payload(len))?)
    }

    /// The length of pre_shared_key with its header and its binders, even if they were cut off, in octets.
    fn psk_len(&self) -> usize {
        self.keys
            .map_or(0, |keys| 4 + keys.len() + usize::from(self.native.missing))
    }
}

impl Slot {
    /// The type of an extension whose body is the same on every connection.
    pub(in crate::fingerprint) fn kind(&self) -> Option<u16> {
        match self {
            Slot::Raw { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

fn extension(kind: u16, w: &mut Writer, body: impl FnOnce(&mut Writer) -> Result) -> Result {
    w.u16(kind);
    w.vec16("extension", body)
}

/// An extension with this body, if there is one.
fn verbatim(kind: u16, body: Option<&[u8]>, w: &mut Writer) -> Result {
    let Some(body) = body else {
        return Ok(());
    };
    w.u16(kind);
    Ok(w.opaque16("extension", body)?)
}

fn share(group: u16, exchange: &[u8], w: &mut Writer) -> Result {
    w.u16(group);
    Ok(w.opaque16("key_exchange", exchange)?)
}

fn codes(field: &'static str, list: &[Code], grease: u16, w: &mut Writer) -> Result {
    w.vec16(field, |w| {
        list.iter().for_each(|code| w.u16(value(*code, grease)));
        Ok(())
    })
}

fn value(code: Code, grease: u16) -> u16 {
    match code {
        Code::Grease => grease,
        Code::Plain(code) => code,
    }
}

/// How many zeros [`Slot::Padding`] has in a hello of `len` octets without it, as RFC 7685 and BoringSSL have it: one at least, since some servers take
/// no empty extension for the last. None if the hello is not padded.
pub(super) fn padding_of(len: usize) -> Option<usize> {
    let padded = (PADDED / 2..PADDED).contains(&len);
    padded.then(|| (PADDED - len).saturating_sub(4).max(1))
}

/// Puts padding at `place`.
fn pad(place: usize, w: &mut Writer) {
    let Some(zeros) = padding_of(w.whole_len()) else {
        return;
    };
    let head = [kind::PADDING.to_be_bytes(), (zeros as u16).to_be_bytes()]; // below 512
    w.insert(
        place,
        head.into_iter().flatten().chain(std::iter::repeat_n(0, zeros)),
    );
}
