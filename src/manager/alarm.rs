//! What tells that something happened on a connection that rests.
//!
//! Each HTTP/1.1 connection has one alarm: the waker it is polled with when it parks. A rung alarm means *look*, not *dead*: TLS tickets and
//! key updates ring it, too. It marks the connection and puts its name on the list of those to look at; whoever is handed the connection before
//! that happened looks itself.

use std::sync::atomic::fence;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};

use tokio::sync::Notify;

use crate::fault::planted;
use crate::machine::{ConnId, OriginId};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Connections whose alarm rang, and who looks at them.
pub(super) struct Bell {
    rung: Mutex<Vec<(OriginId, ConnId)>>,
    /// Calls whoever looks, and closes what is due.
    pub(super) call: Arc<Notify>,
}

impl Bell {
    pub(super) fn new(call: Arc<Notify>) -> Self {
        Bell {
            rung: Mutex::default(),
            call,
        }
    }

    /// The connections to look at. Their names are off the list then.
    pub(super) fn take(&self) -> Vec<(OriginId, ConnId)> {
        std::mem::take(&mut self.rung.lock())
    }

    /// Has a connection looked at. Wakes the upkeep: not to be called under a lock.
    pub(super) fn ring(&self, name: (OriginId, ConnId)) {
        if planted("calls_before_it_lists") {
            self.call.notify_one();
        }
        self.rung.lock().push(name);
        if !planted("calls_before_it_lists") {
            self.call.notify_one();
        }
    }
}

/// The alarm of one connection.
struct Mark {
    rung: AtomicBool,
    /// Whose alarm it is, from when that is known.
    name: OnceLock<(OriginId, ConnId)>,
    bell: Arc<Bell>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if planted("alarm_is_not_heard") {
            return;
        }
        // Only the first: its name is on the list then, or on its way there.
        let before = self.rung.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst); // with the one in `name`: one of the two sees the other
        if !before && let Some(&name) = self.name.get() {
            self.bell.ring(name);
        }
    }
}

/// The alarm of one connection, ready to be set.
pub(super) struct Alarm {
    mark: Arc<Mark>,
    waker: Waker,
}

impl Alarm {
    pub(super) fn new(bell: &Arc<Bell>) -> Self {
        let mark = Arc::new(Mark {
            rung: AtomicBool::new(false),
            name: OnceLock::new(),
            bell: Arc::clone(bell),
        });
        Alarm {
            waker: Waker::from(Arc::clone(&mark)),
            mark,
        }
    }

    /// Says whose alarm it is. If it rang before, nobody has heard.
    pub(super) fn name(&self, origin: OriginId, conn: ConnId) {
        _ = self.mark.name.set((origin, conn)); // named once
        fence(Ordering::SeqCst);
    }

    /// Whether it rang since it was last set.
    ///
    /// Whoever is told of a ring passes a connection over that is in use. So this is asked again when one comes to rest, under the same
    /// lock: a ring before that shows here, one after that finds it at rest.
    pub(super) fn is_rung(&self) -> bool {
        self.mark.rung.load(Ordering::Acquire)
    }

    /// Looks, with the alarm set anew: what happens from now on rings it.
    pub(super) fn set<T>(&self, look: impl FnOnce(&mut Context<'_>) -> T) -> T {
        // Before the look: what happens during it must not be lost.
        if !planted("alarm_is_set_after_the_look") && !planted("alarm_rings_once") {
            self.mark.rung.store(false, Ordering::Release);
        }
        let seen = look(&mut Context::from_waker(&self.waker));
        if planted("alarm_is_set_after_the_look") {
            self.mark.rung.store(false, Ordering::Release);
        }
        seen
    }
}
