//! What the driver of an HTTP/2 connection tells, brought to its machine.

use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use crate::clock::Moment;
use crate::conn::News;
use crate::event::CloseReason;
use crate::fault::planted;
use crate::machine::{Cause, ConnId};

impl Host {
    /// Takes in what happened on a connection.
    pub(super) fn hear(&mut self, now: Moment, conn: ConnId, news: News) {
        match news {
            News::MaxStreams(streams) => self.machine.settings(now, conn, streams),
            News::GoAway => self.machine.going_away(now, conn),
            News::Overloaded => self.back_off(now, conn),
            News::Freed => {
                // Asked under the lock, as by whoever comes home: the two are told in one order.
                if let Some(loose) = self.shared_mut(conn).map(|shared| shared.handle.loose()) {
                    self.machine.streams_open(now, conn, loose);
                }
            }
            News::ResetsSpent => self.machine.retire(now, conn, CloseReason::ResetsSpent),
            News::Doubtful => self.machine.suspect(now, conn),
            News::Healthy => {
                if let Some(shared) = self.shared_mut(conn) {
                    shared.foreign = false;
                }
                self.machine.healthy(now, conn);
            }
            News::Ended(reason) => self.machine.died(now, conn, reason),
        }
    }

    /// Its peer has more than it can do: no further connection there for a while.
    fn back_off(&mut self, now: Moment, conn: ConnId) {
        let info = self.live_mut(conn).map(|live| Arc::clone(&live.info));
        let info = info.filter(|info| !info.detour);
        if let Some(info) = info.filter(|_| !planted("overload_is_overheard")) {
            let told = (Cause::Protocol, Duration::ZERO);
            self.penalise(now, info.remote.ip(), told, info.hearer);
        }
    }
}
