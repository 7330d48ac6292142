//! A leased connection.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Extensions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::attached::{Attached, RawH2};
use super::inner::Inner;
use super::jobs::Job;
use super::lent::{Lent, Standing};
use super::live::{Abort, Way};
use super::word::Word;
use crate::conn::{ConnInfo, H2, Seen, Wire};
use crate::error::{Error, ErrorKind, Phase};
use crate::event::{CloseReason, Outcome, Protocol, RetrySafety, Returned};
use crate::fault::planted;

/// A connection on loan from a pool.
///
/// On HTTP/1.1 it is the TLS stream itself: it reads and writes. On HTTP/2 it is the right to one stream of a connection that others
/// use too: see [`h2`](HotConn::h2).
///
/// Dropping it gives it back, as [`HotConnPool::put`](crate::HotConnPool::put) does; that one says what became of it.
///
/// An HTTP/1.1 connection is followed as its bytes pass: heads, bodies by length and in chunks, interim answers, both directions. It is kept
/// if nothing was read or written, or if every request was written and its answer read to its end; one lease may carry many exchanges, one
/// after the other. Anything else closes it, with a [`CloseReason`] that says why: a half-read body, `Connection: close`, an upgrade, two
/// requests at once, a message whose end is open to doubt. Nothing that passes is changed. Flush after a request: until then TLS may hold some of
/// it, and reading does not send it.
///
/// A read while nothing is asked for waits for the peer to close; bytes that come instead are an error
/// ([`InvalidData`](io::ErrorKind::InvalidData)) and reach nobody. What was there before the request is written is noticed as
/// [`ReuseCheck`](crate::ReuseCheck) says; a byte that arrives after that cannot be told from the answer, by anyone.
///
/// One that is out for longer than [`leak_timeout`](crate::PoolConfig::leak_timeout) is reported, once, with the place where it was asked for.
///
/// ```no_run
/// # async fn example(pool: hotpool::HotConnPool) -> Result<(), Box<dyn std::error::Error>> {
/// use hotpool::{Detached, H2Sender, RawH2, Returned};
///
/// /// How many requests a connection has carried: stays with it over HTTP/1.1.
/// #[derive(Clone)]
/// struct Carried(u32);
///
/// let mut conn = pool.get("example.com").await?;
/// let carried = conn.extensions_mut().get::<Carried>().map_or(0, |carried| carried.0);
/// conn.extensions_mut().insert(Carried(carried + 1));
/// conn.expect_long(); // a long poll: no leak
/// // ... nothing came for a while:
/// conn.doubt();
/// if !conn.is_clean() {
///     conn.assume_clean(); // it speaks another protocol, and this exchange is over
/// }
/// if pool.put(conn) != Returned::Kept {
///     pool.get("example.com").await?.discard(); // whatever the pool thinks of this one
/// }
///
/// // A connection for something else: it counts until it is dropped, or comes back.
/// match pool.get("example.com").await?.detach() {
///     Ok(detached) => {
///         let detached: Detached = detached;
///         println!("{}", detached.info().remote);
///         pool.manager().add(detached);
///     }
///     Err(h2) => {
///         let raw: Result<RawH2, _> = h2.into_h2_raw();
///         if let Ok(raw) = raw {
///             let _sender: H2Sender = (*raw).clone();
///             println!("{}: a stock `SendRequest` of its own", raw.info().target);
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropped, it goes straight back to the pool"]
pub struct HotConn(
    /// Some until it is given back.
    Option<Box<Lent>>,
);

impl HotConn {
    pub(super) fn new(lent: Box<Lent>) -> Self {
        HotConn(Some(lent))
    }

    #[expect(
        clippy::expect_used,
        reason = "empty only once it is given back, which consumes it"
    )]
    fn lent(&self) -> &Lent {
        self.0.as_deref().expect("a lease that was given back")
    }

    #[expect(
        clippy::expect_used,
        reason = "empty only once it is given back, which consumes it"
    )]
    pub(super) fn lent_mut(&mut self) -> &mut Lent {
        self.0.as_deref_mut().expect("a lease that was given back")
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.info().protocol
    }

    /// What is known of it since its birth.
    pub fn info(&self) -> &ConnInfo {
        &self.lent().info
    }

    /// Its HTTP/2 side.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on an HTTP/1.1 connection.
    pub fn h2(&mut self) -> Result<H2<'_>, Error> {
        match &mut self.lent_mut().wire {
            Wire::H2(handle) => Ok(handle.lease()),
            _ => Err(Error::new(ErrorKind::Unsupported, Phase::Use)),
        }
    }

    /// Whether all that passed on it so far leaves it fit for another caller: on HTTP/1.1 no exchange is under way, and none ended so that the connection has to
    /// end with it; on HTTP/2 it takes new streams. Whether anything came since is looked at when it is given back.
    pub fn is_clean(&self) -> bool {
        let lent = self.lent();
        let sound = !matches!(lent.standing, Standing::Doomed(_));
        sound
            && match &lent.wire {
                Wire::H1(h1) => h1.verdict().is_ok(),
                Wire::H2(h2) => h2.look().is_ok(),
                #[cfg(feature = "__internals")]
                Wire::Scripted(scripted) => scripted.verdict().is_ok(),
            }
    }

    /// Vouches for a connection that could not be followed: what was asked for was answered and read to its end, and nothing is left in any
    /// buffer. For protocols other than HTTP/1.1 in which the client speaks first, for heads too long to follow, for requests that were
    /// pipelined. The connection may then serve another caller, who is handed whatever was overlooked.
    ///
    /// Not needed after an HTTP/1.1 exchange, and of no effect on what was seen: an exchange that is not over, half a head if its
    /// first line has come as far as the version, `Connection: close`, an upgrade, doubtful framing, an error. Bytes that came unasked are still noticed when it is given back. No effect on HTTP/2.
    pub fn assume_clean(&mut self) {
        if let Wire::H1(h1) = &mut self.lent_mut().wire {
            h1.assume_clean();
        }
    }

    /// Says how an exchange went, so that the pool learns which addresses to avoid for this origin: see the table of [`Outcome`]. May be said more than
    /// once. Where the network has [changed](crate::HotConnPool::network_changed) since it was leased, or the connection, over HTTP/2, has yet to show life since, or the pool
    /// has cut it, only a 403 is heeded.
    pub fn report(&self, outcome: Outcome) {
        self.lent().heed(outcome.into());
    }

    /// Says that this lease will take long (a long poll, a tunnel): it will not be reported as leaked.
    pub fn expect_long(&self) {
        let lent = self.lent();
        lent.home.with_host(lent.origin, |host, _| {
            let out = host.out_mut(lent.conn, lent.slot);
            if let Some(out) = out.filter(|_| !planted("long_leases_are_leaks")) {
                out.long = true;
            }
        });
    }

    /// Says that its peer may be gone: a request ran out of time, say. On HTTP/2 the connection is asked for a sign of life and takes no new streams
    /// until one comes; if none does within five seconds it is closed ([`CloseReason::Unresponsive`]). A request that is given up after a second
    /// without a sign of life has the same effect. No effect on HTTP/1.1, where what is given up is closed.
    pub fn doubt(&self) {
        if let Wire::H2(h2) = &self.lent().wire {
            h2.doubt();
        }
    }

    /// Whatever its user wants to keep with it. On HTTP/1.1 it stays with the connection, for all its callers to come; on HTTP/2 it goes with
    /// the lease.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.lent_mut().extensions
    }

    /// What is known of the last request, if no answer came: whether it may be sent again, to another connection, without being acted
    /// upon twice. Before anything was sent on this lease, that is so; behind an answer it is not. On HTTP/2 what passed on its stream decides: above the last
    /// stream of a GOAWAY, or refused, it was not looked at, unless anything of an answer came.
    pub fn retry_safety(&self) -> RetrySafety {
        match &self.lent().wire {
            Wire::H1(_) if planted("what_was_sent_is_forgotten") => RetrySafety::NeverSent,
            Wire::H1(h1) => h1.retry_safety(),
            Wire::H2(_) if planted("what_was_sent_on_a_stream_is_forgotten") => RetrySafety::NeverSent,
            Wire::H2(h2) => h2.retry_safety(),
            #[cfg(feature = "__internals")]
            Wire::Scripted(_) => RetrySafety::Sent,
        }
    }

    /// Closes the connection instead of giving it back. On HTTP/2 it takes no new streams from now on and closes when
    /// the streams of the others have ended.
    pub fn discard(mut self) {
        self.lent_mut().standing = Standing::Doomed(CloseReason::Discarded);
    }

    /// Takes the connection out of the pool for good, to use it for something else than exchanges: after an upgrade, say. It still counts
    /// under every limit, until it is dropped, and does not count as leaked.
    ///
    /// # Errors
    /// The lease itself, on HTTP/2, where others use the connection too.
    pub fn detach(mut self) -> Result<Detached, HotConn> {
        if self.protocol() == Protocol::Http2 {
            return Err(self);
        }
        self.expect_long();
        let lent = self.lent_mut();
        lent.standing = Standing::Doomed(CloseReason::Detached);
        // What ends with the pool is what is the pool's.
        let abort = std::mem::take(&mut lent.abort);
        abort.forget();
        if planted("detached_leaves_the_books") {
            let Lent {
                home, origin, conn, ..
            } = self.lent();
            home.with_host(*origin, |host, now| {
                host.machine.died(now, *conn, CloseReason::Detached)
            });
        }
        Ok(Detached { lease: self, abort })
    }

    /// Takes an HTTP/2 connection out of sharing, and gives its stock handle, for somebody who opens streams without a lease for each. It still
    /// counts under every limit, until it is dropped; it does not count as leaked, and it outlives its lifetime.
    ///
    /// # Errors
    /// The lease itself, on HTTP/1.1, where others have leases or streams of the connection, and where it is on its way out.
    pub fn into_h2_raw(mut self) -> Result<RawH2, HotConn> {
        let Lent {
            home, origin, conn, ..
        } = self.lent();
        let alone = home.with_host(*origin, |host, _| host.machine.take_out(*conn));
        let Wire::H2(handle) = &mut self.lent_mut().wire else {
            return Err(self);
        };
        if alone != Some(true) {
            return Err(self);
        }
        let send = handle.raw();
        self.expect_long();
        Ok(RawH2 { send, lease: self })
    }

    /// Keeps this lease as long as `body`: the body of an answer on HTTP/2, say, which holds its place among the connection's streams until it is
    /// read. Works for anything that is built over a lease.
    pub fn attach<B>(self, body: B) -> Attached<B> {
        Attached { body, lease: self }
    }

    /// Whether nothing happened since it was last looked at.
    #[inline]
    pub(super) fn is_sure(&self) -> bool {
        !self.lent().is_in_doubt()
    }

    /// Looks whether it is alive, if anything happened since the last look. One that is not goes, with the reason: an idle one had its time, and
    /// another may serve, as for one that stands aside; one that nobody had before is an error, or a peer that ends every connection at once would be dialled without end.
    pub(super) fn alive(mut self) -> Result<Option<Self>, Error> {
        if self.is_sure() {
            return Ok(Some(self));
        }
        let lent = self.lent_mut();
        match lent.look_again() {
            Standing::Sound => Ok(Some(self)),
            Standing::HalfRecord if planted("half_a_record_is_the_end_at_hand_out") => {
                lent.standing = Standing::Doomed(CloseReason::StrayBytes);
                Ok(None)
            }
            Standing::HalfRecord => Ok(None), // goes home, to stand aside there
            Standing::Doomed(reason) if lent.fresh => Err(lent.stillborn(reason)),
            Standing::Doomed(_) => Ok(None),
        }
    }

    /// Waits for the rest of a record of which half has come by itself: a session ticket after a handshake may be longer than a segment. As
    /// cancel safe as a lease.
    pub(super) async fn whole(&mut self) {
        let lent = self.lent_mut();
        if lent.standing != Standing::HalfRecord || planted("nobody_waits_for_the_other_half") {
            return;
        }
        lent.polled = true; // whoever waits here is told of its stream from now on, not its alarm
        std::future::poll_fn(|cx| match lent.wire.look(cx) {
            Ok(Seen::HalfRecord) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Gives it back. `pool` is the caller's own, most often the home of the connection.
    #[inline]
    pub(crate) fn give_back(self, pool: &Arc<Inner>) -> Returned {
        // Emptied here: there is nothing left to drop.
        match ManuallyDrop::new(self).0.take() {
            Some(lent) if Arc::ptr_eq(pool, &lent.home) => pool.give_back(lent),
            Some(lent) => Arc::clone(&lent.home).give_back(lent),
            None => Returned::Closed(CloseReason::Discarded),
        }
    }
}

impl Lent {
    /// Has its address blamed for what was heard over it, or cleared. Answers for how long it is blocked by that.
    pub(super) fn heed(&self, word: Word) -> Option<Duration> {
        let held = self.home.with_host(self.origin, |host, now| {
            let until = host.heed(now, (self.conn, self.slot), &self.info, word)?;
            Some(until.since(now))
        });
        let held = held.flatten();
        let fails = word != Word::Unwelcome && planted("only_who_told_us_to_stay_away_is_tried");
        if held.is_some_and(|held| held >= self.home.config().blacklist_interval) && !fails {
            self.home.call(Job::Blacklist); // it is tried when its time has come
        }
        held
    }

    /// The error for a connection that ended before anybody had it.
    fn stillborn(&mut self, reason: CloseReason) -> Error {
        let ip = self.info.remote.ip();
        self.home
            .with_host(self.origin, |host, _| host.counters.count_failure(Phase::Tls));
        let failure = self.wire.failure();
        self.heed(
            failure
                .as_ref()
                .map_or(Word::Later(None), |failure| self.heard(failure)),
        );
        let error = failure.unwrap_or_else(|| match reason {
            CloseReason::StrayBytes => {
                let problem = io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the peer sent data before it was asked",
                );
                Error::new(ErrorKind::Tls, Phase::Tls).with_source(problem)
            }
            _ => Error::new(ErrorKind::ConnectionReset, Phase::Tls),
        });
        let error = error.with_ip(ip);
        self.home.tell_of_failure(&self.info.target, &error);
        error
    }
}

impl Drop for HotConn {
    fn drop(&mut self) {
        if let Some(lent) = self.0.take() {
            Arc::clone(&lent.home).give_back(lent);
        }
    }
}

impl fmt::Debug for HotConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotConn")
            .field("info", self.info())
            .finish_non_exhaustive()
    }
}

/// Polls the stream, which an abort interrupts.
macro_rules! poll_h1 {
    ($self:ident, $way:expr, $cx:ident, |$h1:ident, $inner:ident| $poll:expr) => {{
        let Lent {
            wire, abort, polled, ..
        } = $self.get_mut().lent_mut();
        let Wire::H1($h1) = wire else {
            return Poll::Ready(Err(unsupported()));
        };
        *polled = true;
        abort.watch($way, $cx, |$inner| $poll)
    }};
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "an HTTP/2 connection is used through h2()",
    )
}

impl AsyncRead for HotConn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll_h1!(self, Way::In, cx, |h1, cx| Pin::new(h1).poll_read(cx, buf))
    }
}

impl AsyncWrite for HotConn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if planted("what_is_written_is_logged") {
            tracing::trace!(target: "hotpool", text = ?String::from_utf8_lossy(buf), "written");
        }
        poll_h1!(self, Way::Out, cx, |h1, cx| Pin::new(h1).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_h1!(self, Way::Out, cx, |h1, cx| Pin::new(h1)
            .poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.lent().wire, Wire::H1(h1) if h1.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_h1!(self, Way::Out, cx, |h1, cx| Pin::new(h1).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_h1!(self, Way::Out, cx, |h1, cx| Pin::new(h1).poll_shutdown(cx))
    }
}

/// A connection that has left its pool and still counts there: the TLS stream of an HTTP/1.1 connection. See [`HotConn::detach`].
///
/// Dropping it closes it; [`ConnectionManager::add`](crate::ConnectionManager::add) takes it back into the pool that it left.
#[must_use = "dropped, it is closed"]
pub struct Detached {
    lease: HotConn,
    /// What ends its use while it is the pool's.
    abort: Abort,
}

impl Detached {
    /// Undoes the detaching.
    pub(super) fn attach(self, pool: &Arc<Inner>) -> Returned {
        let Detached { mut lease, abort } = self;
        let lent = lease.lent_mut();
        lent.standing = Standing::Sound;
        if !planted("who_comes_back_cannot_be_aborted") {
            lent.abort = abort;
        }
        lease.give_back(pool)
    }

    /// What is known of it since its birth.
    pub fn info(&self) -> &ConnInfo {
        self.lease.info()
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Detached {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lease).poll_read(cx, buf)
    }
}

impl AsyncWrite for Detached {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lease).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lease).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.lease.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lease).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lease).poll_shutdown(cx)
    }
}
