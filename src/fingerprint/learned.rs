//! What came of captures, and what was taken for granted in it.

use std::fmt;
use std::ops::Range;

use super::{EchGrease, Huffman};

/// A spec that was learned, and what its captures left open.
///
/// A capture shows what a client did once, and not what it would do another time. Whatever had to be taken for granted is an [`Assumption`]; `Display`
/// tells them in lines. More captures of the same client, fresh and resumed ones, make them surer or leave fewer.
///
/// ```no_run
/// use hotpool::fingerprint::{Assumption, FoundHello, Hellos, HelloSpec, hellos};
///
/// let captures = [std::fs::read("first.bin")?, std::fs::read("second.bin")?]; // what one client sent, twice
/// let mut in_the_first: Hellos<'_> = hellos(&captures[0]);
/// let found: Option<FoundHello> = in_the_first.next().transpose()?;
/// println!("{} records", found.map_or(0, |found| found.records.len()));
///
/// let learned = HelloSpec::from_client_hellos(captures.iter().map(Vec::as_slice))?;
/// for assumption in &learned.assumptions {
///     match assumption {
///         Assumption::FixedOrder => println!("both had one order"),
///         other => println!("{other}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Learned<S> {
    /// The spec.
    pub spec: S,
    /// Of how many captures it was learned.
    pub captures: usize,
    /// What they do not show, and how it was taken.
    pub assumptions: Vec<Assumption>,
}

/// Something that captures cannot show, and how it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Assumption {
    /// The extensions stood in one order, which is taken as fixed.
    FixedOrder,
    /// The extensions from the first to the last that stood elsewhere in another capture are taken as drawn in any order.
    DrawnOrder {
        /// Their places.
        places: Range<usize>,
        /// Places between them at which every capture had the same extension.
        still: Vec<usize>,
    },
    /// A GREASE value stood at this place of a list in every capture: the place is taken as fixed. Its value is drawn for each connection, by itself or
    /// together with those lists that [`Code::Grease`](super::Code::Grease) names.
    GreasePlace {
        /// The list: an extension's name, `cipher_suites`, or `extensions`.
        list: &'static str,
        /// The place in it, from 0 on.
        place: usize,
    },
    /// encrypted_client_hello is taken for one that encrypts nothing, and for one that is drawn by this rule, since what was captured fits it.
    EchGrease {
        /// The rule. [`EchGrease::Fixed`] if no client's that is known fits.
        rule: EchGrease,
        /// HPKE's ciphers that were captured.
        aeads: Vec<u16>,
        /// The lengths of payloads that were captured, in octets.
        payloads: Vec<usize>,
    },
    /// Padding, seen or not, is taken to follow RFC 7685's rule of 512 octets or not to be there at all.
    Padding {
        /// Whether it was seen. If not, no capture was of a length at which it would have been.
        seen: bool,
    },
    /// No capture is of a resumed connection: it is taken to send what a fresh one does, session_ticket included, and pre_shared_key.
    NoneResumed,
    /// No capture is of a fresh connection: it is taken to send what a resumed one does, but for pre_shared_key.
    NoneFresh,
    /// The client acknowledged the server's SETTINGS at this place. No spec has a place for that: h2 does it when it has read them.
    SettingsAck {
        /// Which of the client's frames it was, the first being 0.
        frame: usize,
        /// Whether it stood ahead of the request.
        before_request: bool,
    },
    /// A frame right behind the request that is no update of its stream: it is taken for an answer to the server, and not sent.
    FrameBehind {
        /// Its type (RFC 9113 section 6).
        kind: u8,
        /// Its stream.
        stream: u32,
    },
    /// A setting with a GREASE id, which a client draws once for a while, is sent as it was captured.
    GreaseSetting {
        /// The id.
        id: u16,
        /// The value.
        value: u32,
    },
    /// One request was captured: its priority and the update of its stream are taken for those of every request.
    EveryRequest,
    /// A first flight shows neither how a client ends a connection nor what it has in its PINGs: both are taken to be h2's, unless the spec is told
    /// [of a goodbye](super::H2Spec::with_goodbye) and [of PINGs](super::H2Spec::with_ping).
    LaterFrames,
    /// No string of the request would have been written otherwise by another rule of when strings are in Huffman's code: this one is taken.
    Huffman {
        /// The rule.
        rule: Huffman,
    },
    /// The request had neither an authorization nor a cookie of fewer than 20 octets: they are taken to be indexed by others, if anybody wishes
    /// (see [`H2Spec::with_never_indexed`](super::H2Spec::with_never_indexed)).
    NeverIndexed,
    /// The request gave the server's table of headers another size first (RFC 7541 section 6.3), in answer to the server's SETTINGS. The spec answers as h2 does, unless it is given
    /// [a limit](super::H2Spec::with_table_limit) and [every size](super::H2Spec::with_every_table_size).
    TableSize,
    /// This field of the request was in a form that no spec has: remembered or not where h2 does otherwise, never to be indexed, or written out though it
    /// stands in the static table. It is written as h2 does it.
    FieldForm {
        /// Its place in the block, from 0 on.
        field: usize,
    },
    /// The path of the request was written by its name and its value, as it is whether or not a client looks up a path in the static table: it is taken to.
    PathForm {
        /// Whether the server was told to remember it, which no spec does.
        indexed: bool,
    },
}

impl<S> fmt::Display for Learned<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let captures = if self.captures == 1 { "capture" } else { "captures" };
        write!(f, "learned of {} {captures}", self.captures)?;
        for assumption in &self.assumptions {
            write!(f, "\n  - {assumption}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Assumption::FixedOrder => {
                write!(
                    f,
                    "the extensions always stand in this order: every capture has it"
                )
            }
            Assumption::DrawnOrder { places, still } => {
                let (first, last) = (places.start, places.end.saturating_sub(1));
                write!(
                    f,
                    "the extensions at places {first} to {last} stand in any order, since these moved"
                )?;
                match still.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; no capture has another at {}", List(still)),
                }
            }
            Assumption::GreasePlace { list, place } => {
                write!(f, "GREASE always stands at place {place} of {list}")
            }
            Assumption::EchGrease {
                rule,
                aeads,
                payloads,
            } => {
                let (aeads, payloads) = (List(aeads), List(payloads));
                write!(
                    f,
                    "encrypted_client_hello encrypts nothing; HKDF-SHA256, AEAD {aeads} and a payload of {payloads} octets are taken as "
                )?;
                match rule {
                    EchGrease::Chromium | EchGrease::ChromiumWithoutAes => {
                        write!(f, "drawn by Chromium's rule")
                    }
                    EchGrease::Firefox => write!(f, "drawn by Firefox's rule"),
                    EchGrease::Fixed { .. } => write!(f, "always the same"),
                }
            }
            Assumption::Padding { seen: true } => write!(
                f,
                "a hello of 256 to 511 octets is padded to 512 and no other is, as RFC 7685 has it"
            ),
            Assumption::Padding { seen: false } => write!(
                f,
                "no hello is padded: none was captured of 256 to 511 octets, where padding would show"
            ),
            Assumption::NoneResumed => write!(
                f,
                "a resumed connection sends the same and pre_shared_key: none was captured"
            ),
            Assumption::NoneFresh => write!(
                f,
                "a fresh connection sends the same without pre_shared_key: none was captured"
            ),
            Assumption::SettingsAck {
                frame,
                before_request,
            } => {
                let side = if *before_request { "ahead of" } else { "behind" };
                write!(
                    f,
                    "the server's SETTINGS were acknowledged by frame {frame}, {side} the request: here h2 does so when it has read them"
                )
            }
            Assumption::FrameBehind { kind, stream } => write!(
                f,
                "the frame of kind {kind} on stream {stream} behind the request answers the server, and is not sent"
            ),
            Assumption::GreaseSetting { id, value } => write!(
                f,
                "setting {id:#06x} is {value} on every connection, though a client draws it now and then"
            ),
            Assumption::Huffman { rule } => {
                let when = match rule {
                    Huffman::Always => "always",
                    Huffman::WhenShorter => "where they are shorter in it",
                    Huffman::Never => "never",
                };
                write!(
                    f,
                    "strings are {when} in Huffman's code: another rule would have written these alike"
                )
            }
            Assumption::NeverIndexed => write!(
                f,
                "an authorization and a short cookie are not marked as never to be indexed: none was captured"
            ),
            Assumption::TableSize => write!(
                f,
                "the size that the request gave the server's table of headers is not repeated: it answers this server, here as h2 would"
            ),
            Assumption::FieldForm { field } => write!(
                f,
                "field {field} of the request was written in a form that is not repeated: here h2 decides what the server remembers"
            ),
            Assumption::PathForm { indexed } => {
                write!(
                    f,
                    "a path of / is written by its place in the static table: another was captured"
                )?;
                match indexed {
                    true => write!(f, ", which the server was to remember: here it is not"),
                    false => Ok(()),
                }
            }
            Assumption::LaterFrames => write!(
                f,
                "a connection ends with a GOAWAY and has h2's octets in its PINGs: a first flight shows neither"
            ),
            Assumption::EveryRequest => {
                write!(
                    f,
                    "every request has the priority and the update of its stream that the first has"
                )
            }
        }
    }
}

/// Numbers with commas between.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for one in self.0 {
            write!(f, "{between}{one}")?;
            between = ", ";
        }
        Ok(())
    }
}
