//! Whatever h2 writes, in the shape of a spec: the same goes out however it comes in pieces, nothing stalls, and what is no part of a first flight or a request
//! passes as it is.
#![no_main]

use arbitrary::{Result, Unstructured};
use hotpool::Reshaping;
use hotpool::fingerprint::{H2Spec, Profile};
use libfuzzer_sys::fuzz_target;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let profile = match bytes.arbitrary()? {
        true => Profile::chromium(156).expect("known"),
        false => Profile::firefox_esr(153).expect("known"),
    };
    let Some(spec) = profile.h2() else { return Ok(()) };
    let sizes = bytes.arbitrary::<[Option<u32>; 4]>()?;
    let (written, passing) = any_output(bytes)?;
    let shaped = |calls| shaped(spec, &sizes, calls);
    let whole = shaped(vec![vec![&written[..]]]);
    let octets = shaped(written.chunks(1).map(|octet| vec![octet]).collect());
    assert_eq!(whole, octets);
    let mut rest = &written[..];
    let mut calls = Vec::new();
    while !rest.is_empty() {
        // One call of as many pieces as a vectored write has.
        let mut call = Vec::new();
        for _ in 0..bytes.int_in_range(1..=4)? {
            let (piece, after) = rest.split_at(bytes.int_in_range(0..=rest.len().min(64))?);
            call.push(piece);
            rest = after;
        }
        if bytes.is_empty() {
            call.push(std::mem::take(&mut rest));
        }
        calls.push(call);
    }
    assert_eq!(whole, shaped(calls));
    // Every DATA is there, in its order, with its octets.
    let sent: Vec<u8> = frames(&whole.0[PREFACE.len()..])
        .filter(|(header, _)| header[3] == DATA)
        .flat_map(|(header, payload)| [header, payload].concat())
        .collect();
    assert_eq!(sent, passing);
    Ok(())
}

/// What goes out to a server that said these sizes of its table in SETTINGS, each in some of their own, or said nothing in them.
fn shaped(spec: &H2Spec, sizes: &[Option<u32>], calls: Vec<Vec<&[u8]>>) -> (Vec<u8>, u64) {
    let (mut shape, mut out) = (Reshaping::new(spec), Vec::new());
    for size in sizes {
        let settings = match size {
            Some(size) => [b"\0\0\x06\x04\0\0\0\0\0\0\x01", &size.to_be_bytes()[..]].concat(),
            None => SETTINGS.to_vec(),
        };
        assert_eq!(shape.read(&settings), settings);
    }
    for call in calls {
        shape.write(&call, &mut out);
    }
    (out, shape.unshaped())
}

/// The whole frames of `bytes`.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let (payload, rest) = rest.split_at_checked(length as usize)?;
        bytes = rest;
        Some((header, payload))
    })
}

/// The preface, SETTINGS, and whole frames as h2 writes them, if not with what it writes into them. And all of the DATA.
fn any_output(bytes: &mut Unstructured<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut all, mut data) = ([PREFACE, SETTINGS].concat(), Vec::new());
    for _ in 0..bytes.int_in_range(0..=12)? {
        let stream = u32::from(bytes.int_in_range(0..=12u8)?);
        let kind: u8 = *bytes.choose(&[DATA, HEADERS, HEADERS, 3, 4, 6, 7, 8, CONTINUATION])?;
        let flags: u8 = *bytes.choose(&[0, 1, 4, 5, 0x2d])?;
        let count = bytes.int_in_range(0..=bytes.len().min(40))?;
        let mut payload = bytes.bytes(count)?.to_vec();
        if bytes.ratio(1u8, 8u8)? {
            payload.resize(usize::from(bytes.arbitrary::<u16>()?), 7);
        }
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        if kind == DATA {
            data.extend(&frame);
        }
        all.extend(frame);
    }
    Ok((all, data))
}
