//! The bytes of a first flight, written and read.

use super::block::pseudo_order;
use super::frame::{self, ENTRY, HEADER, flag, kind};
use super::{H2Spec, H2SpecError, PREFACE, Priority, PriorityFrame, Pseudo};

const LOW_31: u32 = (1 << 31) - 1;

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

    /// The spec of which this is the first flight: what a client sent, from its preface to its first request and the frame behind that.
    ///
    /// # Errors
    /// [`H2SpecError`] if there is no request in it, or what it has cannot be kept here.
    pub fn from_first_flight(bytes: &[u8]) -> Result<Self, H2SpecError> {
        let flight = Flight::read(bytes)?;
        let Some(request) = flight.request else {
            return Err(H2SpecError::new("first_flight", "there is no request in it"));
        };
        let order = <[Pseudo; 4]>::try_from(request.pseudo)
            .map_err(|_| H2SpecError::new("pseudo_order", "not the four of a request"))?;
        H2Spec::new(flight.settings, order)?
            .with_window_update(flight.window_update)?
            .with_priority_frames(flight.priority_frames)?
            .with_first_stream(request.stream)?
            .with_headers_priority(request.priority)?
            .with_stream_window_update(request.window_update)
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
        let (word, rest) = bytes.split_first_chunk::<4>()?;
        let word = u32::from_be_bytes(*word);
        Some(Priority {
            exclusive: word > LOW_31,
            depends_on: word & LOW_31,
            weight: u16::from(*rest.first()?) + 1,
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
}

pub(super) struct Request {
    pub(super) stream: u32,
    pub(super) priority: Option<Priority>,
    pub(super) pseudo: Vec<Pseudo>,
    /// The stream's, in the frame behind it. 0 if that is another.
    pub(super) window_update: u32,
}

/// A whole frame.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

impl Flight {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, H2SpecError> {
        let wrong = |why| H2SpecError::new("first_flight", why);
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
        };
        while let Some(frame) = next(&mut rest) {
            match (frame.kind, frame.stream) {
                (kind::WINDOW_UPDATE, 0) if flight.window_update == 0 => {
                    flight.window_update = increment(&frame);
                }
                (kind::PRIORITY, stream) => {
                    let priority = Priority::from_bytes(frame.payload)
                        .ok_or_else(|| wrong("a PRIORITY frame is malformed"))?;
                    flight.priority_frames.push(PriorityFrame { stream, priority });
                }
                (kind::HEADERS, _) => {
                    let request =
                        Request::read(&frame, rest).ok_or_else(|| wrong("the HEADERS are malformed"))?;
                    flight.request = Some(request);
                    break;
                }
                _ => {}
            }
        }
        Ok(flight)
    }
}

impl Request {
    /// `rest` is what follows its HEADERS.
    fn read(headers: &Frame<'_>, mut rest: &[u8]) -> Option<Self> {
        let mut payload = headers.payload;
        if headers.flags & flag::PADDED != 0 {
            let (padding, padded) = payload.split_first()?;
            payload = padded.get(..padded.len().checked_sub(usize::from(*padding))?)?;
        }
        let mut priority = None;
        if headers.flags & flag::PRIORITY != 0 {
            priority = Some(Priority::from_bytes(payload)?);
            payload = payload.get(5..)?;
        }
        let mut block = payload.to_vec();
        let mut flags = headers.flags;
        while flags & flag::END_HEADERS == 0 {
            let more = next(&mut rest).filter(|frame| frame.kind == kind::CONTINUATION)?;
            block.extend(more.payload);
            flags = more.flags;
        }
        let behind = next(&mut rest);
        let own = |frame: &Frame<'_>| frame.kind == kind::WINDOW_UPDATE && frame.stream == headers.stream;
        Some(Request {
            stream: headers.stream,
            priority,
            pseudo: pseudo_order(&block),
            window_update: behind.filter(own).map_or(0, |frame| increment(&frame)),
        })
    }
}

fn increment(frame: &Frame<'_>) -> u32 {
    let word = frame
        .payload
        .first_chunk()
        .map_or(0, |word| u32::from_be_bytes(*word));
    word & LOW_31
}

/// The next whole frame.
fn next<'a>(rest: &mut &'a [u8]) -> Option<Frame<'a>> {
    let (&[a, b, c, kind, flags, d, e, f, g], behind) = rest.split_first_chunk::<HEADER>()?;
    let (payload, behind) = behind.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)?;
    *rest = behind;
    Some(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([d, e, f, g]) & LOW_31,
        payload,
    })
}
