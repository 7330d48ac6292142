//! The types of extensions, as IANA's registry "TLS ExtensionType Values" and the drafts named number them.
//!
//! ```
//! use hotpool::fingerprint::kind;
//!
//! /// The name of an extension's type, as the documents above have it.
//! fn name(of: u16) -> &'static str {
//!     match of {
//!         kind::SERVER_NAME => "server_name",
//!         kind::STATUS_REQUEST => "status_request",
//!         kind::SUPPORTED_GROUPS => "supported_groups",
//!         kind::EC_POINT_FORMATS => "ec_point_formats",
//!         kind::SIGNATURE_ALGORITHMS => "signature_algorithms",
//!         kind::ALPN => "application_layer_protocol_negotiation",
//!         kind::SIGNED_CERTIFICATE_TIMESTAMP => "signed_certificate_timestamp",
//!         kind::PADDING => "padding",
//!         kind::ENCRYPT_THEN_MAC => "encrypt_then_mac",
//!         kind::EXTENDED_MASTER_SECRET => "extended_master_secret",
//!         kind::COMPRESS_CERTIFICATE => "compress_certificate",
//!         kind::RECORD_SIZE_LIMIT => "record_size_limit",
//!         kind::DELEGATED_CREDENTIALS => "delegated_credentials",
//!         kind::SESSION_TICKET => "session_ticket",
//!         kind::PRE_SHARED_KEY => "pre_shared_key",
//!         kind::EARLY_DATA => "early_data",
//!         kind::SUPPORTED_VERSIONS => "supported_versions",
//!         kind::COOKIE => "cookie",
//!         kind::PSK_KEY_EXCHANGE_MODES => "psk_key_exchange_modes",
//!         kind::POST_HANDSHAKE_AUTH => "post_handshake_auth",
//!         kind::SIGNATURE_ALGORITHMS_CERT => "signature_algorithms_cert",
//!         kind::KEY_SHARE => "key_share",
//!         kind::APPLICATION_SETTINGS_OLD => "application_settings_old",
//!         kind::APPLICATION_SETTINGS => "application_settings",
//!         kind::TRUST_ANCHORS => "trust_anchors",
//!         kind::ENCRYPTED_CLIENT_HELLO => "encrypted_client_hello",
//!         kind::RENEGOTIATION_INFO => "renegotiation_info",
//!         _ => "another",
//!     }
//! }
//!
//! assert_eq!(name(16), "application_layer_protocol_negotiation");
//! ```

/// RFC 6066.
pub const SERVER_NAME: u16 = 0;
/// RFC 6066.
pub const STATUS_REQUEST: u16 = 5;
/// RFC 8446; RFC 8422 for TLS 1.2.
pub const SUPPORTED_GROUPS: u16 = 10;
/// RFC 8422.
pub const EC_POINT_FORMATS: u16 = 11;
/// RFC 8446.
pub const SIGNATURE_ALGORITHMS: u16 = 13;
/// RFC 7301.
pub const ALPN: u16 = 16;
/// RFC 6962.
pub const SIGNED_CERTIFICATE_TIMESTAMP: u16 = 18;
/// RFC 7685.
pub const PADDING: u16 = 21;
/// RFC 7366.
pub const ENCRYPT_THEN_MAC: u16 = 22;
/// RFC 7627.
pub const EXTENDED_MASTER_SECRET: u16 = 23;
/// RFC 8879.
pub const COMPRESS_CERTIFICATE: u16 = 27;
/// RFC 8449.
pub const RECORD_SIZE_LIMIT: u16 = 28;
/// RFC 9345.
pub const DELEGATED_CREDENTIALS: u16 = 34;
/// RFC 5077.
pub const SESSION_TICKET: u16 = 35;
/// RFC 8446.
pub const PRE_SHARED_KEY: u16 = 41;
/// RFC 8446.
pub const EARLY_DATA: u16 = 42;
/// RFC 8446.
pub const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 8446.
pub const COOKIE: u16 = 44;
/// RFC 8446.
pub const PSK_KEY_EXCHANGE_MODES: u16 = 45;
/// RFC 8446.
pub const POST_HANDSHAKE_AUTH: u16 = 49;
/// RFC 8446.
pub const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
/// RFC 8446.
pub const KEY_SHARE: u16 = 51;
/// draft-vvv-tls-alps, first number.
pub const APPLICATION_SETTINGS_OLD: u16 = 17_513;
/// draft-vvv-tls-alps, second number.
pub const APPLICATION_SETTINGS: u16 = 17_613;
/// draft-ietf-tls-trust-anchor-ids.
pub const TRUST_ANCHORS: u16 = 51_764;
/// RFC 9849.
pub const ENCRYPTED_CLIENT_HELLO: u16 = 65_037;
/// RFC 5746.
pub const RENEGOTIATION_INFO: u16 = 65_281;
