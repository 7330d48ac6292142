//! The dashboard: its script comes to pass, and its page shows what the pool says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::outside::browser::{self, Browser, Kind};
use crate::support::outside::devtools::Page;
use crate::support::peers_table::{self, Row};
use crate::tool::{binary, run};

/// A running dashboard. Dropping it ends it.
struct Dashboard {
    child: Child,
    url: String,
}

impl Dashboard {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary("dashboard"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let url = line.trim_end().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line:?}");
        Dashboard { child, url }
    }

    fn interrupt(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn its_script_comes_to_pass() {
    let run = run("dashboard", &["--once"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    let steps = run.rows();
    for step in &steps {
        let totals = &step["totals"];
        let count = |name: &str| totals[name].as_u64().unwrap();
        assert_eq!(count("opened") - count("closed"), count("live"), "{totals}");
        assert_eq!(count("active") + count("idle"), count("live"), "{totals}");
        let ips = step["hosts"].as_array().unwrap().iter();
        let ips = ips.flat_map(|host| host["ips"].as_array().unwrap());
        let at_ips: u64 = ips.map(|ip| ip["live"].as_u64().unwrap()).sum();
        assert_eq!(at_ips, count("live"), "{step}");
    }
    let [warm, load, gone, back, forbidden, allowed, pause] = &steps[..] else {
        panic!("seven steps: {}", run.out)
    };
    // Warm before anybody asked, and reused from then on.
    assert_eq!(
        (&warm["totals"]["live"], &warm["totals"]["gets"]),
        (&json!(6), &json!(0))
    );
    assert!(load["totals"]["answered"].as_u64() > Some(0), "{load}");
    let state = |step: &Value, host: usize, ip: usize| step["hosts"][host]["ips"][ip]["state"].clone();
    let [of_api, of_shop] = [(0, 1), (1, 0)];
    let blocked = |step: &Value, (host, ip): (usize, usize)| state(step, host, ip) == "blocked";
    assert!(blocked(gone, of_api) || blocked(gone, of_shop), "{gone}");
    assert!(!blocked(back, of_api) && !blocked(back, of_shop), "{back}");
    let closes = |step: &Value, reason: &str| {
        let closes = step["closes"].as_array().unwrap().iter();
        closes
            .filter(|row| row[0] == reason)
            .map(|row| row[1].as_u64().unwrap())
            .sum::<u64>()
    };
    let closed = |step: &Value| step["totals"]["closed"].as_u64().unwrap();
    assert!(
        closed(gone) >= closed(load) + 2,
        "one of each host: {load} {gone}"
    );
    assert!(closes(allowed, "blocked") >= 1, "{allowed}");
    assert_eq!(state(forbidden, 1, 1), "blocked", "{forbidden}");
    assert_ne!(
        state(forbidden, 0, 2),
        "blocked",
        "the same address, another host: {forbidden}"
    );
    assert_ne!(state(allowed, 1, 1), "blocked", "{allowed}");
    assert!(closes(pause, "idle_timeout") >= 1, "{pause}");
    assert_eq!(pause["totals"]["live"], 0, "{pause}");
}

#[test]
fn a_wrong_command_line_is_named_and_an_interrupt_ends_it() {
    for (arguments, names) in [
        (&["--port", "many"][..], "\"many\" is no port"),
        (&["--bogus"], "'--bogus'"),
        (&["x"], "\"x\""),
    ] {
        let run = run("dashboard", arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.err);
        assert!(run.err.contains(names), "{arguments:?}: {}", run.err);
    }
    let help = run("dashboard", &["--help"]);
    for option in ["--port", "--manual", "--once"] {
        assert!(help.code == 0 && help.out.contains(option), "{}", help.out);
    }
    let mut dashboard = Dashboard::start(&["--manual"]);
    dashboard.interrupt();
    assert!(dashboard.child.wait().unwrap().success());
}

/// What is answered to a request of these lines.
fn ask(dashboard: &Dashboard, lines: &[&str]) -> String {
    let mut stream =
        TcpStream::connect(dashboard.url.trim_start_matches("http://").trim_end_matches('/')).unwrap();
    let request = lines.join("\r\n") + "\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_answers_this_machine_and_its_own_page_alone() {
    let dashboard = Dashboard::start(&["--manual"]);
    let is_on = || {
        let answer = ask(&dashboard, &["GET /stats.json HTTP/1.1", "host: localhost:1"]);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let stats: Value = serde_json::from_str(body).unwrap();
        let switches = stats["switches"].as_array().cloned().unwrap_or_default(); // none before the first snapshot
        let forbids = |switch: &Value| switch["id"] == "forbid" && switch["on"] == true;
        switches.iter().any(forbids)
    };
    for (lines, status) in [
        (&["GET / HTTP/1.1", "host: 127.0.0.1:1"][..], 200),
        (&["GET / HTTP/1.1", "host: rebound.test"], 403),
        (&["GET / HTTP/1.1"], 403),
        (&["GET /favicon.ico HTTP/1.1", "host: localhost"], 404),
        (&["POST /do/forbid/on HTTP/1.1", "host: localhost"], 404),
        (
            &[
                "POST /do/forbid/on HTTP/1.1",
                "host: rebound.test",
                "x-dashboard: 1",
            ],
            403,
        ),
        (
            &[
                "POST /do/forbid/perhaps HTTP/1.1",
                "host: localhost",
                "x-dashboard: 1",
            ],
            404,
        ),
        (
            &[
                "POST /do/nothing/on HTTP/1.1",
                "host: localhost",
                "x-dashboard: 1",
            ],
            404,
        ),
    ] {
        let answer = ask(&dashboard, lines);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{lines:?}: {answer}"
        );
    }
    let answer = ask(&dashboard, &["GET / HTTP/1.1", "host: localhost"]);
    assert!(
        answer.contains("content-security-policy: default-src 'none'"),
        "{answer}"
    );
    let answer = ask(
        &dashboard,
        &["POST /do/forbid/on HTTP/1.1", "host: localhost", "x-dashboard: 1"],
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // What is shown is taken twice a second.
    assert!((0..60_000).any(|_| is_on()));
}

/// Listens to the same events as the page, and keeps them as they came.
const LISTEN: &str = r#"window.heard = new Map();
new EventSource("/events").onmessage = event => heard.set(String(JSON.parse(event.data).seq), event.data);"#;

/// What a reader sees at one moment: every number on the page with where it says that it is from, and what the server said of that very moment.
const LOOK: &str = r#"(async () => {
  for (let tries = 0; tries < 2000; tries++) {
    const said = heard.get(document.documentElement.dataset.seq);
    if (said === undefined) {
      await new Promise(done => setTimeout(done, 20));
      continue;
    }
    const cells = [...document.querySelectorAll("[data-v]")].map(cell =>
      ({ path: cell.dataset.v, kind: cell.dataset.f ?? "", text: cell.textContent }));
    const tiles = [...document.querySelectorAll(".tile")].map(tile => tile.innerText);
    const tables = [...document.querySelectorAll("table")].map(table =>
      [...table.rows].map(row => [...row.cells].map(cell => cell.textContent)));
    const dots = [...document.querySelectorAll("[data-dots]")].map(place => place.children.length);
    const cut = [document.documentElement, ...document.querySelectorAll(".big, .sub")].filter(part => part.scrollWidth > part.clientWidth);
    return { json: JSON.parse(said), cells, tiles, tables, dots, cut: cut.map(part => `${part.innerText}: ${part.scrollWidth} of ${part.clientWidth} at ${innerWidth}`),
      paper: getComputedStyle(document.body).backgroundColor };
  }
  throw new Error("nothing was heard of what is shown");
})()"#;

/// Where everything stands that is not a number itself.
const PLACES: &str = r#"[...document.querySelectorAll("header, .switches, .tile, .card, table, th, td, footer")].map(element => {
  const { x, y, width, height } = element.getBoundingClientRect();
  return `${element.className || element.tagName} ${x} ${y + scrollY} ${width} ${height}`;
})"#;

/// Ends when the page shows so.
fn until(page: &mut Page, condition: &str) {
    let wait = format!(
        "(async () => {{ for (let tries = 0; tries < 6000; tries++) {{ if ({condition}) return true; await new Promise(done => setTimeout(done, 20)); }} return document.body.innerText; }})()"
    );
    assert_eq!(page.evaluate(&wait), true, "{condition}");
}

fn click(page: &mut Page, switch: &str, on: bool) {
    page.evaluate(&format!("document.getElementById('switch-{switch}').click()"));
    until(
        page,
        &format!("document.getElementById('switch-{switch}').getAttribute('aria-pressed') === '{on}'"),
    );
}

/// As the page is to write it.
fn written(value: &Value, kind: &str) -> String {
    let thousands = |number: u64| {
        let digits: Vec<u8> = number.to_string().into_bytes();
        let groups: Vec<&str> = digits
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        groups.join(",")
    };
    match (kind, value) {
        (_, Value::Null) => "–".to_owned(),
        ("share", share) => format!("{:.1} %", (share.as_f64().unwrap() * 1e3).round() / 10.0),
        ("time", us) => match us.as_u64().unwrap() {
            us if us < 1_000 => format!("{us} µs"),
            us if us < 1_000_000 => format!("{:.2} ms", (us as f64 / 10.0).round() / 100.0),
            us => format!("{:.2} s", (us as f64 / 10_000.0).round() / 100.0),
        },
        ("clock", ms) => {
            let seconds = (ms.as_f64().unwrap() / 1e3).round() as u64;
            format!("{}:{:02}", seconds / 60, seconds % 60)
        }
        (_, Value::Number(number)) => thousands(number.as_u64().unwrap()),
        (_, text) => text.as_str().unwrap().to_owned(),
    }
}

/// How many hosts its script drives.
const HOSTS: usize = 2;

/// The numbers in a row, at the least.
const NUMBERS_OF_AN_ADDRESS: usize = 4;

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Each with its counterpart: there are as many of one as of the other.
fn pairs<'a, A, B>(shown: &'a [A], said: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    assert_eq!(shown.len(), said.len());
    shown.iter().zip(said)
}

/// That everything which the page shows is what the pool says. Answers how many numbers those are, and the colour of the paper.
fn compare(page: &mut Page) -> (usize, String) {
    let seen = page.evaluate(LOOK);
    let json = &seen["json"];
    let cells = seen["cells"].as_array().unwrap();
    for cell in cells {
        let path = cell["path"].as_str().unwrap();
        let value = json
            .pointer(&format!("/{}", path.replace('.', "/")))
            .unwrap_or(&Value::Null);
        let bare = |text: &str| text.replace(' ', "");
        let expected = written(value, cell["kind"].as_str().unwrap());
        assert_eq!(bare(cell["text"].as_str().unwrap()), bare(&expected), "{path}");
    }
    // By the words that stand beside them, too.
    let totals = &json["totals"];
    let tiles = [
        ("Reuse rate", &totals["reuse"], "share"),
        ("Live connections", &totals["live"], ""),
        ("Hot, median", &json["hot"]["p50"], "time"),
        ("Cold, median", &json["cold"]["p50"], "time"),
        ("Answers per second", &totals["rate"], ""),
    ];
    for (tile, (name, value, kind)) in pairs(list(&seen["tiles"]), &tiles) {
        let lines: Vec<String> = tile
            .as_str()
            .unwrap()
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.replace(' ', ""))
            .collect();
        let expected = [name.replace(' ', ""), written(value, kind).replace(' ', "")];
        assert_eq!(lines[..2], expected, "{tile}");
    }
    let mut dots = seen["dots"].as_array().unwrap().iter();
    let hosts = list(&json["hosts"]);
    assert_eq!(hosts.len(), HOSTS);
    for (table, host) in pairs(list(&seen["tables"]), hosts) {
        for (row, ip) in pairs(&list(table)[1..], list(&host["ips"])) {
            let cells: Vec<&str> = row
                .as_array()
                .unwrap()
                .iter()
                .map(|cell| cell.as_str().unwrap())
                .collect();
            let [address, state, _, live, leases, hot] = cells[..] else {
                panic!("{row}")
            };
            assert_eq!(ip["ip"], address);
            assert_eq!(
                (ip["live"].to_string().as_str(), ip["leases"].to_string().as_str()),
                (live, leases),
                "{row}"
            );
            assert_eq!(written(&ip["hot_p50"], "time"), hot, "{row}");
            assert_eq!(
                ip["state"] == "blocked",
                state.starts_with("avoided"),
                "{row}: {ip}"
            );
            let shown = ip["live"].as_u64().unwrap() + ip["dialling"].as_u64().unwrap();
            assert_eq!(dots.next().unwrap().as_u64(), Some(shown), "{ip}");
        }
    }
    assert_eq!(dots.next(), None);
    let rows: usize = hosts.iter().map(|host| list(&host["ips"]).len()).sum();
    let numbers = tiles.len() + hosts.len() + NUMBERS_OF_AN_ADDRESS * rows;
    assert!(cells.len() >= numbers, "{} numbers of {numbers}", cells.len());
    assert_eq!(seen["cut"], json!([]), "it is no wider than its window");
    (cells.len(), seen["paper"].as_str().unwrap().to_owned())
}

#[test]
fn its_page_shows_what_the_pool_says() {
    let Some(browser) = Browser::find(Kind::Chromium) else {
        return peers_table::skip(browser::name(Kind::Chromium), "is not installed");
    };
    let dashboard = Dashboard::start(&["--manual"]);
    let mut page = Page::open(&browser, &dashboard.url);
    page.evaluate(LISTEN);
    let (mut compared, mut places) = (0, BTreeMap::new());
    let mut everywhere = |page: &mut Page| {
        for (width, height) in [(1200, 900), (390, 844)] {
            page.resize(width, height);
            let place = page.evaluate(PLACES);
            assert_eq!(
                *places.entry(width).or_insert_with(|| place.clone()),
                place,
                "nothing moves but the numbers"
            );
            let papers = ["light", "dark"].map(|scheme| {
                page.prefer(scheme);
                let (count, paper) = compare(page);
                compared += count;
                paper
            });
            assert_ne!(papers[0], papers[1]);
        }
    };
    // Before anything has happened it says so.
    until(
        &mut page,
        "document.getElementById('stream').textContent === 'live'",
    );
    until(
        &mut page,
        "document.body.innerText.includes('No connection has closed yet.')",
    );
    until(
        &mut page,
        "document.body.innerText.includes('No address is avoided.')",
    );
    everywhere(&mut page);
    click(&mut page, "load", true);
    until(
        &mut page,
        "last.totals.hits > 50 && last.hot.p50 !== null && last.cold.p50 !== null",
    );
    everywhere(&mut page);
    // A server goes away and comes back.
    click(&mut page, "away", true);
    until(&mut page, "last.hosts[0].ips[1].state === 'blocked'");
    everywhere(&mut page);
    click(&mut page, "away", false);
    until(&mut page, "last.hosts[0].ips[1].live > 0");
    everywhere(&mut page);
    // One answers 403.
    click(&mut page, "forbid", true);
    until(
        &mut page,
        "document.getElementById('blocked').innerText.includes('answered 403')",
    );
    everywhere(&mut page);
    click(&mut page, "forbid", false);
    until(&mut page, "last.hosts[1].ips[1].live > 0");
    // The owner blocks.
    click(&mut page, "block", true);
    until(
        &mut page,
        "document.getElementById('blocked').innerText.includes('until unblocked')",
    );
    everywhere(&mut page);
    click(&mut page, "block", false);
    click(&mut page, "load", false);
    until(&mut page, "last.totals.active === 0");
    everywhere(&mut page);
    let elsewhere = page.evaluate(
        "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin + '/'))",
    );
    assert_eq!(elsewhere, json!([]), "it asks nobody else for anything");
    assert_eq!(page.complaints(), [""; 0]);
    Row::of(&browser).case(browser.evidence("the dashboard's numbers, on its page", compared));
}

/// The pictures of the README, and their like for each of what it lives through: `HOTPOOL_PICTURES` says where they go.
#[test]
fn its_pictures_show_what_its_script_tells() {
    let Some(browser) = Browser::find(Kind::Chromium) else {
        return peers_table::skip(browser::name(Kind::Chromium), "is not installed");
    };
    let place = std::env::var_os("HOTPOOL_PICTURES").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures"),
        PathBuf::from,
    );
    std::fs::create_dir_all(&place).unwrap();
    let dashboard = Dashboard::start(&[]);
    let mut page = Page::open(&browser, &dashboard.url);
    let mut taken = 0;
    let leaves = "last.hosts.flatMap(host => host.ips).filter(ip => ip.ip === '127.0.0.2')";
    let [gone, back] = [
        format!("{leaves}.every(ip => ip.live === 0) && last.blocked.length > 0"),
        format!("{leaves}.some(ip => ip.live > 0) && last.blocked.length === 0"),
    ];
    for (name, step, shows) in [
        (
            "warm",
            "Warm-up",
            "last.totals.live === 6 && last.totals.gets === 0",
        ),
        ("load", "Load", "last.totals.hits > 50 && last.cold.p50 !== null"),
        ("gone", "has gone away", &gone),
        ("back", "is back", &back),
        (
            "blocked",
            "answers 403",
            "last.hosts[1].ips[1].state === 'blocked'",
        ),
    ] {
        let step_is = format!("document.querySelector('.step').textContent.includes('{step}')");
        until(&mut page, &format!("{step_is} && {shows}"));
        for (width, height) in [(1200, 900), (390, 844)] {
            let pictures = ["light", "dark"].map(|scheme| {
                page.prefer(scheme);
                page.resize(width, height);
                let step_is = format!("document.querySelector('.step').textContent.includes('{step}')");
                let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
                assert_eq!(
                    page.evaluate(&format!("{step_is} && {fits}")),
                    true,
                    "{name} at {width}"
                );
                let picture = page.picture(width);
                std::fs::write(place.join(format!("{name}-{scheme}-{width}.png")), &picture).unwrap();
                taken += 1;
                picture
            });
            // IHDR: as wide as the window, and at least as high.
            for picture in &pictures {
                let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
                assert_eq!(number(16), width, "{name}");
                assert!(number(20) > height, "{name} at {width}: all of the page");
            }
            assert_ne!(pictures[0], pictures[1], "{name} at {width}: light and dark");
        }
    }
    assert_eq!(page.complaints(), [""; 0]);
    Row::of(&browser).case(browser.evidence("pictures of what the dashboard lives through", taken));
}
