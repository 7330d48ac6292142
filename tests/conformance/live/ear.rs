//! A subscriber that listens to what the pool tells.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Writes down the events of the pool.
#[derive(Clone)]
pub(super) struct Ear {
    /// None: of every level.
    level: Option<Level>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Ear {
    pub(super) fn of_all() -> Self {
        Self::of(None)
    }

    pub(super) fn of_warnings() -> Self {
        Self::of(Some(Level::WARN))
    }

    fn of(level: Option<Level>) -> Self {
        let heard = Arc::default();
        Ear { level, heard }
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "hotpool" && self.level.is_none_or(|level| *metadata.level() == level)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        self.heard.lock().push(words.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
