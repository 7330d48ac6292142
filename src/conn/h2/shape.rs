//! What h2 writes, frame by frame, in the shape of a spec; pure.
//!
//! | h2 writes | what goes out |
//! |---|---|
//! | its preface | the spec's whole first flight |
//! | its first SETTINGS, and the WINDOW_UPDATE that raises its window to the spec's | nothing: both are in the first flight |
//! | the HEADERS of a request, and their CONTINUATION | HEADERS with the spec's priority and order, written as the spec has it and cut anew; the stream's WINDOW_UPDATE |
//! | the acknowledgement of the server's SETTINGS | as it is; what they say of its table of fields holds from here on |
//! | the next block of fields behind that, be it of trailers | what the spec's client answers to it, in place of h2's own answer |
//! | a PING of its user's | the same with the payload of the spec's client |
//! | GOAWAY with NO_ERROR | nothing, if the spec's client says no goodbye |
//! | everything else | as it is |
//!
//! Frames that change are held until they are whole. What passes is not copied where it is long.

use std::io::IoSlice;

use super::frames::Found;
use super::permute::Permuter;
use super::ping::Pings;
use super::sent::H2Sent;
use super::table::Table;
use crate::fault::planted;
use crate::fingerprint::frame::{self, HEADER, flag, kind, length};
use crate::fingerprint::{H2Spec, pseudo_order};

/// The preface that h2 writes, in octets.
const PREFACE: usize = 24;

/// How long a GOAWAY is that says nothing beyond its last stream and its error code (RFC 9113 section 6.8).
const BARE_GOAWAY: u32 = 8;
/// The error code NO_ERROR, behind the last stream.
const NO_ERROR: [u8; 4] = [0; 4];

/// What any peer takes in one frame (RFC 9113 section 4.2). Browsers send no longer HEADERS, whatever a peer takes.
const FRAME: usize = 16_384;
/// What passes and is no longer than this may be copied, to go out together with what stands around it.
const COPY: usize = 1_024;
/// A buffer that grew for a long block is let go of.
const KEEP: usize = 4_096;

/// The writing side of one connection. See the module.
#[derive(Debug)]
pub(super) struct Shape {
    /// How much of h2's preface has come.
    preface: usize,
    /// The flight that takes its place, until then.
    flight: Vec<u8>,
    /// Whether h2's first SETTINGS are still to come.
    settings: bool,
    /// The increment of h2's WINDOW_UPDATE that is still to come; 0 if none is.
    window: u32,
    priority: Option<[u8; 5]>,
    stream_window: u32,
    blocks: Permuter,
    table: Table,
    pings: Pings,
    /// Whether it says GOAWAY when it ends without an error.
    goodbye: bool,
    sent: H2Sent,
    /// The highest stream that was opened.
    latest: u32,
    /// Which is to be the first, until it was opened.
    first: Option<u32>,

    /// How much of the current frame is still to pass as it is.
    passing: u32,
    /// The header of the current frame, and how much of it has come.
    header: [u8; HEADER],
    got: usize,
    /// The payload of what is held, and how much of the current frame's is still to come.
    held: Vec<u8>,
    wanted: usize,
    /// Whose block is held.
    block_of: Option<Owner>,
    /// What is to go out.
    out: Vec<u8>,
    /// Where a block is put in its other form.
    block: Vec<u8>,
}

/// What a block of fields is for.
#[derive(Clone, Copy, Debug)]
struct Owner {
    stream: u32,
    /// Whether it opens the stream; else these are trailers.
    opens: bool,
    /// Whether nothing follows it.
    ends: bool,
}

impl Shape {
    pub(super) fn new(spec: &H2Spec) -> Self {
        let flight = spec.first_flight();
        Shape {
            preface: 0,
            settings: true,
            window: spec.window_update(),
            priority: spec.headers_priority().map(|priority| priority.to_bytes()),
            stream_window: spec.stream_window_update(),
            blocks: Permuter::new(spec),
            table: Table::new(spec),
            pings: Pings::new(spec),
            goodbye: spec.goodbye() || planted("everybody_says_goodbye"),
            sent: H2Sent::new(&flight),
            flight,
            latest: 0,
            first: Some(spec.first_stream()),
            passing: 0,
            header: [0; HEADER],
            got: 0,
            held: Vec::new(),
            wanted: 0,
            block_of: None,
            out: Vec::new(),
            block: Vec::new(),
        }
    }

    /// What it has sent so far.
    pub(super) fn sent(&self) -> &H2Sent {
        &self.sent
    }

    /// This came from the server.
    pub(super) fn heard(&mut self, found: Found) {
        self.table.heard(found);
    }

    /// Which bits are to be flipped of what answers a PING, before h2 has it.
    pub(super) fn ping_mask(&self) -> [u8; 8] {
        self.pings.mask()
    }

    /// How much of `bufs`, from the first octet on, may be written as it is; none if that is not all of it, and too little to be worth a write of its
    /// own. [`pass`](Self::pass) is told how much was.
    pub(super) fn passable(&self, bufs: &[IoSlice<'_>]) -> Option<usize> {
        let whole: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut passing = self.passing;
        let count = self.walk(&mut passing, bufs, whole);
        (count == whole || count > COPY).then_some(count)
    }

    /// So much of `bufs` has been written as it is.
    pub(super) fn pass(&mut self, bufs: &[IoSlice<'_>], count: usize) {
        let mut passing = self.passing;
        self.walk(&mut passing, bufs, count);
        self.passing = passing;
    }

    /// Goes over what passes of `bufs`, up to `most` octets. Answers how many they are.
    fn walk(&self, passing: &mut u32, bufs: &[IoSlice<'_>], most: usize) -> usize {
        let mut count = 0;
        if self.preface < PREFACE || self.got > 0 {
            return 0;
        }
        for buf in bufs {
            let mut rest = &buf[..buf.len().min(most - count)];
            // A frame's header may be there, though not all of it counts.
            let mut seen: &[u8] = buf;
            while !rest.is_empty() {
                if *passing == 0 {
                    let Some(header) = seen.first_chunk().filter(|header| !self.changes(header)) else {
                        return count;
                    };
                    *passing = length(header) + HEADER as u32;
                }
                let step = rest.len().min(*passing as usize);
                (rest, seen) = (&rest[step..], &seen[step..]);
                *passing -= step as u32; // no more than it was
                count += step;
            }
        }
        count
    }

    /// Whether this frame goes out in another form, or not at all.
    fn changes(&self, header: &[u8; HEADER]) -> bool {
        let [_, _, _, kind, flags, ..] = *header;
        // While a block is open nothing else may come (RFC 9113 section 4.3), and what does all the same must not end up in it.
        if self.block_of.is_some() {
            return kind == kind::CONTINUATION;
        }
        let stream = stream(header);
        match kind {
            kind::HEADERS => {
                let changes = stream > self.latest || self.table.waits() && !planted("trailers_say_h2s_size");
                changes && flags & !(flag::END_STREAM | flag::END_HEADERS) == 0
            }
            kind::SETTINGS => self.settings || flags & flag::ACK != 0,
            kind::WINDOW_UPDATE => self.window > 0 && stream == 0,
            kind::PING => flags & flag::ACK == 0 && self.pings.change(),
            kind::GOAWAY => !self.goodbye && length(header) == BARE_GOAWAY,
            _ => false,
        }
    }

    /// Takes from `bufs` what [`out`](Self::out) then has in another form, or holds it until it is whole. Answers how much that is.
    pub(super) fn take(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        let mut count = 0;
        for buf in bufs {
            let taken = self.take_from(buf);
            count += taken;
            if taken < buf.len() {
                break;
            }
        }
        count
    }

    fn take_from(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.preface < PREFACE {
                let step = rest.len().min(PREFACE - self.preface);
                self.preface += step;
                rest = &rest[step..];
                if self.preface == PREFACE {
                    self.out.append(&mut std::mem::take(&mut self.flight));
                }
                continue;
            }
            if self.passing > 0 {
                if self.passing as usize > COPY {
                    break; // in a write of its own
                }
                let step = rest.len().min(self.passing as usize);
                self.out.extend_from_slice(&rest[..step]);
                self.passing -= step as u32; // no more than it was
                rest = &rest[step..];
                continue;
            }
            if self.got < HEADER {
                let step = rest.len().min(HEADER - self.got);
                self.header[self.got..self.got + step].copy_from_slice(&rest[..step]);
                self.got += step;
                rest = &rest[step..];
                if self.got < HEADER {
                    break;
                }
                if !self.changes(&self.header) {
                    self.out.extend_from_slice(&self.header);
                    (self.passing, self.got) = (length(&self.header), 0);
                    continue;
                }
                self.wanted = length(&self.header) as usize;
            }
            let step = rest.len().min(self.wanted);
            self.held.extend_from_slice(&rest[..step]);
            self.wanted -= step;
            rest = &rest[step..];
            if self.wanted == 0 {
                self.got = 0;
                self.change();
            }
        }
        bytes.len() - rest.len()
    }

    /// A frame that changes is there.
    fn change(&mut self) {
        let [_, _, _, kind, flags, ..] = self.header;
        match kind {
            kind::SETTINGS if self.settings => self.settings = false,
            kind::SETTINGS => {
                self.put_as_it_is();
                self.table.acknowledge();
            }
            kind::WINDOW_UPDATE => {
                let asked = self.held.first_chunk().map(|word| u32::from_be_bytes(*word));
                if asked != Some(self.window) || planted("h2_raises_its_window_again") {
                    self.put_as_it_is();
                }
                self.window = 0;
            }
            kind::PING => {
                if let Some(payload) = self.held.first_chunk_mut() {
                    *payload = self.pings.send(*payload);
                }
                self.put_as_it_is();
            }
            kind::GOAWAY => {
                let ends_well = self.held.ends_with(&NO_ERROR) || planted("errors_are_kept_from_the_server");
                if !ends_well {
                    self.put_as_it_is();
                }
            }
            _ => {
                if kind == kind::HEADERS {
                    let stream = stream(&self.header);
                    let opens = stream > self.latest;
                    self.latest = self.latest.max(stream);
                    let ends = flags & flag::END_STREAM != 0;
                    self.block_of = Some(Owner { stream, opens, ends });
                }
                if flags & flag::END_HEADERS != 0
                    && let Some(owner) = self.block_of.take()
                {
                    self.send_block(owner);
                } else {
                    return; // the block goes on
                }
            }
        }
        clear(&mut self.held);
    }

    fn put_as_it_is(&mut self) {
        self.out.extend_from_slice(&self.header);
        self.out.extend_from_slice(&self.held);
    }

    /// A whole block of fields is there.
    fn send_block(&mut self, Owner { stream, opens, ends }: Owner) {
        let fields = self.table.begin(&self.held, &mut self.block);
        if !opens {
            self.block.extend_from_slice(fields);
        } else if !self.blocks.reblock(fields, &mut self.block) && !planted("odd_blocks_are_not_counted") {
            self.sent.unknown();
        }
        let (priority, window) = match opens {
            true => (self.priority, self.stream_window),
            false => (None, 0),
        };
        if let Some(first) = self.first.take_if(|_| opens) {
            self.sent.request(pseudo_order(&self.block));
            if first != stream {
                self.sent.unknown();
            }
        }
        let ends = if ends { flag::END_STREAM } else { 0 };
        let (first, mark) = match priority {
            Some(_) => (FRAME - 5, flag::PRIORITY),
            None => (FRAME, 0),
        };
        let most = if planted("blocks_outgrow_their_frame") {
            usize::MAX
        } else {
            first
        };
        let (head, mut rest) = self.block.split_at(self.block.len().min(most));
        let end = |rest: &[u8]| if rest.is_empty() { flag::END_HEADERS } else { 0 };
        let priority = priority.as_ref().map_or(&[][..], |priority| &priority[..]);
        let flags = ends | mark | end(rest);
        let length = priority.len() + head.len();
        self.out
            .extend(frame::header(length, kind::HEADERS, flags, stream));
        self.out.extend_from_slice(priority);
        self.out.extend_from_slice(head);
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(FRAME));
            self.out
                .extend(frame::header(piece.len(), kind::CONTINUATION, end(rest), stream));
            self.out.extend_from_slice(piece);
        }
        if window > 0 {
            self.out.extend(frame::window_update(stream, window));
        }
        clear(&mut self.block);
    }

    /// What is to go out ahead of anything else. Whoever writes some of it removes that.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}

/// Empties it, and keeps no more room than most need.
pub(super) fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEEP);
}

fn stream(header: &[u8; HEADER]) -> u32 {
    let [.., a, b, c, d] = *header;
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::frames::tests::frame;
    use super::*;
    use crate::fingerprint::Profile;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// What becomes of h2's output that is written in these pieces.
    fn shaped(pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut shape = Profile::firefox_esr(153)
            .expect("known")
            .h2()
            .map(Shape::new)
            .expect("a spec");
        let mut out = Vec::new();
        for piece in pieces {
            let mut left = &piece[..];
            while !left.is_empty() {
                let bufs = [IoSlice::new(left)];
                let count = match shape.passable(&bufs) {
                    Some(count) => {
                        // As a transport that has little room.
                        let count = count.min(1 + count / 2);
                        out.extend_from_slice(&left[..count]);
                        shape.pass(&bufs, count);
                        count
                    }
                    None => shape.take(&bufs),
                };
                assert!(count > 0, "no progress");
                out.append(shape.out());
                left = &left[count..];
            }
        }
        (out, shape.sent().unshaped_requests())
    }

    /// A frame as h2 writes them, of any length.
    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let block = prop_oneof![
            Just(b"\x82\x87\x41\x01a\x84".to_vec()),
            Just(b"\x20\xbf\x87\xbe\x04\x01/\x40\x01x\x01y".to_vec()),
            vec(any::<u8>(), 0..40),
            vec(any::<u8>(), 16_380..16_384),
        ];
        (0..8_u8, 0..6_u32, any::<bool>(), block).prop_map(|(which, stream, ends, block)| {
            let (stream, ends) = (2 * stream + 1, u8::from(ends));
            match which {
                0 | 1 => frame(kind::HEADERS, flag::END_HEADERS | ends, stream, &block),
                2 => {
                    let more = frame(kind::CONTINUATION, flag::END_HEADERS, stream, &block);
                    [frame(kind::HEADERS, ends, stream, &block), more].concat()
                }
                3 => frame(kind::SETTINGS, 1, 0, &[]),
                4 => frame(kind::WINDOW_UPDATE, 0, 0, &12_517_377_u32.to_be_bytes()),
                5 => frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]),
                _ => frame(kind::DATA, ends, stream, &block),
            }
        })
    }

    #[test]
    fn what_comes_within_a_block_is_no_part_of_it() {
        let opened = [PREFACE, &frame(4, 0, 0, b"")].concat();
        let update = frame(8, 0, 0, &[0, 0, 0, 1]);
        let (block, rest) = (frame(1, 0, 1, b"\x82"), frame(9, flag::END_HEADERS, 1, b"\x87"));
        let flight = shaped(&[&opened]).0;
        let (all, _) = shaped(&[&opened, &block, &update, &rest]);
        let after = all
            .strip_prefix(&flight[..])
            .and_then(|all| all.strip_prefix(&update[..]));
        let header = after
            .and_then(|after| after.first_chunk())
            .expect("a frame after it");
        assert_eq!((header[3], stream(header)), (kind::HEADERS, 1));
    }

    proptest! {
        #[test]
        fn however_h2s_output_is_cut_the_same_goes_out(
            frames in vec(any_frame(), 0..12),
            mut cuts in vec(0..60_000_usize, 0..12),
        ) {
            let bytes = [PREFACE.to_vec(), frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0]), frames.concat()].concat();
            let whole = shaped(&[&bytes]);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([bytes.len()]);
            let begins = [0].into_iter().chain(cuts.iter().copied());
            let pieces: Vec<&[u8]> = begins.zip(ends).map(|(begin, end)| &bytes[begin..end]).collect();
            prop_assert_eq!(shaped(&pieces), whole.clone());
            let small: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(shaped(&small), whole);
        }
    }
}
