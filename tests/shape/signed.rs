//! What a server signs with, and the group of TLS 1.2: what cannot be served is named, what was not offered is not taken, and the rest goes through.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hotpool::fingerprint::Profile;
use hotpool::{ErrorKind, HotConnPool, OnShapeRejected, Tls};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};

use crate::pool::{builder, once, setup, start};
use crate::support::certs;
use crate::support::outside::tls::{Maker, TlsServer};
use crate::support::peer::Peer;
use crate::support::verifier::Second;
use crate::world::{BROWSERS, Browser, Client, serve};

/// OpenSSL with TLS 1.2, and these arguments.
fn openssl(more: &[&str]) -> TlsServer {
    let mut server = TlsServer::of(Maker::OpenSsl);
    server.tls12 = true;
    server.more = [&["-serverpref"], more]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    server
}

/// What stands before that server warns ahead of its first three records, of which the last has what it signed.
async fn warned(at: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await?;
            tokio::spawn(warn(near, TcpStream::connect(at).await?, 3));
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        io::Result::Ok(())
    });
    address
}

/// Passes on what both ends send, with a warning ahead of so many of the far one's records.
async fn warn<Near, Far>(near: Near, far: Far, warnings: usize) -> io::Result<()>
where
    Near: AsyncRead + AsyncWrite,
    Far: AsyncRead + AsyncWrite,
{
    const WARNING: [u8; 7] = [21, 3, 3, 0, 2, 1, 112];
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (split(near), split(far));
    let down = async {
        for nth in 0.. {
            let mut record = vec![0; 5];
            from_far.read_exact(&mut record).await?;
            let len = u16::from_be_bytes([record[3], record[4]]);
            record.resize(5 + usize::from(len), 0);
            from_far.read_exact(&mut record[5..]).await?;
            if nth < warnings {
                to_near.write_all(&WARNING).await?;
            }
            to_near.write_all(&record).await?;
        }
        Ok(())
    };
    tokio::select! {
        copied = copy(&mut from_near, &mut to_far) => copied.map(drop),
        done = down => done,
    }
}

/// Each of these servers would rather have what only Firefox offers, and takes what rustls offers as well.
#[tokio::test]
async fn what_tls12_signs_is_named_or_left() {
    for (more, why) in [
        (&["-groups", "P-521:P-256"][..], "group 0x0019"),
        (
            &[
                "-cipher",
                "ALL:@SECLEVEL=0",
                "-sigalgs",
                "ECDSA+SHA1:ECDSA+SHA256",
            ],
            "signature scheme 0x0203",
        ),
    ] {
        let server = start(&openssl(more)).unwrap();
        let plain = server.addr(0);
        let warned = warned(plain).await;
        let acts = [OnShapeRejected::Fail, OnShapeRejected::RetryUnshaped];
        for (at, act) in [plain, warned]
            .into_iter()
            .flat_map(|at| acts.map(|act| (at, act)))
        {
            let (builder, name) = builder(at);
            let profile = Profile::firefox_esr(153).unwrap();
            let pool: HotConnPool = builder.tls(setup(profile, act)).build().unwrap();
            match (act, once(&pool, &name).await) {
                (OnShapeRejected::RetryUnshaped, Ok(info)) => assert!(!info.tls.shaped, "{why}"),
                (OnShapeRejected::Fail, Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Shape);
                    let text = std::error::Error::source(&error).unwrap().to_string();
                    assert!(text.contains(why) && text.contains("profile offers"), "{text}");
                }
                (act, got) => panic!("{why}, {act:?}: {got:?}"),
            }
            pool.close().await;
        }
    }
}

/// A key that signs with what it has, whatever the client offers.
#[derive(Debug)]
struct Heedless(Arc<dyn SigningKey>);

impl SigningKey for Heedless {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0
            .choose_scheme(&[SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256])
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// Shows one certificate to everybody.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn showing(shown: CertifiedKey, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(certs::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
    Arc::new(config)
}

/// rustls verifies Ed25519, and would not miss that the hello had it not. No browser offers it; curl does.
#[tokio::test]
async fn a_scheme_that_was_not_offered_is_not_taken() {
    let leaf = certs::ed25519();
    for version in [&TLS13, &TLS12] {
        let key = Heedless(any_supported_type(&leaf.key()).unwrap());
        let server = showing(CertifiedKey::new(leaf.chain.clone(), Arc::new(key)), version);
        for (browser, warnings) in BROWSERS
            .into_iter()
            .flat_map(|browser| [(browser, 0), (browser, 1)])
        {
            let (near, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(warn(far, serve(&server), warnings));
            let error = browser.client().talk(near).await.err().unwrap();
            let why = hotpool::shaped::reason(&error).unwrap();
            assert!(
                why.contains("signature scheme 0x0807, which the profile does not offer"),
                "{why}"
            );
        }
        let curl = Client::new(Profile::curl().hello().unwrap());
        curl.talk(serve(&server)).await.unwrap();
    }
}

/// Whoever has a certificate that both providers can verify is answered, whatever is drawn.
#[tokio::test]
async fn every_seed_takes_a_certificate_of_ed25519() {
    let leaf = certs::ed25519();
    let servers = [&TLS13, &TLS12].map(|version| Arc::new(leaf.config(certs::provider(), &[version])));
    for seed in 0..60 {
        let client = Client::new(Profile::randomized(seed).hello().unwrap());
        for server in &servers {
            let talked = client.talk(serve(server)).await;
            talked.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        }
    }
}

/// The elements of a DER sequence's content.
fn elements(mut content: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    while let [_, first, rest @ ..] = content {
        let digits = usize::from(first.saturating_sub(0x80));
        let len = match digits {
            0 => usize::from(*first),
            _ => rest[..digits]
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte)),
        };
        let (element, after) = content.split_at(2 + digits + len);
        elements.push(element);
        content = after;
    }
    elements
}

/// What is within a DER element that is longer than 255 octets.
fn within(element: &[u8]) -> &[u8] {
    assert_eq!(element[1], 0x82);
    &element[4..]
}

/// A DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..0x80 => [&[tag, len[1]], content].concat(),
        0x80..0x100 => [&[tag, 0x81, len[1]], content].concat(),
        _ => [&[tag, 0x82, len[0], len[1]], content].concat(),
    }
}

/// A certificate of the authority for a key of ML-DSA, which rcgen does not make here: a good leaf with another key in it, signed again.
fn ml_dsa(last: u8) -> CertifiedKey {
    // The seed of a key, as PKCS #8 has it (RFC 9881 section 6).
    let algorithm = der(0x30, &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, last]);
    let seed = der(4, &der(0x80, &[7; 32]));
    let pkcs8 = der(0x30, &[&[2, 1, 0], &*algorithm, &seed].concat());
    let key = any_supported_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8))).unwrap();
    let leaf = certs::good();
    let [signed, how, _] = elements(within(&leaf.chain[0]))[..] else {
        panic!("a certificate has three parts")
    };
    const KEY: usize = 6;
    let spki = key.public_key().unwrap();
    let mut parts = elements(within(signed));
    parts[KEY] = &spki;
    let signed = der(0x30, &parts.concat());
    let signature = [&[0][..], &certs::authority().sign_bytes(&signed)].concat();
    let whole = der(0x30, &[&*signed, how, &der(3, &signature)].concat());
    CertifiedKey::new(vec![whole.into()], key)
}

/// This certificate as if it had been signed by ECDSA with SHA-1: that nobody signed it so is found out later.
fn by_sha1(certificate: &[u8]) -> CertificateDer<'static> {
    const HOW: usize = 2;
    let sha1 = der(0x30, &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1]);
    let [signed, _, signature] = elements(within(certificate))[..] else {
        panic!("a certificate has three parts")
    };
    let mut parts = elements(within(signed));
    parts[HOW] = &sha1;
    let signed = der(0x30, &parts.concat());
    der(0x30, &[&signed, &*sha1, signature].concat()).into()
}

/// Firefox offers ECDSA with SHA-1, which nobody verifies any more: a chain that is signed so is named, wherever in it that is. Chromium does not offer it, and so it is no
/// choice of Chromium's offer.
#[tokio::test]
async fn a_chain_that_is_signed_by_what_cannot_be_verified_is_named() {
    let leaf = certs::authority().server_by_intermediate(&["peer.test"]);
    let key = || any_supported_type(&leaf.key()).unwrap();
    let [own, middle] = &leaf.chain[..] else {
        panic!("a leaf and an intermediate")
    };
    let chains = [
        vec![by_sha1(own), middle.clone()],
        vec![own.clone(), by_sha1(middle)],
    ];
    for (chain, version) in chains.iter().flat_map(|chain| [(chain, &TLS13), (chain, &TLS12)]) {
        let server = showing(CertifiedKey::new(chain.clone(), key()), version);
        let error = Browser::Firefox
            .client()
            .talk(serve(&server))
            .await
            .err()
            .unwrap();
        let why = hotpool::shaped::reason(&error).unwrap();
        assert!(
            why.contains("a certificate signed by scheme 0x0203, which the profile offers"),
            "{why}"
        );
        let error = Browser::Chromium
            .client()
            .talk(serve(&server))
            .await
            .err()
            .unwrap();
        assert_eq!(hotpool::shaped::reason(&error), None, "{error}");
    }
    let whole = showing(CertifiedKey::new(leaf.chain.clone(), key()), &TLS13);
    Browser::Firefox.client().talk(serve(&whole)).await.unwrap();
}

/// Another verifier that must agree narrows what can be served, though not what a profile offers.
#[tokio::test]
async fn a_scheme_that_the_other_verifier_does_not_know_is_named() {
    let peer = Peer::builder().start();
    for (knows, served) in [
        (SignatureScheme::ECDSA_NISTP256_SHA256, true),
        (SignatureScheme::ED25519, false),
    ] {
        let (builder, name) = builder(peer.addr(0));
        let tls = Tls::builder()
            .roots(certs::authority().roots())
            .verifier(Arc::new(Second::knowing([knows])))
            .profile(Profile::firefox_esr(153).unwrap());
        let pool = builder.tls(tls.build().unwrap()).build().unwrap();
        match once(&pool, &name).await {
            Ok(info) => assert!(served && info.tls.shaped),
            Err(error) => {
                assert!(!served && error.kind() == ErrorKind::Shape, "{error:?}");
                let text = std::error::Error::source(&error).unwrap().to_string();
                assert!(text.contains("signature scheme 0x0403"), "{text}");
            }
        }
        pool.close().await;
    }
}

/// Chromium offers ML-DSA, and the cryptography that has its groups verifies it.
#[tokio::test]
async fn chromium_takes_certificates_of_ml_dsa() {
    for (last, scheme) in [(17, 0x0904), (18, 0x0905), (19, 0x0906)] {
        let shown = ml_dsa(last);
        let own = shown.key.choose_scheme(&[SignatureScheme::from(scheme)]);
        assert!(own.is_some());
        let server = showing(shown, &TLS13);
        Browser::Chromium.client().talk(serve(&server)).await.unwrap();
        // Firefox does not offer it, so the server has nothing to sign with.
        assert!(Browser::Firefox.client().talk(serve(&server)).await.is_err());
    }
}
