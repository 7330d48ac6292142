//! The ClientHello (RFC 8446 section 4.1.2), from its handshake message and back.

mod error;
mod extension;
pub mod kind;
mod lists;
mod outline;
mod parts;
mod reader;
mod writer;

pub use self::error::HelloError;
pub use self::extension::Extension;
pub(crate) use self::outline::{Outline, names};
pub use self::parts::{
    Binders, EncryptedClientHello, KeyShare, PreSharedKey, PskIdentity, ServerName, StatusRequest,
};
use self::reader::Reader;
pub(super) use self::writer::Writer;

/// The longest handshake message that a ClientHello can be, in octets: every vector as long as its specification allows
/// (RFC 8446 section 4.1.2; a session id has at most 32 bytes), and the header of four bytes.
pub const MAX_MESSAGE: usize = 4 + 2 + 32 + (1 + MAX_SESSION_ID) + (2 + 0xfffe) + (1 + 0xff) + (2 + 0xffff);

/// The type and the length of a handshake message, in octets (RFC 8446 section 4).
const HEADER: usize = 4;
/// The type of its handshake message.
pub(in crate::fingerprint) const CLIENT_HELLO: u8 = 1;
const MAX_SESSION_ID: usize = 32;
/// More than most hellos have: extensions, and octets.
const MOST_EXTENSIONS: usize = 24;
pub(super) const MOST_OCTETS: usize = 2560;

/// A ClientHello, every field and list in the order of the wire.
///
/// Writing what was read gives the same bytes, and reading what was written gives the same value, except for an
/// [`Extension::Opaque`] or a [`StatusRequest::Other`] that was made by hand with a type that has a variant of its own.
///
/// ```
/// use hotpool::fingerprint::{
///     Binders, ClientHello, EncryptedClientHello, Extension, HelloError, Ja3, Ja4, KeyShare, MAX_MESSAGE, PreSharedKey, PskIdentity,
///     ServerName, StatusRequest, hellos, is_grease_psk_mode, kind, to_records,
/// };
///
/// let ech = EncryptedClientHello::Outer { kdf: 1, aead: 1, config_id: 7, enc: vec![8; 32], payload: vec![9; 144] };
/// let ticket = PskIdentity { identity: vec![3; 8], obfuscated_ticket_age: 60_000 };
/// let hello = ClientHello {
///     legacy_version: 0x0303,
///     random: [7; 32],
///     session_id: vec![1; 32],
///     cipher_suites: vec![0x1301, 0xc02b],
///     compression_methods: vec![0],
///     extensions: Some(vec![
///         Extension::ServerName(vec![ServerName { kind: 0, name: b"example.com".to_vec() }]),
///         Extension::StatusRequest(StatusRequest::Ocsp { responders: Vec::new(), extensions: Vec::new() }),
///         Extension::from_body(kind::SUPPORTED_GROUPS, &[0, 2, 0, 29])?,
///         Extension::EcPointFormats(vec![0]),
///         Extension::SignatureAlgorithms(vec![0x0403]),
///         Extension::Alpn(vec![b"h2".to_vec()]),
///         Extension::SupportedVersions(vec![0x0304]),
///         Extension::PskKeyExchangeModes(vec![1]),
///         Extension::KeyShare(vec![KeyShare { group: 29, exchange: vec![5; 32] }]),
///         Extension::EncryptedClientHello(ech),
///         Extension::PreSharedKey(PreSharedKey { identities: vec![ticket], binders: Binders::Present(vec![vec![6; 32]]) }),
///     ]),
/// };
///
/// // To the wire, and back.
/// let message = hello.to_message()?;
/// assert!(message.len() <= MAX_MESSAGE);
/// let sent = to_records(&message, 0x0301, 16_384);
/// let found = hellos(&sent).next().expect("a hello")?;
/// assert_eq!((found.records.len(), found.records[0].version, &found.hello), (1, 0x0301, &hello));
///
/// // What it says.
/// assert_eq!(hello.host_name(), Some(&b"example.com"[..]));
/// assert_eq!(hello.supported_groups(), [29]);
/// assert_eq!(hello.ec_point_formats(), [0]);
/// assert_eq!(hello.signature_algorithms(), [0x0403]);
/// assert_eq!(hello.alpn_protocols(), [b"h2".to_vec()]);
/// assert_eq!(hello.supported_versions(), Some(&[0x0304][..]));
/// assert_eq!(hello.key_shares()[0].group, 29);
/// assert_eq!(hello.extension_kinds().last(), Some(kind::PRE_SHARED_KEY));
/// assert_eq!(hello.extensions().len(), 11);
/// let groups = hello.extension(kind::SUPPORTED_GROUPS).expect("there");
/// assert_eq!((groups.kind(), groups.body()?), (10, vec![0, 2, 0, 29]));
/// assert!(!is_grease_psk_mode(1));
/// assert_eq!(Ja3::of(&hello).text(), "771,4865-49195,0-5-10-11-13-16-43-45-51-65037-41,29,0");
/// assert_ne!(Ja4::original(&hello), Ja4::of(&hello));
///
/// // As its binder is computed: cut before the binders, 35 octets.
/// let cut = ClientHello::from_truncated_message(&message[..message.len() - 35])?;
/// assert!(cut.is_truncated());
/// # Ok::<(), HelloError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientHello {
    /// 0x0303 in every hello that offers TLS 1.2 or later.
    pub legacy_version: u16,
    /// The client's random.
    pub random: [u8; 32],
    /// The session id: at most 32 bytes.
    pub session_id: Vec<u8>,
    /// The cipher suites, GREASE and signalling values included.
    pub cipher_suites: Vec<u16>,
    /// The compression methods: 0, none, is the only one left.
    pub compression_methods: Vec<u8>,
    /// The extensions. `None` if the hello ends before their length, as one of TLS 1.2 may.
    pub extensions: Option<Vec<Extension>>,
}

impl ClientHello {
    /// Reads a handshake message, with its header, that is one whole ClientHello.
    ///
    /// # Errors
    /// [`HelloError`] says what is wrong and where. An extension that has a variant in [`Extension`] must be of that form to its last byte.
    pub fn from_message(message: &[u8]) -> Result<Self, HelloError> {
        let mut reader = Reader::new(message, 0);
        let declared = read_header(&mut reader)?;
        let body = reader.bytes(declared, "client_hello")?;
        reader.end("client_hello")?;
        Self::read(Reader::new(body, HEADER))
    }

    /// Reads a ClientHello whose pre_shared_key was cut before its list of binders while all lengths still count it: what binders are
    /// computed over (RFC 8446 section 4.2.11.2).
    ///
    /// # Errors
    /// As [`from_message`](Self::from_message); [`HelloError::NotTruncated`] if the message is whole, and [`HelloError::Short`] if it was
    /// cut elsewhere.
    pub fn from_truncated_message(message: &[u8]) -> Result<Self, HelloError> {
        let mut reader = Reader::new(message, 0);
        let declared = read_header(&mut reader)?;
        let at = reader.at();
        let body = reader.remainder();
        if declared <= body.len() {
            return Err(HelloError::NotTruncated);
        }
        Self::read(Reader::new(body, at).with_cut(declared - body.len()))
    }

    /// The handshake message, with its header. It is cut before the binders if they are [`Binders::Cut`].
    ///
    /// # Errors
    /// [`HelloError::TooLong`] if something does not fit its length prefix, [`HelloError::AfterPreSharedKey`] and
    /// [`HelloError::Duplicate`] if the extensions are not as they must be, [`HelloError::Short`] if those of
    /// [`TrustAnchors`](Extension::TrustAnchors) are no list.
    pub fn to_message(&self) -> Result<Vec<u8>, HelloError> {
        let mut writer = Writer::with_capacity(MOST_OCTETS);
        writer.u8(CLIENT_HELLO);
        writer.vec24("client_hello", |w| self.write(w))?;
        Ok(writer.into_bytes())
    }

    /// The extensions; none if there is no list of them.
    pub fn extensions(&self) -> &[Extension] {
        self.extensions.as_deref().unwrap_or_default()
    }

    /// The extension of this type.
    pub fn extension(&self, kind: u16) -> Option<&Extension> {
        self.extensions()
            .iter()
            .find(|extension| extension.kind() == kind)
    }

    /// The types of the extensions.
    pub fn extension_kinds(&self) -> impl Iterator<Item = u16> {
        self.extensions().iter().map(Extension::kind)
    }

    /// Whether the binders were cut off.
    pub fn is_truncated(&self) -> bool {
        matches!(
            self.extensions().last(),
            Some(Extension::PreSharedKey(PreSharedKey {
                binders: Binders::Cut(_),
                ..
            }))
        )
    }

    fn read(mut r: Reader<'_>) -> Result<Self, HelloError> {
        let hello = ClientHello {
            legacy_version: r.u16("legacy_version")?,
            random: r.array("random")?,
            session_id: session_id(&mut r)?,
            cipher_suites: r.vec16("cipher_suites")?.codes("cipher_suites")?,
            compression_methods: r.opaque8("compression_methods")?,
            extensions: if r.is_empty() {
                None
            } else {
                Some(read_extensions(r.vec16_or_cut("extensions")?)?)
            },
        };
        r.end("extensions")?;
        Ok(hello)
    }

    fn write(&self, w: &mut Writer) -> Result<(), HelloError> {
        w.u16(self.legacy_version);
        w.bytes(&self.random);
        check_session_id(self.session_id.len())?;
        w.opaque8("session_id", &self.session_id)?;
        w.codes16("cipher_suites", &self.cipher_suites)?;
        w.opaque8("compression_methods", &self.compression_methods)?;
        let Some(extensions) = &self.extensions else {
            return Ok(());
        };
        w.vec16("extensions", |w| {
            let mut order = Order::default();
            extensions.iter().try_for_each(|extension| {
                order.next(extension.kind(), w.len())?;
                w.u16(extension.kind());
                w.vec16("extension", |w| extension.write_body(w))
            })
        })
    }
}

/// The whole length of the ClientHello that begins so, in octets; `None` while its header is not whole.
pub(super) fn message_len(start: &[u8]) -> Result<Option<usize>, HelloError> {
    if start.len() < HEADER {
        return Ok(None);
    }
    read_header(&mut Reader::new(start, 0)).map(|len| Some(HEADER + len))
}

fn read_header(r: &mut Reader<'_>) -> Result<usize, HelloError> {
    let found = r.u8("handshake type")?;
    if found != CLIENT_HELLO {
        return Err(HelloError::Value {
            field: "handshake type",
            at: 0,
            found: found.into(),
        });
    }
    let len = r.u24("client_hello")?;
    let limit = MAX_MESSAGE - HEADER;
    if len > limit {
        return Err(HelloError::TooLong {
            field: "client_hello",
            len,
            limit,
        });
    }
    Ok(len)
}

fn session_id(r: &mut Reader<'_>) -> Result<Vec<u8>, HelloError> {
    let id = r.opaque8("session_id")?;
    check_session_id(id.len())?;
    Ok(id)
}

fn check_session_id(len: usize) -> Result<(), HelloError> {
    if len <= MAX_SESSION_ID {
        return Ok(());
    }
    Err(HelloError::TooLong {
        field: "session_id",
        len,
        limit: MAX_SESSION_ID,
    })
}

fn read_extensions(list: Reader<'_>) -> Result<Vec<Extension>, HelloError> {
    let mut order = Order::default();
    list.items_into(Vec::with_capacity(MOST_EXTENSIONS), |r| {
        let at = r.at();
        let kind = r.u16("extension")?;
        order.next(kind, at)?;
        Extension::read(kind, r.vec16_or_cut("extension")?)
    })
}

/// What the types of the extensions must keep to: each stands once, pre_shared_key last.
struct Order {
    /// Sorted.
    seen: Vec<u16>,
    is_over: bool,
}

impl Default for Order {
    fn default() -> Self {
        Order {
            seen: Vec::with_capacity(MOST_EXTENSIONS),
            is_over: false,
        }
    }
}

impl Order {
    fn next(&mut self, kind: u16, at: usize) -> Result<(), HelloError> {
        match self.seen.binary_search(&kind) {
            Ok(_) => return Err(HelloError::Duplicate { kind, at }),
            Err(place) => self.seen.insert(place, kind),
        }
        if self.is_over {
            return Err(HelloError::AfterPreSharedKey { kind });
        }
        self.is_over = kind == kind::PRE_SHARED_KEY;
        Ok(())
    }
}
