//! How a client opens an HTTP/2 connection, as data: what it sends before its first request, and the frame around each request.

mod akamai;
mod block;
mod check;
mod error;
mod flight;
pub(crate) mod frame;
mod huffman;
mod ping;
#[cfg(feature = "serde")]
mod text;
mod written;

pub use self::akamai::Akamai;
pub(crate) use self::block::{AUTHORIZATION, COOKIE, Field, Form, NEVER, SHORT, Text, pseudo_order};
pub use self::error::H2SpecError;
pub use self::huffman::Huffman;
pub(crate) use self::huffman::decode;
pub use self::ping::PingForm;

/// What opens every connection (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Settings (RFC 9113 section 6.5.2).
mod setting {
    pub(super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(super) const ENABLE_PUSH: u16 = 2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(super) const MAX_FRAME_SIZE: u16 = 5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
    /// RFC 8441.
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    /// RFC 9218.
    pub(super) const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// The window that a connection and a stream have where nothing else was said (RFC 9113 section 6.9.2).
const WINDOW: u32 = 65_535;

/// The recipe of a client's HTTP/2: its first flight, and the shape of each request's HEADERS.
///
/// The spec both configures h2 and shapes what h2 writes, so that the two agree on every value: what is advertised is what is enforced. A spec that h2
/// could not keep is refused when it is made, whether by hand, from a file (feature `serde`) or from captured bytes.
///
/// In a file:
///
/// ```toml
/// settings = [[1, 65536], [2, 0], [4, 131072], [5, 16384]]
/// window_update = 12517377
/// pseudo_order = "m,p,a,s"
/// headers_priority = { exclusive = false, depends_on = 0, weight = 42 }
/// first_stream = 3
/// stream_window_update = 12451840
/// literal_path = true
/// ```
///
/// ```
/// use hotpool::fingerprint::{H2Spec, Pseudo};
///
/// let order = [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path];
/// let spec = H2Spec::new([(1, 65_536), (2, 0)], order)?.with_window_update(15_663_105)?;
/// assert_eq!(spec.akamai().to_string(), "1:65536;2:0|15663105|0|m,a,s,p");
/// assert_eq!(spec.with_window_update(1).unwrap_err().field(), "window_update");
/// # Ok::<(), hotpool::fingerprint::H2SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "text::Parts", into = "text::Parts")
)]
pub struct H2Spec {
    settings: Vec<(u16, u32)>,
    window_update: u32,
    priority_frames: Vec<PriorityFrame>,
    headers_priority: Option<Priority>,
    pseudo_order: [Pseudo; 4],
    first_stream: u32,
    stream_window_update: u32,
    huffman: Huffman,
    literal_path: bool,
    never_indexed: bool,
    table_limit: u32,
    every_table_size: bool,
    goodbye: bool,
    ping: PingForm,
}

/// A pseudo-header of a request (RFC 9113 section 8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pseudo {
    /// `:method`
    Method,
    /// `:authority`
    Authority,
    /// `:scheme`
    Scheme,
    /// `:path`
    Path,
}

impl Pseudo {
    pub(super) const ALL: [Pseudo; 4] = [Pseudo::Method, Pseudo::Authority, Pseudo::Scheme, Pseudo::Path];

    /// Its letter in Akamai's text: `m`, `a`, `s` or `p`.
    pub const fn letter(self) -> char {
        match self {
            Pseudo::Method => 'm',
            Pseudo::Authority => 'a',
            Pseudo::Scheme => 's',
            Pseudo::Path => 'p',
        }
    }
}

/// What a stream depends on, and its share (RFC 7540 section 5.3; RFC 9113 no longer gives it a meaning).
///
/// ```
/// use hotpool::fingerprint::{Akamai, H2Spec, H2SpecError, Huffman, PingForm, Priority, PriorityFrame, Pseudo};
///
/// let order = [Pseudo::Method, Pseudo::Path, Pseudo::Authority, Pseudo::Scheme];
/// let share = Priority { exclusive: false, depends_on: 0, weight: 42 };
/// let spec = H2Spec::new([(1, 65_536), (2, 0), (4, 131_072)], order)?
///     .with_window_update(12_517_377)?
///     .with_priority_frames([PriorityFrame { stream: 3, priority: share }])?
///     .with_headers_priority(Some(share))?
///     .with_first_stream(15)?
///     .with_stream_window_update(12_451_840)?
///     .with_huffman(Huffman::WhenShorter)
///     .with_literal_path(true)
///     .with_never_indexed(true)
///     .with_table_limit(u32::MAX)
///     .with_every_table_size(true)
///     .with_goodbye(false)
///     .with_ping(PingForm::Zeros);
/// assert_eq!(spec.settings(), [(1, 65_536), (2, 0), (4, 131_072)]);
/// assert_eq!((spec.window_update(), spec.first_stream(), spec.stream_window_update()), (12_517_377, 15, 12_451_840));
/// assert_eq!((spec.priority_frames()[0].stream, spec.headers_priority()), (3, Some(share)));
/// assert_eq!((spec.huffman(), spec.literal_path(), spec.never_indexed()), (Huffman::WhenShorter, true, true));
/// assert_eq!((spec.table_limit(), spec.every_table_size()), (u32::MAX, true));
/// assert_eq!((spec.goodbye(), spec.ping()), (false, PingForm::Zeros));
/// assert_eq!(spec.pseudo_order().map(Pseudo::letter), ['m', 'p', 'a', 's']);
/// let text: Akamai = spec.akamai();
/// assert_eq!(text.to_string(), "1:65536;2:0;4:131072|12517377|3:0:0:42|m,p,a,s");
///
/// let nothing: Result<_, H2SpecError> = H2Spec::from_preface(b"GET / HTTP/1.1\r\n\r\n");
/// assert!(nothing.is_err());
/// # Ok::<(), H2SpecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Priority {
    /// Whether it comes between that stream and all that depended on it.
    pub exclusive: bool,
    /// The stream that it depends on; 0 is none.
    pub depends_on: u32,
    /// 1 to 256. On the wire it is one less.
    pub weight: u16,
}

/// A PRIORITY frame of the first flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct PriorityFrame {
    /// The stream that it is about, which need not be opened ever.
    pub stream: u32,
    /// What it says.
    pub priority: Priority,
}

impl H2Spec {
    /// The size of a table of fields of which nothing was said (RFC 9113 section 6.5.2), and the largest that h2 has. In octets.
    pub(crate) const TABLE: u32 = 4_096;

    /// A spec of these settings, in this order, and of this order of the pseudo-headers; with nothing else before the first request, which is on
    /// stream 1 without a priority, and written as h2 writes it: every string in Huffman's code, a path of `/` by its place in the static table. It ends with
    /// h2's GOAWAY, and has h2's octets in its PINGs.
    ///
    /// Where `:authority` comes before `:method`, as with Go, that holds for GET and POST. h2 has its peer remember any other method, and then both in their order:
    /// such a request has `:method` just ahead of it, and is counted.
    ///
    /// Any id goes, a GREASE one (RFC 8701) as well: it is the same on every connection, as that of a browser's process is.
    ///
    /// No push is taken (RFC 9113 section 8.4), even if the settings allow it: a PUSH_PROMISE ends the connection with PROTOCOL_ERROR. What is advertised stays as it is.
    ///
    /// # Errors
    /// [`H2SpecError`] names the field.
    pub fn new(settings: impl Into<Vec<(u16, u32)>>, pseudo_order: [Pseudo; 4]) -> Result<Self, H2SpecError> {
        H2Spec {
            settings: settings.into(),
            window_update: 0,
            priority_frames: Vec::new(),
            headers_priority: None,
            pseudo_order,
            first_stream: 1,
            stream_window_update: 0,
            huffman: Huffman::Always,
            literal_path: false,
            never_indexed: false,
            table_limit: H2Spec::TABLE,
            every_table_size: false,
            goodbye: true,
            ping: PingForm::H2,
        }
        .checked()
    }

    /// One that was observed. The tests make the checks.
    pub(super) fn observed(
        settings: &[(u16, u32)],
        window_update: u32,
        pseudo_order: [Pseudo; 4],
        headers_priority: Option<Priority>,
        first_stream: u32,
        stream_window_update: u32,
    ) -> Self {
        H2Spec {
            settings: settings.to_vec(),
            window_update,
            priority_frames: Vec::new(),
            headers_priority,
            pseudo_order,
            first_stream,
            stream_window_update,
            huffman: Huffman::Always,
            literal_path: false,
            never_indexed: false,
            table_limit: H2Spec::TABLE,
            every_table_size: false,
            goodbye: true,
            ping: PingForm::H2,
        }
    }

    /// The same spec, with a WINDOW_UPDATE of the connection by so many octets behind the settings. 0: none.
    ///
    /// # Errors
    /// Above 0 it must be at least 32,767: h2 raises its window by no less. And at most what a window can be.
    pub fn with_window_update(self, increment: u32) -> Result<Self, H2SpecError> {
        H2Spec {
            window_update: increment,
            ..self
        }
        .checked()
    }

    /// The same spec, with these PRIORITY frames behind that.
    ///
    /// # Errors
    /// Streams are odd, and none depends on itself.
    pub fn with_priority_frames(self, frames: impl Into<Vec<PriorityFrame>>) -> Result<Self, H2SpecError> {
        H2Spec {
            priority_frames: frames.into(),
            ..self
        }
        .checked()
    }

    /// The same spec, with this priority in the HEADERS of each request.
    ///
    /// # Errors
    /// The weight is 1 to 256, and what it depends on a stream before the [first](Self::with_first_stream).
    pub fn with_headers_priority(self, priority: Option<Priority>) -> Result<Self, H2SpecError> {
        H2Spec {
            headers_priority: priority,
            ..self
        }
        .checked()
    }

    /// The same spec, with the first request on this stream.
    ///
    /// # Errors
    /// It is odd, and no more than 1,023.
    pub fn with_first_stream(self, stream: u32) -> Result<Self, H2SpecError> {
        H2Spec {
            first_stream: stream,
            ..self
        }
        .checked()
    }

    /// The same spec, with a WINDOW_UPDATE of the stream by so many octets behind the HEADERS of each request. 0: none.
    ///
    /// # Errors
    /// Together with the initial window it is no more than a window can be.
    pub fn with_stream_window_update(self, increment: u32) -> Result<Self, H2SpecError> {
        H2Spec {
            stream_window_update: increment,
            ..self
        }
        .checked()
    }

    /// The same spec, with the strings in each request's HEADERS in Huffman's code where this says so.
    #[must_use]
    pub fn with_huffman(self, huffman: Huffman) -> Self {
        H2Spec { huffman, ..self }
    }

    /// The same spec, with `:path` always as a literal without indexing (RFC 7541 section 6.2.2), as Firefox has it: `/` with the name at place 4 of the static
    /// table, any other with that at 5. Without this it is by its place in the static table where that has it, and else such a literal with the name at 4.
    /// With it a `:method` other than GET and POST has its name at 3 as well, the last place of it, and without it at 2.
    #[must_use]
    pub fn with_literal_path(self, literal_path: bool) -> Self {
        H2Spec { literal_path, ..self }
    }

    /// The same spec, with `authorization`, and a `cookie` of fewer than 20 octets, as literals that are never indexed (RFC 7541 section 6.2.3), as nghttp2 and
    /// Firefox have them: whoever passes them on must not compress them either. Without this they are literals without indexing, unless the caller marks
    /// their value as [sensitive](http::HeaderValue::set_sensitive), which holds with any spec.
    #[must_use]
    pub fn with_never_indexed(self, never_indexed: bool) -> Self {
        H2Spec {
            never_indexed,
            ..self
        }
    }

    /// The same spec, with the server's table of fields made as large as the server allows (SETTINGS_HEADER_TABLE_SIZE, RFC 7541 section 4.2), but for this limit in
    /// octets; no less than 4,096, the size of a table of which nothing was said. The next block of fields says the size. `u32::MAX`, as Chromium and Firefox have it: as large as it may be.
    ///
    /// h2 goes on to have the last 4,096 octets of fields remembered and no more: what stands behind them it writes out again.
    #[must_use]
    pub fn with_table_limit(self, limit: u32) -> Self {
        H2Spec {
            table_limit: limit.max(H2Spec::TABLE),
            ..self
        }
    }

    /// The same spec, with each size that the server allows answered by the next block of fields, as Firefox and nghttp2 do. Without this only one that changes something
    /// is, as Chromium does.
    #[must_use]
    pub fn with_every_table_size(self, every_table_size: bool) -> Self {
        H2Spec {
            every_table_size,
            ..self
        }
    }

    /// The same spec, with or without a GOAWAY of NO_ERROR (RFC 9113 section 6.8) ahead of TLS's close_notify when a connection ends because the pool, or its server by a GOAWAY, is done with it.
    /// Chromium, curl and Go send none. One that tells the server of an error goes out with any spec.
    #[must_use]
    pub fn with_goodbye(self, goodbye: bool) -> Self {
        H2Spec { goodbye, ..self }
    }

    /// The same spec, with these octets in the PINGs by which the pool asks whether a connection is alive. When it asks is the pool's business.
    #[must_use]
    pub fn with_ping(self, ping: PingForm) -> Self {
        H2Spec { ping, ..self }
    }

    fn checked(self) -> Result<Self, H2SpecError> {
        self.check()?;
        Ok(self)
    }

    /// The settings, in their order.
    pub fn settings(&self) -> &[(u16, u32)] {
        &self.settings
    }

    /// By how much the connection's window is raised at once; 0 if it is not. In octets.
    pub fn window_update(&self) -> u32 {
        self.window_update
    }

    /// The PRIORITY frames of the first flight.
    pub fn priority_frames(&self) -> &[PriorityFrame] {
        &self.priority_frames
    }

    /// The priority in the HEADERS of each request.
    pub fn headers_priority(&self) -> Option<Priority> {
        self.headers_priority
    }

    /// The order of the pseudo-headers.
    pub fn pseudo_order(&self) -> [Pseudo; 4] {
        self.pseudo_order
    }

    /// The stream of the first request.
    pub fn first_stream(&self) -> u32 {
        self.first_stream
    }

    /// By how much each stream's window is raised behind its HEADERS; 0 if it is not. In octets.
    pub fn stream_window_update(&self) -> u32 {
        self.stream_window_update
    }

    /// When strings in a request's HEADERS are in Huffman's code.
    pub fn huffman(&self) -> Huffman {
        self.huffman
    }

    /// Whether `:path` is always a literal.
    pub fn literal_path(&self) -> bool {
        self.literal_path
    }

    /// Whether an `authorization` and a short `cookie` are never indexed.
    pub fn never_indexed(&self) -> bool {
        self.never_indexed
    }

    /// How large the server's table of fields is made at most, in octets.
    pub fn table_limit(&self) -> u32 {
        self.table_limit
    }

    /// Whether each size that the server allows is answered, one that changes nothing as well.
    pub fn every_table_size(&self) -> bool {
        self.every_table_size
    }

    /// Whether a connection that ends without an error says so by a GOAWAY.
    pub fn goodbye(&self) -> bool {
        self.goodbye
    }

    /// What stands in PINGs.
    pub fn ping(&self) -> PingForm {
        self.ping
    }

    /// What others make of a client of this spec.
    pub fn akamai(&self) -> Akamai {
        Akamai::of_spec(self)
    }

    fn setting(&self, id: u16) -> Option<u32> {
        let found = self.settings.iter().find(|(other, _)| *other == id);
        found.map(|(_, value)| *value)
    }

    /// What h2 has to know of it.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            header_table_size: self.setting(setting::HEADER_TABLE_SIZE),
            max_concurrent_streams: self.setting(setting::MAX_CONCURRENT_STREAMS),
            stream_window: self.advertised_window() + self.stream_window_update, // checked
            connection_window: WINDOW + self.window_update,                      // checked
            max_frame_size: self.setting(setting::MAX_FRAME_SIZE),
            max_header_list_size: self.setting(setting::MAX_HEADER_LIST_SIZE),
        }
    }

    fn advertised_window(&self) -> u32 {
        self.setting(setting::INITIAL_WINDOW_SIZE).unwrap_or(WINDOW)
    }
}

/// What a spec promises that its connection must keep; none where it promises nothing.
pub(crate) struct Terms {
    pub(crate) header_table_size: Option<u32>,
    pub(crate) max_concurrent_streams: Option<u32>,
    /// What a stream may receive, the update behind its HEADERS included.
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) max_frame_size: Option<u32>,
    pub(crate) max_header_list_size: Option<u32>,
}
