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
        };
        while let Some(field) = Field::first(block) {
            let (whole, rest) = block.split_at(field.len);
            block = rest;
            let (mut texts, mut value) = (&whole[field.head..], Vec::new());
            while let Some(text) = Text::next(&mut texts) {
                value = strings.add(text)?;
            }
            if let Form::Literal { name, .. } = field.form
                && (name == AUTHORIZATION || name == COOKIE && value.len() <= SHORT)
            {
                written.never_indexed = Some(whole[0] & 0xf0 == NEVER);
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
        strings.into_iter().chain(path).chain(never)
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
