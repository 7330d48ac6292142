//! What boring's safe interface does not have.

use std::ffi::{CStr, c_int};
use std::io::Write;
use std::ptr;

use boring::ssl::{CertificateCompressionAlgorithm, CertificateCompressor, Ssl, SslContextBuilder, SslRef};
use boring_sys as ffi;
use foreign_types::ForeignTypeRef;

use crate::Failure;

pub fn version() -> String {
    // SAFETY: the text is static.
    unsafe { CStr::from_ptr(ffi::SSLeay_version(0)) }.to_string_lossy().into_owned()
}

fn check(done: c_int, what: &str) -> Result<(), Failure> {
    if done == 1 { Ok(()) } else { Err(format!("{what} failed").into()) }
}

/// Tickets that another context of this process can read.
pub fn fixed_ticket_keys(context: &mut SslContextBuilder) -> Result<(), Failure> {
    let keys = [7_u8; 48];
    // SAFETY: the context lives, and the keys are copied.
    check(unsafe { ffi::SSL_CTX_set_tlsext_ticket_keys(context.as_ptr(), keys.as_ptr().cast(), keys.len()) }, "keys")
}

/// A list of two timestamps.
pub fn show_stamps(context: &mut SslContextBuilder) -> Result<(), Failure> {
    let mut list = Vec::new();
    for stamp in [&b"one timestamp"[..], b"and another"] {
        list.extend_from_slice(&u16::try_from(stamp.len())?.to_be_bytes());
        list.extend_from_slice(stamp);
    }
    let mut whole = u16::try_from(list.len())?.to_be_bytes().to_vec();
    whole.append(&mut list);
    // SAFETY: the context lives, and the list is copied.
    let done = unsafe { ffi::SSL_CTX_set_signed_cert_timestamp_list(context.as_ptr(), whole.as_ptr(), whole.len()) };
    check(done, "timestamps")
}

/// Keys for encrypted hellos, which nobody has: whoever sends one is told the configuration.
pub fn take_encrypted_hellos(context: &mut SslContextBuilder) -> Result<(), Failure> {
    // SAFETY: every object is checked before its use and lives until the end of the process; the keys are counted by reference.
    unsafe {
        let key = ffi::EVP_HPKE_KEY_new();
        check(ffi::EVP_HPKE_KEY_generate(key, ffi::EVP_hpke_x25519_hkdf_sha256()), "a key")?;
        let (mut config, mut len) = (ptr::null_mut(), 0);
        check(
            ffi::SSL_marshal_ech_config(&raw mut config, &raw mut len, 1, key, c"peer.test".as_ptr(), 16),
            "a configuration",
        )?;
        let keys = ffi::SSL_ECH_KEYS_new();
        check(ffi::SSL_ECH_KEYS_add(keys, 1, config, len, key), "keys")?;
        check(ffi::SSL_CTX_set1_ech_keys(context.as_ptr(), keys), "keys in use")
    }
}

/// Settings for HTTP/2, under the extension's second number.
pub fn settle_settings(ssl: &mut Ssl) -> Result<(), Failure> {
    let settings = b"settings of the server";
    // SAFETY: the connection lives, and both texts are copied.
    unsafe {
        ffi::SSL_set_alps_use_new_codepoint(ssl.as_ptr(), 1);
        let done = ffi::SSL_add_application_settings(
            ssl.as_ptr(),
            b"h2".as_ptr(),
            2,
            settings.as_ptr(),
            settings.len(),
        );
        check(done, "settings")
    }
}

pub fn has_settings(ssl: &SslRef) -> bool {
    // SAFETY: the connection lives.
    unsafe { ffi::SSL_has_application_settings(ssl.as_ptr()) == 1 }
}

/// Certificates by brotli.
pub struct Brotli;

impl CertificateCompressor for Brotli {
    const ALGORITHM: CertificateCompressionAlgorithm = CertificateCompressionAlgorithm::BROTLI;
    const CAN_COMPRESS: bool = true;
    const CAN_DECOMPRESS: bool = false;

    fn compress<W: Write>(&self, input: &[u8], output: &mut W) -> std::io::Result<()> {
        let mut writer = brotli::CompressorWriter::new(output, 4096, 5, 22);
        writer.write_all(input)?;
        writer.flush()
    }
}
