//! The pieces of one handshake without a server: for tests and fuzz targets.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustls::crypto::hash::Hash;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedCipherSuite};
use tokio::io::ReadBuf;

use super::editor::Editor;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::scope;
use super::shaper::Shaper;
use super::state::Shaping;

/// A connection that has sent its hello, and what becomes of whatever comes back.
pub struct Trial {
    shaping: Arc<Shaping>,
    sent: Vec<u8>,
    hash: &'static dyn Hash,
}

impl Trial {
    pub(crate) fn new(
        shaper: &Arc<Shaper>,
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let suites = &config.crypto_provider().cipher_suites;
        let hash = suites.iter().find_map(|suite| match suite {
            SupportedCipherSuite::Tls13(suite) => Some(suite.common.hash_provider),
            SupportedCipherSuite::Tls12(_) => None,
        });
        let hash = hash.ok_or_else(|| io::Error::other("no cipher suite of TLS 1.3"))?;
        let shaping = Shaping::new(shaper, config.max_fragment_size).map_err(io::Error::other)?;
        let connection = scope::entered(Arc::clone(&shaping), || {
            ClientConnection::new(Arc::clone(config), name)
        });
        let mut native = Vec::new();
        connection.map_err(io::Error::other)?.write_tls(&mut native)?;
        let mut outbound = Outbound::default();
        outbound.push(&native, &shaping).map_err(io::Error::other)?;
        let sent = outbound.waiting().unwrap_or_default().to_vec();
        Ok(Trial { shaping, sent, hash })
    }

    /// The records that went out.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// What rustls reads where the server sends these chunks of records, the ServerHello first.
    ///
    /// # Errors
    /// Why the handshake is over.
    pub fn reads(&self, chunks: &[&[u8]]) -> Result<Vec<u8>, String> {
        let (mut inbound, mut read) = (Inbound::default(), Vec::new());
        for chunk in chunks {
            inbound
                .push(chunk, &self.shaping)
                .map_err(|why| why.to_string())?;
            let mut space = vec![0; 1 << 17];
            let mut buf = ReadBuf::new(&mut space);
            inbound.pull(&mut buf);
            read.extend_from_slice(buf.filled());
        }
        inbound.end();
        let mut space = vec![0; 1 << 17];
        let mut buf = ReadBuf::new(&mut space);
        inbound.pull(&mut buf);
        read.extend_from_slice(buf.filled());
        Ok(read)
    }

    /// What rustls reads where these are the texts of the server's encrypted records of handshake messages.
    ///
    /// # Errors
    /// Why the handshake is over.
    pub fn decrypts(&self, records: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut editor = Editor::new(Arc::clone(&self.shaping));
        let mut read = Vec::new();
        for record in records {
            let mut text = record.to_vec();
            let len = editor.edit(&mut text).map_err(|why| why.to_string())?;
            read.extend_from_slice(&text[..len]);
        }
        Ok(read)
    }

    /// What the transcript has where rustls has these messages.
    pub fn transcript(&self, messages: &[u8]) -> Vec<u8> {
        let mut real = Vec::new();
        self.shaping.real(messages, |piece| real.extend_from_slice(piece));
        real
    }

    /// What rustls reads of its transcript behind each of these messages, in its first read there and in the second.
    pub fn hashes(&self, messages: &[&[u8]]) -> Vec<[Vec<u8>; 2]> {
        scope::entered(Arc::clone(&self.shaping), || {
            let mut transcript = self.hash.start();
            let behind = |message: &&[u8]| {
                transcript.update(message);
                [(); 2].map(|()| transcript.fork_finish().as_ref().to_vec())
            };
            messages.iter().map(behind).collect()
        })
    }

    /// The hash of these bytes.
    pub fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        self.hash.hash(bytes).as_ref().to_vec()
    }

    /// The extensions that were taken out so far.
    pub fn answers(&self) -> BTreeSet<u16> {
        self.shaping.answers()
    }
}
