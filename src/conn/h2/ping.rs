//! What stands in the PINGs by which a connection is asked for a sign of life, and in their answers; pure.
//!
//! h2 has the same eight octets in each, which name it, and takes no other answer. So they leave as the spec's client has them, and their answer comes to h2 with the difference taken back, bit by
//! bit: what went out becomes h2's octets, and anything else becomes something else, h2's own octets too. That holds however an answer is cut.
//!
//! h2 sends the next one when the last is answered: no two are under way.

use crate::fault::planted;
use crate::fingerprint::{H2Spec, PingForm};

/// What h2 has in those that its user sends.
const H2S: [u8; 8] = [0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4];

/// Those of one connection.
#[derive(Debug)]
pub(super) struct Pings {
    form: PingForm,
    /// How many have gone out.
    count: u64,
    /// In which bits the last that went out differs from h2's.
    mask: [u8; 8],
}

impl Pings {
    pub(super) fn new(spec: &H2Spec) -> Self {
        Pings {
            form: spec.ping(),
            count: 0,
            mask: [0; 8],
        }
    }

    /// Whether they leave in another form.
    pub(super) fn change(&self) -> bool {
        self.form != PingForm::H2 && !planted("pings_have_h2s_payload")
    }

    /// h2 sends this one. Answers what goes out in its place.
    pub(super) fn send(&mut self, payload: [u8; 8]) -> [u8; 8] {
        if payload != H2S {
            return payload;
        }
        self.count += 1;
        let sent = match self.form {
            PingForm::H2 => H2S,
            PingForm::Counter => self.count.to_be_bytes(),
            PingForm::Zeros => [0; 8],
        };
        self.mask = std::array::from_fn(|place| sent[place] ^ H2S[place]);
        sent
    }

    /// Which bits of an answer are to be flipped.
    pub(super) fn mask(&self) -> [u8; 8] {
        match planted("answers_to_pings_stay_as_they_are") {
            true => [0; 8],
            false => self.mask,
        }
    }
}
