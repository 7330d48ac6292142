//! The manifest itself: every behaviour stands in it once, every test that it names exists, and every test here is named.

use std::collections::{BTreeMap, BTreeSet};

const MANIFEST: &str = include_str!("MANIFEST");

/// Behaviours of the suite: so many lines stand in the list that the suite was made from, each of them a behaviour that
/// another project's own tests assert.
const BEHAVIOURS: usize = 88;

/// Tests of rules that no such list names.
const OWN: &[&str] = &[
    "a_victim_that_is_younger_than_another_host_s_is_spared",
    "the_wheel_looks_in_time_however_seldom_it_is_touched",
    "the_wheel_turns_up_what_is_due_and_nothing_else",
    "streams_outlive_the_lifetime_by_the_grace_and_no_more",
    "reset_streams_that_still_count_hold_their_place",
    "what_a_peer_allowed_holds_for_its_next_connection",
    "a_stream_without_a_lease_takes_a_place_of_its_own",
    "growth_decides_on_a_second_connection",
    "growth_by_address_covers_every_address",
    "dials_at_once_are_spread_over_the_addresses",
    "a_name_without_an_address_refuses_who_waits_and_asks_once",
    "random_gets_never_ride_on_another_identity_s_connection",
    "a_new_epoch_closes_what_rests_on_the_setup_before",
    "a_dial_under_way_is_not_lent_to_who_comes_after_a_new_epoch",
    "who_waits_over_a_new_epoch_is_served_by_what_it_asked_for",
    "a_lease_that_begins_after_a_look_is_reported_in_its_time",
    "long_leases_that_were_announced_are_not_reported",
    "a_shorter_leak_timeout_holds_at_once",
    "a_lease_outlives_its_connection_and_is_reported",
    "a_grant_that_nobody_takes_is_reported",
    "who_lost_a_race_has_its_turn_when_the_winner_fails",
    "who_was_overtaken_comes_last_for_a_while",
    "a_race_steps_over_a_full_address",
    "a_timer_that_is_late_blames_nobody",
    "a_shortage_blames_nobody",
    "the_least_bad_is_probed_one_dial_at_a_time",
    "what_the_whole_pool_blames_is_probed_too",
    "warming_slows_down_in_a_shortage_and_recovers",
    "the_state_of_an_address_is_shown",
    "a_family_that_is_late_joins_the_race",
    "a_dial_ends_with_the_question_for_its_addresses",
    "an_address_that_stands_for_another_is_judged_as_both",
    "what_a_name_has_lost_is_not_tried",
    "a_network_means_the_ipv4_addresses_within_it_wherever_they_stand",
    "so_many_addresses_of_a_name_are_used_and_no_more",
    "a_failure_is_not_asked_about_again_at_once",
    "the_stale_serves_while_name_servers_fail_and_only_so_long",
    "an_answer_that_is_too_old_is_not_dialled",
    "an_answer_in_part_keeps_the_rest_and_dials_nothing_that_it_does_not_know",
    "a_handshake_is_no_answer_to_a_403",
    "where_a_source_has_no_way_the_next_address_has_its_turn",
    "a_source_that_panics_harms_nobody",
    "a_source_of_a_link_is_bound_on_that_link",
    "what_one_source_is_told_bars_the_others",
    "what_cannot_be_reached_from_a_source_is_avoided_by_no_other_host",
    "a_block_is_not_lifted_by_what_was_dialled_before_it",
    "the_end_of_a_block_does_not_wait_for_a_probe",
    "warming_heeds_a_block_where_another_address_stands",
    "a_pool_wide_block_refuses_everybody_who_has_nothing_else_to_hope_for",
    "what_the_pool_forbids_is_asked_for_again_once",
    "what_the_pool_forbids_no_more_is_dialled_at_once",
    "who_comes_asks_for_itself",
    "a_block_that_is_over_makes_room_for_another",
    "a_probe_ends_no_other",
    "a_dial_without_time_has_timed_out",
    "what_fails_late_in_the_network_before_blames_nobody",
    "what_succeeds_late_in_the_network_before_clears_nothing",
    "who_reaches_an_address_clears_it_for_every_host",
    "what_is_kept_of_a_family_misses_nobody",
    "a_dial_that_comes_to_nothing_gives_its_source_back",
    "a_victim_that_is_slow_to_close_holds_up_nobody_else",
    "a_victim_whose_close_panics_holds_up_nobody_else",
    "a_driver_that_ends_with_its_runtime_has_failed",
];

/// Modules of which no test is named by such a list.
const OWN_MODULES: &[&str] = &[
    "live::access",
    "live::anew",
    "live::cancel",
    "live::closing",
    "live::control",
    "live::dialers",
    "live::hosts",
    "live::idle",
    "live::jobs",
    "live::leases",
    "live::locks",
    "live::names",
    "live::observer",
    "live::log",
    "live::pause",
    "live::policy",
    "live::proxies",
    "live::resize",
    "live::setups",
    "live::sockets",
    "live::steps",
    "live::streams",
    "live::spans",
    "live::tables",
    "live::told",
    "live::validate",
    "live::waits",
    "live::work",
    "live::written",
];

const SOURCES: &[(&str, &str)] = &[
    ("handout", include_str!("handout.rs")),
    ("limits", include_str!("limits.rs")),
    ("age", include_str!("age.rs")),
    ("http2", include_str!("http2.rs")),
    ("addresses", include_str!("addresses.rs")),
    ("identity", include_str!("identity.rs")),
    ("clean", include_str!("clean.rs")),
    ("live::access", include_str!("live/access.rs")),
    ("live::age", include_str!("live/age.rs")),
    ("live::anew", include_str!("live/anew.rs")),
    ("live::cancel", include_str!("live/cancel.rs")),
    ("live::closing", include_str!("live/closing.rs")),
    ("live::control", include_str!("live/control.rs")),
    ("live::dialers", include_str!("live/dialers.rs")),
    ("live::end", include_str!("live/end.rs")),
    ("live::handout", include_str!("live/handout.rs")),
    ("live::hosts", include_str!("live/hosts.rs")),
    ("live::http2", include_str!("live/http2.rs")),
    ("live::idle", include_str!("live/idle.rs")),
    ("live::jobs", include_str!("live/jobs.rs")),
    ("live::leases", include_str!("live/leases.rs")),
    ("live::life", include_str!("live/life.rs")),
    ("live::limits", include_str!("live/limits.rs")),
    ("live::names", include_str!("live/names.rs")),
    ("live::locks", include_str!("live/locks.rs")),
    ("live::observer", include_str!("live/observer.rs")),
    ("live::log", include_str!("live/log.rs")),
    ("live::pause", include_str!("live/pause.rs")),
    ("live::policy", include_str!("live/policy.rs")),
    ("live::proxies", include_str!("live/proxies.rs")),
    ("live::setups", include_str!("live/setups.rs")),
    ("live::races", include_str!("live/races.rs")),
    ("live::resize", include_str!("live/resize.rs")),
    ("live::slow", include_str!("live/slow.rs")),
    ("live::sockets", include_str!("live/sockets.rs")),
    ("live::sources", include_str!("live/sources.rs")),
    ("live::steps", include_str!("live/steps.rs")),
    ("live::streams", include_str!("live/streams.rs")),
    ("live::spans", include_str!("live/spans.rs")),
    ("live::tables", include_str!("live/tables.rs")),
    ("live::told", include_str!("live/told.rs")),
    ("live::validate", include_str!("live/validate.rs")),
    ("live::waits", include_str!("live/waits.rs")),
    ("live::work", include_str!("live/work.rs")),
    ("live::written", include_str!("live/written.rs")),
];

/// `(module, test, fault or why there is none)` of each line.
fn lines() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = MANIFEST
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fields = |line: &'static str| {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        match fields[..] {
            [module, test, fault] if fields.iter().all(|field| !field.is_empty()) => (module, test, fault),
            _ => panic!("not `module | test | fault`: {line}"),
        }
    };
    lines.map(fields).collect()
}

/// The tests of a source: the function after each `#[test]`.
fn tests_in(source: &'static str) -> BTreeSet<&'static str> {
    let plain = source.split("#[test]\nfn ").skip(1);
    let after = plain.chain(source.split("#[tokio::test]\nasync fn ").skip(1));
    after
        .filter_map(|text| text.split_once('('))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn every_behaviour_stands_in_the_manifest_once() {
    let all: Vec<_> = lines()
        .into_iter()
        .map(|(module, test, _)| (module, test))
        .collect();
    let places: BTreeSet<_> = all.iter().collect();
    assert_eq!(places.len(), all.len(), "a test stands there twice");
    let listed = all.iter().filter(|(module, _)| !OWN_MODULES.contains(module));
    let names: BTreeSet<_> = listed.map(|&(_, test)| test).collect();
    assert!(OWN.iter().all(|own| names.contains(own)));
    assert_eq!(names.len() - OWN.len(), BEHAVIOURS);
}

#[test]
fn nothing_that_is_tested_is_pending() {
    let (pending, tested): (Vec<_>, Vec<_>) = lines()
        .into_iter()
        .partition(|(_, _, fault)| fault.starts_with("pending: "));
    let tested: BTreeSet<_> = tested.into_iter().map(|(_, test, _)| test).collect();
    let still: Vec<_> = pending
        .iter()
        .filter(|(_, test, _)| tested.contains(test))
        .collect();
    assert!(still.is_empty(), "{still:?}");
}

#[test]
fn the_manifest_and_the_tests_name_each_other() {
    let mut named: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (module, test, fault) in lines() {
        if !fault.starts_with("pending: ") {
            named.entry(module).or_default().insert(test);
        }
    }
    let written: BTreeMap<_, _> = SOURCES
        .iter()
        .map(|&(module, source)| (module, tests_in(source)))
        .collect();
    assert_eq!(named, written);
}
