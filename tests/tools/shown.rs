//! Every public item has an example, or is used in one: of the API as `tests/fixtures/public-api.txt` has it, which `.ci/deep api` holds against the source.
//!
//! Code is what rustdoc compiles (the README, the book, the docs of the source) and the examples. In one piece of it
//!
//! - a type, a trait or a constant is named, or the type comes of a call or a field, of a type that is there itself;
//! - a function of a type is named with it, as `Type::new`; a method may also be called where its type is there in one of those ways;
//! - a method of a trait is called or implemented where the trait is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const API: &str = include_str!("../fixtures/public-api.txt");

/// An item that users can name, and what it belongs to: a type, a trait or a module.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Item<'a> {
    owner: &'a str,
    name: &'a str,
    is_function: bool,
}

/// What gives a type.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Giver<'a> {
    /// A function of a module.
    Function(&'a str),
    /// A function of a type that takes no `self`. Other types have a `new` and a `default`, too, so it counts with its own type alone.
    Named(&'a str, &'a str),
    /// A method of a type, which must be there itself.
    Method(&'a str, &'a str),
    /// A field, likewise.
    Field(&'a str, &'a str),
    /// What a future comes to, likewise.
    Output(&'a str),
}

/// The public API.
#[derive(Default)]
struct Api<'a> {
    items: BTreeSet<Item<'a>>,
    /// Type -> what gives it.
    givers: BTreeMap<&'a str, BTreeSet<Giver<'a>>>,
}

impl<'a> Api<'a> {
    fn read(list: &'a str) -> Self {
        let mut api = Api::default();
        let mut of_a_trait = false;
        for line in list.lines() {
            if line.starts_with("impl") {
                of_a_trait = line.contains(" for "); // whoever knows the trait knows the rest
            } else if let Some((words, path)) = split(line) {
                api.take(words, path, &mut of_a_trait);
            }
        }
        api
    }

    /// An item, as `const fn` and `hotpool::Type::name(…) -> …`.
    fn take(&mut self, words: &'a str, path: &'a str, of_a_trait: &mut bool) {
        let (path, rest) = names(path);
        let [.., owner, name] = path[..] else { return };
        let word = words.split_whitespace().last().unwrap_or_default();
        let gives = match word {
            "fn" => rest.rsplit_once(" -> ").map_or("", |(_, output)| output),
            "type" if name == "Output" => rest,
            "" => rest, // a field
            _ => "",
        };
        for given in gives.split(|letter| !is_part(letter)) {
            let given = if given == "Self" { owner } else { given };
            self.givers.entry(given).or_default().insert(match word {
                "" => Giver::Field(owner, name),
                "type" => Giver::Output(owner),
                _ if of_a_module(owner) => Giver::Function(name),
                _ if takes_self(rest) => Giver::Method(owner, name),
                _ => Giver::Named(owner, name),
            });
        }
        // A type within a type is one that a trait asks for.
        let is_type = ["struct", "enum", "trait", "type"].contains(&word) && of_a_module(owner);
        *of_a_trait &= !is_type;
        if is_type || (["fn", "const"].contains(&word) && !*of_a_trait) {
            self.items.insert(Item {
                owner,
                name,
                is_function: word == "fn",
            });
        }
    }

    /// Whether a type is there, in a piece of code.
    fn has(&self, code: &str, of: &'a str) -> bool {
        self.comes(code, of, &mut BTreeSet::new())
    }

    /// The same, but from what is being looked for already: a builder's methods do not say that there is one.
    fn comes(&self, code: &str, of: &'a str, sought: &mut BTreeSet<&'a str>) -> bool {
        if named(code, of) {
            return true;
        }
        let givers = self.givers.get(of).filter(|_| sought.insert(of));
        givers.into_iter().flatten().any(|giver| match *giver {
            Giver::Function(name) => called(code, name),
            Giver::Named(owner, name) => named(code, &format!("{owner}::{name}")),
            Giver::Method(owner, name) => method_called(code, name) && self.comes(code, owner, sought),
            Giver::Field(owner, name) => field_read(code, name) && self.comes(code, owner, sought),
            Giver::Output(owner) => self.comes(code, owner, sought),
        })
    }

    fn shows(&self, code: &str, item: &Item<'a>) -> bool {
        let Item { owner, name, .. } = *item;
        if !item.is_function {
            return named(code, name) || (!owner.is_empty() && self.has(code, name));
        }
        if of_a_module(owner) {
            return called(code, name);
        }
        named(code, &format!("{owner}::{name}"))
            || (method_called(code, name) && self.has(code, owner))
            || (code.contains(&format!("fn {name}")) && named(code, owner))
    }
}

/// `pub const fn hotpool::Type::name(…)`: what stands before the path, and from it on.
fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("pub ")?;
    let at = line.find("hotpool::")?;
    let words = &line[..at];
    let known = |word: &str| ["const", "async", "fn", "struct", "enum", "trait", "type"].contains(&word);
    words
        .split_whitespace()
        .all(known)
        .then_some((words, &line[at..]))
}

/// The names of a path, without what is generic about them, and what follows it.
fn names(mut text: &str) -> (Vec<&str>, &str) {
    let mut names = Vec::new();
    loop {
        let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
        names.push(&text[..end]);
        text = &text[end..];
        let behind = match text.find(">::") {
            Some(at) if text.starts_with('<') && !text[..at].contains('(') => &text[at + 1..],
            _ => text,
        };
        match behind.strip_prefix("::") {
            Some(more) => text = more,
            None => return (names, text),
        }
    }
}

/// Whether a function with these arguments is a method: `(&mut self, …)`, `<'a>(self: …)`.
fn takes_self(arguments: &str) -> bool {
    let first = arguments.split_once('(').map_or("", |(_, rest)| rest);
    let first = first.split([',', ')', ':']).next().unwrap_or_default();
    first.rsplit([' ', '&']).next() == Some("self")
}

fn of_a_module(owner: &str) -> bool {
    owner.starts_with(|first: char| first.is_lowercase())
}

fn is_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Wherever a name stands for itself: the letter before it, and what follows.
fn after<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = (Option<char>, &'a str)> {
    code.match_indices(name).filter_map(move |(at, _)| {
        let (before, rest) = (code[..at].chars().next_back(), &code[at + name.len()..]);
        let alone = !before.is_some_and(is_part) && !rest.starts_with(is_part);
        alone.then_some((before, rest))
    })
}

fn named(code: &str, name: &str) -> bool {
    after(code, name).next().is_some()
}

fn called(code: &str, name: &str) -> bool {
    after(code, name).any(|(before, rest)| {
        matches!(before, Some('.' | ':' | ' ' | '(' | '!' | '&' | '\n'))
            && (rest.starts_with('(') || rest.starts_with("::<"))
    })
}

fn method_called(code: &str, name: &str) -> bool {
    after(code, name)
        .any(|(before, rest)| before == Some('.') && (rest.starts_with('(') || rest.starts_with("::<")))
}

fn field_read(code: &str, name: &str) -> bool {
    after(code, name).any(|(before, rest)| before == Some('.') && !rest.starts_with('('))
}

/// The code that rustdoc compiles, in a text whose lines begin so.
fn blocks(text: &str, marks: &[&str]) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        let line = match marks.iter().find_map(|mark| line.trim_start().strip_prefix(mark)) {
            Some(line) => line.trim(),
            None if marks.is_empty() => line.trim(),
            None => continue,
        };
        open = match (line.strip_prefix("```"), open) {
            (Some(kind), None) => Some((!["text", "toml", "sh"].contains(&kind), String::new())),
            (Some(_), Some((is_code, block))) => {
                blocks.extend(is_code.then_some(block));
                None
            }
            (None, Some((is_code, block))) => Some((is_code, block + line + "\n")),
            (None, None) => None,
        };
    }
    blocks
}

fn files(place: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
    found
}

/// All code that shows something, piece by piece.
fn code() -> Vec<String> {
    let root = Path::new(ROOT);
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
    let mut pieces = blocks(&read(&root.join("README.md")), &[]);
    for page in files(&root.join("src/guide"), "md") {
        pieces.extend(blocks(&read(&page), &[]));
    }
    for source in files(&root.join("src"), "rs") {
        pieces.extend(blocks(&read(&source), &["///", "//!"]));
    }
    for example in files(&root.join("examples"), "rs") {
        let text = read(&example);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        pieces.push(lines.collect::<Vec<_>>().join("\n"));
    }
    pieces
}

#[test]
fn every_public_item_is_used_in_an_example() {
    let (api, code) = (Api::read(API), code());
    assert!(api.items.len() > 400, "{} items", api.items.len());
    assert!(code.len() > 80, "{} pieces of code", code.len());
    let shown = |item: &&Item<'_>| code.iter().any(|piece| api.shows(piece, item));
    let missing: Vec<String> = api
        .items
        .iter()
        .filter(|item| !shown(item))
        .map(|Item { owner, name, .. }| format!("{owner}::{name}"))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// Doctests compile with all that this crate itself is built with; a reader has what the README tells to install.
#[test]
fn the_readme_s_code_uses_what_the_readme_installs() {
    let page = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (mut used, mut installed) = (BTreeSet::new(), BTreeSet::from(["std".to_owned()]));
    for code in blocks(&page, &[]) {
        used.extend(crates(&code).map(str::to_owned));
    }
    for table in page.split("```toml\n").skip(1) {
        let lines = table.lines().take_while(|line| !line.starts_with("```"));
        installed.extend(lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))));
    }
    assert!(used.len() > 2, "{used:?}");
    assert!(used.is_subset(&installed), "{used:?} of {installed:?}");
}

/// What paths in this code begin with, where that is no type; comments are none of it.
fn crates(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().filter_map(|line| line.split("// ").next());
    lines.flat_map(crates_of_a_line)
}

fn crates_of_a_line(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("::").filter_map(move |(at, _)| {
        let before = &code[..at];
        let name = &before[before.rfind(|letter| !is_part(letter)).map_or(0, |at| at + 1)..];
        let begins = !before[..before.len() - name.len()].ends_with([':', '.']);
        (begins && of_a_module(name)).then_some(name)
    })
}

/// What becomes of each when it is dropped.
#[test]
fn every_async_function_is_in_the_book_s_table_of_cancel_safety() {
    let page = include_str!("../../src/guide/cancel_safety.md");
    let mut found = 0;
    for line in API.lines() {
        let given = line.rsplit_once(" -> ").map_or("", |(_, output)| output);
        let is_future = line.starts_with("pub async fn ") || given.contains("core::future::");
        let Some((_, path)) = line.split_once("fn ").filter(|_| is_future) else {
            continue;
        };
        let end = path.find(['(', '<']).unwrap();
        let name = path[..end].rsplit("::").next().unwrap();
        assert!(blocks_of_code(page).any(|code| named(code, name)), "{line}");
        found += 1;
    }
    assert!(found > 10, "{found}");
}

fn blocks_of_code(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

#[test]
fn what_is_used_is_told_from_what_is_not() {
    let list = "pub struct hotpool::Pool<'a>(_)\nimpl hotpool::Pool\npub fn hotpool::Pool<'a>::put<'b>(&self) -> u8\npub fn hotpool::make() -> hotpool::Pool\n\
        pub hotpool::Own::pool: hotpool::Pool\npub fn hotpool::Pool::new(u8) -> Self\npub fn hotpool::Pool::set(self, u8) -> Self\npub fn hotpool::Pool::unwrap(self)\n\
        pub fn hotpool::Lender::lend(&self) -> hotpool::Soon<'_>\npub type hotpool::Soon<'_>::Output = hotpool::Pool\nimpl core::clone::Clone for hotpool::Pool\npub type hotpool::Pool::Out = u8\npub fn hotpool::Pool::clone(&self) -> Self";
    let api = Api::read(list);
    let names: Vec<&str> = api.items.iter().map(|item| item.name).collect();
    assert_eq!(names, ["lend", "new", "put", "set", "unwrap", "Pool", "make"]);
    let item = |name| api.items.iter().find(|item| item.name == name).unwrap();
    for (code, name, shows) in [
        ("let pool = make(); pool.put();", "put", true),
        ("fn f(own: &Own) { own.pool.put() }", "put", true),
        ("Pool::put(&it);", "put", true),
        ("Pool::new(1).put();", "put", true),
        ("fn f(pool: Pool) { pool.put() }", "put", true),
        ("it.put();", "put", false),
        ("let pool = make(); pool.puts();", "put", false),
        ("let pool = make(); it.put;", "put", false),
        // What other types have, too.
        ("own.pool.put();", "put", false),
        ("let it = Vec::new(); it.pop().unwrap();", "unwrap", false),
        ("it.set(1).unwrap();", "unwrap", false),
        ("fn f(own: &Own) { own.pool().unwrap() }", "unwrap", false),
        ("fn f(it: &Other) { it.lend().unwrap() }", "unwrap", false),
        ("fn f(lender: &Lender) { lender.lend().unwrap() }", "unwrap", true),
        ("it.put(); Vec::new();", "new", false),
        ("Pool::new(1).set(2).unwrap();", "unwrap", true),
    ] {
        assert_eq!(api.shows(code, item(name)), shows, "{code}");
    }
    let code = "use a::b::c; // m::N\nlet d = e::F::g(h.i::<J>(), K::l());";
    assert_eq!(crates(code).collect::<Vec<_>>(), ["a", "e"]);
    assert_eq!(
        blocks("/// ```\n/// a\n/// ```\n/// ```text\n/// b\n/// ```", &["///"]),
        ["a\n"]
    );
}
