//! Spans: what a log has around the events of a wait and of a dial.
//!
//! ```text
//! pool.get { host }            a get that waits; one that is served at once has none
//! ├── dns { host }
//! └── dial { host }
//!     ├── connect { ip }       one for each address that is tried
//!     ├── tls
//!     └── h2
//! ```
//!
//! A question and a dial run on beside the get that they were begun in, and serve others perhaps: they stand in its span, or in none. They never stand
//! in a span of a caller's own: whose dial it is that begins when something is put back, that caller cannot know.

use tracing::Span;

use crate::fault::planted;
use crate::target::Target;

/// Of a get that waits.
pub(super) fn get(target: &Target<'_>) -> Span {
    if planted("waits_have_no_span") {
        return Span::none();
    }
    tracing::debug_span!(target: "hotpool", "pool.get", host = target.as_str())
}

/// The span that what begins now stands in.
pub(super) fn ours() -> Span {
    let here = Span::current();
    let ours = here
        .metadata()
        .is_some_and(|metadata| metadata.target() == "hotpool");
    if ours || planted("spans_of_strangers_are_held") {
        here
    } else {
        Span::none()
    }
}

/// Of a question for a name's addresses, within [`ours`].
pub(super) fn dns(target: &Target<'_>) -> Span {
    tracing::debug_span!(target: "hotpool", "dns", host = target.host())
}

/// Of a dial.
pub(super) fn dial(target: &Target<'_>) -> Span {
    tracing::debug_span!(target: "hotpool", parent: &ours(), "dial", host = target.as_str())
}
