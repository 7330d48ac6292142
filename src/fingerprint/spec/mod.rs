//! The recipe of a ClientHello: what a client sends on every connection, and what it draws anew for each.

mod check;
mod draws;
mod error;
mod learn;
mod sample;
mod seen;
mod shape;
#[cfg(feature = "serde")]
mod text;

use std::ops::Range;

pub use self::draws::Draws;
pub use self::error::SpecError;
pub use self::shape::ShapeError;
use super::{Ja3, Ja4};
use crate::fault::planted;

/// What a client's hellos have in common, as data: the cipher suites, and one [`Slot`] for each extension, in order.
///
/// It is written by hand with [`new`](Self::new), [learned from captured hellos](Self::from_client_hellos), or read from a file (feature `serde`).
/// All three doors make the same checks: a spec that exists offers nothing that this crate's TLS could not go through with, as far as the
/// offer alone can tell.
///
/// Not in it, because every such hello has them alike: the legacy version (0x0303), the compression methods (none), a session id and a
/// random of TLS's own, and pre_shared_key, which stands last wherever a connection is resumed.
///
/// ```
/// use hotpool::fingerprint::{Code, HelloSpec, Slot, kind};
///
/// let spec = HelloSpec::new(
///     vec![Code::Plain(0x1301), Code::Plain(0x1302), Code::Plain(0x1303)],
///     vec![
///         Slot::Native(kind::SERVER_NAME),
///         Slot::Groups(vec![Code::Plain(0x001d)]),
///         Slot::Signatures(vec![Code::Plain(0x0403), Code::Plain(0x0804)]),
///         Slot::Alpn(vec!["h2".to_owned()]),
///         Slot::Versions(vec![Code::Plain(0x0304)]),
///         Slot::KeyShares(vec![Code::Plain(0x001d)]),
///     ],
/// )?;
/// assert_eq!(spec.ja4().raw(), "t13d0306h2_1301,1302,1303_000a,000d,002b,0033_0403,0804");
/// # Ok::<(), hotpool::fingerprint::SpecError>(())
/// ```
///
/// With the draws of a connection it shapes the hello that TLS itself would send:
///
/// ```
/// use hotpool::fingerprint::{ClientHello, Code, Draws, EchGrease, Extension, HelloSpec, KeyShare, ShapeError, Slot, SpecError};
///
/// let spec = HelloSpec::new(
///     vec![Code::Grease, Code::Plain(0x1301)],
///     vec![
///         Slot::Native(0), // the name
///         Slot::Groups(vec![Code::Plain(29)]),
///         Slot::Signatures(vec![Code::Plain(0x0403)]),
///         Slot::Versions(vec![Code::Plain(0x0304)]),
///         Slot::KeyShares(vec![Code::Plain(29)]),
///         Slot::EchGrease(EchGrease::Chromium),
///     ],
/// )?
/// .permuting(0..3)?
/// .without_resumption();
/// assert_eq!((spec.cipher_suites().len(), spec.slots().len()), (2, 6));
/// assert!(!spec.resumes() && !spec.reuses_x25519());
/// println!("{} {}", spec.ja4(), spec.ja4_resumed());
///
/// // What TLS would send, cut short here.
/// let native = ClientHello {
///     legacy_version: 0x0303,
///     random: [7; 32],
///     session_id: vec![1; 32],
///     cipher_suites: vec![0x1301],
///     compression_methods: vec![0],
///     extensions: Some(vec![
///         Extension::SupportedVersions(vec![0x0304]),
///         Extension::KeyShare(vec![KeyShare { group: 29, exchange: vec![5; 32] }]),
///     ]),
/// };
/// let fill = |buffer: &mut [u8]| -> Result<(), SpecError> {
///     buffer.fill(4); // a secure source, where it is not an example
///     Ok(())
/// };
/// let draws: Draws = spec.draw(|| Ok([9; 32]), fill)?;
/// let shaped: Result<ClientHello, ShapeError> = spec.shape(&native, &draws);
/// let shaped = shaped.expect("a share of each group");
/// assert_eq!(shaped.random, native.random);
/// assert_eq!(shaped.cipher_suites[1], 0x1301);
/// let again = spec.shape_again(&native, &draws, &shaped).expect("the same");
/// assert_eq!(again.key_shares()[0].group, 29);
///
/// // A share that TLS has none of; one key for two shares, as Firefox has it, which this spec has not.
/// let more = draws.with_share(KeyShare { group: 23, exchange: vec![4; 65] });
/// assert!(spec.reusing_x25519().is_err());
/// # let _ = more;
/// # Ok::<(), SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "text::Parts", into = "text::Parts")
)]
pub struct HelloSpec {
    cipher_suites: Vec<Code>,
    slots: Vec<Slot>,
    permuted: Range<usize>,
    reuses_x25519: bool,
    resumes: bool,
}

/// A two-byte code of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A GREASE value (RFC 8701), drawn once per connection for each list. The groups and the key shares draw one together.
    Grease,
    /// This value.
    Plain(u16),
}

/// The place of one extension.
///
/// In a file each is a table of one key, its variant in `snake_case`: `{ native = "0x0000" }`,
/// `{ raw = { kind = "0x001b", body = "020002" } }`, `{ groups = ["grease", "0x001d"] }`, `"padding"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Slot {
    /// What TLS itself sends for this type: server_name, if it has one, or a session_ticket, empty if it has none, which a connection that offers a
    /// ticket of TLS 1.3 drops.
    Native(#[cfg_attr(feature = "serde", serde(with = "text::code"))] u16),
    /// What TLS itself sends for this type, and an empty body where it sends none: session_ticket.
    NativeOrEmpty(#[cfg_attr(feature = "serde", serde(with = "text::code"))] u16),
    /// The same bytes on every connection.
    Raw {
        /// The extension's type.
        #[cfg_attr(feature = "serde", serde(with = "text::code"))]
        kind: u16,
        /// Its body.
        #[cfg_attr(feature = "serde", serde(with = "text::bytes"))]
        body: Vec<u8>,
    },
    /// An extension of a GREASE type with this body. Two of them draw different types.
    Grease(#[cfg_attr(feature = "serde", serde(with = "text::bytes"))] Vec<u8>),
    /// supported_groups.
    Groups(Vec<Code>),
    /// signature_algorithms.
    Signatures(Vec<Code>),
    /// supported_versions.
    Versions(Vec<Code>),
    /// application_layer_protocol_negotiation: of `h2` and `http/1.1`, which a pool speaks, those that a connection may speak.
    Alpn(Vec<String>),
    /// key_share: the groups for which shares are sent. A GREASE share is one zero byte.
    KeyShares(Vec<Code>),
    /// encrypted_client_hello, which encrypts nothing.
    EchGrease(EchGrease),
    /// padding that brings a hello of 256 to 511 bytes, its header included, to 512 (RFC 7685 section 1), and is else left out.
    Padding,
}

/// How a client draws an encrypted_client_hello that encrypts nothing (RFC 9849 section 6.2).
///
/// The configuration's id is any byte, and the encapsulated key a public key of X25519. The rules were observed in captured hellos.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum EchGrease {
    /// Chromium's: AEAD 1, a fresh public key of X25519, and a payload of 144, 176, 208 or 240 bytes, evenly (BoringSSL's
    /// `setup_ech_grease`, and the captures).
    Chromium,
    /// The same with AEAD 3, which Chromium has on machines without instructions for AES.
    ChromiumWithoutAes,
    /// Firefox's: AEAD 1 or 3, evenly, 32 random bytes for a key, and a payload as long as its inner hello would be, which grows with pre_shared_key
    /// (NSS's `tls13_MaybeGreaseEch`, which takes all of it from one random stream, and the captures, where three of five have the highest bit set,
    /// as no key has).
    Firefox,
    /// Always these, and a fresh public key of X25519, as RFC 9849 section 6.2 has it.
    Fixed {
        /// HPKE's cipher.
        aead: u16,
        /// The length of the payload, in octets.
        payload: u16,
    },
}

impl EchGrease {
    /// Whether what stands for a public key is one.
    fn has_key(&self) -> bool {
        !matches!(self, EchGrease::Firefox) || planted("firefox_sends_a_key")
    }
}

impl HelloSpec {
    /// A spec of these cipher suites and extensions, in this order.
    ///
    /// # Errors
    /// [`SpecError`] says what cannot be served.
    pub fn new(cipher_suites: Vec<Code>, slots: Vec<Slot>) -> Result<Self, SpecError> {
        let spec = HelloSpec {
            cipher_suites,
            slots,
            permuted: 0..0,
            reuses_x25519: false,
            resumes: true,
        };
        spec.check()?;
        Ok(spec)
    }

    /// One that was observed. The tests make the checks.
    pub(super) fn observed(
        cipher_suites: Vec<Code>,
        slots: Vec<Slot>,
        permuted: Range<usize>,
        reuses_x25519: bool,
    ) -> Self {
        HelloSpec {
            cipher_suites,
            slots,
            permuted,
            reuses_x25519,
            resumes: true,
        }
    }

    /// The same spec, with the extensions at the places `range` in an order drawn anew for each connection.
    ///
    /// # Errors
    /// [`SpecError::Permuted`] if the range is not within the slots.
    pub fn permuting(self, range: Range<usize>) -> Result<Self, SpecError> {
        let spec = HelloSpec {
            permuted: range,
            ..self
        };
        spec.check()?;
        Ok(spec)
    }

    /// The same spec, with one key of X25519 in two shares: the one of X25519 itself and the one of X25519MLKEM768. Firefox does so; without it
    /// each share has a key of its own, as Chromium's have. An observer sees which.
    ///
    /// # Errors
    /// [`SpecError::Share`] if it has not both, or X25519MLKEM768 not first.
    pub fn reusing_x25519(self) -> Result<Self, SpecError> {
        let spec = HelloSpec {
            reuses_x25519: true,
            ..self
        };
        spec.check()?;
        Ok(spec)
    }

    /// The same spec, of a client that resumes nothing: no connection offers what an earlier one was given.
    #[must_use]
    pub fn without_resumption(self) -> Self {
        HelloSpec {
            resumes: false,
            ..self
        }
    }

    /// The cipher suites.
    pub fn cipher_suites(&self) -> &[Code] {
        &self.cipher_suites
    }

    /// The extensions, without pre_shared_key.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    fn ech_grease(&self) -> Option<&EchGrease> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::EchGrease(ech) => Some(ech),
            _ => None,
        })
    }

    /// Whether [`draw`](Self::draw) asks for a public key of X25519.
    pub(crate) fn sends_public_key(&self) -> bool {
        self.ech_grease().is_some_and(EchGrease::has_key)
    }

    /// The places of the slots that stand in an order of their own on each connection; empty if the order is fixed.
    pub fn permuted(&self) -> Range<usize> {
        self.permuted.clone()
    }

    /// Whether one key of X25519 stands in two shares.
    pub fn reuses_x25519(&self) -> bool {
        self.reuses_x25519
    }

    /// Whether the client resumes sessions. A spec does unless it was made [without](Self::without_resumption); captures do not tell.
    pub fn resumes(&self) -> bool {
        self.resumes || planted("everybody_resumes")
    }

    /// The JA3 that a peer sees of a connection that resumes nothing. Where the order of the extensions is drawn, it is that of one among many.
    pub fn ja3(&self) -> Ja3 {
        Ja3::of(&self.sample(false))
    }

    /// The same with the extensions sorted, which every connection that resumes nothing has in common.
    pub fn ja3_sorted(&self) -> Ja3 {
        Ja3::sorted(&self.sample(false))
    }

    /// The JA4 that a peer sees of a connection that resumes nothing. Padding counts, whether a name is long enough for it or not.
    pub fn ja4(&self) -> Ja4 {
        Ja4::of(&self.sample(false))
    }

    /// The JA4 that a peer sees of a connection that resumes a TLS 1.3 session, if any [does](Self::resumes).
    pub fn ja4_resumed(&self) -> Ja4 {
        Ja4::of(&self.sample(true))
    }
}
