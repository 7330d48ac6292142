//! Several attempts of one dial at once: who is under way, who has connected, who is left.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;

use super::validator::Judge;
use crate::clock::{Clock, Moment, Sleep};
use crate::dial::plan::Plan;
use crate::dial::{Attempt, Baton, Boxed, Connect, Dialled};
use crate::error::Error;
use crate::fault::planted;

/// An address that a race gave up, and whether it had been ahead of the winner by the delay.
pub(super) type Loser = (IpAddr, bool);

/// What happens next in a race.
pub(super) enum News {
    /// It is time to ask the plan again.
    Due,
    /// There may be more addresses.
    Addresses,
    /// The attempt at this place in the list has ended.
    Ended(usize, Box<Result<Dialled, Error>>),
}

/// An attempt under way.
struct Runner<'a> {
    ip: IpAddr,
    number: u32,
    began: Moment,
    deadline: Moment,
    attempt: Boxed<'a, Result<Dialled, Error>>,
}

impl Runner<'_> {
    /// Given up, beside a winner that began then.
    fn beside(self, winner: Moment, delay: Duration) -> Loser {
        (self.ip, winner.since(self.began) >= delay)
    }
}

/// Attempts under way, and what is planned beside them.
pub(super) struct Race<'a> {
    dialler: &'a dyn Connect,
    judge: Judge<'a>,
    baton: &'a Baton,
    pub(super) plan: Plan,
    /// In the order in which they began.
    runners: Vec<Runner<'a>>,
    started: u32,
    /// Whether the plan knows that one has connected.
    decided: bool,
}

impl<'a> Race<'a> {
    pub(super) fn new(dialler: &'a dyn Connect, judge: Judge<'a>, baton: &'a Baton, plan: Plan) -> Self {
        Race {
            dialler,
            judge,
            baton,
            plan,
            runners: Vec::new(),
            started: 0,
            decided: false,
        }
    }

    /// An attempt begins, under the number that it is told.
    pub(super) fn start(&mut self, now: Moment, attempt: impl FnOnce(u32) -> Attempt<'a>) {
        self.started += 1;
        let attempt = attempt(self.started);
        self.runners.push(Runner {
            ip: attempt.ip,
            number: self.started,
            began: now,
            deadline: attempt.deadline,
            attempt: self.judge.over(self.dialler.attempt(attempt), attempt),
        });
        self.plan.started(now);
    }

    /// If one has connected: it goes on alone. Answers whom that leaves, the first time it is asked.
    pub(super) fn decide(&mut self, delay: Duration) -> Option<Vec<Loser>> {
        if self.decided || planted("everybody_goes_on") {
            return None;
        }
        let holder = self.baton.holder()?;
        self.decided = true;
        let began = self.runners.iter().find(|runner| runner.number == holder)?.began;
        let losers = self.runners.extract_if(.., |runner| runner.number != holder);
        let losers: Vec<Loser> = losers.map(|loser| loser.beside(began, delay)).collect();
        let ips: Vec<IpAddr> = losers.iter().map(|&(ip, _)| ip).collect();
        self.plan.connected(&ips);
        Some(losers)
    }

    /// What happens next. `told` rings when there may be more addresses.
    pub(super) async fn news(&mut self, clock: &dyn Clock, until: Option<Moment>, told: &Notify) -> News {
        let mut sleep = until.map(|at| clock.sleep_until(at));
        let mut told = pin!(told.notified());
        poll_fn(|cx| match self.poll_news(cx, sleep.as_mut()) {
            Poll::Ready(news) => Poll::Ready(news),
            Poll::Pending => told.as_mut().poll(cx).map(|()| News::Addresses),
        })
        .await
    }

    fn poll_news(&mut self, cx: &mut Context<'_>, sleep: Option<&mut Sleep>) -> Poll<News> {
        for (place, runner) in self.runners.iter_mut().enumerate() {
            if let Poll::Ready(result) = runner.attempt.as_mut().poll(cx) {
                return Poll::Ready(News::Ended(place, Box::new(result)));
            }
        }
        if !self.decided && self.baton.holder().is_some() {
            return Poll::Ready(News::Due);
        }
        match sleep {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| News::Due),
            None => Poll::Pending,
        }
    }

    /// The one at `place` has won. Answers its address, and whom that leaves: their sockets are closed by then.
    pub(super) fn end(&mut self, place: usize, delay: Duration) -> (IpAddr, Vec<Loser>) {
        let winner = self.runners.remove(place);
        let losers = self.runners.drain(..);
        let losers = losers.map(|loser| loser.beside(winner.began, delay)).collect();
        (winner.ip, losers)
    }

    /// The one at `place` has failed. Answers its address and its deadline.
    pub(super) fn fail(&mut self, now: Moment, place: usize) -> (IpAddr, Moment) {
        let Runner {
            ip, number, deadline, ..
        } = self.runners.remove(place);
        if self.baton.holder() == Some(number) {
            self.baton.recover();
            self.decided = false;
        }
        self.plan.failed(now);
        (ip, deadline)
    }
}
