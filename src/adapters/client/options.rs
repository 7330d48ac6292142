//! What one request may ask for beside itself.

use std::time::Duration;

use crate::{GetOptions, Target};

/// Options of one request: see [`HotConnPool::send_with`](crate::HotConnPool::send_with).
///
/// ```
/// use std::time::Duration;
/// use hotpool::{GetOptions, SendOptions};
///
/// let options = SendOptions::new()
///     .get(GetOptions::new().timeout(Duration::from_secs(2)))
///     .head_timeout(Duration::from_secs(10));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SendOptions(
    /// None: the defaults. Most requests say nothing, and are the smaller for it.
    Option<Box<Said>>,
);

#[derive(Clone, Debug, Default)]
struct Said {
    get: GetOptions,
    target: Option<Target<'static>>,
    head: Option<Duration>,
    resend: bool,
    bare: bool,
}

impl SendOptions {
    /// The defaults.
    pub fn new() -> Self {
        SendOptions::default()
    }

    /// How its connection is got. Its [`timeout`](GetOptions::timeout) is for the connections of all tries together, from the call on. Default: as the pool gets any.
    pub fn get(mut self, options: GetOptions) -> Self {
        self.said().get = options;
        self
    }

    /// Where its connection leads, in place of what its URI names, which stays whom the request is for; of `OPTIONS *`, which names nobody, that is the target, too.
    /// Default: the URI's host and port.
    pub fn target(mut self, target: Target<'static>) -> Self {
        self.said().target = Some(target);
        self
    }

    /// How long it may take until the head of the answer is there: getting a connection, every further try, and the request itself included. The
    /// answer's body takes as long as it takes. Default: no limit but the one of getting a connection.
    pub fn head_timeout(mut self, limit: Duration) -> Self {
        self.said().head = Some(limit);
        self
    }

    /// Sends a request with an idempotent method (RFC 9110 section 9.2.2) again, although it may have been acted upon: being asked twice means the
    /// same as being asked once. On HTTP/1.1 that is if its connection ended before any byte of an answer; on HTTP/2 if its connection ended or its stream was
    /// reset, for whatever reason, or what came was malformed, before the head of the answer, interim ones aside: over the same connection where
    /// that is still there. Twice at the most. Default: only what was certainly not processed is sent again.
    pub fn resend_idempotent(mut self) -> Self {
        self.said().resend = true;
        self
    }

    /// Adds none of the headers that the connection's profile has. Default: those that the request does not have itself are added.
    pub fn no_profile_headers(mut self) -> Self {
        self.said().bare = true;
        self
    }

    fn said(&mut self) -> &mut Said {
        self.0.get_or_insert_default()
    }

    fn says<T: Default>(&self, what: impl FnOnce(&Said) -> T) -> T {
        self.0.as_deref().map(what).unwrap_or_default()
    }

    pub(super) fn get_options(&self) -> GetOptions {
        self.says(|said| said.get.clone())
    }

    /// Changes how its connection is got.
    pub(super) fn change_get(&mut self, change: impl FnOnce(GetOptions) -> GetOptions) {
        let get = &mut self.said().get;
        *get = change(std::mem::take(get));
    }

    pub(super) fn get_target(&self) -> Option<&Target<'static>> {
        self.0.as_deref()?.target.as_ref()
    }

    pub(super) fn get_head_timeout(&self) -> Option<Duration> {
        self.says(|said| said.head)
    }

    pub(super) fn resends(&self) -> bool {
        self.says(|said| said.resend)
    }

    pub(super) fn is_bare(&self) -> bool {
        self.says(|said| said.bare)
    }
}
