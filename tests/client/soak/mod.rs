//! Requests of every kind over one pool, with two servers, over both protocols, broken off by either side at random: every answer belongs to its request, no
//! connection serves anybody after it was left dirty, every count agrees, and nothing is left.
#![expect(clippy::print_stdout, reason = "its figures are read as text")]

mod nginx;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotpool::{
    Body, CloseReason, Error, ErrorKind, GetOptions, HotConnPool, Phase, Require, SendOptions, StaticResolver,
};
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::common::{Dice, at_rest, config, spawn, within};
use crate::servers::Server;
use crate::support::certs;
use crate::support::measure::{self, Descriptors};
use crate::support::outside::nginx::evidence;
use crate::support::peer::DEADLINE;
use crate::support::peers_table;
use crate::support::process::alone;
use crate::tagged::journal::Journal;
use crate::tagged::text::{Tagged, Text};
use crate::tagged::{self, Expected, size};

const REQUESTS: u64 = 2_000;
const AT_ONCE: u64 = 64;
/// How many requests may be on their way to a connection that is cut, on the average; measured were three. Those that came are known one by one.
const UNSEEN: u64 = AT_ONCE / 8;
/// How long one may take among the others: some have 10 MiB.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the requests came to.
#[derive(Debug, Default)]
struct Tally {
    whole: AtomicU64,
    octets: AtomicU64,
    /// Broken off by the client: before the head, in the request's body, in the answer's.
    dropped: AtomicU64,
    unsent: AtomicU64,
    half_read: AtomicU64,
    /// Broken off by the server, as it was asked to: this one, and its whole connection.
    reset: AtomicU64,
    cut: AtomicU64,
    /// Lost with a connection of HTTP/2 that was cut for another.
    torn: AtomicU64,
    /// Lost on its way to one.
    unseen: AtomicU64,
}

/// What is asked of whom.
struct World {
    pool: HotConnPool,
    hyper: String,
    nginx: String,
    tally: Tally,
    /// What hyper's server knows.
    journal: Arc<Journal>,
    /// Whose answers came whole.
    whole: Mutex<HashSet<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nothing,
    /// The caller loses interest before the head is there.
    Send,
    /// The caller's body fails.
    Upload,
    /// The caller reads no more than so much of the answer.
    Read(u64),
    /// The server breaks off this answer: it resets the stream, or ends the connection of HTTP/1.1.
    Reset,
    /// The server cuts the connection, and whatever else is on it.
    Cut,
}

#[test]
fn every_answer_belongs_to_its_request_and_nothing_is_left() {
    alone(
        "soak::every_answer_belongs_to_its_request_and_nothing_is_left",
        || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let Some(nginx) = nginx::start() else {
                    return peers_table::skip("nginx", "not installed");
                };
                let requests =
                    std::env::var("HOTPOOL_REQUESTS").map_or(REQUESTS, |count| count.parse().unwrap());
                let (descriptors, tasks) = (Descriptors::now(), measure::alive_tasks());
                let journal = Arc::new(Journal::default());
                let hyper = tagged::server(&["h2", "http/1.1"], Arc::clone(&journal)).await;
                let mut row = peers_table::Row::of(&nginx);
                let world = Arc::new(World {
                    pool: pool(&hyper, &nginx),
                    hyper: hyper.name(),
                    nginx: format!("peer.test:{}", nginx.place().port),
                    tally: Tally::default(),
                    journal,
                    whole: Mutex::default(),
                });
                soak(&world, requests).await;
                judge(&world, requests).await;
                let what = "requests of every kind through the client, broken off at random";
                let (_, evidence) = evidence(&nginx, what, |log| log.len() as u64 > requests / 4).await;
                row.case(evidence);
                drop((world, hyper));
                measure::settles(DEADLINE, "tasks", tasks, measure::alive_tasks).await;
                measure::no_descriptor_beyond(DEADLINE, &descriptors).await;
            });
        },
    );
}

fn pool(hyper: &Server, nginx: &crate::support::outside::Outside) -> HotConnPool {
    let name = format!("peer.test:{}", nginx.place().port);
    let resolver = StaticResolver::new()
        .with(name.as_str(), nginx.place().ips.iter().copied())
        .and_then(|resolver| resolver.with(hyper.name().as_str(), [hyper.ip()]));
    HotConnPool::builder()
        .config(config(|config| {
            (config.max_connections, config.max_per_ip, config.max_per_host) = (64, 64, 24);
        }))
        .roots(certs::authority().roots())
        .resolver(resolver.unwrap())
        .build()
        .unwrap()
}

async fn soak(world: &Arc<World>, requests: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let asking: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (world, next) = (Arc::clone(world), Arc::clone(&next));
            spawn(async move {
                loop {
                    let tag = next.fetch_add(1, Relaxed);
                    if tag >= requests {
                        return;
                    }
                    ask(&world, tag).await;
                }
            })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
}

/// The end: every count agrees.
async fn judge(world: &World, requests: u64) {
    at_rest(&world.pool).await;
    let (tally, stats) = (&world.tally, world.pool.stats());
    let [whole, dropped, unsent, half_read, reset, cut, torn, unseen] = [
        &tally.whole,
        &tally.dropped,
        &tally.unsent,
        &tally.half_read,
        &tally.reset,
        &tally.cut,
        &tally.torn,
        &tally.unseen,
    ]
    .map(|count| count.load(Relaxed));
    let broken = [dropped, unsent, half_read, reset, cut, torn];
    assert_eq!(whole + broken.iter().sum::<u64>() + unseen, requests);
    assert!(
        whole > requests / 2 && broken.iter().all(|&count| count > 0),
        "{tally:?}"
    );
    let (connections_cut, endless, again) = world.journal.read();
    assert!(again.is_empty(), "came more than once: {again:?}");
    let came_whole = world.whole.lock().unwrap().clone();
    assert_eq!(
        endless.intersection(&came_whole).count(),
        0,
        "ends that nobody sent"
    );
    assert!(connections_cut as u64 <= cut);
    assert!(unseen <= connections_cut as u64 * UNSEEN, "{tally:?}");
    let counters = &stats.counters;
    assert_eq!(counters.opened - counters.closed(), world.pool.size() as u64);
    for dirty in [
        CloseReason::StrayBytes,
        CloseReason::BadFraming,
        CloseReason::NotFollowed,
        CloseReason::Pipelined,
    ] {
        assert_eq!(counters.closes(dirty), 0, "{dirty}");
    }
    let closes: Vec<_> = counters.closes_by_reason().collect();
    println!(
        "measured: {requests} requests: {whole} whole, {} MB; broken off: {dropped} before the head, {unsent} in the request, {half_read} in the answer, {reset} \
         by the server, {cut} with their connection by the server, {torn} with that of others, {unseen} on their way to it; {connections_cut} connections cut; {} connections, {} hits, closed: {closes:?}",
        tally.octets.load(Relaxed) >> 20,
        counters.opened,
        counters.hits
    );
    let report = within("close", world.pool.close()).await;
    assert_eq!((report.leases_left, world.pool.size()), (0, 0));
    world.pool.manager().assert_invariants();
}

/// One request, and what becomes of it.
async fn ask(world: &World, tag: u64) {
    let mut dice = Dice((tag + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let size = size::any(&mut dice);
    let broken = match dice.below(40) {
        0 | 1 => Break::Send,
        2 => Break::Upload,
        3..6 => Break::Read(dice.below(size / 2 + 1)),
        6 => Break::Reset,
        7 => Break::Cut,
        _ => Break::Nothing,
    };
    let (request, expected) = match (dice.below(2), broken) {
        (0, _) | (_, Break::Upload | Break::Cut) => to_hyper(world, tag, size, broken, &mut dice),
        _ => to_nginx(world, tag, broken, &mut dice),
    };
    let mut get = GetOptions::new();
    let http1 = dice.below(2) == 0;
    if http1 {
        get = get.require(Require::Http1);
    }
    let sending = world.pool.send_with(request, SendOptions::new().get(get));
    let came = match broken {
        Break::Send => {
            // Polled a few times, and given up.
            let polled = crate::common::poll_times(sending, 1 + dice.below(6) as usize).await;
            polled.transpose().map(|_| None)
        }
        _ => tokio::time::timeout(PATIENCE, receive(sending, &expected, broken))
            .await
            .unwrap_or_else(|_| panic!("{tag}, {broken:?}: no end within {PATIENCE:?}")),
    };
    let tally = &world.tally;
    // What hyper says of an answer that fails, and nginx of one that it is told to give up.
    let reason = match expected.got {
        Some(_) => h2::Reason::INTERNAL_ERROR,
        None => h2::Reason::PROTOCOL_ERROR,
    };
    // One that never came may have been on any.
    let cut = expected.got.and_then(|_| world.journal.was_cut(tag));
    let unseen = expected.got.is_some() && cut.is_none();
    match (came, broken) {
        (Ok(Some(octets)), Break::Nothing) => {
            tally.octets.fetch_add(octets, Relaxed);
            world.whole.lock().unwrap().insert(tag);
            &tally.whole
        }
        (Ok(None), Break::Send) => &tally.dropped,
        (Ok(None), Break::Read(_)) => &tally.half_read,
        (Err(error), Break::Upload) if error.kind() == ErrorKind::Body => &tally.unsent,
        (Err(error), Break::Reset) if http1 && is_lost(&error) => &tally.reset,
        (Err(error), Break::Reset) if !http1 && is_reset(&error, reason) => &tally.reset,
        (Err(error), Break::Cut) if is_lost(&error) && cut == Some(true) => &tally.cut,
        // Whatever was to become of it.
        (Err(error), _) if !http1 && is_lost(&error) && cut == Some(true) => &tally.torn,
        (Err(error), _) if !http1 && is_lost(&error) && unseen => &tally.unseen,
        (other, _) => panic!("{tag}, {broken:?}: {other:?}"),
    }
    .fetch_add(1, Relaxed);
}

/// Whether its connection is gone.
fn is_lost(error: &Error) -> bool {
    (error.kind(), error.phase()) == (ErrorKind::ConnectionReset, Phase::Use)
}

/// Whether the server reset its stream for this reason.
fn is_reset(error: &Error, reason: h2::Reason) -> bool {
    let cause = error.cause().and_then(|cause| cause.downcast_ref::<h2::Error>());
    let by_peer = cause.is_some_and(|cause| cause.is_reset() && cause.is_remote());
    (error.kind(), error.phase()) == (ErrorKind::Http2, Phase::Use)
        && by_peer
        && cause.and_then(h2::Error::reason) == Some(reason)
}

fn to_hyper(
    world: &World,
    tag: u64,
    size: u64,
    broken: Break,
    dice: &mut Dice,
) -> (Request<Tagged>, Expected) {
    let upload = match broken {
        Break::Upload => 1 + size::ordinary(dice),
        _ if dice.below(2) == 0 => size::any(dice),
        _ => 0,
    };
    let fails_at = (broken == Break::Upload).then_some(upload / 2);
    let (how, size) = match (broken, dice.below(2)) {
        (Break::Reset, _) => ("b", size + 2),
        (Break::Cut, _) => ("x", size + 2),
        (_, 0) => ("l", size),
        _ => ("c", size),
    };
    let method = if upload > 0 { "POST" } else { "GET" };
    let request = Request::builder()
        .method(method)
        .uri(format!("https://{}/{tag}/{size}/{how}", world.hyper));
    let body = Tagged::new(
        tagged::of_request(tag),
        upload,
        upload == 0 || dice.below(2) == 0,
        fails_at,
    );
    let (text, got) = (tag, Some(upload));
    (request.body(body).unwrap(), Expected { tag, text, size, got })
}

fn to_nginx(world: &World, tag: u64, broken: Break, dice: &mut Dice) -> (Request<Tagged>, Expected) {
    let file = match dice.below(100) {
        0 => 0,
        _ => 1 + dice.below(nginx::FILES - 1),
    };
    let path = match (broken, dice.below(2)) {
        (Break::Reset, _) => "hang".to_owned(),
        (_, 0) => format!("f/{file}"),
        _ => format!("c/{file}"),
    };
    let request = Request::get(format!("https://{}/{path}?tag={tag}", world.nginx));
    let body = Tagged::new(tag, 0, true, None);
    let (text, size) = (file, nginx::file_size(file));
    let expected = Expected {
        tag,
        text,
        size,
        got: None,
    };
    (request.body(body).unwrap(), expected)
}

/// How many octets the answer had, all of them right; none if no more of it was wanted.
async fn receive(
    sending: impl Future<Output = Result<Response<Body>, Error>>,
    expected: &Expected,
    broken: Break,
) -> Result<Option<u64>, Error> {
    let (head, mut body) = sending.await?.into_parts();
    expected.check_head(head.status, &head.headers);
    let (text, mut at) = (Text::of(expected.text), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        assert!(text.stands_at(at, &data), "another's answer, at {at}");
        at += data.len() as u64;
        if matches!(broken, Break::Read(most) if at >= most) {
            return Ok(None);
        }
    }
    assert_eq!(at, expected.size, "all of it");
    match broken {
        Break::Read(_) => Ok(None),
        _ => Ok(Some(at)),
    }
}
