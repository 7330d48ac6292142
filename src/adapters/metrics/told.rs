//! What is recorded as it happens: how long things took.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::Label;

use super::names::{DURATION, QUEUE, SETUP, version};
use super::{Shared, lock};
use crate::{ConnInfo, Event, Observer};

/// Whom the pool tells. It must not hold the pool, which holds it.
pub(super) struct Told(pub(super) Arc<Shared>);

impl Observer for Told {
    fn on_event(&self, event: &Event<'_>) {
        match *event {
            Event::Opened { info, .. } => self.opened(info),
            Event::Closed { info, age, .. } => {
                self.took(DURATION, &info.target, vec![version(info.protocol)], age);
            }
            Event::Waited {
                target,
                waited,
                error,
                ..
            } => {
                let error = error.map(|error| error_type(error.kind().name()));
                self.took(QUEUE, target, error.into_iter().collect(), waited);
            }
            _ => {}
        }
    }
}

impl Told {
    fn opened(&self, info: &ConnInfo) {
        let phases = [
            ("connect", Some(info.connect_time)),
            ("proxy", info.tunnel_time),
            ("tls", Some(info.tls_time)),
        ];
        for (phase, took) in phases {
            if let Some(took) = took {
                let phase = Label::from_static_parts("hotpool.phase", phase);
                self.took(SETUP, &info.target, vec![version(info.protocol), phase], took);
            }
        }
    }

    fn took(&self, name: &'static str, target: &str, more: Vec<Label>, took: Duration) {
        let Told(shared) = self;
        let host = lock(&shared.hosts).shown(target);
        shared.seconds(name, &host, more, took.as_secs_f64());
    }
}

fn error_type(kind: &'static str) -> Label {
    Label::from_static_parts("error.type", kind)
}
