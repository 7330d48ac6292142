//! Certificates made at test time: one authority per process, and leaves that are good or wrong in exactly one way.
//!
//! Every key is ECDSA P-256 where nothing else is said. Names that read as IP addresses become IP entries of the certificate.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The names that a certificate made without names of its own is good for.
pub const NAMES: [&str; 6] = [
    "peer.test",
    "*.peer.test",
    "localhost",
    "127.0.0.1",
    "127.0.0.2",
    "127.0.0.3",
];

/// The cryptography that the crate is built with; aws-lc-rs where both are.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

/// An authority that signs leaves.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The authority that this process's good leaves come from. Cached: every call gives the same one.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("hotpool test authority"))
}

/// An authority that no root store of [`authority`] holds. Cached as well.
pub fn unknown_authority() -> &'static Authority {
    static UNKNOWN: OnceLock<Authority> = OnceLock::new();
    UNKNOWN.get_or_init(|| Authority::new("hotpool unknown authority"))
}

impl Authority {
    /// A new authority of its own.
    pub fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), new_key());
        Self(issuer.expect("a self-signed authority"))
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// The same as PEM text.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A root store that holds this authority and nothing else.
    pub fn roots(&self) -> RootCertStore {
        roots_of([self.certificate()])
    }

    /// A leaf for a server, good for `names` from 1975 to 4096.
    pub fn server(&self, names: &[&str]) -> Leaf {
        self.sign(leaf_params(names, ExtendedKeyUsagePurpose::ServerAuth))
    }

    /// A leaf for a client.
    pub fn client(&self, name: &str) -> Leaf {
        self.sign(leaf_params(&[name], ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// A leaf for a server, signed by an intermediate of this authority that the chain carries.
    pub fn server_by_intermediate(&self, names: &[&str]) -> Leaf {
        let params = authority_params("hotpool test intermediate");
        let middle = CertifiedIssuer::signed_by(params, new_key(), &self.0).expect("an intermediate");
        let mut leaf = sign(leaf_params(names, ExtendedKeyUsagePurpose::ServerAuth), &middle);
        leaf.chain.push(middle.der().clone());
        leaf.pem.push_str(&middle.pem());
        leaf
    }

    /// Another leaf for the same client and the same key.
    pub fn client_again(&self, name: &str, leaf: &Leaf) -> Leaf {
        let params = leaf_params(&[name], ExtendedKeyUsagePurpose::ClientAuth);
        let key = KeyPair::try_from(&leaf.key()).expect("a key that was written by itself");
        sign_with(params, &self.0, key)
    }

    /// A revocation list, in DER: its number, and the leaves that it calls back. Good from 1975 to 4096.
    pub fn revocations(&self, number: u64, revoked: &[&Leaf]) -> CertificateRevocationListDer<'static> {
        let entry = |leaf: &&Leaf| RevokedCertParams {
            serial_number: leaf.serial.clone(),
            revocation_time: date_time_ymd(2000, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(1975, 1, 1),
            next_update: date_time_ymd(4096, 1, 1),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).expect("a signed list").der().clone()
    }

    /// The authority's signature of these octets.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        rcgen::SigningKey::sign(self.0.key(), bytes).expect("a signature")
    }

    fn sign(&self, params: CertificateParams) -> Leaf {
        sign(params, &self.0)
    }
}

/// A certificate chain, leaf first and without its root, and the leaf's key.
pub struct Leaf {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
    serial: SerialNumber,
}

impl Leaf {
    fn of(certificate: &Certificate, key: KeyPair, serial: SerialNumber) -> Self {
        Self {
            serial,
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key,
        }
    }

    /// The leaf's private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// The same key in another of its forms (RFC 5915, which PKCS #8 wraps): equal to the key in use, not in content.
    pub fn key_as_sec1(&self) -> PrivateKeyDer<'static> {
        let pkcs8 = self.key.serialize_der();
        // An OCTET STRING of fewer than 128 bytes that begins with SEQUENCE, INTEGER 1.
        let inner = pkcs8
            .windows(7)
            .position(|w| w[0] == 4 && w[2] == 0x30 && w[4..] == [2, 1, 1]);
        let inner = inner.expect("an EC key inside PKCS #8") + 1;
        let end = inner + 1 + usize::from(pkcs8[inner]);
        PrivateSec1KeyDer::from(pkcs8[inner + 1..end].to_vec()).into()
    }

    /// A stock server that shows it, asks for no certificate, and speaks these versions by the cryptography of `provider`.
    pub fn config(
        &self,
        provider: impl Into<Arc<CryptoProvider>>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .expect("versions that the provider knows")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key())
            .expect("a chain and its key")
    }

    /// A root store that trusts exactly this leaf: what a client of a self-signed server would set up.
    pub fn as_root(&self) -> RootCertStore {
        roots_of([self.chain[0].clone()])
    }

    /// Writes `NAME.crt` (the chain) and `NAME.key` into `dir`, as an outside server reads them.
    pub fn write_pem(&self, dir: &Path, name: &str) -> PemFiles {
        let files = PemFiles {
            chain: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
        };
        std::fs::write(&files.chain, &self.pem).expect("the chain's file");
        std::fs::write(&files.key, self.key.serialize_pem()).expect("the key's file");
        files
    }
}

/// Where [`Leaf::write_pem`] wrote.
pub struct PemFiles {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// The key, PKCS #8.
    pub key: PathBuf,
}

/// A good leaf for [`NAMES`].
pub fn good() -> Leaf {
    authority().server(&NAMES)
}

/// Good, with a key of Ed25519.
pub fn ed25519() -> Leaf {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key of Ed25519");
    let params = leaf_params(&NAMES, ExtendedKeyUsagePurpose::ServerAuth);
    sign_with(params, &authority().0, key)
}

/// Good but for its time: it ended with the year 2000.
pub fn expired() -> Leaf {
    let mut params = leaf_params(&NAMES, ExtendedKeyUsagePurpose::ServerAuth);
    params.not_after = date_time_ymd(2000, 12, 31);
    authority().sign(params)
}

/// Good but for its time: it begins with the year 3000.
pub fn not_yet_valid() -> Leaf {
    let mut params = leaf_params(&NAMES, ExtendedKeyUsagePurpose::ServerAuth);
    params.not_before = date_time_ymd(3000, 1, 1);
    authority().sign(params)
}

/// Good, for another name than any in [`NAMES`].
pub fn wrong_name() -> Leaf {
    authority().server(&["elsewhere.test", "192.0.2.1"])
}

/// Good but for its issuer, which the client does not know.
pub fn unknown_ca() -> Leaf {
    unknown_authority().server(&NAMES)
}

/// A server's leaf that signed itself, as a leaf.
pub fn self_signed() -> Leaf {
    sign_itself(leaf_params(&NAMES, ExtendedKeyUsagePurpose::ServerAuth))
}

/// A server's certificate that signed itself and says that it is an authority (what `openssl req -x509` makes).
pub fn self_signed_ca() -> Leaf {
    let mut params = leaf_params(&NAMES, ExtendedKeyUsagePurpose::ServerAuth);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    sign_itself(params)
}

fn roots_of<const N: usize>(certificates: [CertificateDer<'static>; N]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .expect("a certificate that reads as a root");
    }
    roots
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(names: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let entries: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(entries).expect("names that a certificate can hold");
    let first = names.iter().find(|name| name.parse::<IpAddr>().is_err());
    params
        .distinguished_name
        .push(DnType::CommonName, *first.unwrap_or(&"hotpool test leaf"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a P-256 key")
}

fn sign(params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Leaf {
    sign_with(params, issuer, new_key())
}

fn sign_with(mut params: CertificateParams, issuer: &Issuer<'_, KeyPair>, key: KeyPair) -> Leaf {
    let serial = new_serial(&mut params);
    let certificate = params.signed_by(&key, issuer).expect("a signed leaf");
    Leaf::of(&certificate, key, serial)
}

fn sign_itself(mut params: CertificateParams) -> Leaf {
    let (serial, key) = (new_serial(&mut params), new_key());
    let certificate = params.self_signed(&key).expect("a leaf that signs itself");
    Leaf::of(&certificate, key, serial)
}

/// A number that no other leaf of this process has, so that one of them can be called back.
fn new_serial(params: &mut CertificateParams) -> SerialNumber {
    static LAST: AtomicU64 = AtomicU64::new(0x1000);
    let serial = SerialNumber::from(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    params.serial_number = Some(serial.clone());
    serial
}
