//! The form of a spec in a file.

use serde::{Deserialize, Serialize};

use super::{H2Spec, H2SpecError, Huffman, PingForm, Priority, PriorityFrame, Pseudo};

/// What a file holds. It becomes a spec only through the checks.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    settings: Vec<(u16, u32)>,
    #[serde(default)]
    window_update: u32,
    pseudo_order: String,
    #[serde(default = "one")]
    first_stream: u32,
    #[serde(default)]
    stream_window_update: u32,
    #[serde(default = "always")]
    huffman: Huffman,
    #[serde(default)]
    literal_path: bool,
    #[serde(default)]
    never_indexed: bool,
    #[serde(default = "table")]
    table_limit: u32,
    #[serde(default)]
    every_table_size: bool,
    #[serde(default = "yes")]
    goodbye: bool,
    #[serde(default = "h2s")]
    ping: PingForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers_priority: Option<Priority>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    priority_frames: Vec<PriorityFrame>,
}

fn one() -> u32 {
    1
}

fn table() -> u32 {
    H2Spec::TABLE
}

fn yes() -> bool {
    true
}

fn h2s() -> PingForm {
    PingForm::H2
}

fn always() -> Huffman {
    Huffman::Always
}

impl TryFrom<Parts> for H2Spec {
    type Error = H2SpecError;

    fn try_from(parts: Parts) -> Result<Self, H2SpecError> {
        let spec = H2Spec::new(parts.settings, order(&parts.pseudo_order)?)?
            .with_window_update(parts.window_update)?
            .with_priority_frames(parts.priority_frames)?
            .with_first_stream(parts.first_stream)?
            .with_headers_priority(parts.headers_priority)?
            .with_stream_window_update(parts.stream_window_update)?;
        Ok(spec
            .with_huffman(parts.huffman)
            .with_literal_path(parts.literal_path)
            .with_never_indexed(parts.never_indexed)
            .with_table_limit(parts.table_limit)
            .with_every_table_size(parts.every_table_size)
            .with_goodbye(parts.goodbye)
            .with_ping(parts.ping))
    }
}

impl From<H2Spec> for Parts {
    fn from(spec: H2Spec) -> Self {
        let letters = spec.pseudo_order.map(|pseudo| pseudo.letter().to_string());
        Parts {
            settings: spec.settings,
            window_update: spec.window_update,
            pseudo_order: letters.join(","),
            first_stream: spec.first_stream,
            stream_window_update: spec.stream_window_update,
            huffman: spec.huffman,
            literal_path: spec.literal_path,
            never_indexed: spec.never_indexed,
            table_limit: spec.table_limit,
            every_table_size: spec.every_table_size,
            goodbye: spec.goodbye,
            ping: spec.ping,
            headers_priority: spec.headers_priority,
            priority_frames: spec.priority_frames,
        }
    }
}

fn order(text: &str) -> Result<[Pseudo; 4], H2SpecError> {
    let named = |letter: &str| {
        let mut all = Pseudo::ALL.into_iter();
        all.find(|pseudo| letter.chars().eq([pseudo.letter()]))
    };
    let order: Option<Vec<Pseudo>> = text.split(',').map(named).collect();
    order
        .and_then(|order| order.try_into().ok())
        .ok_or_else(|| H2SpecError::new("pseudo_order", "of the form m,a,s,p"))
}
