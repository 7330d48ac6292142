//! Which origin has the connection that has been idle longest, without being told of every `put`.
//!
//! For each origin that holds connections stands a moment before which none of its idle ones went idle. Such a bound
//! stays true by itself: what comes home later is younger. So the origin with the least bound is asked; its answer is
//! its new bound, and it is the one when no other bound is less. An origin that had none idle is *dry*: it is not asked
//! again before it says that one went idle, or nobody waits any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Moment;
use crate::fault::planted;
use crate::machine::id::OriginId;

/// Origins by how long their longest idle connection may have been idle.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    holders: BTreeMap<OriginId, Holder>,
    /// Those that may be asked, by bound.
    askable: BTreeSet<(Moment, OriginId)>,
    dry: Vec<OriginId>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    connections: u32,
    bound: Moment,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Askable,
    /// It is being asked; `parked` came meanwhile or not.
    Asked {
        parked: bool,
    },
    Dry,
}

impl Order {
    pub(super) const fn new() -> Self {
        Order {
            holders: BTreeMap::new(),
            askable: BTreeSet::new(),
            dry: Vec::new(),
        }
    }

    /// `origin` has one more connection.
    pub(super) fn add(&mut self, now: Moment, origin: OriginId) {
        let fresh = Holder {
            connections: 0,
            bound: now,
            standing: Standing::Askable,
        };
        let holder = self.holders.entry(origin).or_insert(fresh);
        holder.connections += 1;
        if holder.standing == Standing::Askable {
            self.askable.insert((holder.bound, origin));
        }
    }

    /// `origin` has one connection less.
    pub(super) fn remove(&mut self, origin: OriginId) {
        let Some(holder) = self.holders.get_mut(&origin) else {
            return;
        };
        holder.connections -= 1;
        if holder.connections > 0 {
            return;
        }
        self.askable.remove(&(holder.bound, origin));
        if holder.standing == Standing::Dry {
            self.dry.retain(|&dry| dry != origin);
        }
        self.holders.remove(&origin);
    }

    /// Whether there is anybody to ask.
    pub(super) fn is_askable(&self) -> bool {
        !self.askable.is_empty()
    }

    /// Whether somebody is dry.
    pub(super) fn has_dry(&self) -> bool {
        !self.dry.is_empty()
    }

    /// The origin to ask, and the age its longest idle connection must have to be the one.
    pub(super) fn ask(&mut self) -> Option<(OriginId, Moment)> {
        let youngest = planted("evicts_the_youngest");
        let (_, origin) = if youngest {
            self.askable.pop_last()?
        } else {
            self.askable.pop_first()?
        };
        let holder = self.holders.get_mut(&origin)?;
        holder.standing = Standing::Asked { parked: false };
        Some((
            origin,
            self.askable.first().map_or(Moment::FAR, |&(bound, _)| bound),
        ))
    }

    /// What it answered: its longest idle connection is idle since `bound`, or it has none now.
    pub(super) fn answer(&mut self, now: Moment, origin: OriginId, bound: Option<Moment>) {
        let Some(holder) = self.holders.get_mut(&origin) else {
            return;
        };
        let Standing::Asked { parked } = holder.standing else {
            return;
        };
        holder.bound = holder.bound.max(bound.unwrap_or(now));
        if bound.is_some() || parked {
            holder.standing = Standing::Askable;
            self.askable.insert((holder.bound, origin));
        } else {
            holder.standing = Standing::Dry;
            self.dry.push(origin);
        }
    }

    /// It said yes. What else it has is as old as what it gave, or younger.
    pub(super) fn gave(&mut self, origin: OriginId) {
        let Some(bound) = self.holders.get(&origin).map(|holder| holder.bound) else {
            return;
        };
        self.answer(bound, origin, Some(bound));
    }

    /// A connection of `origin` went idle.
    pub(super) fn parked(&mut self, origin: OriginId) {
        let Some(holder) = self.holders.get_mut(&origin) else {
            return;
        };
        match holder.standing {
            Standing::Askable => {}
            Standing::Asked { .. } => holder.standing = Standing::Asked { parked: true },
            Standing::Dry => {
                holder.standing = Standing::Askable;
                self.askable.insert((holder.bound, origin));
                self.dry.retain(|&dry| dry != origin);
            }
        }
    }

    /// Nobody waits any more: from now on nobody says that one went idle, so everybody may be asked again.
    pub(super) fn refill(&mut self) {
        for origin in std::mem::take(&mut self.dry) {
            if let Some(holder) = self.holders.get_mut(&origin) {
                holder.standing = Standing::Askable;
                self.askable.insert((holder.bound, origin));
            }
        }
    }

    /// Connections of all origins.
    pub(super) fn connections(&self) -> u32 {
        self.holders.values().map(|holder| holder.connections).sum()
    }

    /// Checks what must hold between operations.
    #[expect(
        clippy::panic,
        reason = "it exists to stop the program where a rule is broken"
    )]
    pub(super) fn assert_invariants(&self) {
        for (&origin, holder) in &self.holders {
            let askable = self.askable.contains(&(holder.bound, origin));
            let right = askable == (holder.standing == Standing::Askable)
                && self.dry.contains(&origin) == (holder.standing == Standing::Dry)
                && holder.connections > 0;
            if !right {
                panic!("{origin:?} stands wrong: {holder:?}, askable: {askable}");
            }
        }
        if self.askable.len() + self.dry.len() > self.holders.len() {
            panic!("origins without a connection are on the lists: {self:?}");
        }
    }
}
