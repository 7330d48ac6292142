//! Nothing but cycles, for tools that count what a process does: between the two marks on standard error, one thread does them and nothing
//! else.

use std::io::Write;

use crate::contender::{Contender, Rig};
use crate::many::Hosts;
use crate::ours::{By, Ours};
use crate::server::Server;

/// With `hosts`, over so many of them in random order; without, the connections that the table's first row has.
pub(crate) fn run(cycles: u64, by: By, hosts: Option<usize>) {
    match hosts {
        Some(hosts) => between_marks(&Rig::one(hosts, || Hosts::new(hosts)), cycles),
        None => {
            let server = Server::start();
            between_marks(&Rig::one(9, || Ours::new(&server, by, 9)), cycles);
        }
    }
}

fn between_marks<C: Contender>(rig: &Rig<C>, cycles: u64) {
    let mark = |what: &[u8]| std::io::stderr().write_all(what).expect("standard error");
    mark(b"hot cycles begin\n");
    hot_cycles(rig, cycles);
    mark(b"hot cycles end\n");
}

/// Called once. callgrind counts from its entry to its return, and is told so by this name (`figures`): what handshakes cost differs from run
/// to run by more than what is measured here.
#[inline(never)]
fn hot_cycles<C: Contender>(rig: &Rig<C>, cycles: u64) {
    rig.runtime.block_on(rig.cycles(cycles));
}
