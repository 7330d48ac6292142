//! Where a body ends, followed as it passes.

use super::chunked::Chunked;
use super::head::Framing;
use super::held::Held;
use crate::event::CloseReason;

/// A body, as far as it has not passed yet.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunked::default()),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// Answers how much of `bytes` belonged to the body, once its end has passed. May be called with none: an empty body ends at once.
    pub(super) fn take(&mut self, bytes: &[u8], held: &mut Held) -> Result<Option<usize>, CloseReason> {
        match self {
            Body::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64; // no more than `left`
                Ok((*left == 0).then_some(taken))
            }
            Body::Chunked(chunked) => chunked.take(bytes, held),
            Body::UntilClose => Ok(None),
        }
    }
}
