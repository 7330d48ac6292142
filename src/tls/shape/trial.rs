//! The pieces of one handshake without a server: for tests and fuzz targets.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
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
}

impl Trial {
    pub(crate) fn new(
        shaper: &Arc<Shaper>,
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let shaping = Shaping::new(shaper, config.max_fragment_size).map_err(io::Error::other)?;
        let connection = scope::entered(Arc::clone(&shaping), || {
            ClientConnection::new(Arc::clone(config), name)
        });
        let mut native = Vec::new();
        connection.map_err(io::Error::other)?.write_tls(&mut native)?;
        let mut outbound = Outbound::default();
        outbound.push(&native, &shaping).map_err(io::Error::other)?;
        let sent = outbound.waiting().unwrap_or_default().to_vec();
        Ok(Trial { shaping, sent })
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
        self.shaping.real(messages).unwrap_or_else(|| messages.to_vec())
    }

    /// The extensions that were taken out so far.
    pub fn answers(&self) -> BTreeSet<u16> {
        self.shaping.answers()
    }
}
