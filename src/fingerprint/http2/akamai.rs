//! The text that others make of how a client opens HTTP/2.

use std::fmt;

use super::flight::Flight;
use super::{H2Spec, H2SpecError, PriorityFrame, Pseudo};

/// The fingerprint of a client's HTTP/2, as Akamai described it ("Passive Fingerprinting of HTTP/2 Clients", 2017):
/// `settings|window update|priority frames|pseudo-headers`.
///
/// `Display` writes it: settings as `id:value` with semicolons between; `00` without a WINDOW_UPDATE; each PRIORITY frame as
/// `stream:exclusive:dependency:weight`, with commas between, and `0` without any; the pseudo-headers by their first letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Akamai {
    settings: Vec<(u16, u32)>,
    window_update: u32,
    priority_frames: Vec<PriorityFrame>,
    pseudo: Vec<Pseudo>,
}

impl Akamai {
    /// Of what a client sent, from its preface on. What comes behind its first request does not matter.
    ///
    /// # Errors
    /// [`H2SpecError`] if it is no client's first flight.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, H2SpecError> {
        let Flight {
            settings,
            window_update,
            priority_frames,
            request,
            ..
        } = Flight::read(bytes)?;
        Ok(Akamai {
            settings,
            window_update,
            priority_frames,
            pseudo: request.map(|request| request.pseudo).unwrap_or_default(),
        })
    }

    pub(super) fn of_spec(spec: &H2Spec) -> Self {
        Akamai {
            settings: spec.settings.clone(),
            window_update: spec.window_update,
            priority_frames: spec.priority_frames.clone(),
            pseudo: spec.pseudo_order.to_vec(),
        }
    }

    /// The same with these pseudo-headers.
    pub(crate) fn with_pseudo(mut self, pseudo: &[Pseudo]) -> Self {
        self.pseudo = pseudo.to_vec();
        self
    }
}

impl fmt::Display for Akamai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (id, value) in &self.settings {
            write!(f, "{between}{id}:{value}")?;
            between = ";";
        }
        write!(f, "|{:02}|", self.window_update)?;
        if self.priority_frames.is_empty() {
            write!(f, "0")?;
        }
        between = "";
        for PriorityFrame { stream, priority } in &self.priority_frames {
            let exclusive = u8::from(priority.exclusive);
            let (depends_on, weight) = (priority.depends_on, priority.weight);
            write!(f, "{between}{stream}:{exclusive}:{depends_on}:{weight}")?;
            between = ",";
        }
        between = "|";
        if self.pseudo.is_empty() {
            write!(f, "|")?;
        }
        for pseudo in &self.pseudo {
            write!(f, "{between}{}", pseudo.letter())?;
            between = ",";
        }
        Ok(())
    }
}
