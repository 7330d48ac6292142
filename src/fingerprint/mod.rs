//! A client's first messages as data: the hello of TLS, the first flight of HTTP/2, their fingerprints, and the recipes to make more of the same.
//!
//! - [`ClientHello`] reads a hello and writes it again, byte for byte; [`hellos`] finds the hellos in what a client sent.
//! - [`Ja3`] and [`Ja4`] are the fingerprints that others will compute of it, [`HelloPrints`] all of them, as long as nobody asks.
//! - [`HelloSpec`] is the recipe of a hello, by hand or learned from captures; with the [`Draws`] of a connection it [shapes](HelloSpec::shape)
//!   the hello that TLS itself would send.
//! - [`Learned`] is a spec out of captures, with each [`Assumption`] that they made necessary.
//! - [`H2Spec`] is the recipe of how HTTP/2 is opened, and [`Akamai`] the text that others make of that.
//! - A [`Profile`] is whom a pool's connections look like: a browser, a tool, or a recipe of one's own; the [`ProfileLibrary`] finds one, and a
//!   [`Rotation`] takes turns.
//! - GREASE values (RFC 8701), which a client draws at random to keep servers tolerant, are told apart by [`is_grease`].
//!
//! ```
//! use hotpool::fingerprint::{ClientHello, Extension, Ja4};
//!
//! let hello = ClientHello {
//!     legacy_version: 0x0303,
//!     random: [7; 32],
//!     session_id: Vec::new(),
//!     cipher_suites: vec![0x1301, 0xc02b],
//!     compression_methods: vec![0],
//!     extensions: Some(vec![
//!         Extension::Alpn(vec![b"h2".to_vec()]),
//!         Extension::SupportedVersions(vec![0x0304, 0x0303]),
//!     ]),
//! };
//! let message = hello.to_message()?;
//! assert_eq!(ClientHello::from_message(&message)?, hello);
//! assert_eq!(Ja4::of(&hello).raw(), "t13i0202h2_1301,c02b_002b");
//! # Ok::<(), hotpool::fingerprint::HelloError>(())
//! ```
//!
//! Nothing here does I/O, reads a clock or has a source of random bytes, and no input makes it panic. A hello is at most [`MAX_MESSAGE`] bytes
//! long, and what is kept of it grows with nothing else.

mod clients;
mod grease;
mod hello;
mod http2;
mod ja3;
mod ja4;
mod learned;
mod prints;
mod profile;
mod records;
mod seed;
mod spec;

pub use self::grease::{is_grease, is_grease_psk_mode};
pub(crate) use self::hello::Outline;
pub use self::hello::{
    Binders, ClientHello, EncryptedClientHello, Extension, HelloError, KeyShare, MAX_MESSAGE, PreSharedKey,
    PskIdentity, ServerName, StatusRequest, kind,
};
pub(crate) use self::http2::{
    AUTHORIZATION, COOKIE, Field, Form, NEVER, SHORT, Text, decode, frame, pseudo_order,
};
pub use self::http2::{Akamai, H2Spec, H2SpecError, Huffman, PingForm, Priority, PriorityFrame, Pseudo};
pub use self::ja3::Ja3;
pub use self::ja4::Ja4;
pub use self::learned::{Assumption, Learned};
pub use self::prints::HelloPrints;
pub use self::profile::{
    Browser, Guarantee, HeaderError, Headers, Platform, Profile, ProfileLibrary, Rotation, UnknownVersion,
};
pub(crate) use self::records::write_records;
pub use self::records::{FoundHello, Hellos, Record, hellos, to_records};
pub use self::spec::{Code, Draws, EchGrease, HelloSpec, ShapeError, Slot, SpecError};
