//! Another network under the pool: what stood may lead nowhere now, and what failed may work.

use std::sync::Arc;
use std::time::Duration;

use super::ConnectionManager;
use super::host::Host;
use super::inner::Inner;
use super::jobs::Job;
use super::live::{Live, Rest};
use crate::clock::Moment;
use crate::conn::H2Handle;
use crate::dial::Found;
use crate::event::{CloseReason, Protocol};
use crate::fault::planted;
use crate::machine::ConnId;
use crate::sync::Ordering;

/// By how much the boot clock must run ahead of the pool's own for the machine to have been suspended meanwhile: more than both are ever apart by
/// being read one after the other.
const SUSPENDED: Duration = Duration::from_secs(5);
/// How often that is looked at while anything is alive. The clock that timers and hand-outs go by stands still meanwhile, and tells nothing of it.
const LOOK: Duration = Duration::from_secs(2);

impl ConnectionManager {
    /// Says that the machine has another network than before. Idle connections of HTTP/1.1 close, for nobody can tell whether they still lead
    /// anywhere, and leased ones when they come home; those of HTTP/2 are asked for a sign of life and take no new streams until it comes, and close
    /// without it. What failed is forgotten, but for addresses that said themselves that we are blocked, and names are asked for again. So it is with what is
    /// dialled or leased at that moment, and with leases of an HTTP/2 connection that has yet to show life: how it fails is held against no address, nor does it
    /// clear one, but a 403 is heeded.
    ///
    /// What name servers said before serves while they fail, as ever, but for the name of the pool's [proxy](crate::proxy): a stranger may be there now, and nothing is
    /// sent before they have been asked again.
    ///
    /// A pool whose machine was suspended for longer than five seconds does this by itself, within two seconds of its waking up. Until then
    /// a connection that stood may be handed out, and its first use fail: the one clock that a hand-out reads stands still while the machine does, and
    /// to read another each time would cost every hand-out for the sake of the few that come right after a suspend. Whoever is told of it sooner, by the
    /// system or its own user interface, calls this at once.
    pub fn network_changed(&self) {
        self.inner().network_changed();
    }
}

impl Inner {
    pub(super) fn network_changed(self: &Arc<Self>) {
        // First: what ends after the visit to its host sees that it began before.
        self.network.fetch_add(1, Ordering::AcqRel);
        self.dialler.doubt_names();
        // Before the hosts, which dial at once where somebody waits.
        self.desk.lock().penalties.forgive();
        let doubtful = self.each_host(Host::network_changed);
        // Not under the lock: it wakes the drivers.
        doubtful.into_iter().flatten().for_each(|handle| handle.doubt());
        self.pump();
        self.call(Job::Dns);
    }

    /// The network that the machine has now, by number.
    pub(super) fn network(&self) -> u64 {
        self.network.load(Ordering::Acquire)
    }

    /// What was found by a question that was asked in `network`. In another one it serves until the question has been asked again, which is due at once.
    pub(super) fn found_in(&self, network: u64, now: Moment, found: Found) -> Found {
        match self.network() == network {
            true => found,
            false => Found {
                fresh_until: found.fresh_until.min(now),
                ..found
            },
        }
    }

    /// When the two clocks are to be compared again: as long as nothing is alive, after the next birth.
    pub(super) fn compare_again(&self) -> Moment {
        let alive = self.desk.lock().ledger.counts().total > 0 && !planted("suspends_are_noticed_in_rounds");
        self.watch.clocks.store(alive, Ordering::Release);
        match alive {
            true => self.now_coarse() + LOOK,
            false => Moment::FAR,
        }
    }

    /// Whether the machine was suspended since this was last asked.
    pub(super) fn was_suspended(&self) -> bool {
        // Whatever is born during this turn calls for another.
        self.watch.clocks.store(false, Ordering::Release);
        let clock = self.clock();
        let gap = clock.boot().since(clock.now());
        let mut rounds = self.rounds.lock();
        let before = rounds.gap.replace(gap);
        before.is_some_and(|before| gap > before + SUSPENDED) && !planted("nobody_notices_a_suspend")
    }
}

impl Host {
    /// A connection that was begun in another network. Answers the one that is to show life.
    pub(super) fn doubt_birth(&mut self, now: Moment, conn: ConnId) -> Option<H2Handle> {
        match self.shared_mut(conn) {
            Some(shared) => Some(shared.doubted()),
            None => {
                self.machine.retire(now, conn, CloseReason::NetworkChanged);
                None
            }
        }
    }

    /// Answers the connections that are to show life.
    fn network_changed(&mut self, now: Moment) -> Vec<H2Handle> {
        self.machine.forgive(now);
        self.machine.unbar(now);
        if !planted("leases_take_their_failures_along") {
            let live = self.live.iter_mut().flatten().flat_map(Live::outs);
            let outs = live.map(|(_, out)| out).chain(self.adrift.outs());
            outs.for_each(|out| out.void = true);
        }
        if !planted("dead_networks_are_trusted") {
            let reason = CloseReason::NetworkChanged;
            self.machine
                .retain(now, reason, |conn| conn.protocol == Protocol::Http2);
        }
        if self.machine.fresh_until() != Moment::FAR {
            self.machine.set_fresh_until(self.machine.fresh_until().min(now));
        }
        let handles = self.lives_mut().filter_map(|live| match &mut live.rest {
            Rest::Single(_) => None,
            Rest::Shared(shared) => Some(shared.doubted()),
        });
        handles.collect()
    }
}
