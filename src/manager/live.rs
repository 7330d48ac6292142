//! A live connection as its host keeps it, at home or lent.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Extensions;

use super::alarm::{Alarm, Bell};
use super::inner::Inner;
use super::lent::{Lent, Site, Standing};
use crate::clock::Moment;
use crate::conn::{ConnInfo, H2Handle, Leave, Wire};
use crate::dial::Interned;
use crate::fault::planted;
use crate::machine::{ConnId, OriginId};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Whose a connection is, and which.
pub(super) type Ids<'a> = (&'a Arc<Inner>, OriginId, ConnId);

/// A live connection.
pub(super) struct Live {
    pub(super) info: Arc<ConnInfo>,
    pub(super) born: Moment,
    /// Held while it lives: whoever asks for the same again has to find it.
    pub(super) _identity: Option<Arc<Interned>>,
    pub(super) rest: Rest,
}

/// How its callers have it.
pub(super) enum Rest {
    /// HTTP/1.1: one at a time.
    Single(Single),
    /// HTTP/2: each has a handle. In a place of its own, so that a connection of HTTP/1.1 is no larger for it.
    Shared(Box<Shared>),
}

pub(super) struct Single {
    /// The connection, unless somebody has it.
    pub(super) lent: Option<Box<Lent>>,
    pub(super) out: Out,
    pub(super) abort: Abort,
}

/// A connection that nobody has had yet, and that its machine does not know yet.
pub(super) struct Fresh {
    wire: Wire,
    alarm: Alarm,
    standing: Standing,
}

impl Fresh {
    /// Looks at it and sets its alarm, before it can rest anywhere.
    pub(super) fn new(bell: &Arc<Bell>, mut wire: Wire) -> Self {
        let alarm = Alarm::new(bell);
        let standing = alarm.set(|cx| wire.look(cx)).into();
        Fresh {
            wire,
            alarm,
            standing,
        }
    }

    /// Gives it its name. Answers whether it is to be looked at.
    pub(super) fn settle_in(self, (home, origin, conn): Ids<'_>, info: &Arc<ConnInfo>) -> (Single, bool) {
        let Fresh {
            wire,
            alarm,
            standing,
        } = self;
        alarm.name(origin, conn);
        let rung = alarm.is_rung() || matches!(standing, Standing::Doomed(_));
        let abort = Abort::new();
        let lent = Lent {
            home: Arc::clone(home),
            origin,
            conn,
            wire,
            info: Arc::clone(info),
            alarm: Some(alarm),
            abort: abort.clone(),
            slot: 0,
            fresh: true,
            polled: false,
            standing,
            extensions: Extensions::new(),
        };
        let single = Single {
            lent: Some(Box::new(lent)),
            out: Out::new(Moment::ZERO, Location::caller()),
            abort,
        };
        (single, rung)
    }
}

pub(super) struct Shared {
    pub(super) handle: H2Handle,
    /// Whether it is of another network, and has shown no life in this one yet: what becomes of a lease that begins now says nothing of its address.
    pub(super) foreign: bool,
    /// Leases that are out; a place for each that ever was out at once with the others.
    pub(super) outs: Vec<Option<Out>>,
    /// Leases that are home, each with a place among those out.
    #[expect(clippy::vec_box, reason = "the box itself is lent")]
    spares: Vec<Box<Lent>>,
}

/// A lease that is out, for those who look for leases that never come home.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) since: Moment,
    pub(super) site: Site,
    /// Whether its holder said that it will take long.
    pub(super) long: bool,
    /// Whether it was reported as leaked.
    pub(super) reported: bool,
    /// Whether what becomes of it says nothing of its address: the network is another since, or the pool itself has ended its connection.
    pub(super) void: bool,
}

impl Out {
    pub(super) const fn new(since: Moment, site: Site) -> Self {
        Out {
            since,
            site,
            long: false,
            reported: false,
            void: false,
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        !self.long && !self.reported
    }

    /// Whether it is out for longer than `limit`, and that was not said before.
    pub(super) fn is_leaked(&mut self, now: Moment, limit: Duration) -> bool {
        let leaked = self.is_watched() && now.since(self.since) >= limit;
        self.reported |= leaked && !planted("leaks_are_reported_again");
        leaked
    }
}

impl Live {
    /// A lease of it; none if it is out, which its machine knows better.
    #[inline]
    pub(super) fn lend(&mut self, ids: Ids<'_>, now: Moment, site: Site) -> Option<Box<Lent>> {
        match &mut self.rest {
            Rest::Single(single) => {
                let lent = single.lent.take()?;
                single.out = Out::new(now, site);
                Some(lent)
            }
            Rest::Shared(shared) => {
                let void = shared.foreign && !planted("the_doubtful_have_their_say");
                let out = Out {
                    void,
                    ..Out::new(now, site)
                };
                Some(shared.lend(&self.info, ids, out))
            }
        }
    }

    /// Takes a lease back. Answers whether it had been reported as leaked and, of HTTP/2, how many streams have no lease now.
    #[inline]
    pub(super) fn take_back(&mut self, lent: Box<Lent>) -> (bool, Option<u32>) {
        match &mut self.rest {
            Rest::Single(single) => {
                let lent = single.lent.insert(lent);
                if planted("extensions_go_with_the_lease") {
                    lent.extensions.clear();
                }
                (single.out.reported, None)
            }
            Rest::Shared(shared) => shared.take_back(lent),
        }
    }

    /// The leases that are out, each with its slot.
    pub(super) fn outs(&mut self) -> impl Iterator<Item = (usize, &mut Out)> {
        let (single, shared) = match &mut self.rest {
            Rest::Single(single) => (single.lent.is_none().then_some((0, &mut single.out)), None),
            Rest::Shared(shared) => (None, Some(shared.outs.iter_mut().enumerate())),
        };
        let shared = shared.into_iter().flatten();
        single
            .into_iter()
            .chain(shared.filter_map(|(slot, out)| Some((slot, out.as_mut()?))))
    }

    /// The record of one lease.
    pub(super) fn out_mut(&mut self, slot: usize) -> Option<&mut Out> {
        match &mut self.rest {
            Rest::Single(single) => Some(&mut single.out),
            Rest::Shared(shared) => shared.outs.get_mut(slot)?.as_mut(),
        }
    }

    /// Closes it, with a goodbye where one can be said without waiting. One that is lent is its holder's to close.
    pub(super) fn end(self) {
        match self.rest {
            Rest::Single(single) => {
                if let Some(lent) = single.lent {
                    lent.wire.end();
                }
            }
            Rest::Shared(shared) => {
                // Where a lease is out its time is over, and its permits are somebody else's by now.
                let in_use = shared.outs.iter().any(Option::is_some);
                shared
                    .handle
                    .let_go(if in_use { Leave::Now } else { Leave::Soon });
            }
        }
    }
}

/// What ends a connection, wherever it is.
pub(super) enum Ender {
    Single(Abort),
    Shared(H2Handle),
}

impl Ender {
    /// Wakes whoever it interrupts.
    pub(super) fn end(self) {
        match self {
            Ender::Single(abort) => abort.abort(),
            Ender::Shared(handle) => handle.let_go(Leave::Now),
        }
    }
}

impl Rest {
    pub(super) fn ender(&self) -> Ender {
        match self {
            Rest::Single(single) => Ender::Single(single.abort.clone()),
            Rest::Shared(shared) => Ender::Shared(shared.handle.another()),
        }
    }
}

impl Shared {
    pub(super) fn new(handle: H2Handle) -> Self {
        Shared {
            handle,
            foreign: false,
            // Most have one lease at a time.
            outs: Vec::with_capacity(1),
            spares: Vec::with_capacity(1),
        }
    }

    /// The network is another one. Answers the connection, which is to show life.
    pub(super) fn doubted(&mut self) -> H2Handle {
        self.foreign = true;
        self.handle.another()
    }

    fn lend(&mut self, info: &Arc<ConnInfo>, (home, origin, conn): Ids<'_>, out: Out) -> Box<Lent> {
        if let Some(spare) = self.spares.pop() {
            // Its place is free: nobody else had it since.
            self.outs[spare.slot] = Some(out);
            return spare;
        }
        let slot = self.outs.len();
        self.outs.push(Some(out));
        Box::new(Lent {
            home: Arc::clone(home),
            origin,
            conn,
            wire: Wire::H2(self.handle.another()),
            info: Arc::clone(info),
            alarm: None,
            abort: Abort::default(),
            slot,
            fresh: false,
            polled: false,
            standing: Standing::Sound,
            extensions: Extensions::new(),
        })
    }

    fn take_back(&mut self, mut lent: Box<Lent>) -> (bool, Option<u32>) {
        let out = self.outs.get_mut(lent.slot).and_then(Option::take);
        let loose = match &mut lent.wire {
            Wire::H2(handle) => Some(handle.come_home()),
            _ => None,
        };
        lent.standing = Standing::Sound;
        self.spares.push(lent);
        (out.is_some_and(|out| out.reported), loose)
    }
}

/// Ends the use of a connection from outside: whoever reads or writes is told at once. The default never comes: what is said over HTTP/2 ends with the
/// driver.
#[derive(Clone, Default)]
pub(super) struct Abort(Option<Arc<Aborting>>);

#[derive(Default)]
struct Aborting {
    set: AtomicBool,
    /// Who waits to read, and who waits to write.
    wakers: Mutex<[Option<Waker>; 2]>,
}

impl Aborting {
    /// Keeps a waker in place of the one before. Under the lock none is cloned or dropped: that may run code of others.
    fn hold(&self, way: Way, waker: &Waker) {
        let held = |place: &Option<Waker>| place.as_ref().is_some_and(|held| held.will_wake(waker));
        if held(&self.wakers.lock()[way as usize]) {
            return;
        }
        let waker = waker.clone();
        let mut wakers = self.wakers.lock();
        let before = wakers[way as usize].replace(waker);
        if planted("a_waker_is_dropped_under_the_lock") {
            return drop(before);
        }
        drop(wakers);
        drop(before);
    }
}

/// In which direction somebody waits.
#[derive(Clone, Copy)]
pub(super) enum Way {
    In,
    Out,
}

impl Abort {
    fn new() -> Self {
        Abort(Some(Arc::default()))
    }

    pub(super) fn abort(&self) {
        let Some(aborting) = &self.0 else { return };
        aborting.set.store(true, Ordering::Release);
        let wakers = std::mem::take(&mut *aborting.wakers.lock());
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    /// Lets go of whoever waited: nobody does any more.
    pub(super) fn forget(&self) {
        let wakers = self
            .0
            .as_ref()
            .map(|aborting| std::mem::take(&mut *aborting.wakers.lock()));
        drop(wakers);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|aborting| aborting.set.load(Ordering::Acquire))
    }

    /// Polls what an abort interrupts.
    pub(super) fn watch<T>(
        &self,
        way: Way,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        let aborted = || Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()));
        if self.is_set() {
            return aborted();
        }
        let polled = poll(cx);
        if let (Some(aborting), true) = (&self.0, polled.is_pending()) {
            aborting.hold(way, cx.waker());
            // Set before the waker stood there: nobody will wake it.
            if self.is_set() {
                return aborted();
            }
        }
        polled
    }
}
