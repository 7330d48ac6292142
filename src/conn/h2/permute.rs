//! The pseudo-headers of a request in another order than h2's, without the table that both ends keep.
//!
//! h2 writes `:method`, `:scheme`, `:authority`, `:path`. It takes `:scheme` (http and https) and `:path` to no table, so they may move past anything. The other two it
//! may remember, each behind what was remembered before it: then their order must stay. GET and POST stand in the table that never changes, and `:authority`
//! may come before them.

use super::write::Writer;
use crate::fault::planted;
use crate::fingerprint::{Field, Form, H2Spec, Pseudo};

/// What brings a request's block of headers (RFC 7541) into the form of a spec: moves whole fields, and has them written.
#[derive(Debug)]
pub(super) struct Permuter {
    order: [Pseudo; 4],
    writer: Writer,
}

impl Permuter {
    pub(super) fn new(spec: &H2Spec) -> Self {
        Permuter {
            order: spec.pseudo_order(),
            writer: Writer::new(spec),
        }
    }

    /// Appends `block` to `out` in its other form; if it cannot be moved, in one that its reader takes for the same, and answers false.
    pub(super) fn reblock(&mut self, block: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(parts) = Parts::of(block) else {
            self.writer.append(block, out);
            return false;
        };
        let mut order = self.order;
        let place = |pseudo| order.iter().position(|one| *one == pseudo);
        let (method, authority) = (place(Pseudo::Method), place(Pseudo::Authority));
        let fits = authority > method || parts.authority.is_empty() || parts.has_static_method();
        if let (false, Some(method), Some(authority)) =
            (fits || planted("any_method_is_overtaken"), method, authority)
        {
            order[authority..=method].rotate_right(1);
        }
        for pseudo in order {
            let field = match pseudo {
                Pseudo::Method => parts.method,
                Pseudo::Scheme => parts.scheme,
                Pseudo::Authority => parts.authority,
                Pseudo::Path => parts.path,
            };
            self.writer.append(field, out);
        }
        self.writer.append(parts.rest, out);
        fits
    }
}

/// A request as h2 writes it.
#[derive(Default)]
struct Parts<'a> {
    method: &'a [u8],
    scheme: &'a [u8],
    authority: &'a [u8],
    path: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(block: &'a [u8]) -> Option<Self> {
        let mut rest = Fields(block);
        let mut parts = Parts {
            method: rest.named(Pseudo::Method)?,
            ..Parts::default()
        };
        let is_scheme = |field: Field| field.pseudo() == Some(Pseudo::Scheme);
        if !rest.peek().is_some_and(is_scheme) {
            // CONNECT has no more than an authority; with any other scheme there is a path.
            parts.authority = rest.named(Pseudo::Authority)?;
            parts.rest = rest.0;
            while let Some(field) = rest.peek() {
                if field.pseudo().is_some() {
                    return None;
                }
                rest.next()?;
            }
            return Some(parts);
        }
        parts.scheme = rest.forgotten()?;
        let is_path = |field: Field| field.pseudo() == Some(Pseudo::Path);
        if !rest.peek().is_some_and(is_path) {
            parts.authority = rest.named(Pseudo::Authority)?;
        }
        if !rest.peek().is_some_and(is_path) {
            return None;
        }
        parts.path = rest.forgotten()?;
        parts.rest = rest.0;
        Some(parts)
    }

    /// Whether `:method` stands in the table that never changes, by its name and its value.
    fn has_static_method(&self) -> bool {
        let field = Field::first(self.method);
        field.is_some_and(|field| matches!(field.form, Form::Indexed(_)) && !field.is_remembered())
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn peek(&self) -> Option<Field> {
        Field::first(self.0)
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at(self.peek()?.len);
        self.0 = rest;
        Some(field)
    }

    /// The next one, which is `pseudo`, or stands where it must and is known to the tables alone.
    fn named(&mut self, pseudo: Pseudo) -> Option<&'a [u8]> {
        let field = self.peek()?;
        let fits = field.pseudo() == Some(pseudo) || field.is_remembered();
        fits.then(|| self.next()).flatten()
    }

    /// The next one, unless the peer is to remember it.
    fn forgotten(&mut self) -> Option<&'a [u8]> {
        let kept = matches!(self.peek()?.form, Form::Literal { kept: true, .. });
        let takes = !kept || planted("anything_is_moved");
        takes.then(|| self.next()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: [Pseudo; 4] = [Pseudo::Method, Pseudo::Path, Pseudo::Authority, Pseudo::Scheme];

    fn permuter(order: [Pseudo; 4]) -> Permuter {
        Permuter::new(&H2Spec::new([], order).expect("a spec"))
    }

    fn permuted(block: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let known = permuter(FIREFOX).reblock(block, &mut out);
        if !known {
            assert_eq!(out, block, "what is not known stays as it is");
        }
        known.then_some(out)
    }

    #[test]
    fn whole_fields_move() {
        let block = b"\x82\x87\x41\x01a\x04\x02/x\x40\x01k\x01v";
        let moved = b"\x82\x04\x02/x\x41\x01a\x87\x40\x01k\x01v";
        assert_eq!(permuted(block).as_deref(), Some(&moved[..]));
    }

    #[test]
    fn what_is_remembered_keeps_its_place() {
        // :method and :authority as the table has them; a request without an authority, as old as HTTP/1.
        let moved = permuted(b"\xbf\x87\xbe\x84\xbd");
        assert_eq!(moved.as_deref(), Some(&b"\xbf\x84\xbe\x87\xbd"[..]));
        assert_eq!(permuted(b"\x82\x87\x84").as_deref(), Some(&b"\x82\x84\x87"[..]));
        // CONNECT.
        let connect = b"\x42\x07CONNECT\x41\x01a\xbe";
        assert_eq!(permuted(connect).as_deref(), Some(&connect[..]));
    }

    /// Go's order: `:authority` overtakes what is in no table that changes.
    #[test]
    fn an_authority_comes_first_where_no_table_would_notice() {
        let order = [Pseudo::Authority, Pseudo::Method, Pseudo::Path, Pseudo::Scheme];
        for (block, moved, known) in [
            (
                &b"\x82\x87\x41\x01a\x84\xbe"[..],
                &b"\x41\x01a\x82\x84\x87\xbe"[..],
                true,
            ),
            (b"\x83\x87\xbf\x84", b"\xbf\x83\x84\x87", true),
            (b"\x82\x87\x84", b"\x82\x84\x87", true),
            // PUT, as it is remembered, and then as it was.
            (
                b"\x42\x03PUT\x87\x41\x01a\x84",
                b"\x42\x03PUT\x41\x01a\x84\x87",
                false,
            ),
            (b"\xbf\x87\xbe\x84", b"\xbf\xbe\x84\x87", false),
            (b"\x02\x03PUT\x87\xbe\x84", b"\x02\x03PUT\xbe\x84\x87", false),
            (
                b"\x42\x07CONNECT\x41\x01a\xbe",
                b"\x42\x07CONNECT\x41\x01a\xbe",
                false,
            ),
        ] {
            let mut out = Vec::new();
            assert_eq!(permuter(order).reblock(block, &mut out), known, "{block:?}");
            assert_eq!(out, moved, "{block:?}");
        }
        let last = [Pseudo::Scheme, Pseudo::Authority, Pseudo::Path, Pseudo::Method];
        let mut out = Vec::new();
        assert!(!permuter(last).reblock(b"\xbf\x87\xbe\x84", &mut out));
        assert_eq!(out, b"\x87\xbf\xbe\x84", "the method just ahead of it");
    }

    #[test]
    fn what_is_of_another_form_stays() {
        for block in [
            &b""[..],
            b"\x20",
            b"\x88",                         // an answer
            b"\x82\x46\x03wss\x41\x01a\x84", // a scheme that is remembered
            b"\x82\x87\x41\x01a\x44\x02/x",  // a path that is
            b"\x82\xbd\xbe\x84",             // a scheme and an authority that are remembered
            b"\x82\x87\xbe\xbf\x84",         // one field too many
            b"\x82\x87\x41\x05a",            // cut short
            b"\x87\x82\x41\x01a\x84",        // another order
        ] {
            assert_eq!(permuted(block), None, "{block:?}");
        }
    }
}
