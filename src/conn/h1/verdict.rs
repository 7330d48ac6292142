//! The one place that decides whether a connection may serve another caller, with a reason for every no.
//!
//! | it must | or it closes as |
//! |---|---|
//! | not have failed, ended or been shut down | [`Failed`], [`PeerClosed`], [`Discarded`] |
//! | be between two exchanges | [`HalfSent`], [`HalfRead`] |
//! | be kept by both sides | [`ConnectionClose`] |
//! | still speak HTTP/1.1 | [`Upgraded`] |
//! | have spoken so that its end is beyond doubt | [`BadFraming`], [`NotFollowed`], [`Pipelined`] |
//! | have sent all that was written | [`Unflushed`] |
//! | hold no byte that nobody asked for | [`StrayBytes`] |
//! | not hold half a record when somebody is to have it; until then it may rest, and the other half come | [`StrayBytes`] |
//!
//! The first question is answered from what passed, by [`H1::verdict`]; whether something came since, by [`H1::look`] and, before the first byte of
//! the next request, by `look_before_asking`.
//!
//! [`Failed`]: CloseReason::Failed
//! [`PeerClosed`]: CloseReason::PeerClosed
//! [`Discarded`]: CloseReason::Discarded
//! [`HalfSent`]: CloseReason::HalfSent
//! [`HalfRead`]: CloseReason::HalfRead
//! [`ConnectionClose`]: CloseReason::ConnectionClose
//! [`Upgraded`]: CloseReason::Upgraded
//! [`BadFraming`]: CloseReason::BadFraming
//! [`NotFollowed`]: CloseReason::NotFollowed
//! [`Pipelined`]: CloseReason::Pipelined
//! [`Unflushed`]: CloseReason::Unflushed
//! [`StrayBytes`]: CloseReason::StrayBytes

use std::future::Future;
use std::io::{self, BufRead};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::AsyncBufRead;
use tokio::task::coop::unconstrained;

use super::{H1, reason};
use crate::config::ReuseCheck;
use crate::conn::Seen;
use crate::conn::last::{Now, READS};
use crate::event::CloseReason;
use crate::fault::planted;

impl H1 {
    /// Whether another caller may have it, as far as it can be told from what passed.
    pub(crate) fn verdict(&self) -> Result<(), CloseReason> {
        self.broken.map_or(Ok(()), Err)?;
        self.observer.verdict()?;
        match self.is_unflushed() && !planted("unflushed_is_clean") {
            true => Err(CloseReason::Unflushed),
            false => Ok(()),
        }
    }

    /// Looks at the stream without reading from it: any byte, an end or an error makes it unusable.
    pub(crate) fn look(&mut self, cx: &mut Context<'_>) -> Result<Seen, CloseReason> {
        // Outside the task's budget: with that spent, tokio would answer "nothing there" without having looked.
        let mut fill =
            std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_fill_buf(cx).map_ok(<[u8]>::len));
        let looked = match planted("a_look_costs_budget") {
            true => pin!(&mut fill).poll(cx),
            false => pin!(unconstrained(&mut fill)).poll(cx),
        };
        match looked {
            Poll::Pending if self.stream.get_ref().0.get_ref().at_boundary() => Ok(Seen::Clean),
            Poll::Pending if planted("half_a_record_is_clean") => Ok(Seen::Clean),
            Poll::Pending => Ok(Seen::HalfRecord),
            Poll::Ready(Ok(0)) => Err(CloseReason::PeerClosed),
            Poll::Ready(Ok(_)) if planted("idle_bytes_are_overlooked") => Ok(Seen::Clean),
            Poll::Ready(Ok(_)) => Err(CloseReason::StrayBytes),
            Poll::Ready(Err(error)) => Err(reason(&error)),
        }
    }

    /// What TLS has taken and not sent yet belongs to an exchange that is not over.
    pub(super) fn is_unflushed(&self) -> bool {
        self.stream.get_ref().1.wants_write()
    }

    /// Looks for what came since it was handed out: always at what TLS holds, with [`ReuseCheck::Peek`] at the socket as well. Wakes nobody and
    /// takes nobody's place: another task may be waiting to read.
    pub(super) fn look_before_asking(&mut self) -> Result<(), CloseReason> {
        self.look_at_held()?;
        match self.check {
            // Half of what nobody asked for, which its user read on the way to something else: the rest would be taken for the answer.
            ReuseCheck::Readiness
                if !self.stream.get_ref().0.get_ref().at_boundary()
                    && !planted("half_a_record_is_asked_over") =>
            {
                Err(CloseReason::StrayBytes)
            }
            ReuseCheck::Readiness => Ok(()),
            ReuseCheck::Peek => self.look_at_socket(),
        }
    }

    fn look_at_held(&mut self) -> Result<(), CloseReason> {
        match self.stream.get_mut().1.reader().fill_buf() {
            Ok([]) => Err(CloseReason::PeerClosed),
            Ok(_) => Err(CloseReason::StrayBytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(reason(&error)),
        }
    }

    /// One `recv` where there is nothing. What is there goes through TLS: a ticket is no application byte.
    fn look_at_socket(&mut self) -> Result<(), CloseReason> {
        for _ in 0..READS {
            let (transport, tls) = self.stream.get_mut();
            let read = tls.read_tls(&mut Now(transport));
            match read {
                Ok(0) => return Err(CloseReason::PeerClosed),
                Ok(_) => _ = tls.process_new_packets().map_err(|_| CloseReason::Failed)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return match transport.get_ref().at_boundary() {
                        true => Ok(()),
                        false => Err(CloseReason::StrayBytes),
                    };
                }
                Err(error) => return Err(reason(&error)),
            }
            self.look_at_held()?;
        }
        Err(CloseReason::StrayBytes)
    }
}
