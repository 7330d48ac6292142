//! The fields of a header block (RFC 7541), as far as they can be told apart without the table that both ends keep.

use super::Pseudo;

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its place in the tables alone.
    Indexed(u32),
    /// With its value; its name by its place in the tables, 0 if that is written out as well.
    Literal {
        name: u32,
        /// Whether the peer is to remember it.
        kept: bool,
    },
    /// No field: the peer's table has another size from here on.
    Resize,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) form: Form,
    /// How many octets stand ahead of its strings.
    pub(crate) head: usize,
    /// In octets.
    pub(crate) len: usize,
}

/// A name or a value that is written out (RFC 7541 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    /// Whether it is in Huffman's code.
    pub(crate) coded: bool,
    pub(crate) octets: &'a [u8],
}

/// Places in the static table (RFC 7541 appendix A) of what some clients guard.
pub(crate) const AUTHORIZATION: u32 = 23;
pub(crate) const COOKIE: u32 = 32;
/// The longest cookie that they guard, in octets.
pub(crate) const SHORT: usize = 19;
/// What marks a literal without indexing as one that nobody may index (RFC 7541 section 6.2.3).
pub(crate) const NEVER: u8 = 0x10;
/// The last place of the table that never changes (RFC 7541 appendix A).
const STATIC: u32 = 61;

impl Field {
    /// The first one; none if `block` does not begin with a whole one.
    pub(crate) fn first(block: &[u8]) -> Option<Self> {
        let first = *block.first()?;
        let (prefix, literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let (number, head) = integer(block, prefix)?;
        let mut rest = block.get(head..)?;
        if literal {
            let texts = if number == 0 { 2 } else { 1 };
            for _ in 0..texts {
                Text::next(&mut rest)?;
            }
        }
        let form = match first {
            0x80.. => Form::Indexed(number),
            0x20..0x40 => Form::Resize,
            _ => Form::Literal {
                name: number,
                kept: first >= 0x40,
            },
        };
        let len = block.len() - rest.len();
        Some(Field { form, head, len })
    }

    /// The pseudo-header that it is by its place in the static table.
    pub(crate) fn pseudo(&self) -> Option<Pseudo> {
        match self.form {
            Form::Indexed(place) | Form::Literal { name: place, .. } => named(place),
            Form::Resize => None,
        }
    }

    /// Whether it stands for an entry of the table that both ends keep.
    pub(crate) fn is_remembered(&self) -> bool {
        matches!(self.form, Form::Indexed(place) if place > STATIC)
    }
}

impl<'a> Text<'a> {
    /// Takes the first of those that stand in `rest`.
    pub(crate) fn next(rest: &mut &'a [u8]) -> Option<Self> {
        let coded = rest.first()? & 0x80 != 0;
        let (length, digits) = integer(rest, 7)?;
        let (octets, behind) = rest.get(digits..)?.split_at_checked(length as usize)?;
        *rest = behind;
        Some(Text { coded, octets })
    }
}

fn named(place: u32) -> Option<Pseudo> {
    match place {
        1 => Some(Pseudo::Authority),
        2 | 3 => Some(Pseudo::Method),
        4 | 5 => Some(Pseudo::Path),
        6 | 7 => Some(Pseudo::Scheme),
        _ => None,
    }
}

/// The number at the beginning of `bytes`, behind the bits before its prefix, and how many octets it takes (RFC 7541 section 5.1).
fn integer(bytes: &[u8], prefix: u32) -> Option<(u32, usize)> {
    let mask = (1_u8 << prefix) - 1;
    let low = bytes.first()? & mask;
    if low < mask {
        return Some((low.into(), 1));
    }
    let mut number = u64::from(low);
    for (nth, &octet) in bytes.iter().enumerate().skip(1).take(5) {
        number += u64::from(octet & 0x7f) << (7 * (nth - 1));
        if octet & 0x80 == 0 {
            return Some((u32::try_from(number).ok()?, nth + 1));
        }
    }
    None
}

/// The pseudo-headers at the beginning of a connection's first block, in their order: nothing was remembered before it.
pub(crate) fn pseudo_order(mut block: &[u8]) -> Vec<Pseudo> {
    let mut order = Vec::new();
    while let Some(field) = Field::first(block) {
        block = &block[field.len..];
        match (field.form, field.pseudo()) {
            (Form::Resize, _) => {}
            (_, Some(pseudo)) => order.push(pseudo),
            (_, None) => break,
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_rfc_has_them() {
        // RFC 7541 appendix C.1.
        assert_eq!(integer(&[0b1110_1010], 5), Some((10, 1)));
        assert_eq!(
            integer(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5),
            Some((1337, 3))
        );
        assert_eq!(integer(&[42], 8 - 1), Some((42, 1)));
        assert_eq!(integer(&[0x1f, 0x9a], 5), None, "cut short");
        assert_eq!(integer(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 5), None);
        assert_eq!(
            integer(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0x7f], 5),
            None,
            "too large"
        );
    }

    #[test]
    fn fields_are_told_apart() {
        // RFC 7541 appendix C.3.1: GET, http, /, www.example.com, and a literal name.
        let block = b"\x3f\xe1\x1f\x82\x86\x84\x41\x0fwww.example.com\x40\x01a\x01b";
        assert_eq!(
            pseudo_order(block),
            [Pseudo::Method, Pseudo::Scheme, Pseudo::Path, Pseudo::Authority]
        );
        assert_eq!(Field::first(&block[6..22]), None, "cut short");
        let literal = Field::first(&block[6..]);
        let form = Form::Literal { name: 1, kept: true };
        let (head, len) = (1, 17);
        assert_eq!(literal, Some(Field { form, head, len }));
        let mut text = &b"\x02ab\x81\x1f\x80"[..];
        let texts = [(false, &b"ab"[..]), (true, b"\x1f"), (true, b"")];
        for (coded, octets) in texts {
            assert_eq!(Text::next(&mut text), Some(Text { coded, octets }));
        }
        assert_eq!(Text::next(&mut text), None);
    }
}
