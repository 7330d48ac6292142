//! Calls that differ in one part of their identity.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hotpool::fingerprint::{Code, HelloSpec, Profile, Slot, kind};
use hotpool::rustls::{self, ClientConfig, RootCertStore};
use hotpool::{
    GetOptions, OnShapeRejected, Require, Revocation, SourcePolicy, StaticSources, Tls, TlsBuilder,
};

use crate::support::certs::{self, Leaf};
use crate::support::verifier::Second;

/// Two calls whose identities differ in the part that is named, and in nothing else.
pub(super) struct Pair {
    pub(super) part: &'static str,
    pub(super) calls: [GetOptions; 2],
}

/// What the setups are made of. Each call of `setup` makes a new one that is equal to the last.
pub(super) struct Makings {
    client: Leaf,
    again: Leaf,
    lists: [rustls::pki_types::CertificateRevocationListDer<'static>; 2],
}

impl Makings {
    pub(super) fn new() -> Self {
        let authority = certs::authority();
        let client = authority.client("a client");
        Makings {
            again: authority.client_again("a client", &client),
            client,
            lists: [authority.revocations(1, &[]), authority.revocations(2, &[])],
        }
    }

    fn parts(&self) -> TlsBuilder {
        Tls::builder()
            .roots(certs::authority().roots())
            .client_identity(self.client.chain.clone(), self.client.key())
            .revocation(self.revocation(0))
    }

    fn revocation(&self, list: usize) -> Revocation {
        Revocation::new([self.lists[list].clone()])
    }

    /// What the pools of these tests have for their own, and what every pair starts from.
    pub(super) fn setup(&self) -> Tls {
        made(self.parts())
    }

    /// Every part of a setup, changed alone.
    fn setups(&self) -> Vec<(&'static str, Tls)> {
        let both = roots([certs::authority(), certs::unknown_authority()]);
        let parts = || self.parts();
        let revoked = |revocation: Revocation| made(self.parts().revocation(revocation));
        vec![
            ("roots", made(parts().roots(both))),
            ("verifier", made(parts().verifier(nodding()))),
            (
                "client chain",
                made(parts().client_identity(self.again.chain.clone(), self.client.key())),
            ),
            (
                "client key",
                made(parts().client_identity(self.client.chain.clone(), self.client.key_as_sec1())),
            ),
            ("revocation lists", revoked(self.revocation(1))),
            ("revocation depth", revoked(self.revocation(0).end_entity_only())),
            ("unknown status", revoked(self.revocation(0).allow_unknown())),
            ("list expiry", revoked(self.revocation(0).enforce_expiry())),
            ("provider", made(parts().provider(certs::provider()))),
            ("resumption", made(parts().resumption(false))),
        ]
    }

    /// Each part once.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let brought = || GetOptions::new().tls(self.setup());
        let shaped =
            |act| GetOptions::new().tls(made(self.parts().profile(small_profile()).on_shape_rejected(act)));
        let opened = |profile| GetOptions::new().tls(made(self.parts().profile(profile)));
        let firefox = Profile::firefox_esr(153)
            .expect("known")
            .h2()
            .expect("a spec")
            .clone();
        let headers = Profile::curl().headers().clone();
        let wider = firefox
            .clone()
            .with_window_update(firefox.window_update() + 1)
            .expect("a spec");
        let of = |part, one, other| Pair {
            part,
            calls: [one, other],
        };
        let mut pairs: Vec<_> = self
            .setups()
            .into_iter()
            .map(|(part, setup)| of(part, brought(), GetOptions::new().tls(setup)))
            .collect();
        let [one, other] = [whole(), whole()];
        pairs.extend([
            of(
                "whole configuration",
                GetOptions::new().tls(one),
                GetOptions::new().tls(other),
            ),
            of("profile", brought(), shaped(OnShapeRejected::Fail)),
            of(
                "how HTTP/2 is opened",
                shaped(OnShapeRejected::Fail),
                opened(small_profile().with_h2(firefox.clone())),
            ),
            of(
                "one setting of HTTP/2",
                opened(small_profile().with_h2(firefox.clone())),
                opened(small_profile().with_h2(wider)),
            ),
            of(
                "how HTTP/2 is opened, and nothing else of a profile",
                brought(),
                opened(Profile::rustls().with_h2(firefox)),
            ),
            of(
                "the headers that go with a profile",
                opened(small_profile()),
                opened(small_profile().with_headers(headers)),
            ),
            of(
                "what becomes of a rejected shape",
                shaped(OnShapeRejected::Fail),
                shaped(OnShapeRejected::RetryUnshaped),
            ),
            of("epoch", brought(), GetOptions::new()),
            of("ALPN", brought(), brought().require(Require::Http1)),
            of("partition", brought().partition("a"), brought().partition("b")),
            of("sources", brought().sources(local()), brought().sources(local())),
            of("sources and none", brought(), brought().sources(local())),
            of(
                "a partition and none",
                GetOptions::new(),
                GetOptions::new().partition(""),
            ),
        ]);
        pairs
    }

    /// Sixteen identities, each unlike any other.
    pub(super) fn sixteen(&self) -> Vec<GetOptions> {
        let brought = |setup| GetOptions::new().tls(setup);
        let mut calls: Vec<_> = self
            .setups()
            .into_iter()
            .map(|(_, setup)| brought(setup))
            .collect();
        calls.extend([
            GetOptions::new(),
            GetOptions::new().require(Require::Http1),
            GetOptions::new().partition("a"),
            brought(self.setup()),
            brought(self.setup()).partition("a"),
            brought(whole()),
        ]);
        assert_eq!(calls.len(), 16);
        calls
    }
}

/// A profile that any cryptography can serve.
fn small_profile() -> Profile {
    let plain = |codes: &[u16]| codes.iter().copied().map(Code::Plain).collect::<Vec<Code>>();
    let slots = vec![
        Slot::Native(kind::SERVER_NAME),
        Slot::Groups(plain(&[0x001d, 0x0017])),
        Slot::Signatures(plain(&[0x0403, 0x0804])),
        Slot::Alpn(vec!["h2".to_owned(), "http/1.1".to_owned()]),
        Slot::Versions(plain(&[0x0304, 0x0303])),
        Slot::NativeOrEmpty(kind::SESSION_TICKET),
        Slot::Raw {
            kind: kind::PSK_KEY_EXCHANGE_MODES,
            body: vec![1, 1],
        },
        Slot::KeyShares(plain(&[0x001d])),
    ];
    let spec = HelloSpec::new(plain(&[0x1301, 0x1302, 0xc02b]), slots).expect("a spec");
    Profile::custom("small", spec)
}

/// A whole configuration; all are alike, and each is one of its own.
fn whole() -> Tls {
    let config = ClientConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .expect("versions that the provider knows")
        .with_root_certificates(certs::authority().roots())
        .with_no_client_auth();
    made(Tls::builder().config(config).resumption(true))
}

/// The address that would be chosen anyhow; each set is one of its own.
fn local() -> SourcePolicy {
    let local = StaticSources::new([Ipv4Addr::LOCALHOST.into()]);
    SourcePolicy::require(local.expect("an address"))
}

fn made(builder: TlsBuilder) -> Tls {
    builder.build().expect("a setup")
}

fn roots<const N: usize>(authorities: [&certs::Authority; N]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.certificate()).expect("a root");
    }
    roots
}

/// Has nothing against anybody.
fn nodding() -> Arc<Second> {
    let algorithms = certs::provider().signature_verification_algorithms;
    Arc::new(Second::knowing(algorithms.supported_schemes()))
}
