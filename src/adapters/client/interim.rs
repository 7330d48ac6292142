//! How many interim answers an answer may have before it.

use crate::fault::planted;
use crate::{Error, ErrorKind, Phase};

/// So many: each is news of one request, and a peer that has no end of them has no answer. Over HTTP/2 those alone are counted that come while a body waits to be
/// asked for: the others h2 passes over by itself.
const MOST: u32 = 100;

/// Those that came.
#[derive(Debug, Default)]
pub(super) struct Interims(u32);

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more than {MOST} interim answers, and no other")]
struct TooMany;

impl Interims {
    /// One more came.
    ///
    /// # Errors
    /// [`ErrorKind::Answer`]: they have no end.
    pub(super) fn one_more(&mut self) -> Result<(), Error> {
        self.0 += 1;
        match self.0 > MOST && !planted("interim_answers_have_no_end") {
            true => Err(Error::new(ErrorKind::Answer, Phase::Use).with_source(TooMany)),
            false => Ok(()),
        }
    }
}
