//! The transcript's hash, fed what was on the wire.

use std::sync::Arc;

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};

use super::scope;
use super::state::Shaping;
use super::wire::{ENCRYPTED_EXTENSIONS, FINISHED, message, write_extensions};
use crate::fault::planted;
use crate::fingerprint::kind;
use crate::sync::{AtomicBool, Ordering};

/// The client's message of application settings (draft-vvv-tls-alps section 4): EncryptedExtensions with empty settings.
pub(super) fn settings_message() -> Vec<u8> {
    let mut body = Vec::new();
    write_extensions(&[(kind::APPLICATION_SETTINGS, &[])], &mut body);
    message(ENCRYPTED_EXTENSIONS, &body)
}

/// A hash that follows the connection whose handshake is running.
pub(super) struct ShapedHash(&'static dyn Hash);

impl ShapedHash {
    /// A suite's common part with its hash wrapped, for ever.
    pub(super) fn common(common: &CipherSuiteCommon) -> CipherSuiteCommon {
        CipherSuiteCommon {
            suite: common.suite,
            hash_provider: Box::leak(Box::new(ShapedHash(common.hash_provider))),
            confidentiality_limit: common.confidentiality_limit,
        }
    }
}

impl Hash for ShapedHash {
    fn start(&self) -> Box<dyn Context> {
        let inner = self.0.start();
        match scope::current() {
            None => inner,
            Some(shaping) => Box::new(Transcript {
                inner,
                algorithm: self.0.algorithm(),
                shaping,
                fed: false,
                due: false,
                secrets_read: AtomicBool::new(false),
            }),
        }
    }

    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// The transcript of one handshake, with what rustls does not know of.
///
/// If the client owes application settings, they stand behind the server's Finished and in front of whatever comes next, but the first read after that
/// Finished, that of the application secrets, does not have them in. A message that was hidden stands where it came.
struct Transcript {
    inner: Box<dyn Context>,
    algorithm: HashAlgorithm,
    shaping: Arc<Shaping>,
    /// Something is in it.
    fed: bool,
    /// Settings are owed and not fed yet.
    due: bool,
    /// The application secrets were read.
    secrets_read: AtomicBool,
}

impl Transcript {
    /// What was on the wire where rustls has `data`. A hello that stands first and was hashed as far as its binders is not hashed again.
    fn feed(&mut self, data: &[u8]) {
        if planted("transcript_is_what_rustls_has") {
            self.shaping.real(data, |_| {});
            return self.inner.update(data);
        }
        // For binders rustls feeds what came before the hello first: nothing.
        let first = !self.fed && !data.is_empty();
        self.fed |= first;
        if first && let Some(hashed) = self.shaping.take_hash(data, self.algorithm) {
            self.inner = hashed;
            return;
        }
        self.shaping.real(data, |real| self.inner.update(real));
        if first {
            self.shaping.keep_hash(data, self.algorithm, || self.inner.fork());
        }
    }

    /// Everything so far, and these messages behind it.
    fn read_with(&self, messages: &[u8]) -> Output {
        let mut fork = self.inner.fork();
        fork.update(messages);
        fork.finish()
    }
}

impl Context for Transcript {
    fn fork_finish(&self) -> Output {
        if self.due && self.secrets_read.swap(true, Ordering::Relaxed) {
            return self.read_with(&settings_message());
        }
        match self.shaping.hidden() {
            None => self.inner.fork_finish(),
            Some(hidden) => self.read_with(&hidden),
        }
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Transcript {
            inner: self.inner.fork(),
            algorithm: self.algorithm,
            shaping: Arc::clone(&self.shaping),
            fed: self.fed,
            due: self.due,
            secrets_read: AtomicBool::new(self.secrets_read.load(Ordering::Relaxed)),
        })
    }

    fn finish(self: Box<Self>) -> Output {
        self.fork_finish()
    }

    fn update(&mut self, data: &[u8]) {
        if std::mem::take(&mut self.due) {
            self.inner.update(&settings_message());
        }
        if let Some(hidden) = self.shaping.take_hidden() {
            self.inner.update(&hidden);
        }
        self.feed(data);
        let servers = !self.secrets_read.load(Ordering::Relaxed);
        self.due = servers
            && data.first() == Some(&FINISHED)
            && self.shaping.owes_settings()
            && !planted("owed_settings_are_not_hashed");
    }
}
