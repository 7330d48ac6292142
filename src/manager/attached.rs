//! What keeps a lease for longer than its holder looks at it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::HotConn;
use crate::conn::{ConnInfo, H2Sender};

/// A body with the lease that it came by: see [`HotConn::attach`]. It is used as the body itself.
///
/// Dropping it drops the body, then gives the lease back.
///
/// ```no_run
/// # async fn example(conn: hotpool::HotConn, body: hotpool::h2::RecvStream) {
/// let body = conn.attach(body); // reads as the body, and has the lease
/// println!("from {}", body.info().remote);
/// let (conn, body) = body.into_parts();
/// # drop((conn, body));
/// # }
/// ```
#[derive(Debug)]
pub struct Attached<B> {
    // In this order: the lease comes home when nothing of the stream is left.
    pub(super) body: B,
    pub(super) lease: HotConn,
}

impl<B> Attached<B> {
    /// What is known of the connection since its birth.
    pub fn info(&self) -> &ConnInfo {
        self.lease.info()
    }

    /// Both again.
    pub fn into_parts(self) -> (HotConn, B) {
        (self.lease, self.body)
    }
}

impl<B> Deref for Attached<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.body
    }
}

impl<B> DerefMut for Attached<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.body
    }
}

/// An HTTP/2 connection that nobody shares any more: see [`HotConn::into_h2_raw`]. It is used as the stock handle, which may be cloned; how many
/// streams the peer allows is its holder's to keep.
///
/// Dropping it takes the connection's permits back; it closes when the clones and their streams have gone, and at the latest a second later.
#[must_use = "dropped, it is closed"]
pub struct RawH2 {
    pub(super) send: H2Sender,
    pub(super) lease: HotConn,
}

impl RawH2 {
    /// What is known of it since its birth.
    pub fn info(&self) -> &ConnInfo {
        self.lease.info()
    }
}

impl Deref for RawH2 {
    type Target = H2Sender;

    fn deref(&self) -> &Self::Target {
        &self.send
    }
}

impl DerefMut for RawH2 {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.send
    }
}

impl fmt::Debug for RawH2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawH2")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
