//! Why there is no spec of it.

use std::borrow::Cow;

/// What a connection could not keep: the field, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct H2SpecError {
    field: &'static str,
    why: Cow<'static, str>,
}

impl H2SpecError {
    pub(super) fn new(field: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        H2SpecError {
            field,
            why: why.into(),
        }
    }

    /// The field, as it is named in a file; `first_flight` if captured bytes are none.
    pub fn field(&self) -> &'static str {
        self.field
    }
}
