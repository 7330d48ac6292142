//! HTTP/2 servers that mean harm: bounded memory, an error for whoever asked, and nothing for anybody else to notice.
#![expect(clippy::print_stdout, reason = "its table is read as text")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hotpool::fingerprint::Profile;
use hotpool::{CloseReason, ErrorKind, HotConn, HotConnPool, StaticResolver};

use crate::common::{at_rest, config, until, within};
use crate::support::certs;
use crate::support::frames::{
    CONTINUATION, DATA, END_STREAM, FramePeer, GOAWAY, HEADERS, MAX_STREAMS, OK, PING, RST_STREAM, SETTINGS,
    Script, WINDOW_UPDATE, Wire, frame,
};
use crate::support::measure;
use crate::support::process::alone;

/// How much the process may grow while somebody floods it: the connection's window, and what a runtime and two peers in the same process need.
const GROWTH: usize = 12 << 20;

/// Whether the peer of the case has done its worst.
static DONE: AtomicBool = AtomicBool::new(false);

fn done() {
    DONE.store(true, Ordering::SeqCst);
}

/// How a flood ends: so many bytes, or when the client hangs up.
async fn flood(wire: &mut Wire, piece: &[u8], times: usize) {
    let many = (64 << 10) / piece.len() + 1;
    let chunk = piece.repeat(many);
    for _ in 0..times.div_ceil(many) {
        if wire.send(&chunk).await.is_err() {
            return done();
        }
    }
    done();
    while wire.read().await.is_some() {}
}

/// A header field of `size` octets or so, never indexed (RFC 7541 section 6.2.3).
fn field(size: u8) -> Vec<u8> {
    let mut bytes = vec![0x10, 1, b'x', size & 0x7f];
    bytes.extend(std::iter::repeat_n(b'y', usize::from(size & 0x7f)));
    bytes
}

type Harm = fn(Wire, u32) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a case's peer does with the first request of a connection, and what may become of it: whether the request fails, and why the connection
/// closes, if it does.
struct Case {
    name: &'static str,
    harm: Harm,
    fails: bool,
    closes: Option<CloseReason>,
}

macro_rules! harm {
    (|$wire:ident, $stream:ident| $body:block) => {
        |mut $wire: Wire, $stream: u32| -> Script { Box::pin(async move { $body }) }
    };
}

const CASES: &[Case] = &[
    Case {
        name: "CONTINUATION without end, full frames",
        harm: harm!(|wire, stream| {
            let _ = wire.write(HEADERS, 0, stream, OK).await;
            let fields = field(120).repeat(130);
            flood(&mut wire, &frame(CONTINUATION, 0, stream, &fields), 100_000).await;
        }),
        fails: true,
        closes: Some(CloseReason::Failed),
    },
    Case {
        name: "CONTINUATION without end, empty frames",
        harm: harm!(|wire, stream| {
            let _ = wire.write(HEADERS, 0, stream, OK).await;
            flood(&mut wire, &frame(CONTINUATION, 0, stream, &[]), 4_000_000).await;
        }),
        fails: true,
        closes: Some(CloseReason::Failed),
    },
    Case {
        name: "a header list of 100 KB",
        harm: harm!(|wire, stream| {
            let fields = [OK.to_vec(), field(120).repeat(130)].concat();
            let _ = wire.write(HEADERS, 0, stream, &fields).await;
            for last in [0, 0, 0, 0, 0, 4] {
                let _ = wire
                    .write(CONTINUATION, last, stream, &field(120).repeat(130))
                    .await;
            }
            done();
            wire.serve().await;
        }),
        fails: true,
        closes: None,
    },
    Case {
        name: "4,000,000 empty DATA frames",
        harm: harm!(|wire, stream| {
            wire.begin_answer(stream).await;
            flood(&mut wire, &frame(DATA, 0, stream, &[]), 4_000_000).await;
        }),
        fails: true,
        closes: Some(CloseReason::Failed),
    },
    Case {
        name: "4,000,000 empty DATA frames on a stream that never was",
        harm: harm!(|wire, stream| {
            flood(&mut wire, &frame(DATA, 0, stream + 100, &[]), 4_000_000).await;
        }),
        fails: true,
        closes: Some(CloseReason::Failed),
    },
    Case {
        name: "2,000,000 RST_STREAM",
        harm: harm!(|wire, stream| {
            flood(&mut wire, &frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), 2_000_000).await;
        }),
        fails: true,
        closes: None,
    },
    Case {
        name: "the connection's window beyond its bounds",
        harm: harm!(|wire, _stream| {
            flood(
                &mut wire,
                &frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
                2,
            )
            .await;
        }),
        fails: true,
        closes: Some(CloseReason::Failed),
    },
    Case {
        name: "a stream's window beyond its bounds",
        harm: harm!(|wire, stream| {
            let beyond = frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
            let _ = wire.send(&beyond.repeat(2)).await;
            // Its request is sent to the end: nothing more is, whatever the window.
            done();
            wire.answer(stream).await;
            wire.serve().await;
        }),
        fails: false,
        closes: None,
    },
    Case {
        name: "more DATA than the windows allow",
        harm: harm!(|wire, stream| {
            wire.begin_answer(stream).await;
            flood(&mut wire, &frame(DATA, 0, stream, &[7; 16_384]), 4_000).await;
        }),
        fails: true,
        closes: None,
    },
    Case {
        name: "GOAWAY twice, then more on a stream above",
        harm: harm!(|wire, stream| {
            wire.go_away(0x7fff_ffff, 0).await;
            wire.go_away(0, 0).await;
            wire.begin_answer(stream).await;
            flood(&mut wire, &frame(DATA, 0, stream, b"more"), 1_000).await;
        }),
        fails: true,
        closes: Some(CloseReason::GoAway),
    },
    Case {
        name: "GOAWAY 100,000 times",
        harm: harm!(|wire, _stream| {
            flood(&mut wire, &frame(GOAWAY, 0, 0, &[0; 8]), 100_000).await;
        }),
        fails: true,
        closes: Some(CloseReason::GoAway),
    },
    Case {
        name: "1,000,000 PING answers that nobody asked for",
        harm: harm!(|wire, stream| {
            let chunk = frame(PING, 1, 0, &[9; 8]).repeat(1_000);
            for _ in 0..1_000 {
                let _ = wire.send(&chunk).await;
            }
            done();
            wire.answer(stream).await;
            wire.serve().await;
        }),
        fails: false,
        closes: None,
    },
    Case {
        name: "100,000 SETTINGS",
        harm: harm!(|wire, stream| {
            for n in 0..1_000_u32 {
                let mut one = vec![0, 3];
                one.extend((1 + n % 7).to_be_bytes());
                let _ = wire.send(&frame(SETTINGS, 0, 0, &one).repeat(100)).await;
                for _ in 0..100 {
                    let _ = wire.read_until(SETTINGS).await;
                }
            }
            done();
            wire.answer(stream).await;
            wire.serve().await;
        }),
        fails: false,
        closes: None,
    },
];

/// To a client that keeps account of them.
const SIZES: Case = Case {
    name: "200,000 sizes of a table, 5,000 at once",
    harm: harm!(|wire, stream| {
        let sizes = [0, u32::MAX, 100, 65_536].map(|size: u32| {
            let one = [&[0, 1][..], &size.to_be_bytes()].concat();
            frame(SETTINGS, 0, 0, &one)
        });
        for _ in 0..40 {
            let _ = wire.send(&sizes.concat().repeat(1_250)).await;
            for _ in 0..5_000 {
                let _ = wire.read_until(SETTINGS).await;
            }
        }
        done();
        wire.answer(stream).await;
        wire.serve().await;
    }),
    fails: false,
    closes: None,
};

fn pool(peers: &[(&FramePeer, &str)], profile: Profile) -> HotConnPool {
    let known = peers
        .iter()
        .fold(StaticResolver::new(), |resolver, (peer, name)| {
            let target = format!("{name}:{}", peer.port());
            resolver.with(target.as_str(), [peer.ip()]).unwrap()
        });
    HotConnPool::builder()
        .config(config(|config| config.acquire_timeout = Duration::from_secs(5)))
        .roots(certs::authority().roots())
        .resolver(known)
        .profile(profile)
        .build()
        .unwrap()
}

async fn ask(conn: &mut HotConn) -> Result<(), String> {
    let request = http::Request::get("https://peer.test/").body(()).unwrap();
    let response = conn.h2().unwrap().send_request(request, true).await;
    let response = response.map_err(|error| error.to_string())?.0.await;
    let mut body = response.map_err(|error| error.to_string())?.into_body();
    // Read, and not released: so no more comes than the window allows.
    while let Some(piece) = body.data().await {
        piece.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn good(wire: Wire) -> Script {
    Box::pin(async move {
        let mut wire = wire;
        wire.settings(&[(MAX_STREAMS, 100)]).await;
        wire.serve().await;
    })
}

/// Runs one case. Answers how much the process grew meanwhile, at the most, and the slowest exchange with another host.
async fn survive(case: &Case, profile: Profile) -> (usize, Duration, String) {
    let harm = case.harm;
    DONE.store(false, Ordering::SeqCst);
    let peer = FramePeer::start(move |mut wire| {
        Box::pin(async move {
            if wire.nth > 1 {
                return good(wire).await;
            }
            wire.settings(&[(MAX_STREAMS, 100)]).await;
            if let Some(stream) = wire.request().await {
                harm(wire, stream).await;
            }
        })
    });
    let other = FramePeer::start(good);
    let pool = pool(&[(&peer, "peer.test"), (&other, "a.peer.test")], profile);
    let (bad, fine) = (
        format!("peer.test:{}", peer.port()),
        format!("a.peer.test:{}", other.port()),
    );
    let neighbour = async || {
        let mut conn = within("a lease", pool.get(&fine)).await.unwrap();
        within("another host's answer", ask(&mut conn)).await
    };
    neighbour().await.unwrap();
    let before = measure::resident_bytes();
    let mut conn = within("a lease", pool.get(&bad)).await.unwrap();
    let mut asked = Box::pin(ask(&mut conn));
    let (mut most, mut slowest) = (before, Duration::ZERO);
    let began = Instant::now();
    let mut answer = None;
    while answer.is_none() || !DONE.load(Ordering::SeqCst) {
        let next = async {
            let began = Instant::now();
            neighbour().await.expect("another host is not concerned");
            tokio::time::sleep(Duration::from_millis(2)).await;
            began.elapsed()
        };
        tokio::select! {
            asked = &mut asked, if answer.is_none() => answer = Some(asked),
            took = next => slowest = slowest.max(took),
        }
        // A neighbour's exchange that the answer interrupted is over at the next look.
        most = most.max(measure::resident_bytes());
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{}: no end of it",
            case.name
        );
    }
    drop(asked);
    let answer = answer.unwrap();
    assert_eq!(answer.is_err(), case.fails, "{}: {answer:?}", case.name);
    let returned = format!("{:?}", pool.put(conn));
    match case.closes {
        Some(reason) => {
            until(&pool, "it is closed", |stats| stats.counters.closes(reason) == 1).await;
        }
        None => assert_eq!(pool.stats().counters.closed(), 0, "{}", case.name),
    }
    most = most.max(measure::resident_bytes());
    // And the host goes on, over another connection or the same.
    if case.closes.is_some() {
        let mut conn = within("another", pool.get(&bad)).await.unwrap();
        within("an answer", ask(&mut conn)).await.unwrap();
    }
    within("close", pool.close()).await;
    at_rest(&pool).await;
    let error = answer.err().unwrap_or_else(|| "answered".to_owned());
    (
        most.saturating_sub(before),
        slowest,
        format!("{error}; {returned}"),
    )
}

#[test]
fn hostile_peers_are_survived() {
    alone("hostile::hostile_peers_are_survived", || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // The first one pays for what stays: arenas, the runtime, the roots.
        runtime.block_on(survive(&CASES[2], Profile::default()));
        let shaped = (&SIZES, Profile::firefox_esr(153).expect("known"));
        let cases = CASES.iter().map(|case| (case, Profile::default()));
        for (case, profile) in cases.chain([shaped]) {
            let (grown, slowest, end) = runtime.block_on(survive(case, profile));
            println!(
                "{:55} {:5} KiB, others at most {:4} ms: {end}",
                case.name,
                grown >> 10,
                slowest.as_millis()
            );
            assert!(grown <= GROWTH, "{} took {grown} bytes", case.name);
            assert!(
                slowest < Duration::from_secs(5),
                "{}: others waited {slowest:?}",
                case.name
            );
        }
    });
}

/// A peer that allows nothing serves nobody, and whoever waits hears so in time.
#[tokio::test]
async fn no_streams_at_all() {
    let peer = FramePeer::start(|mut wire| {
        Box::pin(async move {
            wire.settings(&[(MAX_STREAMS, 0)]).await;
            wire.serve().await;
        })
    });
    let pool = pool(&[(&peer, "peer.test")], Profile::default());
    let name = format!("peer.test:{}", peer.port());
    // Before its SETTINGS it is taken to allow some; what is asked for then waits in h2.
    let early = within("a lease", pool.get(&name)).await.unwrap();
    until(&pool, "its SETTINGS are known", |_| {
        pool.try_get(&name).unwrap().is_none()
    })
    .await;
    drop(early);
    let error = within("an error", pool.get(&name)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    pool.close().await;
}

/// A peer that changes its mind all the time gets no more streams than it allowed when they were opened, and answers all.
#[tokio::test]
async fn limits_that_change_all_the_time() {
    let peer = FramePeer::start(|mut wire| {
        Box::pin(async move {
            wire.settings(&[(MAX_STREAMS, 1)]).await;
            let mut open = Vec::new();
            for turn in 0_u32.. {
                let Some(frame) = wire.next().await else { return };
                if frame.kind == HEADERS {
                    open.push(frame.stream);
                }
                assert!(open.len() <= 5, "{open:?}");
                wire.settings(&[(MAX_STREAMS, 1 + turn % 5)]).await;
                if open.is_empty() {
                    continue;
                }
                let answered = open.remove(0);
                let _ = wire.write(HEADERS, 4 | END_STREAM, answered, OK).await;
            }
        })
    });
    let pool = pool(&[(&peer, "peer.test")], Profile::default());
    let name = format!("peer.test:{}", peer.port());
    let asking: Vec<_> = (0..300)
        .map(|_| {
            let (pool, name) = (pool.clone(), name.clone());
            crate::common::spawn(async move {
                let mut conn = pool.get(&name).await.unwrap();
                ask(&mut conn).await
            })
        })
        .collect();
    for asked in asking {
        within("an answer", asked).await.unwrap().unwrap();
    }
    at_rest(&pool).await;
    within("close", pool.close()).await;
}
