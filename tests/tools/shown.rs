//! Every public item has an example, or is used in one: of the API as `tests/fixtures/public-api.txt` has it, which `.ci/deep api` holds against the source.
//!
//! Code is what rustdoc compiles (the README, the book, the docs of the source) and the examples. In one piece of it
//!
//! - a type, a trait or a constant must be named, or a type come from a call or a field that gives it;
//! - a method must be called, or named with its type; where it is called, its type must be there in one of those ways;
//! - a trait's method must be called or implemented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const API: &str = include_str!("../fixtures/public-api.txt");

/// An item that users can name, and where it belongs: a type, a trait or a module.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Item<'a> {
    owner: &'a str,
    name: &'a str,
    is_function: bool,
}

/// What stands in the list of the API.
#[derive(Default)]
struct Api<'a> {
    items: BTreeSet<Item<'a>>,
    /// Which functions and fields give a type.
    givers: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

fn is_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The path at the beginning of a text, and what follows it.
fn path(text: &str) -> (Vec<&str>, &str) {
    let end = text.find(|letter| !is_part(letter) && letter != ':');
    let mut end = end.unwrap_or(text.len());
    if text[..end].ends_with(':') && !text[..end].ends_with("::") {
        end -= 1; // of a field, before its type
    }
    (text[..end].trim_end_matches(':').split("::").collect(), &text[end..])
}

impl<'a> Api<'a> {
    fn read(list: &'a str) -> Self {
        let mut api = Api::default();
        let mut of_a_trait = false;
        for line in list.lines() {
            if let Some(block) = line.strip_prefix("impl") {
                // `impl Trait for Type`: what everybody knows of the trait.
                of_a_trait = block.contains(" for ");
                continue;
            }
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let line = ["const fn ", "async fn ", "fn "]
                .iter()
                .find_map(|word| line.strip_prefix(word).map(|rest| (true, rest)));
            let _ = line;
            api.take(list, &mut of_a_trait);
            break;
        }
        api
    }

    fn take(&mut self, list: &'a str, of_a_trait: &mut bool) {
        for line in list.lines() {
            let (words, rest) = match line.find("hotpool::") {
                Some(at) if line.starts_with("pub ") => (&line[..at], &line[at..]),
                _ => {
                    *of_a_trait = line.starts_with("impl") && line.contains(" for ");
                    continue;
                }
            };
            let (path, rest) = path(rest);
            let [.., owner, name] = path[..] else { continue };
            let word = words.split_whitespace().last().unwrap_or("");
            let gives = match word {
                "fn" => rest.rsplit_once(" -> ").map_or("", |(_, output)| output),
                "pub" => rest, // a field, or a variant
                _ => "",
            };
            for given in gives.split(|letter| !is_part(letter)) {
                let given = if given == "Self" { owner } else { given };
                self.givers.entry(given).or_default().insert(name);
            }
            match word {
                "struct" | "enum" | "trait" | "type" | "union" | "macro" => *of_a_trait = false,
                "fn" | "const" if !*of_a_trait => {}
                _ => continue,
            }
            self.items.insert(Item { owner, name, is_function: word == "fn" });
        }
    }
}
