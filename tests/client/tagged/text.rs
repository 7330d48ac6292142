//! Bodies that belong to one request: their octets follow from its tag, wherever one looks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::common::Dice;

/// After so many octets the text begins anew: a prime, so that no power of two of them is the same.
const PERIOD: usize = 1_009;
/// The longest piece.
pub(crate) const PIECE: usize = 16 << 10;

/// The text of a tag.
#[derive(Clone)]
pub(crate) struct Text(Bytes);

impl Text {
    pub(crate) fn of(tag: u64) -> Self {
        let mut dice = Dice(tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let period: Vec<u8> = (0..PERIOD).map(|_| b'a' + dice.below(26) as u8).collect();
        Text(repeated(&period, PERIOD + PIECE).into())
    }

    /// Up to so many octets from there on.
    fn at(&self, from: u64, most: usize) -> Bytes {
        let start = usize::try_from(from % PERIOD as u64).unwrap();
        self.0.slice(start..start + most.min(PIECE))
    }

    /// The first so many octets.
    pub(crate) fn first(&self, size: u64) -> Vec<u8> {
        repeated(&self.0[..PERIOD], usize::try_from(size).unwrap())
    }

    /// Whether `data` is what stands there.
    pub(crate) fn stands_at(&self, from: u64, data: &[u8]) -> bool {
        let mut at = from;
        data.chunks(PIECE).all(|piece| {
            let same = self.at(at, piece.len()) == piece;
            at += piece.len() as u64;
            same
        })
    }
}

/// The period again and again, up to so many octets.
fn repeated(period: &[u8], size: usize) -> Vec<u8> {
    let mut text = period.repeat(size.div_ceil(period.len()));
    text.truncate(size);
    text
}

/// So many octets of a tag's text, in pieces of any size.
pub(crate) struct Tagged {
    text: Text,
    at: u64,
    size: u64,
    /// Whether it says how long it is.
    known: bool,
    /// Where it breaks off.
    fails_at: Option<u64>,
    dice: Dice,
}

impl Tagged {
    pub(crate) fn new(tag: u64, size: u64, known: bool, fails_at: Option<u64>) -> Self {
        Tagged {
            text: Text::of(tag),
            at: 0,
            size,
            known,
            fails_at,
            dice: Dice(tag | 1),
        }
    }
}

impl Body for Tagged {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.fails_at.is_some_and(|end| this.at >= end) {
            return Poll::Ready(Some(Err(io::Error::other("broken off"))));
        }
        if this.at == this.size {
            return Poll::Ready(None);
        }
        if this.dice.below(8) == 0 {
            cx.waker().wake_by_ref(); // the next piece takes its time
            return Poll::Pending;
        }
        let most = this.size.min(this.fails_at.unwrap_or(u64::MAX)) - this.at;
        let most = usize::try_from(most).unwrap().min(PIECE) as u64;
        // Large pieces of large bodies, mostly.
        let size = if this.dice.below(4) == 0 {
            1 + this.dice.below(most)
        } else {
            most
        };
        let data = this.text.at(this.at, size as usize);
        this.at += data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.known && self.at == self.size && self.fails_at.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.known {
            true => SizeHint::with_exact(self.size - self.at),
            false => SizeHint::default(),
        }
    }
}
