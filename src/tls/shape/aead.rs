//! The ciphers of TLS 1.3's handshake: what the server says is edited as it is decrypted, what the client owes is put in front of what it
//! encrypts. Application data runs on the provider's own objects.

use std::sync::Arc;

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundChunks, OutboundOpaqueMessage, OutboundPlainMessage, Tls13AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error};

use super::editor::Editor;
use super::error::Rejected;
use super::hash::settings_message;
use super::scope;
use super::state::Shaping;

/// The longest fragment of a record, in octets.
const MAX_FRAGMENT: usize = 1 << 14;

/// A cipher that follows the connection whose handshake is running.
pub(super) struct ShapedAead(pub(super) &'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for ShapedAead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        let inner = self.0.encrypter(key, iv);
        match scope::current().filter(|shaping| shaping.counts_encrypter()) {
            Some(shaping) => Box::new(Encrypter {
                inner,
                shaping,
                began: false,
            }),
            None => inner,
        }
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        let inner = self.0.decrypter(key, iv);
        match scope::current().filter(|shaping| shaping.counts_decrypter()) {
            Some(shaping) => Box::new(Decrypter {
                inner,
                editor: Editor::new(shaping),
            }),
            None => inner,
        }
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Decrypter {
    inner: Box<dyn MessageDecrypter>,
    editor: Editor,
}

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let start = message.payload.as_ptr().addr();
        // The plain text borrows what it was decrypted in. So it is decrypted in a shorter borrow, and found again in the longer one.
        let borrowed = InboundOpaqueMessage::new(message.typ, message.version, &mut message.payload);
        let plain = self.inner.decrypt(borrowed, seq)?;
        let (typ, version) = (plain.typ, plain.version);
        let offset = plain.payload.as_ptr().addr().wrapping_sub(start);
        let len = plain.payload.len();
        let Some(text) = message.payload.get_mut(offset..offset.saturating_add(len)) else {
            return Err(Error::General("a record was not decrypted in place".to_owned()));
        };
        let len = match typ {
            ContentType::Handshake => self
                .editor
                .edit(text)
                .map_err(|why| Error::General(why.to_string()))?,
            _ => len,
        };
        message.typ = typ;
        message.version = version;
        Ok(message.into_plain_message_range(offset..offset + len))
    }
}

struct Encrypter {
    inner: Box<dyn MessageEncrypter>,
    shaping: Arc<Shaping>,
    /// Whether the client's handshake messages have begun.
    began: bool,
}

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let first = message.typ == ContentType::Handshake && !std::mem::replace(&mut self.began, true);
        if !(first && self.shaping.owes_settings()) {
            return self.inner.encrypt(message, seq);
        }
        let mut both = settings_message();
        if both.len() + message.payload.len() > MAX_FRAGMENT {
            // Without them the server refuses the Finished: rustls takes no error here.
            self.shaping.reject(Rejected::NoRoom);
            return self.inner.encrypt(message, seq);
        }
        both.extend(message.payload.to_vec());
        let message = OutboundPlainMessage {
            typ: message.typ,
            version: message.version,
            payload: OutboundChunks::Single(&both),
        };
        self.inner.encrypt(message, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.inner.encrypted_payload_len(payload_len)
    }
}
