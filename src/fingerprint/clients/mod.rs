//! The clients of the library as data: which lists, in which order, and whence they are known. The tests compare them with the captures, and with what
//! others published.

pub(super) mod chromium;
pub(super) mod firefox;
pub(super) mod safari;
pub(super) mod tools;

use super::profile::{About, Browser, Guarantee, Platform};
use super::{Code, Slot, kind};

const GREASE: Code = Code::Grease;
pub(super) const SERVER_NAME: Slot = Slot::Native(kind::SERVER_NAME);

/// What no profile of a browser can do: rustls has neither the ciphers nor the groups.
macro_rules! unserved {
    ($what:literal) => {
        concat!(
            "a server that chooses ",
            $what,
            " ends in an error that names its choice: it is offered, not served"
        )
    };
}
use unserved;

/// What the caller can do to the hello of a profile that offers both protocols.
const REQUIRE: &str = "a call that requires one protocol offers that one alone, and without h2 no settings for it: an identity, and a JA4, of its own";

pub(super) static RUSTLS: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "rustls itself",
    guarantee: Guarantee::Own,
    limits: &[],
};

pub(super) static CUSTOM: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "the caller",
    guarantee: Guarantee::Own,
    limits: &[],
};

pub(super) static RANDOMIZED: About = About {
    browser: Browser::None,
    platform: Platform::Any,
    source: "drawn from a seed",
    guarantee: Guarantee::Own,
    limits: &[
        "it looks like nobody, which is a look of its own",
        "neither X25519MLKEM768 nor signatures of P-521 and ML-DSA are offered: ring has them not",
        REQUIRE,
    ],
};

pub(super) fn plain(codes: &[u16]) -> Vec<Code> {
    codes.iter().copied().map(Code::Plain).collect()
}

fn greased(codes: &[u16]) -> Vec<Code> {
    [vec![GREASE], plain(codes)].concat()
}

pub(super) fn raw(kind: u16, body: &[u8]) -> Slot {
    Slot::Raw {
        kind,
        body: body.to_vec(),
    }
}

pub(super) fn alpn() -> Slot {
    Slot::Alpn(vec!["h2".to_owned(), "http/1.1".to_owned()])
}
