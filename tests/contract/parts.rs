//! What rustls accepts, and what it signs and ignores.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::compress::{
    CertCompressor, CertDecompressor, CompressionFailed, CompressionLevel, DecompressionFailed,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ProducesTickets;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateCompressionAlgorithm, NamedGroup, SignatureAlgorithm, SignatureScheme};

use crate::log::{Log, messages};
use crate::run::{GROUPS, client, run, server};
use crate::support::certs;

/// Compresses nothing, and puts bytes behind what it gives back.
#[derive(Debug)]
struct Behind;

const SURPLUS: usize = 9;

impl CertCompressor for Behind {
    fn compress(&self, mut input: Vec<u8>, _level: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        input.extend([0xaa; SURPLUS]);
        Ok(input)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        CertificateCompressionAlgorithm::Zlib
    }
}

impl CertDecompressor for Behind {
    /// The room is as large as the server said; one certificate entry's extensions are left shorter than that.
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        let (content, _) = input.split_at(output.len());
        output.copy_from_slice(content);
        Ok(())
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        CertificateCompressionAlgorithm::Zlib
    }
}

/// Takes the last certificate of the chain out of what was decompressed, without a change of its length.
#[derive(Debug)]
struct Shorter;

impl CertDecompressor for Shorter {
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        Behind.decompress(input, output)?;
        let first = usize::from(output[4]) << 16 | usize::from(output[5]) << 8 | usize::from(output[6]);
        let list = 3 + first + 2;
        assert!(list + 4 < output.len(), "there are two certificates");
        output[1..4].copy_from_slice(&u32::try_from(list).unwrap().to_be_bytes()[1..]);
        Ok(())
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        CertificateCompressionAlgorithm::Zlib
    }
}

#[test]
fn what_stands_behind_a_decompressed_certificate_is_ignored_and_not_hashed() {
    let log = Log::default();
    let mut config = client(&log, false);
    config.cert_decompressors = vec![&Shorter];
    let mut serving = server(&GROUPS, &TLS13, false);
    // A second certificate that nobody needs: the leaf again.
    let mut leaf = certs::good();
    leaf.chain.push(leaf.chain[0].clone());
    let key = serving
        .crypto_provider()
        .key_provider
        .load_private_key(leaf.key())
        .unwrap();
    serving.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(CertifiedKey::new(
        leaf.chain, key,
    )));
    serving.cert_compressors = vec![&Behind];
    let ran = run(&log, &Arc::new(config), &Arc::new(serving));
    assert_eq!(
        ran.client.peer_certificates().map(<[CertificateDer<'_>]>::len),
        Some(1)
    );
    assert!(
        ran.events.contains(&"update(25)".to_owned()),
        "the message itself is hashed"
    );
    assert!(
        !ran.events.contains(&"update(11)".to_owned()),
        "what was in it is not"
    );
}

/// Signs, and keeps what it signed.
#[derive(Debug, Clone)]
struct Noting {
    key: Arc<dyn SigningKey>,
    chain: Vec<CertificateDer<'static>>,
    signed: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl ResolvesClientCert for Noting {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::new(CertifiedKey::new(
            self.chain.clone(),
            Arc::new(self.clone()),
        )))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl SigningKey for Noting {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let inner = self.key.choose_scheme(offered)?;
        Some(Box::new(NotingSigner {
            inner,
            signed: Arc::clone(&self.signed),
        }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct NotingSigner {
    inner: Box<dyn Signer>,
    signed: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Signer for NotingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signed.lock().push(message.to_vec());
        self.inner.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.inner.scheme()
    }
}

#[test]
fn a_client_certificate_of_tls12_signs_the_messages_themselves() {
    let log = Log::default();
    for (version, hashed) in [(&TLS12, false), (&TLS13, true)] {
        let leaf = certs::authority().client("client");
        let provider = certs::provider();
        let signed = Arc::new(Mutex::new(Vec::new()));
        let mut config = client(&log, false);
        config.client_auth_cert_resolver = Arc::new(Noting {
            key: provider.key_provider.load_private_key(leaf.key()).unwrap(),
            chain: leaf.chain.clone(),
            signed: Arc::clone(&signed),
        });
        run(&log, &Arc::new(config), &Arc::new(server(&GROUPS, version, true)));
        let signed = signed.lock();
        let [message] = signed.as_slice() else {
            panic!("{} signatures", signed.len())
        };
        if hashed {
            assert_eq!(message[..64], [b' '; 64], "RFC 8446 section 4.4.3");
        } else {
            assert_eq!(messages(message), "1+2+11+12+13+14+11+16");
        }
    }
}

/// Notes how sessions show themselves, and keeps none.
#[derive(Debug, Default)]
struct Shown(Mutex<Vec<String>>);

impl ClientSessionStore for Shown {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.lock().push(format!("{value:?}"));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.lock().push(format!("{value:?}"));
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// A ticket of this octet alone.
#[derive(Debug)]
struct Monotone(u8);

const TICKET: usize = 3000;

impl ProducesTickets for Monotone {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![self.0; TICKET])
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// It is by this that sessions are weighed: there is no other way to learn how long a ticket is.
#[test]
fn a_session_shows_its_ticket_and_the_certificates_in_two_digits_an_octet() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for version in [&TLS12, &TLS13] {
        let (log, shown) = (Log::default(), Arc::new(Shown::default()));
        let mut config = client(&log, false);
        config.resumption = Resumption::store(Arc::<Shown>::clone(&shown));
        let mut server = server(&GROUPS, version, false);
        server.ticketer = Arc::new(Monotone(0xa7));
        let ran = run(&log, &Arc::new(config), &Arc::new(server));
        let shown = shown.0.lock();
        assert!(!shown.is_empty());
        let leaf = hex(&ran.client.peer_certificates().unwrap()[0]);
        for session in shown.iter() {
            assert!(session.contains(&leaf) && session.contains(&"a7".repeat(TICKET)));
            let rest = session.len() - leaf.len() - 2 * TICKET;
            assert!(rest < 1000, "{rest} characters are neither");
        }
    }
}
