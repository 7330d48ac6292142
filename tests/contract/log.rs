//! A provider that writes down what rustls asks of it, and a store that does the same.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::{
    ActiveKeyExchange, CipherSuiteCommon, CryptoProvider, SharedSecret, SupportedKxGroup, aws_lc_rs,
};
use rustls::pki_types::ServerName;
use rustls::{
    ConnectionTrafficSecrets, NamedGroup, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};

/// What was called, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.0.lock().push(event.into());
    }

    /// What was called since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    /// aws-lc-rs with these groups, every call noted. Its suites live as long as the test: rustls wants them for ever.
    pub(crate) fn provider(&self, groups: &[&'static dyn SupportedKxGroup]) -> Arc<CryptoProvider> {
        let base = aws_lc_rs::default_provider();
        Arc::new(CryptoProvider {
            cipher_suites: base
                .cipher_suites
                .iter()
                .map(|suite| self.suite(*suite))
                .collect(),
            kx_groups: groups
                .iter()
                .map(|inner| -> &'static dyn SupportedKxGroup {
                    Box::leak(Box::new(LoggedGroup {
                        log: self.clone(),
                        inner: *inner,
                    }))
                })
                .collect(),
            ..base
        })
    }

    fn suite(&self, suite: SupportedCipherSuite) -> SupportedCipherSuite {
        match suite {
            SupportedCipherSuite::Tls13(suite) => {
                SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                    common: self.common(&suite.common),
                    hkdf_provider: suite.hkdf_provider,
                    aead_alg: Box::leak(Box::new(LoggedAead {
                        log: self.clone(),
                        inner: suite.aead_alg,
                    })),
                    quic: suite.quic,
                })))
            }
            SupportedCipherSuite::Tls12(suite) => {
                SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                    common: self.common(&suite.common),
                    prf_provider: suite.prf_provider,
                    kx: suite.kx,
                    sign: suite.sign,
                    aead_alg: suite.aead_alg,
                })))
            }
        }
    }

    fn common(&self, common: &CipherSuiteCommon) -> CipherSuiteCommon {
        CipherSuiteCommon {
            suite: common.suite,
            hash_provider: Box::leak(Box::new(LoggedHash {
                log: self.clone(),
                inner: common.hash_provider,
            })),
            confidentiality_limit: common.confidentiality_limit,
        }
    }
}

/// The handshake messages in `bytes`, by type: `1` for a whole one, `1-35` for one that lacks 35 bytes.
pub(crate) fn messages(mut bytes: &[u8]) -> String {
    let mut names = Vec::new();
    while let [kind, a, b, c, rest @ ..] = bytes {
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        match rest.split_at_checked(len) {
            Some((_, after)) => {
                names.push(kind.to_string());
                bytes = after;
            }
            None => {
                names.push(format!("{kind}-{}", len - rest.len()));
                bytes = &[];
            }
        }
    }
    assert!(bytes.is_empty(), "messages come whole");
    names.join("+")
}

struct LoggedHash {
    log: Log,
    inner: &'static dyn Hash,
}

impl Hash for LoggedHash {
    fn start(&self) -> Box<dyn Context> {
        self.log.note("hash.start");
        Box::new(LoggedContext {
            log: self.log.clone(),
            inner: self.inner.start(),
        })
    }

    fn hash(&self, data: &[u8]) -> Output {
        self.inner.hash(data)
    }

    fn output_len(&self) -> usize {
        self.inner.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.inner.algorithm()
    }
}

struct LoggedContext {
    log: Log,
    inner: Box<dyn Context>,
}

impl Context for LoggedContext {
    fn fork_finish(&self) -> Output {
        self.log.note("fork_finish");
        self.inner.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        self.log.note("fork");
        Box::new(LoggedContext {
            log: self.log.clone(),
            inner: self.inner.fork(),
        })
    }

    fn finish(self: Box<Self>) -> Output {
        self.log.note("finish");
        self.inner.finish()
    }

    fn update(&mut self, data: &[u8]) {
        self.log.note(format!("update({})", messages(data)));
        self.inner.update(data);
    }
}

struct LoggedAead {
    log: Log,
    inner: &'static dyn Tls13AeadAlgorithm,
}

impl Tls13AeadAlgorithm for LoggedAead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.log.note("encrypter");
        Box::new(LoggedEncrypter {
            log: self.log.clone(),
            inner: self.inner.encrypter(key, iv),
        })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.log.note("decrypter");
        Box::new(LoggedDecrypter {
            log: self.log.clone(),
            inner: self.inner.decrypter(key, iv),
        })
    }

    fn key_len(&self) -> usize {
        self.inner.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.inner.extract_keys(key, iv)
    }
}

struct LoggedEncrypter {
    log: Log,
    inner: Box<dyn MessageEncrypter>,
}

impl MessageEncrypter for LoggedEncrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, rustls::Error> {
        let content = match u8::from(message.typ) {
            22 => messages(&message.payload.to_vec()),
            other => format!("type {other}"),
        };
        self.log.note(format!("encrypt({content}) seq {seq}"));
        self.inner.encrypt(message, seq)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.inner.encrypted_payload_len(payload_len)
    }
}

struct LoggedDecrypter {
    log: Log,
    inner: Box<dyn MessageDecrypter>,
}

impl MessageDecrypter for LoggedDecrypter {
    /// Decrypts in a borrow of the payload, and answers from the payload itself: what an edit in place needs.
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, rustls::Error> {
        let start = message.payload.as_ptr().addr();
        let borrowed = InboundOpaqueMessage::new(message.typ, message.version, &mut message.payload);
        let plain = self.inner.decrypt(borrowed, seq)?;
        let (typ, version, len) = (plain.typ, plain.version, plain.payload.len());
        assert_eq!(
            plain.payload.as_ptr().addr(),
            start,
            "plain text stands where its record did"
        );
        if u8::from(typ) == 22 {
            self.log
                .note(format!("decrypt({})", messages(&message.payload[..len])));
        }
        message.typ = typ;
        message.version = version;
        Ok(message.into_plain_message_range(0..len))
    }
}

#[derive(Debug)]
struct LoggedGroup {
    log: Log,
    inner: &'static dyn SupportedKxGroup,
}

impl SupportedKxGroup for LoggedGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        self.log
            .note(format!("kx.start({:#06x})", u16::from(self.inner.name())));
        Ok(Box::new(LoggedKx {
            log: self.log.clone(),
            inner: self.inner.start()?,
        }))
    }

    fn name(&self) -> NamedGroup {
        self.inner.name()
    }

    fn usable_for_version(&self, version: rustls::ProtocolVersion) -> bool {
        self.inner.usable_for_version(version)
    }
}

struct LoggedKx {
    log: Log,
    inner: Box<dyn ActiveKeyExchange>,
}

impl ActiveKeyExchange for LoggedKx {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        self.log.note("kx.complete");
        self.inner.complete(peer)
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        self.inner.hybrid_component()
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        self.log.note("kx.complete_hybrid_component");
        self.inner.complete_hybrid_component(peer)
    }

    fn pub_key(&self) -> &[u8] {
        self.inner.pub_key()
    }

    fn group(&self) -> NamedGroup {
        self.inner.group()
    }
}

/// rustls's own store, every call noted.
#[derive(Debug)]
pub(crate) struct LoggedStore {
    pub(crate) log: Log,
    pub(crate) inner: ClientSessionMemoryCache,
}

impl ClientSessionStore for LoggedStore {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.log.note("store.set_kx_hint");
        self.inner.set_kx_hint(name, group);
    }

    fn kx_hint(&self, _name: &ServerName<'_>) -> Option<NamedGroup> {
        self.log.note("store.kx_hint");
        None
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.log.note("store.set_tls12_session");
        self.inner.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.log.note("store.tls12_session");
        self.inner.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.log.note("store.remove_tls12_session");
        self.inner.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.log.note("store.insert_tls13_ticket");
        self.inner.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.log.note("store.take_tls13_ticket");
        self.inner.take_tls13_ticket(name)
    }
}
