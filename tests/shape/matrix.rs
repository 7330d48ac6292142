//! The table of servers and cases: which are run, and what came of each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;

/// The cells of one column: the case, and whether it is run.
pub(crate) fn column(server: &str) -> Vec<(String, bool)> {
    let table = table();
    let column = table
        .servers
        .iter()
        .position(|name| name == server)
        .unwrap_or_else(|| panic!("no {server}"));
    table
        .cases
        .iter()
        .map(|(case, cells)| (case.clone(), cells[column]))
        .collect()
}

struct Table {
    servers: Vec<String>,
    cases: Vec<(String, Vec<bool>)>,
}

fn table() -> Table {
    parse(include_str!("MATRIX"))
}

fn parse(text: &str) -> Table {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let (rows, notes): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.contains('|'));
    let reasons: BTreeMap<&str, &str> = notes
        .iter()
        .map(|note| {
            note.split_once(':')
                .unwrap_or_else(|| panic!("no reason: {note}"))
        })
        .map(|(letter, reason)| (letter.trim(), reason.trim()))
        .collect();
    assert!(reasons.values().all(|reason| !reason.is_empty()));
    let mut rows = rows
        .into_iter()
        .map(|row| row.split('|').map(str::trim).collect::<Vec<&str>>());
    let head = rows.next().expect("a head");
    let cases = rows.map(|row| {
        assert_eq!(row.len(), head.len(), "{row:?} has a cell for each of {head:?}");
        let cell = |cell: &&str| match *cell {
            "yes" => true,
            "" => panic!("an empty cell in {row:?}"),
            letter => {
                assert!(reasons.contains_key(letter), "no reason {letter} in {row:?}");
                false
            }
        };
        (row[0].to_owned(), row[1..].iter().map(cell).collect())
    });
    let cases = cases.collect();
    Table {
        servers: head[1..].iter().map(|name| (*name).to_owned()).collect(),
        cases,
    }
}

/// How each case of each server went.
type Cells = BTreeMap<(String, String), Vec<String>>;

/// Writes down that a case of a server went well.
pub(crate) fn filled(server: &str, case: &str, how: &str) {
    static FILLED: OnceLock<Mutex<Cells>> = OnceLock::new();
    let filled = FILLED.get_or_init(Mutex::default);
    let mut filled = filled.lock();
    filled
        .entry((server.to_owned(), case.to_owned()))
        .or_default()
        .push(how.to_owned());
    let lines: Vec<String> = filled
        .iter()
        .map(|((server, case), how)| format!("{server}\t{case}\t{}\n", how.join(", ")))
        .collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("tls-matrix");
    std::fs::write(file, lines.concat()).unwrap();
}

#[test]
fn the_table_is_whole() {
    let table = table();
    assert_eq!(table.servers.len(), 7);
    assert!(
        table.cases.iter().all(|(_, cells)| cells.contains(&true)),
        "every case is run somewhere"
    );
}

#[test]
#[should_panic(expected = "an empty cell")]
fn an_empty_cell_fails() {
    parse("case | one | two\nfull | yes |\n");
}

#[test]
#[should_panic(expected = "no reason z")]
fn a_cell_without_its_reason_fails() {
    parse("case | one\nfull | z\na: because\n");
}
