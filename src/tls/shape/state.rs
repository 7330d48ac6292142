//! What is known of one connection while it shakes hands. Its stream, hashes, keys and ciphers all ask here.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::crypto::ActiveKeyExchange;
use rustls::crypto::hash::{Context, HashAlgorithm};

use super::Seen;
use super::answers;
use super::error::Rejected;
use super::hello::{self, Choice};
use super::offer::{Offer, asks_ticket_of};
use super::shaper::Shaper;
use super::signed;
use super::wire::{CERTIFICATE_VERIFY, CLIENT_HELLO, SERVER_KEY_EXCHANGE, split_message};
use crate::fault::planted;
use crate::fingerprint::{Draws, KeyShare, Outline, kind};
use crate::sync::Mutex;

type Result<T> = std::result::Result<T, Rejected>;

/// The state of one connection.
pub(super) struct Shaping {
    shaper: Arc<Shaper>,
    inner: Mutex<Inner>,
}

struct Inner {
    draws: Draws,
    /// The hellos that went out.
    sent: Vec<Swap>,
    /// The server asked for another.
    retried: bool,
    /// The last of them asks for a ticket of TLS 1.2 because rustls does.
    asks_ticket: bool,
    /// The hello to come, as far as its binders.
    cut: Option<Cut>,
    /// The hash of the first hello as far as its binders, and how many octets that are.
    hashed: Option<(HashAlgorithm, Box<dyn Context>, usize)>,
    /// How long the records are at most that rustls was told to send, with their headers, in octets.
    record_size: Option<usize>,
    /// Messages of the server's as rustls has them, and as they were on the wire.
    swaps: Vec<Swap>,
    /// Private keys of the shares that rustls does not know of.
    keys: Vec<Box<dyn ActiveKeyExchange>>,
    /// The group of those that the server took.
    taken: Option<u16>,
    decrypters: u32,
    encrypters: u32,
    /// The extensions that the server answered with and rustls does not know of.
    answers: BTreeSet<u16>,
    /// A message that was kept from rustls, until the transcript has it.
    hidden: Option<Vec<u8>>,
    rejected: Option<Rejected>,
}

/// A hello cut before its binders, which are the same in both.
struct Cut {
    seen: Vec<u8>,
    real: Vec<u8>,
    asks_ticket: bool,
    /// The hash of `real`.
    hashed: Option<(HashAlgorithm, Box<dyn Context>)>,
}

/// A message as rustls has it, and as it was on the wire.
struct Swap {
    seen: Vec<u8>,
    real: Vec<u8>,
}

impl Shaping {
    /// Draws for one connection, whose records are at most this long, with their headers, in octets.
    pub(super) fn new(shaper: &Arc<Shaper>, record_size: Option<usize>) -> Result<Arc<Self>> {
        Ok(Arc::new(Shaping {
            inner: Mutex::new(Inner {
                draws: shaper.draw()?,
                sent: Vec::new(),
                retried: false,
                asks_ticket: false,
                cut: None,
                hashed: None,
                record_size,
                swaps: Vec::new(),
                keys: Vec::new(),
                taken: None,
                decrypters: 0,
                encrypters: 0,
                answers: BTreeSet::new(),
                hidden: None,
                rejected: None,
            }),
            shaper: Arc::clone(shaper),
        }))
    }

    pub(super) fn shaper(&self) -> &Shaper {
        &self.shaper
    }

    /// Notes why the handshake is over; the first reason counts.
    pub(super) fn reject(&self, why: Rejected) {
        self.inner.lock().rejected.get_or_insert(why);
    }

    pub(super) fn rejected(&self) -> Option<Rejected> {
        self.inner.lock().rejected.clone()
    }

    /// Keeps the keys of the shares that only this connection knows of.
    pub(super) fn keep_keys(&self, keys: Vec<Box<dyn ActiveKeyExchange>>) {
        let mut inner = self.inner.lock();
        for key in &keys {
            let share = KeyShare {
                group: key.group().into(),
                exchange: key.pub_key().to_vec(),
            };
            inner.draws.add_share(share);
        }
        inner.keys = keys;
    }

    /// Whether the first key exchange is yet to be started.
    pub(super) fn is_fresh(&self) -> bool {
        let inner = self.inner.lock();
        inner.sent.is_empty() && inner.keys.is_empty() && inner.decrypters == 0
    }

    /// The key that the server took of those that rustls does not know of.
    pub(super) fn take_key(&self) -> Option<Box<dyn ActiveKeyExchange>> {
        let mut inner = self.inner.lock();
        let taken = inner.taken?;
        let place = inner
            .keys
            .iter()
            .position(|key| u16::from(key.group()) == taken)?;
        Some(inner.keys.swap_remove(place))
    }

    /// Whether the next thing of rustls's is a hello: the first, or the one that the server asked for.
    pub(super) fn expects_hello(&self) -> bool {
        let inner = self.inner.lock();
        inner.sent.len() <= usize::from(inner.retried)
    }

    /// Writes the hello that goes out in place of this one of rustls's: whole handshake messages.
    pub(super) fn send(&self, native: Vec<u8>, write: impl FnOnce(&[u8])) -> Result<()> {
        let mut inner = self.inner.lock();
        let cut = inner.cut.take();
        let begun = cut.and_then(|cut| Some((native.strip_prefix(cut.seen.as_slice())?, cut)));
        let real = match begun {
            Some((binders, cut)) => {
                inner.asks_ticket = cut.asks_ticket;
                let mut real = cut.real;
                inner.hashed = cut
                    .hashed
                    .map(|(algorithm, context)| (algorithm, context, real.len()));
                real.extend_from_slice(binders);
                real
            }
            None => {
                let native = Outline::of(&native)?;
                inner.asks_ticket = asks_ticket_of(native);
                self.shape(&inner, native)?
            }
        };
        write(&real);
        inner.sent.push(Swap { seen: native, real });
        Ok(())
    }

    fn shape(&self, inner: &Inner, native: Outline<'_>) -> Result<Vec<u8>> {
        let first = inner.sent.first();
        let first = first.map(|first| Outline::of(&first.real)).transpose()?;
        Ok(self.shaper.spec().shape_message(native, &inner.draws, first)?)
    }

    /// Gives `feed` what was on the wire where rustls hashes or signs `data`: whole messages, or at last a hello cut before its binders.
    pub(super) fn real(&self, data: &[u8], feed: impl FnMut(&[u8])) {
        // Something is missing then: no hash of it fits what the server has.
        if let Err(why) = self.try_real(data, feed) {
            self.reject(why);
        }
    }

    fn try_real(&self, data: &[u8], mut feed: impl FnMut(&[u8])) -> Result<()> {
        let mut inner = self.inner.lock();
        let mut rest = data;
        // What was not fed yet: up to the last message that differs it was.
        let mut alike = data;
        while let Some((message, after)) = split_message(rest) {
            if let Some(swap) = inner.swapped(message) {
                feed(&alike[..alike.len() - rest.len()]);
                feed(&swap.real);
                alike = after;
            } else if message[0] == CLIENT_HELLO {
                return Err(Rejected::Unsent);
            }
            rest = after;
        }
        if rest.first() == Some(&CLIENT_HELLO) {
            let cut = self.cut(&inner, rest)?;
            feed(&alike[..alike.len() - rest.len()]);
            feed(&cut.real);
            inner.cut = Some(cut);
        } else {
            feed(alike);
        }
        Ok(())
    }

    /// Keeps the hash of a hello that is cut before its binders, where `data` was that and nothing else: the transcript begins with it as well.
    pub(super) fn keep_hash(
        &self,
        data: &[u8],
        algorithm: HashAlgorithm,
        context: impl FnOnce() -> Box<dyn Context>,
    ) {
        let mut inner = self.inner.lock();
        if let Some(cut) = &mut inner.cut
            && cut.seen == data
        {
            cut.hashed = Some((algorithm, context()));
        }
    }

    /// The hash of `data`, if that is the first hello and it was hashed as far as its binders.
    pub(super) fn take_hash(&self, data: &[u8], algorithm: HashAlgorithm) -> Option<Box<dyn Context>> {
        let mut inner = self.inner.lock();
        let (of, mut context, hashed) = inner.hashed.take()?;
        let [first] = inner.sent.as_slice() else {
            return None;
        };
        let other = of != algorithm && !planted("a_tickets_hash_serves_any_suite");
        if other || first.seen != data {
            return None;
        }
        context.update(first.real.get(hashed..)?);
        Some(context)
    }

    /// The hello that will go out in place of one of rustls's that has no binders yet.
    fn cut(&self, inner: &Inner, seen: &[u8]) -> Result<Cut> {
        let native = Outline::of(seen)?;
        Ok(Cut {
            seen: seen.to_vec(),
            real: self.shape(inner, native)?,
            asks_ticket: asks_ticket_of(native),
            hashed: None,
        })
    }

    /// A ServerHello or HelloRetryRequest from the wire. None if rustls is to judge it alone.
    pub(super) fn chosen(&self, message: &[u8]) -> Result<Option<Choice>> {
        let mut inner = self.inner.lock();
        let choice = match inner.offer() {
            Some(offer) => hello::read(message, offer, &*self.shaper)?,
            None => None,
        };
        let Some(choice) = choice else {
            return Ok(None);
        };
        inner.retried |= choice.retry;
        inner.answers.extend(&choice.taken);
        if !choice.retry {
            let known = |group: &u16| hello::Served::alias(&*self.shaper, *group).is_some();
            inner.taken = choice.group.filter(known);
        }
        inner.swap(choice.edited.as_deref(), message);
        Ok(Some(choice))
    }

    /// Keeps a message from rustls. Only its transcript learns of it, before anything that comes after.
    pub(super) fn hide(&self, message: &[u8]) {
        self.inner
            .lock()
            .hidden
            .get_or_insert_default()
            .extend_from_slice(message);
    }

    /// What was hidden and is not in the transcript.
    pub(super) fn hidden(&self) -> Option<Vec<u8>> {
        self.inner.lock().hidden.clone()
    }

    /// The same, which is in the transcript from now on.
    pub(super) fn take_hidden(&self) -> Option<Vec<u8>> {
        self.inner.lock().hidden.take()
    }

    /// A message that follows a ServerHello of TLS 1.2.
    pub(super) fn followed(&self, message: &[u8]) -> Result<()> {
        let inner = self.inner.lock();
        match (message.first(), inner.offer()) {
            (Some(&SERVER_KEY_EXCHANGE), Some(offer)) => signed::key_exchange(message, offer, &*self.shaper),
            _ => Ok(()),
        }
    }

    /// A message of the server's encrypted flight.
    pub(super) fn answer(&self, message: &[u8]) -> Result<Option<Vec<u8>>> {
        let signed = message.first() == Some(&CERTIFICATE_VERIFY);
        if !signed && !answers::may_answer(message) {
            return Ok(None);
        }
        let mut inner = self.inner.lock();
        let Some(offer) = inner.offer() else {
            return Ok(None);
        };
        if signed {
            return signed::certificate_verify(message, offer, &*self.shaper).map(|()| None);
        }
        let answer = answers::encrypted(message, offer)?;
        inner.answers.extend(&answer.taken);
        inner.swap(answer.edited.as_deref(), message);
        Ok(answer.edited)
    }

    /// A certificate that came compressed: the transcript has it as it came.
    pub(super) fn certificate(&self, body: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut inner = self.inner.lock();
        let Some(offer) = inner.offer() else {
            return Ok(None);
        };
        let edited = answers::certificate(body, offer)?;
        let stamps = edited.is_some().then_some(kind::SIGNED_CERTIFICATE_TIMESTAMP);
        inner.answers.extend(stamps);
        Ok(edited)
    }

    /// Whether the client owes its own application settings.
    pub(super) fn owes_settings(&self) -> bool {
        self.inner.lock().answers.contains(&kind::APPLICATION_SETTINGS)
    }

    /// Whether this is the first decrypter, that of the server's handshake.
    pub(super) fn counts_decrypter(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.decrypters += 1;
        inner.decrypters == 1
    }

    /// Whether this is the first encrypter, that of the client's handshake.
    pub(super) fn counts_encrypter(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.encrypters += 1;
        inner.encrypters == 1
    }

    /// The extensions that the server answered with so far and rustls does not know of.
    #[cfg(feature = "__internals")]
    pub(super) fn answers(&self) -> BTreeSet<u16> {
        self.inner.lock().answers.clone()
    }

    /// What went over the wire, once the handshake is over.
    pub(super) fn take_seen(&self) -> Seen {
        let mut inner = self.inner.lock();
        Seen {
            shaped: true,
            hellos: inner.sent.drain(..).map(|swap| swap.real).collect(),
            group: inner.taken,
            answers: std::mem::take(&mut inner.answers),
        }
    }
}

impl Inner {
    /// What the server was offered. None before it was.
    fn offer(&self) -> Option<Offer<'_>> {
        let hello = Outline::of(&self.sent.last()?.real).ok()?;
        Some(Offer::of(hello, self.asks_ticket, self.record_size))
    }

    fn swapped(&self, message: &[u8]) -> Option<&Swap> {
        let mut all = self.sent.iter().chain(&self.swaps);
        all.find(|swap| swap.seen == message)
    }

    fn swap(&mut self, seen: Option<&[u8]>, real: &[u8]) {
        self.swaps.extend(seen.map(|seen| Swap {
            seen: seen.to_vec(),
            real: real.to_vec(),
        }));
    }
}
