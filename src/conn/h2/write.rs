//! A request's fields as another client than h2 writes them.
//!
//! h2 has every string in Huffman's code, and names a path of the static table by its place. Neither a string's code nor the literal of a path that nobody remembers touches the
//! table that both ends keep: what h2 takes it for is what the peer has, whatever is written here. Neither does by which of its places there a name goes, nor whether
//! others may index a field that this peer does not.

use crate::fault::planted;
use crate::fingerprint::{
    AUTHORIZATION, COOKIE, Field, Form, H2Spec, Huffman, NEVER, Pseudo, SHORT, Text, decode,
};

/// The first place of `:method` in the static table (RFC 7541 appendix A). Its last is the next.
const METHOD: u32 = 2;

#[derive(Debug)]
pub(super) struct Writer {
    huffman: Huffman,
    literal_path: bool,
    never_indexed: bool,
    /// Where a string is decoded.
    raw: Vec<u8>,
}

impl Writer {
    pub(super) fn new(spec: &H2Spec) -> Self {
        Writer {
            huffman: match planted("strings_have_h2s_code") {
                true => Huffman::Always,
                false => spec.huffman(),
            },
            literal_path: spec.literal_path() && !planted("paths_are_never_literal"),
            never_indexed: spec.never_indexed() && !planted("credentials_may_be_indexed"),
            raw: Vec::new(),
        }
    }

    /// Appends these fields of a block to `out`. From what is no field on, they stay as they are.
    pub(super) fn append(&mut self, mut fields: &[u8], out: &mut Vec<u8>) {
        if self.huffman == Huffman::Always && !self.literal_path && !self.never_indexed {
            return out.extend_from_slice(fields);
        }
        while let Some(field) = Field::first(fields) {
            let (whole, rest) = fields.split_at(field.len);
            self.write(field, whole, out);
            fields = rest;
        }
        out.extend_from_slice(fields);
    }

    fn write(&mut self, field: Field, whole: &[u8], out: &mut Vec<u8>) {
        let (mut head, mut texts) = whole.split_at(field.head);
        if self.literal_path && field.pseudo() == Some(Pseudo::Path) {
            match field.form {
                Form::Indexed(place) => return out.extend_from_slice(path(place, self.huffman)),
                // Firefox takes the last place that has the name.
                Form::Literal { name: 4, kept: false } => head = b"\x05",
                _ => {}
            }
        }
        let mark = out.len();
        out.extend_from_slice(head);
        if let (Some(first), Form::Literal { name, kept }) = (out.get_mut(mark), field.form) {
            match name {
                METHOD if self.literal_path && !planted("methods_are_named_by_their_first_place") => {
                    *first |= 1
                }
                _ if self.never_indexed && !kept && self.guards(name, texts) => *first |= NEVER,
                _ => {}
            }
            if planted("sensitive_is_forgotten") && !kept {
                *first &= !NEVER;
            }
        }
        while let Some(text) = Text::next(&mut texts) {
            self.write_text(text, out);
        }
    }

    /// Whether a field of this name and value is a credential.
    fn guards(&mut self, name: u32, mut value: &[u8]) -> bool {
        match name {
            AUTHORIZATION => true,
            COOKIE => {
                let Some(Text { coded, octets }) = Text::next(&mut value) else {
                    return false;
                };
                self.raw.clear();
                let short = match coded {
                    true => decode(octets, SHORT, &mut self.raw).is_some(),
                    false => octets.len() <= SHORT,
                };
                super::shape::clear(&mut self.raw);
                short
            }
            _ => false,
        }
    }

    fn write_text(&mut self, Text { coded, octets }: Text<'_>, out: &mut Vec<u8>) {
        let most = match self.huffman {
            Huffman::Always => None,
            // One that is any longer is shorter in code.
            Huffman::WhenShorter => Some(octets.len()),
            Huffman::Never => Some(usize::MAX),
        };
        self.raw.clear();
        let plain = most
            .filter(|_| coded)
            .and_then(|most| decode(octets, most, &mut self.raw));
        match plain {
            Some(()) => string(0, &self.raw, out),
            None => string(if coded { 0x80 } else { 0 }, octets, out),
        }
        super::shape::clear(&mut self.raw);
    }
}

/// A path of the static table as a literal without indexing.
fn path(place: u32, huffman: Huffman) -> &'static [u8] {
    match (place, huffman) {
        (4, Huffman::Always) => b"\x04\x81\x63",
        (4, _) => b"\x04\x01/",
        (_, Huffman::Never) => b"\x05\x0b/index.html",
        (..) => b"\x05\x88\x60\xd5\x48\x5f\x2b\xce\x9a\x68",
    }
}

/// Appends a string (RFC 7541 section 5.2) with this mark ahead of its length.
fn string(mark: u8, octets: &[u8], out: &mut Vec<u8>) {
    number(mark, 0x7f, octets.len(), out);
    out.extend_from_slice(octets);
}

/// Appends a number (RFC 7541 section 5.1) with this mark ahead of it, in the bits that are not of `prefix`.
pub(super) fn number(mark: u8, prefix: u8, mut number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(number) if number < prefix => out.push(mark | number),
        _ => {
            out.push(mark | prefix);
            number -= usize::from(prefix);
            while number >= 0x80 {
                out.push(0x80 | (number & 0x7f) as u8);
                number >>= 7;
            }
            out.push(number as u8); // less than 128
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(huffman: Huffman, literal_path: bool, fields: &[u8]) -> Vec<u8> {
        let spec = crate::fingerprint::Profile::go().h2().cloned().expect("a spec");
        let spec = spec.with_huffman(huffman).with_literal_path(literal_path);
        by(&spec, fields)
    }

    fn by(spec: &H2Spec, fields: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(spec).append(fields, &mut out);
        out
    }

    #[test]
    fn credentials_are_never_indexed_where_the_spec_has_it() {
        let spec = crate::fingerprint::Profile::go().h2().cloned().expect("a spec");
        let field = |head: &[u8], mark: u8, length: usize| {
            let mut field = head.to_vec();
            string(
                mark,
                &vec![if mark == 0 { b'&' } else { 0xf8 }; length],
                &mut field,
            );
            field
        };
        for mark in [0, 0x80] {
            for (head, length, guarded) in [
                (b"\x0f\x08", 200, true),
                (b"\x0f\x11", 0, true),
                (b"\x0f\x11", 19, true),
                (b"\x0f\x11", 20, false),
                (b"\x0f\x12", 3, false), // expect
            ] {
                let (given, sensitive) = (
                    field(head, mark, length),
                    field(&[head[0] | NEVER, head[1]], mark, length),
                );
                let always = spec.clone().with_huffman(Huffman::Always);
                assert_eq!(by(&always, &given), given);
                assert_eq!(by(&always, &sensitive), sensitive);
                let never = always.with_never_indexed(true);
                assert_eq!(
                    by(&never, &given),
                    if guarded { sensitive.clone() } else { given.clone() }
                );
                assert_eq!(by(&never, &sensitive), sensitive);
            }
        }
        // What the peer is to remember, and what it has: not so.
        let kept = [field(b"\x57", 0, 3), field(b"\x60", 0, 3), vec![0xbe]].concat();
        assert_eq!(
            by(
                &spec.with_huffman(Huffman::Always).with_never_indexed(true),
                &kept
            ),
            kept
        );
    }

    #[test]
    fn strings_have_the_code_of_their_spec() {
        // GET, /, an authority of "a", and "x" of "www.example.com": the first two strings are no shorter in code.
        let fields = b"\x82\x84\x41\x81\x1f\x40\x81\xf3\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        for (huffman, expected) in [
            (Huffman::Always, &fields[..]),
            (
                Huffman::WhenShorter,
                b"\x82\x84\x41\x01a\x40\x01x\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
            ),
            (Huffman::Never, b"\x82\x84\x41\x01a\x40\x01x\x0fwww.example.com"),
        ] {
            assert_eq!(written(huffman, false, fields), expected, "{huffman:?}");
        }
        // Of any length, in code or not; and none at all.
        for length in [1, 126, 127, 128, 254, 255, 16_510, 16_511, 70_000] {
            let (mut coded, mut plain) = (vec![0x0f, 0], vec![0x0f, 0]);
            // 8 bits each.
            string(0x80, &vec![0xf8; length], &mut coded);
            string(0, &vec![b'&'; length], &mut plain);
            assert_eq!(written(Huffman::WhenShorter, false, &coded), plain, "{length}");
            assert_eq!(written(Huffman::Always, true, &coded), coded, "{length}");
        }
        assert_eq!(
            written(Huffman::WhenShorter, false, b"\x41\x00\x41\x80"),
            b"\x41\x00\x41\x00"
        );
    }

    #[test]
    fn a_path_is_a_literal_where_the_spec_has_it() {
        for (huffman, root, index) in [
            (
                Huffman::Always,
                &b"\x04\x81\x63"[..],
                &b"\x05\x88\x60\xd5\x48\x5f\x2b\xce\x9a\x68"[..],
            ),
            (
                Huffman::WhenShorter,
                b"\x04\x01/",
                b"\x05\x88\x60\xd5\x48\x5f\x2b\xce\x9a\x68",
            ),
            (Huffman::Never, b"\x04\x01/", b"\x05\x0b/index.html"),
        ] {
            assert_eq!(written(huffman, true, b"\x84"), root);
            assert_eq!(written(huffman, true, b"\x85"), index);
        }
        let other = b"\x82\xbe\x04\x82\x63\x1f\x87";
        assert_eq!(
            written(Huffman::Always, true, other),
            b"\x82\xbe\x05\x82\x63\x1f\x87"
        );
        assert_eq!(written(Huffman::Always, false, other), other);
        let methods = b"\x42\x81\x63\x02\x81\x63\x12\x81\x63\x43\x81\x63";
        assert_eq!(
            written(Huffman::Always, true, methods),
            b"\x43\x81\x63\x03\x81\x63\x13\x81\x63\x43\x81\x63"
        );
        assert_eq!(written(Huffman::Always, false, methods), methods);
        assert_eq!(written(Huffman::Always, false, b"\x84\x85"), b"\x84\x85");
    }

    #[test]
    fn what_is_no_field_stays() {
        for odd in [&b"\x41\x82\xff\xff"[..], b"\x41\x05a", b"\x3f\xe1"] {
            assert_eq!(written(Huffman::WhenShorter, true, odd), odd, "{odd:?}");
        }
    }
}
