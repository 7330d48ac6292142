//! The size of the table of fields that a server keeps, answered as a client does; pure.
//!
//! A server says how large it may be (SETTINGS_HEADER_TABLE_SIZE), and the next block of fields begins with what the client makes of it (RFC 7541 section 4.2). h2 makes 4,096 octets of
//! more, and then says nothing. Whatever a spec says in h2's place is no smaller, and entries are counted from the newest on: each that h2 has in its own table stands at the same place in a
//! larger one, ahead of others that h2 has forgotten.
//!
//! h2 goes by a size once it has acknowledged it: the block behind the acknowledgement is the first that may say so.

use std::collections::VecDeque;

use super::frames::Found;
use super::write::number;
use crate::fault::planted;
use crate::fingerprint::{Field, Form, H2Spec};

/// SETTINGS_HEADER_TABLE_SIZE (RFC 9113 section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
/// What stands ahead of the size in a dynamic table size update (RFC 7541 section 6.3), and where a longer number goes on.
const UPDATE: u8 = 0x20;
const UPDATE_PREFIX: u8 = 0x1f;

/// What a table of one connection is told.
#[derive(Debug)]
pub(super) struct Table {
    /// What the client makes of more.
    limit: u32,
    /// Whether it answers a size that changes nothing, too.
    every: bool,
    /// SETTINGS that were read, and those of them that were acknowledged.
    read: u64,
    acknowledged: u64,
    /// The size that the SETTINGS have which are just read: the last, if there are several, as h2 takes it.
    reading: Option<u32>,
    /// Sizes that are still to be acknowledged, each with the number of its SETTINGS. No more than fit into what h2 reads at once: it reads on when it has acknowledged them.
    sizes: VecDeque<(u64, u32)>,
    /// The size that is in force.
    size: u32,
    /// The least since the last block, if it has to be said.
    least: u32,
    /// Whether the next block says so.
    waits: bool,
}

impl Table {
    pub(super) fn new(spec: &H2Spec) -> Self {
        Table {
            limit: spec.table_limit(),
            every: spec.every_table_size() && !planted("equal_sizes_are_not_said"),
            read: 0,
            acknowledged: 0,
            reading: None,
            sizes: VecDeque::new(),
            size: H2Spec::TABLE,
            least: u32::MAX,
            waits: false,
        }
    }

    /// This came from the server.
    pub(super) fn heard(&mut self, found: Found) {
        match found {
            Found::Setting(HEADER_TABLE_SIZE, size) => {
                let first = self.reading.filter(|_| planted("the_first_size_of_two_holds"));
                self.reading = first.or(Some(size));
            }
            Found::Frame(frame) if frame.sets() => {
                self.read += 1;
                if let Some(size) = self.reading.take() {
                    self.sizes.push_back((self.read, size));
                }
            }
            _ => {}
        }
        if planted("sizes_hold_before_they_are_acknowledged") {
            while let Some((_, size)) = self.sizes.pop_front() {
                self.take(size);
            }
        }
    }

    /// The next of the server's SETTINGS is acknowledged.
    pub(super) fn acknowledge(&mut self) {
        self.acknowledged += 1;
        if let Some(&(nth, size)) = self.sizes.front()
            && nth <= self.acknowledged
        {
            self.sizes.pop_front();
            self.take(size);
        }
    }

    fn take(&mut self, size: u32) {
        let size = match self.limit {
            _ if planted("larger_tables_are_not_taken") => size.min(H2Spec::TABLE),
            _ if planted("any_client_takes_larger_tables") => size,
            limit => size.min(limit),
        };
        if size == self.size && !self.every {
            return;
        }
        if size < self.size || self.every {
            self.least = self.least.min(size);
        }
        (self.size, self.waits) = (size, true);
    }

    /// Whether the next block says something of it, whatever it is for.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Begins in `out` the block that h2 wrote so. Answers what it has behind that.
    pub(super) fn begin<'a>(&mut self, block: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut fields = block;
        while let Some(field) = Field::first(fields).filter(|field| field.form == Form::Resize) {
            fields = &fields[field.len..];
        }
        if !self.waits {
            out.extend_from_slice(&block[..block.len() - fields.len()]);
            return fields;
        }
        if self.least < self.size && !planted("the_least_size_is_not_said") {
            number(UPDATE, UPDATE_PREFIX, self.least as usize, out);
        }
        number(UPDATE, UPDATE_PREFIX, self.size as usize, out);
        (self.least, self.waits) = (u32::MAX, false);
        match planted("h2s_size_is_said_as_well") {
            true => block,
            false => fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::Frames;
    use super::super::frames::tests::frame;
    use super::*;
    use crate::fingerprint::Profile;
    use crate::fingerprint::frame::{flag, kind};

    fn table(limit: u32, every: bool) -> Table {
        let spec = Profile::go().h2().cloned().expect("a spec");
        Table::new(&spec.with_table_limit(limit).with_every_table_size(every))
    }

    /// The server says these sizes, each in SETTINGS of its own.
    fn say(table: &mut Table, sizes: &[u32]) {
        for size in sizes {
            let entry = [&[0, 1][..], &size.to_be_bytes()].concat();
            let settings = frame(kind::SETTINGS, 0, 0, &entry);
            Frames::inbound().follow(&settings, |found| table.heard(found));
        }
    }

    fn begun(table: &mut Table, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let rest = table.begin(block, &mut out).to_vec();
        [out, rest].concat()
    }

    #[test]
    fn the_least_and_the_last_are_said_once_they_are_acknowledged() {
        for (limit, every, steps) in [
            (
                // Chromium: what changes, and the least if it went down to it.
                u32::MAX,
                false,
                [
                    (&[4_096][..], &b""[..]),
                    (&[65_536], b"\x3f\xe1\xff\x03"),
                    (&[u32::MAX], b"\x3f\xe0\xff\xff\xff\x0f"),
                    (&[8_192, 4_096], b"\x3f\xe1\x1f"),
                    (&[0, 65_536], b"\x20\x3f\xe1\xff\x03"),
                    (&[100], b"\x3f\x45"),
                    (&[200, 300], b"\x3f\x8d\x02"),
                    (&[300], b""),
                ],
            ),
            (
                // Firefox.
                u32::MAX,
                true,
                [
                    (&[4_096], b"\x3f\xe1\x1f"),
                    (&[65_536], b"\x3f\xe1\xff\x03"),
                    (&[u32::MAX], b"\x3f\xe0\xff\xff\xff\x0f"),
                    (&[8_192, 4_096], b"\x3f\xe1\x1f"),
                    (&[0, 65_536], b"\x20\x3f\xe1\xff\x03"),
                    (&[100], b"\x3f\x45"),
                    (&[200, 300], b"\x3f\xa9\x01\x3f\x8d\x02"),
                    (&[300], b"\x3f\x8d\x02"),
                ],
            ),
            (
                // nghttp2.
                4_096,
                true,
                [
                    (&[4_096], b"\x3f\xe1\x1f"),
                    (&[65_536], b"\x3f\xe1\x1f"),
                    (&[u32::MAX], b"\x3f\xe1\x1f"),
                    (&[8_192, 4_096], b"\x3f\xe1\x1f"),
                    (&[0, 65_536], b"\x20\x3f\xe1\x1f"),
                    (&[100], b"\x3f\x45"),
                    (&[200, 300], b"\x3f\xa9\x01\x3f\x8d\x02"),
                    (&[300], b"\x3f\x8d\x02"),
                ],
            ),
            (
                // h2.
                0,
                false,
                [
                    (&[4_096], b""),
                    (&[65_536], b""),
                    (&[u32::MAX], b""),
                    (&[8_192, 4_096], b""),
                    (&[0, 65_536], b"\x20\x3f\xe1\x1f"),
                    (&[100], b"\x3f\x45"),
                    (&[200, 300], b"\x3f\x8d\x02"),
                    (&[300], b""),
                ],
            ),
        ] {
            let mut table = table(limit, every);
            for (sizes, said) in steps {
                say(&mut table, sizes);
                assert_eq!(begun(&mut table, b"\x82"), b"\x82", "before it is acknowledged");
                sizes.iter().for_each(|_| table.acknowledge());
                assert_eq!(table.waits(), !said.is_empty());
                // Whatever h2 says of it itself.
                let h2s: &[u8] = if said.is_empty() { b"" } else { b"\x20\x3f\xe1\x1f" };
                let (all, said) = ([h2s, b"\x82\xbe"].concat(), [said, b"\x82\xbe"].concat());
                assert_eq!(begun(&mut table, &all), said, "{sizes:?}");
                assert_eq!(begun(&mut table, b"\x82\xbe"), b"\x82\xbe", "said once");
            }
        }
    }

    #[test]
    fn other_settings_are_counted_and_of_two_sizes_the_last_holds() {
        let mut table = table(u32::MAX, false);
        let mut frames = Frames::inbound();
        let none = frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        let two = [[0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0x20, 0]].concat();
        let two = frame(kind::SETTINGS, 0, 0, &two);
        let mine = frame(kind::SETTINGS, flag::ACK, 0, &[]);
        frames.follow(&[mine, none, two].concat(), |found| table.heard(found));
        table.acknowledge();
        assert!(!table.waits(), "an acknowledgement of something else");
        table.acknowledge();
        assert_eq!(begun(&mut table, b"\x82"), b"\x3f\xe1\x3f\x82");
    }
}
