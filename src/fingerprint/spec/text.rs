//! The form of a spec in a file: codes as `"0x1301"` or `"grease"`, bytes as hexadecimal digits.

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Code, HelloSpec, Slot, SpecError};

/// What a file holds. It becomes a spec only through the checks.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    cipher_suites: Vec<Code>,
    #[serde(default, skip_serializing_if = "Range::is_empty")]
    permuted: Range<usize>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    reuses_x25519: bool,
    #[serde(default = "resumes", skip_serializing_if = "Clone::clone")]
    resumes: bool,
    extensions: Vec<Slot>,
}

/// Where a file does not say.
fn resumes() -> bool {
    true
}

impl TryFrom<Parts> for HelloSpec {
    type Error = SpecError;

    fn try_from(parts: Parts) -> Result<Self, SpecError> {
        let mut spec = HelloSpec::new(parts.cipher_suites, parts.extensions)?.permuting(parts.permuted)?;
        spec.resumes = parts.resumes;
        match parts.reuses_x25519 {
            true => spec.reusing_x25519(),
            false => Ok(spec),
        }
    }
}

impl From<HelloSpec> for Parts {
    fn from(spec: HelloSpec) -> Self {
        Parts {
            cipher_suites: spec.cipher_suites,
            permuted: spec.permuted,
            reuses_x25519: spec.reuses_x25519,
            resumes: spec.resumes,
            extensions: spec.slots,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Code::Grease => serializer.serialize_str("grease"),
            Code::Plain(value) => code::serialize(value, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "grease" => Ok(Code::Grease),
            text => code::parse(text).map(Code::Plain),
        }
    }
}

/// A code as `"0x1301"`.
pub(super) mod code {
    use super::*;

    pub(in crate::fingerprint::spec) fn serialize<S: Serializer>(
        code: &u16,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{code:#06x}"))
    }

    pub(in crate::fingerprint::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u16, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }

    pub(super) fn parse<E: de::Error>(text: &str) -> Result<u16, E> {
        let digits = text
            .strip_prefix("0x")
            .filter(|digits| digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| E::custom("a code is four hexadecimal digits after 0x"))
    }
}

/// Bytes as hexadecimal digits.
pub(super) mod bytes {
    use super::*;

    pub(in crate::fingerprint::spec) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub(in crate::fingerprint::spec) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let digits = String::deserialize(deserializer)?
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<Vec<u8>>>()
            .filter(|digits| digits.len().is_multiple_of(2))
            .ok_or_else(|| de::Error::custom("bytes are pairs of hexadecimal digits"))?;
        Ok(digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect())
    }
}
