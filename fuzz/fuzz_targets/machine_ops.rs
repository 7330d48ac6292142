//! Any sequence of operations on the rules of three origins that share addresses, checked at every step by the driver of
//! the conformance suite. The bytes choose limits and operations; whoever still waits when all is given back is lost.

#![no_main]

#[expect(dead_code, reason = "the conformance suite uses the rest")]
#[path = "../../tests/rules/mod.rs"]
mod rules;

use arbitrary::{Result, Unstructured};
use hotpool::machine::{
    AllBlocked, Cause, CloseReason, Fate, Growth, IdentityId, LedgerLimits, Limits, PenaltyTerms, Protocol,
    Require, Selection, Want,
};
use libfuzzer_sys::fuzz_target;

use rules::*;

const ORIGINS: u64 = 3;

fn any_want(bytes: &mut Unstructured<'_>) -> Result<Want> {
    let pin = if bytes.ratio(1u8, 5u8)? {
        Some(ip(bytes.int_in_range(1..=3)?))
    } else {
        None
    };
    let require = *bytes.choose(&[Require::Any, Require::Any, Require::Http1, Require::Http2])?;
    Ok(Want {
        identity: IdentityId(bytes.int_in_range(0..=1)?),
        require,
        pin,
    })
}

fn any_world(bytes: &mut Unstructured<'_>) -> Result<World> {
    let limits = Limits {
        max_per_host: bytes.int_in_range(1..=4)?,
        max_idle_per_host: bytes.int_in_range(0..=3)?,
        max_waiters: bytes.int_in_range(1..=8)?,
        h2_max_streams: bytes.int_in_range(1..=3)?,
        growth: *bytes.choose(&[Growth::Single, Growth::OnSaturation, Growth::PerIp])?,
        selection: *bytes.choose(&[
            Selection::Spread,
            Selection::RoundRobin,
            Selection::Random,
            Selection::PreferHot,
        ])?,
        all_blocked: *bytes.choose(&[AllBlocked::Fail, AllBlocked::ProbeLeastBad])?,
        penalty: PenaltyTerms {
            base: secs(1),
            max: secs(20),
            status: secs(40),
            entries: 2,
            validated: false,
        },
        ..limits()
    };
    let ledger = LedgerLimits {
        max_connections: bytes.int_in_range(1..=8)?,
        max_per_ip: bytes.int_in_range(1..=4)?,
        max_dials: bytes.int_in_range(1..=3)?,
    };
    let mut world = World::new(ORIGINS, limits, ledger);
    world.strict = true;
    for origin in 0..ORIGINS {
        world.resolve(origin, &[1, 2, 3]);
    }
    Ok(world)
}

fn any_cause(bytes: &mut Unstructured<'_>) -> Result<Cause> {
    Ok(*bytes.choose(&[
        Cause::Tcp,
        Cause::Tls,
        Cause::Protocol,
        Cause::Status,
        Cause::Local,
    ])?)
}

fn step(world: &mut World, bytes: &mut Unstructured<'_>) -> Result<()> {
    let origin = bytes.int_in_range(0..=ORIGINS - 1)?;
    match bytes.int_in_range(0..=15u8)? {
        0..=3 => {
            let want = any_want(bytes)?;
            let _ = world.get(origin, want);
        }
        4 => world.try_get(origin, any_want(bytes)?),
        5 | 6 => world.random_cancel_or_take(bytes.arbitrary::<u8>()?.into()),
        7 | 8 => {
            let fate = *bytes.choose(&[Fate::Reusable, Fate::Untouched, Fate::Close(CloseReason::Failed)])?;
            world.random_put(bytes.arbitrary::<u8>()?.into(), fate);
        }
        9 | 10 => {
            let end = match bytes.int_in_range(0..=4u8)? {
                0 => Err(any_cause(bytes)?),
                1 => Ok(Protocol::Http2),
                _ => Ok(Protocol::Http1),
            };
            world.random_dial_as(bytes.arbitrary::<u8>()?.into(), end);
        }
        11 => {
            let ips: Vec<u8> = (1..5).filter(|_| bytes.arbitrary().unwrap_or(false)).collect();
            world.resolve(origin, &ips);
        }
        12 => world.advance(secs(bytes.int_in_range(0..=90)?)),
        13 => {
            let ip = ip(bytes.int_in_range(1..=3)?);
            let cause = any_cause(bytes)?;
            world.with(origin, |machine, now| machine.penalise(now, ip, cause));
        }
        14 => {
            let paused = bytes.arbitrary()?;
            world.with(origin, |machine, now| machine.set_paused(now, paused));
        }
        _ => conn_step(world, bytes)?,
    }
    Ok(())
}

/// Something happens to a connection.
fn conn_step(world: &mut World, bytes: &mut Unstructured<'_>) -> Result<()> {
    let conns: Vec<_> = world.conns.keys().copied().collect();
    if conns.is_empty() {
        return Ok(());
    }
    let (origin, conn) = *bytes.choose(&conns)?;
    let (what, number) = (bytes.int_in_range(0..=8u8)?, bytes.int_in_range(0..=4u32)?);
    world.with(origin, |machine, now| match what {
        0 => machine.died(now, conn, CloseReason::PeerClosed),
        1 => machine.retire(now, conn, CloseReason::GoAway),
        2 => {
            machine.inspect(conn);
        }
        3 => machine.inspected(now, conn, Ok(())),
        4 => machine.inspected(now, conn, Err(CloseReason::StrayBytes)),
        5 => machine.settings(now, conn, number),
        6 => machine.streams_open(now, conn, number),
        7 => machine.suspect(now, conn),
        _ => machine.healthy(now, conn),
    });
    world.seen_again(origin, conn);
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Unstructured::new(data);
    let Ok(mut world) = any_world(&mut bytes) else {
        return;
    };
    while !bytes.is_empty() && step(&mut world, &mut bytes).is_ok() {}
    world.conclude();
});
