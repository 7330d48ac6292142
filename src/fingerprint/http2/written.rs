//! How a request's headers were written, as far as that is a client's choice.

use super::super::learned::Assumption;
use super::Pseudo;
use super::block::{AUTHORIZATION, COOKIE, Field, Form, NEVER, SHORT, Text};
use super::huffman::{Huffman, coded_len, decode};

/// What a block shows.
pub(super) struct Written {
    pub(super) huffman: Huffman,
    /// Whether another rule would have written it otherwise.
    is_shown: bool,
    /// None: it would look the same either way.
    pub(super) literal_path: Option<bool>,
    /// None: it has nothing that some clients have never indexed.
    pub(super) never_indexed: Option<bool>,
    /// Whether the path is of a form that no spec has: one that the peer is to remember.
    kept_path: bool,
    /// Fields that would be written in another form, by their place.
    other_forms: Vec<usize>,
    /// Whether it gives the peer's table another size.
    resizes: bool,
}

/// What h2 has nobody remember, by its place in the static table (RFC 7541 appendix A): age, authorization, content-length, cookie, etag, if-modified-since, if-none-match,
/// location, set-cookie.
const FORGOTTEN: [u32; 9] = [21, AUTHORIZATION, 28, COOKIE, 34, 40, 41, 46, 55];
/// Names of the static table that a request may have, but for its pseudo-headers.
const NAMED: &str = " accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control content-disposition content-encoding \
                     content-language content-length content-location content-range content-type cookie date etag expect expires from host if-match if-modified-since \
                     if-none-match if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh \
                     retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate ";

/// Whether h2 would write a literal of this name, by its place or in octets, and this value in another form. Of a path others judge.
fn is_other(place: u32, kept: bool, never: bool, name: &[u8], value: &[u8]) -> bool {
    let guarded = place == AUTHORIZATION || place == COOKIE && value.len() <= SHORT;
    match (place, value) {
        (4 | 5, _) => never,
        // They stand in the static table as they are.
        (2 | 3, b"GET" | b"POST") | (6 | 7, b"http" | b"https") | (16, b"gzip, deflate") => true,
        (0, _) => {
            let name = std::str::from_utf8(name).unwrap_or_default();
            !kept || name.starts_with(':') || NAMED.contains(&format!(" {name} "))
        }
        _ if never => !guarded,
        _ => kept == FORGOTTEN.contains(&place),
    }
}

/// What one string shows of the rule by which all are coded.
#[derive(Default)]
struct Strings {
    /// One is in code, and no shorter for it.
    in_vain: bool,
    /// One is in code, and shorter for it.
    shorter: bool,
    /// One is not, which would be no shorter in it.
    plain: bool,
    /// One is not, which would be shorter in it.
    longer: bool,
}

impl Written {
    /// None if some strings are coded by one rule and some by another.
    pub(super) fn of(mut block: &[u8]) -> Option<Self> {
        let mut strings = Strings::default();
        let mut written = Written {
            huffman: Huffman::Always,
            is_shown: false,
            literal_path: None,
            never_indexed: None,
            kept_path: false,
            other_forms: Vec::new(),
            resizes: false,
        };
        let (mut count, mut method) = (0, None);
        while let Some(field) = Field::first(block) {
            let (whole, rest) = block.split_at(field.len);
            block = rest;
            let (mut texts, mut name, mut value) = (&whole[field.head..], Vec::new(), Vec::new());
            while let Some(text) = Text::next(&mut texts) {
                name = std::mem::replace(&mut value, strings.add(text)?);
            }
            let nth = count;
            count += 1;
            match field.form {
                Form::Indexed(_) => {}
                Form::Resize => {
                    written.resizes = true;
                    count = nth;
                }
                Form::Literal { name: place, kept } => {
                    let never = whole[0] & 0xf0 == NEVER;
                    let mut other = is_other(place, kept, never, &name, &value);
                    if place == AUTHORIZATION || place == COOKIE && value.len() <= SHORT {
                        // All are marked, or none.
                        other |= *written.never_indexed.get_or_insert(never) != never;
                    }
                    if other {
                        written.other_forms.push(nth);
                    } else if matches!(place, 2 | 3) {
                        method = Some((nth, place));
                    }
                }
            }
            if field.pseudo() != Some(Pseudo::Path) {
                continue;
            }
            match field.form {
                Form::Indexed(_) => written.literal_path = Some(false),
                Form::Literal { name, kept } => {
                    written.kept_path = kept;
                    let always = name == if value == b"/" { 4 } else { 5 };
                    written.literal_path = (always && !kept).then_some(true);
                }
                Form::Resize => {}
            }
        }
        // Where a path is always a literal, names have their last place.
        let last = if written.literal_path == Some(true) { 3 } else { 2 };
        if let Some((nth, _)) = method.filter(|(_, place)| *place != last) {
            written.other_forms.insert(0, nth);
        }
        (written.huffman, written.is_shown) = strings.rule()?;
        Some(written)
    }

    /// What it does not show, or shows and no spec has.
    pub(super) fn assumptions(&self) -> impl Iterator<Item = Assumption> {
        let rule = self.huffman;
        let strings = (!self.is_shown).then_some(Assumption::Huffman { rule });
        let path = self.literal_path.is_none().then_some(Assumption::PathForm {
            indexed: self.kept_path,
        });
        let never = self.never_indexed.is_none().then_some(Assumption::NeverIndexed);
        let table = self.resizes.then_some(Assumption::TableSize);
        let forms = self
            .other_forms
            .iter()
            .map(|&field| Assumption::FieldForm { field });
        strings
            .into_iter()
            .chain(path)
            .chain(never)
            .chain(table)
            .chain(forms)
    }
}

impl Strings {
    /// Answers what it stands for. None if it stands for nothing.
    fn add(&mut self, text: Text<'_>) -> Option<Vec<u8>> {
        let mut raw = Vec::new();
        if text.coded {
            decode(text.octets, usize::MAX, &mut raw)?;
        } else {
            raw.extend(text.octets);
        }
        let shorter = coded_len(&raw) < raw.len();
        if !raw.is_empty() {
            *match (text.coded, shorter) {
                (true, true) => &mut self.shorter,
                (true, false) => &mut self.in_vain,
                (false, true) => &mut self.longer,
                (false, false) => &mut self.plain,
            } = true;
        }
        Some(raw)
    }

    /// The rule, and whether it is the only one that fits. None if none fits.
    fn rule(&self) -> Option<(Huffman, bool)> {
        let Strings {
            in_vain,
            shorter,
            plain,
            longer,
        } = *self;
        match (in_vain, shorter, plain, longer) {
            (true, _, false, false) => Some((Huffman::Always, true)),
            (false, false, _, true) => Some((Huffman::Never, true)),
            // What most clients do, where nothing speaks against it.
            (false, _, _, false) => Some((Huffman::WhenShorter, shorter && plain)),
            _ => None,
        }
    }
}
