//! Pools of which nothing but the pool is real: no socket, no resolver, connections that do what a [`Stage`] says.
//!
//! For this crate's own tests, models and benches: a hundred thousand connections fit in memory, and every step of a dial can be made to
//! fail, to take its time or never to come. Everything from `get` to the Ledger is the pool's own code.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::access::Way;
use crate::clock::{Clock, Moment, before};
use crate::config::PoolConfig;
use crate::conn::{Candidate, ConnInfo, Seen, Single, Wire};
use crate::dial::{Ask, Attempt, Boxed, Connect, Dialled, DnsSnapshot, Early, Found};
use crate::error::{ConfigError, Error, ErrorKind, Phase};
use crate::event::{CloseReason, Protocol};
use crate::identity::{Hearer, IdentityId, Own};
use crate::manager::{Owners, Validating, Validator, Verdict};
use crate::pool::HotConnPool;
use crate::source::SourceStats;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use crate::target::Target;
use crate::tls::{Identities, Tls, TlsInfo};

/// What happens at one step of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It succeeds at once.
    Ok,
    /// It fails at once.
    Err,
    /// It fails at once: there is no way to this address.
    Unreachable,
    /// It fails at once, because this machine is out of something.
    Short,
    /// It succeeds after so long, by the pool's clock.
    After(Duration),
    /// It fails after so long: there is no way to this address.
    Lost(Duration),
    /// It succeeds after having been polled this often.
    Slow(u32),
    /// It ends with the time it has.
    Never,
}

/// A step of a dial: towards one address, or any.
type Step = (Option<IpAddr>, Phase);

/// What happens to a connection from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// Half a record has come.
    Half,
    Closed,
    Stray,
}

/// The other end of everything, and its memory of what happened. Clones share it.
#[derive(Clone, Default)]
pub struct Stage(Arc<Scene>);

#[derive(Default)]
struct Scene {
    addresses: Vec<IpAddr>,
    /// Known while the rest is still being asked for.
    early: Mutex<Vec<IpAddr>>,
    drop_time: Mutex<Duration>,
    /// Of one address, or of whoever comes.
    acts: Mutex<HashMap<Step, VecDeque<Act>>>,
    /// Every step of a dial that began.
    steps: Mutex<Vec<(Moment, IpAddr, Phase)>>,
    /// By number, so that what befalls them all befalls them in the order of their birth.
    conns: Mutex<BTreeMap<u64, Arc<Far>>>,
    born: AtomicU64,
    /// Whether half a record comes with a connection's birth.
    halves: AtomicBool,
    dials: AtomicU64,
}

/// The far end of one connection.
struct Far {
    event: Mutex<(Event, Option<Waker>)>,
}

impl Stage {
    /// A stage on which every name has this many addresses, from 10.0.0.1 on.
    pub fn new(addresses: u32) -> Self {
        Stage::with_drops(addresses, Duration::ZERO)
    }

    /// One on which dropping a connection keeps its thread busy for a while, as TLS does.
    pub fn with_drops(addresses: u32, drop_time: Duration) -> Self {
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 1));
        let addresses = (first..first + addresses).map(|ip| Ipv4Addr::from(ip).into());
        Stage(Arc::new(Scene {
            addresses: addresses.collect(),
            drop_time: Mutex::new(drop_time),
            ..Scene::default()
        }))
    }

    /// One on which every name has these addresses.
    pub fn at(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Stage(Arc::new(Scene {
            addresses: addresses.into_iter().collect(),
            ..Scene::default()
        }))
    }

    /// Keeps the thread that drops a connection busy for so long, from now on.
    pub fn set_drops(&self, drop_time: Duration) {
        *self.0.drop_time.lock() = drop_time;
    }

    /// A pool that dials here.
    ///
    /// # Errors
    /// As [`Builder::build`](crate::Builder::build).
    pub fn pool(&self, config: PoolConfig, clock: impl Clock) -> Result<HotConnPool, ConfigError> {
        self.owned_pool(config, clock, Owners::default())
    }

    /// A pool that dials here, and takes whatever it dials for welcome.
    ///
    /// # Errors
    /// As [`pool`](Stage::pool).
    pub fn welcome_pool(&self, config: PoolConfig, clock: impl Clock) -> Result<HotConnPool, ConfigError> {
        let owners = Owners {
            validator: Some(Box::new(Welcome)),
            ..Owners::default()
        };
        self.owned_pool(config, clock, owners)
    }

    fn owned_pool(
        &self,
        config: PoolConfig,
        clock: impl Clock,
        owners: Owners,
    ) -> Result<HotConnPool, ConfigError> {
        config.validate()?;
        let tls = Tls::builder().build()?;
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let player = Player {
            stage: self.clone(),
            clock: Arc::clone(&clock),
        };
        Ok(HotConnPool::new(
            config,
            Identities::new(tls, Own::default()),
            clock,
            Box::new(player),
            owners,
        ))
    }

    /// Says what happens when a dial next comes to `phase`, after what was said before: [`Act::Ok`] where nothing was. [`Phase::Resolve`],
    /// [`Phase::Connect`], [`Phase::Tls`] and [`Phase::Http2`] (the agreement on a protocol) are played.
    pub fn next(&self, phase: Phase, act: Act) {
        self.say(None, phase, act);
    }

    /// As [`next`](Stage::next), of the next dial of this address, whatever was said of others.
    pub fn next_at(&self, ip: IpAddr, phase: Phase, act: Act) {
        self.say(Some(ip), phase, act);
    }

    fn say(&self, ip: Option<IpAddr>, phase: Phase, act: Act) {
        self.0.acts.lock().entry((ip, phase)).or_default().push_back(act);
    }

    /// Lets these addresses be known at once, while the name is still being asked for.
    pub fn know_early(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        *self.0.early.lock() = addresses.into_iter().collect();
    }

    /// Every step of a dial that began, and when, in order.
    pub fn steps(&self) -> Vec<(Moment, IpAddr, Phase)> {
        self.0.steps.lock().clone()
    }

    /// Takes back what was said of steps that nobody came to.
    pub fn forget(&self) {
        self.0.acts.lock().clear();
    }

    /// Attempts to dial that began.
    pub fn dials(&self) -> u64 {
        self.0.dials.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.0.conns.lock().len()
    }

    /// Of these, the ones that the peer has ended or spoilt: the pool has not closed them yet.
    pub fn struck(&self) -> usize {
        let far: Vec<_> = self.0.conns.lock().values().cloned().collect();
        far.iter()
            .filter(|far| matches!(far.event.lock().0, Event::Closed | Event::Stray))
            .count()
    }

    /// The peer closes every connection that is open. Answers how many those are.
    pub fn close_all(&self) -> usize {
        self.strike(Event::Closed)
    }

    /// The peer sends something unasked on every connection that is open. Answers how many those are.
    pub fn stray_all(&self) -> usize {
        self.strike(Event::Stray)
    }

    /// Whether half a record comes on each connection when it is born, from now on.
    pub fn bear_halves(&self, halves: bool) {
        self.0.halves.store(halves, Ordering::Release);
    }

    /// Half a record comes on every connection that is open. Answers how many those are.
    pub fn halve_all(&self) -> usize {
        self.strike(Event::Half)
    }

    /// The other half comes, on every connection that is open: it was TLS's own. Answers how many those are.
    pub fn complete_all(&self) -> usize {
        self.strike(Event::Nothing)
    }

    fn strike(&self, event: Event) -> usize {
        let struck: Vec<_> = self.0.conns.lock().values().cloned().collect();
        for far in &struck {
            let waker = {
                let mut state = far.event.lock();
                state.0 = event;
                state.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        struck.len()
    }

    fn act(&self, ip: Option<IpAddr>, phase: Phase) -> Act {
        let mut acts = self.0.acts.lock();
        let mut next = |ip| acts.get_mut(&(ip, phase)).and_then(VecDeque::pop_front);
        ip.and_then(|ip| next(Some(ip)))
            .or_else(|| next(None))
            .unwrap_or(Act::Ok)
    }

    fn connection(&self, target: &Target<'_>, ip: IpAddr, hearer: Hearer) -> Dialled {
        let number = self.0.born.fetch_add(1, Ordering::Relaxed);
        let event = match self.0.halves.load(Ordering::Acquire) {
            true => Event::Half,
            false => Event::Nothing,
        };
        let far = Arc::new(Far {
            event: Mutex::new((event, None)),
        });
        self.0.conns.lock().insert(number, Arc::clone(&far));
        let near = Near {
            stage: self.clone(),
            number,
            far,
        };
        let info = ConnInfo {
            serial: 0,
            target: target.shared_text(),
            remote: SocketAddr::new(ip, target.port()),
            local: None,
            protocol: Protocol::Http1,
            profile: None,
            tls: TlsInfo {
                version: "none",
                suite: "none",
                group: None,
                resumed: false,
                shaped: false,
                application_settings: false,
                prints: None,
            },
            h2: None,
            connect_time: Duration::ZERO,
            tunnel_time: None,
            tunnel_end: None,
            tls_time: Duration::ZERO,
            hearer,
            detour: false,
        };
        Dialled {
            wire: Wire::Scripted(Box::new(near)),
            driver: None,
            info,
        }
    }
}

/// Whoever connects has been asked, and is welcome.
struct Welcome;

impl Validator for Welcome {
    fn validate<'a>(&'a self, _: &'a mut Candidate<'_>) -> Validating<'a> {
        Box::pin(std::future::ready(Ok(Verdict::Allow)))
    }
}

/// A stage as one pool has it, with that pool's time.
struct Player {
    stage: Stage,
    clock: Arc<dyn Clock>,
}

impl Player {
    async fn play(&self, ip: Option<IpAddr>, phase: Phase, deadline: Moment) -> Result<(), Error> {
        let played = before(&*self.clock, deadline, pin!(self.perform(ip, phase))).await;
        played.unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, phase)))
    }

    fn found(&self, addresses: Vec<IpAddr>, whole: bool) -> Found {
        let fresh_until = self.clock.now() + Duration::from_secs(1800);
        Found {
            addresses,
            fresh_until,
            usable_until: fresh_until + Duration::from_secs(3600),
            whole,
            stale: false,
            kept_v6: None,
            foreign: false,
        }
    }

    async fn perform(&self, ip: Option<IpAddr>, phase: Phase) -> Result<(), Error> {
        match self.stage.act(ip, phase) {
            Act::Ok => Ok(()),
            Act::Err => Err(Error::new(ErrorKind::ConnectionRefused, phase)),
            Act::Unreachable => Err(Error::new(ErrorKind::Unreachable, phase)),
            Act::Short => Err(Error::new(ErrorKind::LocalResource, phase)),
            Act::Never => std::future::pending().await,
            Act::After(span) => {
                self.clock.sleep_until(self.clock.now() + span).await;
                Ok(())
            }
            Act::Lost(span) => {
                self.clock.sleep_until(self.clock.now() + span).await;
                Err(Error::new(ErrorKind::Unreachable, phase))
            }
            Act::Slow(polls) => {
                let mut left = polls;
                poll_fn(|cx| {
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    left -= 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                Ok(())
            }
        }
    }
}

impl Connect for Player {
    fn resolve<'a>(&'a self, ask: Ask<'a>, early: Early<'a>) -> Boxed<'a, Result<Found, Error>> {
        Box::pin(async move {
            let part = self.stage.0.early.lock().clone();
            if !part.is_empty() {
                early(&self.found(part, false));
            }
            let played = self.play(None, Phase::Resolve, ask.deadline).await;
            played.map_err(|error| error.with_target(ask.target))?;
            Ok(self.found(self.stage.0.addresses.clone(), true))
        })
    }

    fn attempt<'a>(&'a self, attempt: Attempt<'a>) -> Boxed<'a, Result<Dialled, Error>> {
        Box::pin(async move {
            let Attempt {
                target,
                ip,
                deadline,
                turn,
                ..
            } = attempt;
            self.stage.0.dials.fetch_add(1, Ordering::Relaxed);
            for phase in [Phase::Connect, Phase::Tls, Phase::Http2] {
                if phase == Phase::Tls && before(&*self.clock, deadline, pin!(turn.pass())).await.is_none() {
                    let error = Error::new(ErrorKind::Timeout, Phase::Connect);
                    return Err(error.with_target(target).with_ip(ip));
                }
                attempt.progress.reach(phase);
                self.stage.0.steps.lock().push((self.clock.now(), ip, phase));
                let played = self.play(Some(ip), phase, deadline).await;
                played.map_err(|error| error.with_target(target).with_ip(ip))?;
            }
            Ok(self.stage.connection(target, ip, attempt.identity.hearer()))
        })
    }

    fn forget(&self, _: &HashSet<IdentityId>) {}

    fn snapshot(&self) -> DnsSnapshot {
        DnsSnapshot::default()
    }

    fn doubt_names(&self) {}

    fn way(&self) -> Way {
        Way::Direct
    }

    fn sources(&self) -> SourceStats {
        SourceStats::default()
    }
}

/// The pool's end of one connection.
struct Near {
    stage: Stage,
    number: u64,
    far: Arc<Far>,
}

impl Single for Near {
    fn verdict(&self) -> Result<(), CloseReason> {
        Ok(())
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Result<Seen, CloseReason> {
        let mut state = self.far.event.lock();
        match state.0 {
            Event::Nothing | Event::Half => {
                state.1 = Some(cx.waker().clone());
                Ok(match state.0 {
                    Event::Half => Seen::HalfRecord,
                    _ => Seen::Clean,
                })
            }
            Event::Closed => Err(CloseReason::PeerClosed),
            Event::Stray => Err(CloseReason::StrayBytes),
        }
    }

    fn end(self: Box<Self>) {}
}

impl Drop for Near {
    fn drop(&mut self) {
        let time = *self.stage.0.drop_time.lock(); // as it is when the drop begins
        self.stage.0.conns.lock().remove(&self.number);
        busy(time);
    }
}

#[expect(clippy::disallowed_methods, reason = "a busy thread, not a deadline")]
fn busy(span: Duration) {
    let began = std::time::Instant::now();
    while began.elapsed() < span {
        std::hint::spin_loop();
    }
}
