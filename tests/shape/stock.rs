//! A stock rustls server: every case of the table's first column, with every profile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hotpool::fingerprint::kind;
use rustls::compress::{CertCompressor, CompressionFailed, CompressionLevel};
use rustls::crypto::aws_lc_rs::{Ticketer, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateCompressionAlgorithm as Algorithm, HandshakeKind, NamedGroup, ServerConfig};

use crate::matrix;
use crate::support::certs;
use crate::world::{BROWSERS, Browser, Client, serve, serve_as, server};

/// Compresses as the algorithm's own library does.
#[derive(Debug)]
struct Compress {
    algorithm: Algorithm,
    used: AtomicBool,
    content: Content,
}

/// What is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    AsItIs,
    /// With timestamps where the last certificate was.
    Stamped,
    /// One byte more than the message says.
    Longer,
    /// One byte less.
    Shorter,
    /// As it is, and another byte behind what it was compressed to.
    Trailed,
}

impl Compress {
    /// For ever, as rustls wants it.
    fn leaked(algorithm: Algorithm, content: Content) -> &'static Self {
        Box::leak(Box::new(Compress {
            algorithm,
            used: AtomicBool::new(false),
            content,
        }))
    }

    /// Makes `config` show certificates that it compressed.
    fn serve(&'static self, config: &mut ServerConfig) {
        config.cert_compressors = vec![self];
        config.cert_compression_cache = Arc::new(rustls::compress::CompressionCache::Disabled);
    }

    fn compressed(&self, input: &[u8]) -> Result<Vec<u8>, CompressionFailed> {
        match self.algorithm {
            Algorithm::Zlib => {
                let mut output = vec![0; zlib_rs::compress_bound(input.len())];
                let (filled, code) =
                    zlib_rs::compress_slice(&mut output, input, zlib_rs::DeflateConfig::default());
                assert_eq!(code, zlib_rs::ReturnCode::Ok);
                Ok(filled.to_vec())
            }
            Algorithm::Brotli => {
                let mut output = Vec::new();
                let params = brotli::enc::BrotliEncoderParams::default();
                brotli::BrotliCompress(&mut &*input, &mut output, &params).unwrap();
                Ok(output)
            }
            Algorithm::Zstd => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                Ok(ruzstd::encoding::compress_to_vec(input, level))
            }
            _ => Err(CompressionFailed),
        }
    }
}

impl CertCompressor for Compress {
    fn compress(&self, mut input: Vec<u8>, _level: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        self.used.store(true, Ordering::Relaxed);
        match self.content {
            Content::Stamped => stamp(&mut input),
            Content::Longer => input.push(0),
            Content::Shorter => drop(input.pop()),
            Content::AsItIs | Content::Trailed => {}
        }
        let mut output = self.compressed(&input)?;
        if self.content == Content::Trailed {
            output.push(0);
        }
        Ok(output)
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Puts timestamps into the first entry of a certificate message's body, as long as the second entry was, which goes.
fn stamp(body: &mut [u8]) {
    // A context of no bytes, the length of the list, and entries: a certificate behind its length, and the length of its extensions.
    let first = usize::from(body[5]) << 8 | usize::from(body[6]);
    let extensions = 1 + 3 + 3 + first;
    let room = body.len() - extensions - 2;
    let mut at = extensions;
    for (nth, len) in [room, 18, room - 4, room - 6, room - 8].into_iter().enumerate() {
        // The list of extensions, the type and length of one, the list of timestamps, and the one.
        assert!(nth == 1 || len > 0);
        body[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        at += 2;
    }
}

fn asking(version: &'static rustls::SupportedProtocolVersion) -> ServerConfig {
    let roots = Arc::new(certs::authority().roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, certs::provider())
        .build()
        .unwrap();
    let leaf = certs::good();
    ServerConfig::builder_with_provider(certs::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(leaf.chain.clone(), leaf.key())
        .unwrap()
}

/// The kinds of handshake that two connections to these servers must be.
async fn connects(client: &Client, servers: &[ServerConfig], kinds: &[HandshakeKind]) {
    for (config, kind) in servers.iter().cycle().zip(kinds) {
        let connection = client.talk(serve(&Arc::new(config.clone()))).await.unwrap();
        assert_eq!(connection.session().handshake_kind(), Some(*kind));
    }
}

fn older() -> ServerConfig {
    let mut config = server(&[], &[&TLS12]);
    config.ticketer = Ticketer::new().unwrap();
    config
}

/// Runs a case with a browser. False if it is not one of that browser's.
async fn run(case: &str, browser: Browser) -> bool {
    use HandshakeKind::{Full, FullWithHelloRetryRequest as Retried, Resumed};
    let client = browser.client();
    let newer = || server(&[], &[&TLS13, &TLS12]);
    let own = || Some(certs::authority().client("client"));
    let with_own = || Client::with(&browser.spec(), certs::authority().roots(), own());
    match case {
        "full 1.3" => connects(&client, &[newer()], &[Full]).await,
        "resumed 1.3" => connects(&client, &[newer()], &[Full, Resumed]).await,
        "full 1.2" => connects(&client, &[older()], &[Full]).await,
        "resumed 1.2" => connects(&client, &[older()], &[Full, Resumed]).await,
        "retry to P-256" if browser == Browser::Firefox => return false,
        "retry to P-256" => connects(&client, &[server(&[kx_group::SECP256R1], &[&TLS13])], &[Retried]).await,
        "retry to P-384" => connects(&client, &[server(&[kx_group::SECP384R1], &[&TLS13])], &[Retried]).await,
        "third share" if browser == Browser::Chromium => return false,
        "third share" => connects(&client, &[server(&[kx_group::SECP256R1], &[&TLS13])], &[Full]).await,
        "client certificate 1.3" => connects(&with_own(), &[asking(&TLS13)], &[Full, Resumed]).await,
        "client certificate 1.2" => connects(&with_own(), &[asking(&TLS12)], &[Full]).await,
        "refused certificates" => {
            for leaf in [certs::wrong_name(), certs::unknown_ca(), certs::expired()] {
                assert!(client.connect(serve_as(&leaf)).await.is_err());
            }
        }
        "X25519MLKEM768" => {
            let connection = client.talk(serve(&Arc::new(newer()))).await.unwrap();
            let group = connection
                .session()
                .negotiated_key_exchange_group()
                .unwrap()
                .name();
            assert_eq!(group, NamedGroup::X25519MLKEM768);
        }
        "zlib certificate" => compressed(&client, browser, Algorithm::Zlib).await,
        "brotli certificate" => compressed(&client, browser, Algorithm::Brotli).await,
        "zstd certificate" => compressed(&client, browser, Algorithm::Zstd).await,
        "small records" => {
            let mut config = newer();
            config.max_fragment_size = Some(40);
            connects(&client, &[config], &[Full, Resumed]).await;
        }
        "1.2 after a 1.3 ticket" => {
            // The ticket of TLS 1.2 was kept from rustls; the next connection has another of TLS 1.3.
            connects(&client, &[newer(), older()], &[Full, Full, Resumed, Full]).await;
        }
        other => panic!("{other} is not rustls's"),
    }
    true
}

async fn compressed(client: &Client, browser: Browser, algorithm: Algorithm) {
    let compressor = Compress::leaked(algorithm, Content::AsItIs);
    let mut config = server(&[], &[&TLS13]);
    compressor.serve(&mut config);
    connects(client, &[config], &[HandshakeKind::Full]).await;
    // Firefox offers all three, Chromium brotli.
    let offered = browser == Browser::Firefox || algorithm == Algorithm::Brotli;
    assert_eq!(compressor.used.load(Ordering::Relaxed), offered, "{algorithm:?}");
}

/// Timestamps of a certificate that came compressed are in no message that could be edited.
#[tokio::test]
async fn timestamps_within_a_compressed_certificate() {
    for (browser, algorithm) in [
        (Browser::Chromium, Algorithm::Brotli),
        (Browser::Firefox, Algorithm::Zlib),
        (Browser::Firefox, Algorithm::Brotli),
        (Browser::Firefox, Algorithm::Zstd),
    ] {
        let compressor = Compress::leaked(algorithm, Content::Stamped);
        let mut config = server(&[], &[&TLS13]);
        let mut leaf = certs::good();
        leaf.chain.push(leaf.chain[0].clone());
        let key = config.crypto_provider().key_provider.load_private_key(leaf.key());
        let shown = CertifiedKey::new(leaf.chain, key.unwrap());
        config.cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        compressor.serve(&mut config);
        let connection = browser.client().talk(serve(&Arc::new(config))).await.unwrap();
        assert!(compressor.used.load(Ordering::Relaxed));
        assert!(connection.answers.contains(&kind::SIGNED_CERTIFICATE_TIMESTAMP));
        let chain = connection.session().peer_certificates();
        assert_eq!(chain.map(<[CertificateDer<'_>]>::len), Some(1));
    }
}

/// rustls hands over as much room as the message says that it needs, and takes whatever is in there.
#[tokio::test]
async fn a_compressed_certificate_is_as_long_as_it_says() {
    for algorithm in [Algorithm::Zlib, Algorithm::Brotli, Algorithm::Zstd] {
        for content in [
            Content::AsItIs,
            Content::Longer,
            Content::Shorter,
            Content::Trailed,
        ] {
            let compressor = Compress::leaked(algorithm, content);
            let mut config = server(&[], &[&TLS13]);
            compressor.serve(&mut config);
            let taken = Browser::Firefox.client().connect(serve(&Arc::new(config))).await;
            assert!(compressor.used.load(Ordering::Relaxed));
            assert_eq!(
                taken.is_ok(),
                content == Content::AsItIs,
                "{algorithm:?} {content:?}"
            );
        }
    }
}

/// A zstd frame of one run of zeros, whose window has this descriptor (RFC 8878 section 3.1.1).
fn run_of_zeros(window: u8, count: u32) -> Vec<u8> {
    const LAST_RUN: u32 = 0b011;
    let header = (count << 3 | LAST_RUN).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, window][..], &header[..3], &[0]].concat()
}

/// All of a window is decoded before any of it is handed over: some bytes could ask for 128 MB.
#[test]
fn a_window_is_no_larger_than_it_must_be() {
    let client = Browser::Firefox.client();
    let mut all = client.config.cert_decompressors.iter();
    let zstd = all.find(|one| one.algorithm() == Algorithm::Zstd).unwrap();
    // 1 kB doubled as often as the five higher bits say: 8 MB, one eighth more, 64 MB.
    for (window, taken) in [(13 << 3, true), (13 << 3 | 1, false), (16 << 3, false)] {
        let mut room = [7; 4000];
        let done = zstd.decompress(&run_of_zeros(window, 4000), &mut room);
        assert_eq!(done.is_ok(), taken, "{window:#04x}");
        assert!(!taken || room == [0; 4000]);
    }
}

#[tokio::test]
async fn rustls() {
    for (case, run_it) in matrix::column("rustls") {
        if run_it {
            for browser in BROWSERS {
                if run(&case, browser).await {
                    matrix::filled("rustls", &case, &format!("{browser:?}"));
                }
            }
        }
    }
}
