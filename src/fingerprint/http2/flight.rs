//! The bytes of a first flight, written and read.

use super::super::is_grease;
use super::super::learned::{Assumption, Learned};
use super::block::pseudo_order;
use super::frame::{self, ENTRY, HEADER, flag, kind};
use super::written::Written;
use super::{H2Spec, H2SpecError, PREFACE, Priority, PriorityFrame, Pseudo};

const LOW_31: u32 = (1 << 31) - 1;
/// What errors call captured bytes.
const FIELD: &str = "first_flight";
/// The longest payload that every peer takes (RFC 9113 section 4.2).
const MAX_FRAME: usize = 16_384;

impl H2Spec {
    /// What goes out before the first request: preface, kind::SETTINGS, kind::WINDOW_UPDATE, PRIORITY.
    pub(crate) fn first_flight(&self) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        let length = self.settings.len() * ENTRY;
        bytes.extend(frame::header(length, kind::SETTINGS, 0, 0));
        for (id, value) in &self.settings {
            bytes.extend(id.to_be_bytes());
            bytes.extend(value.to_be_bytes());
        }
        if self.window_update > 0 {
            bytes.extend(frame::window_update(0, self.window_update));
        }
        for PriorityFrame { stream, priority } in &self.priority_frames {
            bytes.extend(frame::header(5, kind::PRIORITY, 0, *stream));
            bytes.extend(priority.to_bytes());
        }
        bytes
    }

    /// Learns a spec from what a client sent: from its preface to its first request and what stands behind that, an update of the request's
    /// stream or frames of the connection. What comes later is no part of it. Fields of the request in a form that would not be repeated are
    /// [said](Assumption::FieldForm).
    ///
    /// # Errors
    /// [`H2SpecError`] if there is no request in it or nothing behind it, or if it has anything that a connection of a spec would not send or could not keep:
    /// another frame before the request, or between it and the update of its stream but for an acknowledgement; a second update of a window, padding, flags of no
    /// meaning, strings that are in Huffman's code by no one rule.
    pub fn from_preface(bytes: &[u8]) -> Result<Learned<Self>, H2SpecError> {
        let mut flight = Flight::read(bytes)?;
        if let Some(why) = flight.unlike {
            return Err(H2SpecError::new(FIELD, why));
        }
        let Some(request) = flight.request else {
            return Err(H2SpecError::new(FIELD, "there is no request in it"));
        };
        let written = Written::of(&request.block)
            .ok_or_else(|| H2SpecError::new(FIELD, "strings of the request are coded in no one way"))?;
        let order = <[Pseudo; 4]>::try_from(request.pseudo)
            .map_err(|_| H2SpecError::new("pseudo_order", "not the four of a request"))?;
        let drawn = flight.settings.iter().filter(|(id, _)| is_grease(*id));
        let drawn = drawn.map(|&(id, value)| Assumption::GreaseSetting { id, value });
        flight.open.extend(drawn);
        flight.open.push(Assumption::EveryRequest);
        flight.open.push(Assumption::LaterFrames);
        flight.open.extend(written.assumptions());
        let spec = H2Spec::new(flight.settings, order)?
            .with_window_update(flight.window_update)?
            .with_priority_frames(flight.priority_frames)?
            .with_first_stream(request.stream)?
            .with_headers_priority(request.priority)?
            .with_stream_window_update(request.window_update)?
            .with_huffman(written.huffman)
            .with_literal_path(written.literal_path.unwrap_or(false))
            .with_never_indexed(written.never_indexed.unwrap_or(false));
        Ok(Learned {
            spec,
            captures: 1,
            assumptions: flight.open,
        })
    }
}

impl Priority {
    /// As HEADERS and PRIORITY have it.
    pub(crate) fn to_bytes(self) -> [u8; 5] {
        let exclusive = u32::from(self.exclusive) << 31;
        let [a, b, c, d] = (exclusive | self.depends_on).to_be_bytes();
        [a, b, c, d, (self.weight - 1) as u8] // checked: 1 to 256
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, weight] = bytes else {
            return None;
        };
        let word = u32::from_be_bytes([a, b, c, d]);
        Some(Priority {
            exclusive: word > LOW_31,
            depends_on: word & LOW_31,
            weight: u16::from(weight) + 1,
        })
    }
}

/// What was read.
pub(super) struct Flight {
    pub(super) settings: Vec<(u16, u32)>,
    /// 0 if there is none.
    pub(super) window_update: u32,
    pub(super) priority_frames: Vec<PriorityFrame>,
    pub(super) request: Option<Request>,
    /// The first thing that no connection of a spec would send.
    unlike: Option<String>,
    /// What of it is no part of a spec.
    open: Vec<Assumption>,
    /// How many frames were read.
    frames: usize,
}

pub(super) struct Request {
    pub(super) stream: u32,
    pub(super) priority: Option<Priority>,
    pub(super) pseudo: Vec<Pseudo>,
    /// Its headers, as they were written.
    block: Vec<u8>,
    /// The stream's, behind it. 0 if there is none.
    pub(super) window_update: u32,
    /// How many frames its block of headers has.
    frames: usize,
}

/// A whole frame.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    /// With the bit that is reserved.
    word: u32,
    payload: &'a [u8],
}

impl Frame<'_> {
    fn stream(&self) -> u32 {
        self.word & LOW_31
    }

    /// Whether it acknowledges the peer's SETTINGS.
    fn is_ack(&self) -> bool {
        self.kind == kind::SETTINGS
            && self.word == 0
            && self.flags & flag::ACK != 0
            && self.payload.is_empty()
    }

    /// What of its header a spec's own frame would not have.
    fn unlike(&self) -> Option<String> {
        let usual = match self.kind {
            kind::HEADERS => flag::END_STREAM | flag::END_HEADERS | flag::PRIORITY,
            kind::CONTINUATION => flag::END_HEADERS,
            kind::SETTINGS => flag::ACK,
            _ => 0,
        };
        if self.kind == kind::HEADERS && self.flags & flag::PADDED != 0 {
            return Some("the HEADERS are padded".to_owned());
        }
        if self.flags & !usual != 0 {
            return Some(format!(
                "a frame of kind {} has the flags {:#04x}",
                self.kind, self.flags
            ));
        }
        (self.word > LOW_31).then(|| format!("a frame of kind {} has the reserved bit", self.kind))
    }
}

impl Flight {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, H2SpecError> {
        let wrong = |why| H2SpecError::new(FIELD, why);
        let mut rest = bytes
            .strip_prefix(PREFACE)
            .ok_or_else(|| wrong("does not begin with the preface"))?;
        let first = next(&mut rest)
            .filter(|frame| frame.kind == kind::SETTINGS && frame.flags & flag::ACK == 0)
            .ok_or_else(|| wrong("the first frame is no SETTINGS"))?;
        let entries = first.payload.chunks(ENTRY).map(|entry| match *entry {
            [i, d, a, b, c, e] => Some((u16::from_be_bytes([i, d]), u32::from_be_bytes([a, b, c, e]))),
            _ => None,
        });
        let settings = entries
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("the SETTINGS are malformed"))?;
        let mut flight = Flight {
            settings,
            window_update: 0,
            priority_frames: Vec::new(),
            request: None,
            unlike: first.unlike(),
            open: Vec::new(),
            frames: 1,
        };
        if first.word != 0 {
            flight.note("the SETTINGS are of a stream");
        }
        while let Some(frame) = next(&mut rest) {
            if let Some(why) = frame.unlike() {
                flight.note(why);
            }
            if flight.take(&frame, &mut rest).map_err(wrong)? {
                return Ok(flight);
            }
            flight.frames += 1;
        }
        Ok(flight)
    }

    /// Only the first counts: what is behind it may follow from it.
    fn note(&mut self, why: impl Into<String>) {
        self.unlike.get_or_insert_with(|| why.into());
    }

    /// Takes a frame behind the first. `rest` is what follows it. Answers whether it was the request.
    fn take(&mut self, frame: &Frame<'_>, rest: &mut &[u8]) -> Result<bool, &'static str> {
        match (frame.kind, frame.stream()) {
            // The peer's SETTINGS had come before the request was made.
            _ if frame.is_ack() => self.open.push(Assumption::SettingsAck {
                frame: self.frames,
                before_request: true,
            }),
            (kind::WINDOW_UPDATE, 0) => self.take_update(frame),
            (kind::PRIORITY, stream) => {
                let priority = Priority::from_bytes(frame.payload).ok_or("a PRIORITY frame is malformed")?;
                self.priority_frames.push(PriorityFrame { stream, priority });
            }
            (kind::HEADERS, _) => {
                let (request, unlike) = Request::read(frame, rest).ok_or("the HEADERS are malformed")?;
                if let Some(why) = unlike {
                    self.note(why);
                }
                self.frames += request.frames;
                self.request = Some(request);
                self.take_behind(rest);
                return Ok(true);
            }
            (kind, stream) => self.note(format!(
                "a frame of kind {kind} on stream {stream} before the request"
            )),
        }
        Ok(false)
    }

    /// What stands behind the request: the update of its stream, or frames that show that there is none.
    fn take_behind(&mut self, rest: &mut &[u8]) {
        let Some(stream) = self.request.as_ref().map(|request| request.stream) else {
            return;
        };
        if rest.is_empty() {
            return self
                .note("it ends with the request: whether an update of its stream follows is not in it");
        }
        // An acknowledgement stands wherever h2 has read what it is for.
        let mut right_behind = true;
        while !rest.is_empty() {
            let Some(frame) = next(rest) else {
                return self.note("cut within a frame behind the request");
            };
            if frame.kind == kind::WINDOW_UPDATE && frame.stream() == stream {
                if !right_behind {
                    self.note("an update of the request's stream that does not stand right behind it");
                }
                return self.take_stream_update(&frame, rest);
            }
            if frame.is_ack() {
                self.open.push(Assumption::SettingsAck {
                    frame: self.frames,
                    before_request: false,
                });
            } else {
                self.open.push(Assumption::FrameBehind {
                    kind: frame.kind,
                    stream: frame.stream(),
                });
                // What is neither of the connection nor an update is a later part of the exchange.
                if frame.stream() != 0 {
                    return;
                }
                right_behind = false;
            }
            self.frames += 1;
        }
    }

    fn take_stream_update(&mut self, frame: &Frame<'_>, rest: &mut &[u8]) {
        let Some(request) = &mut self.request else {
            return;
        };
        let own = |frame: &Frame<'_>| frame.kind == kind::WINDOW_UPDATE && frame.stream() == request.stream;
        let second = next(rest).is_some_and(|frame| own(&frame));
        request.window_update = increment(frame).unwrap_or(0);
        if let Some(why) = frame.unlike() {
            self.note(why);
        }
        match increment(frame) {
            None => self.note("a WINDOW_UPDATE by nothing"),
            _ if second => self.note("a second WINDOW_UPDATE of the stream behind the request"),
            _ => {}
        }
    }

    fn take_update(&mut self, frame: &Frame<'_>) {
        if self.window_update > 0 {
            return self.note("a second WINDOW_UPDATE of the connection");
        }
        if !self.priority_frames.is_empty() {
            self.note("the WINDOW_UPDATE stands behind PRIORITY frames");
        }
        match increment(frame) {
            Some(increment) => self.window_update = increment,
            None => self.note("a WINDOW_UPDATE by nothing"),
        }
    }
}

impl Request {
    /// And what of it no spec would send. `rest` is what follows its HEADERS, and then what follows its block.
    fn read(headers: &Frame<'_>, rest: &mut &[u8]) -> Option<(Self, Option<String>)> {
        let mut payload = headers.payload;
        if headers.flags & flag::PADDED != 0 {
            let (padding, padded) = payload.split_first()?;
            payload = padded.get(..padded.len().checked_sub(usize::from(*padding))?)?;
        }
        let mut priority = None;
        if headers.flags & flag::PRIORITY != 0 {
            let (octets, block) = payload.split_at_checked(5)?;
            priority = Some(Priority::from_bytes(octets)?);
            payload = block;
        }
        let mut block = payload.to_vec();
        let (mut flags, mut last, mut unlike) = (headers.flags, headers.payload.len(), None);
        let mut frames = 1;
        while flags & flag::END_HEADERS == 0 {
            if last < MAX_FRAME {
                unlike = Some("a header block goes on in a CONTINUATION where a frame had room".to_owned());
            }
            let more = next(rest)
                .filter(|frame| frame.kind == kind::CONTINUATION && frame.stream() == headers.stream())?;
            unlike = unlike.or_else(|| more.unlike());
            block.extend(more.payload);
            (flags, last) = (more.flags, more.payload.len());
            frames += 1;
        }
        let request = Request {
            stream: headers.stream(),
            priority,
            pseudo: pseudo_order(&block),
            block,
            window_update: 0,
            frames,
        };
        Some((request, unlike))
    }
}

/// By how much, if it is an update of its form and by anything.
fn increment(frame: &Frame<'_>) -> Option<u32> {
    let word = <[u8; 4]>::try_from(frame.payload).ok()?;
    Some(u32::from_be_bytes(word) & LOW_31).filter(|increment| *increment > 0)
}

/// The next whole frame.
fn next<'a>(rest: &mut &'a [u8]) -> Option<Frame<'a>> {
    let (&[a, b, c, kind, flags, d, e, f, g], behind) = rest.split_first_chunk::<HEADER>()?;
    let (payload, behind) = behind.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)?;
    *rest = behind;
    Some(Frame {
        kind,
        flags,
        word: u32::from_be_bytes([d, e, f, g]),
        payload,
    })
}
