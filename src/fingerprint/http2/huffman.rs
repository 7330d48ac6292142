//! The code of strings in header blocks (RFC 7541 section 5.2).

/// When a client writes a string in Huffman's code (RFC 7541 section 5.2). An empty one has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Huffman {
    /// Always, as h2 and Firefox do.
    Always,
    /// Where that takes fewer octets, as Chromium, nghttp2 and Go do.
    WhenShorter,
    /// Never.
    Never,
}

/// How many bits each octet takes (RFC 7541 appendix B). The codes follow: they are numbered by length, and of one length by octet.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Length {
    /// The first of them.
    first: u32,
    /// How many there are.
    count: u32,
    /// Where in [`OCTETS`] that which the first stands for is.
    place: u32,
}

/// The codes of each length, in bits.
const LENGTHS: [Length; LONGEST + 1] = {
    let mut lengths = [Length {
        first: 0,
        count: 0,
        place: 0,
    }; LONGEST + 1];
    let mut octet = 0;
    while octet < BITS.len() {
        lengths[BITS[octet] as usize].count += 1;
        octet += 1;
    }
    let mut bits = SHORTEST;
    while bits < LONGEST {
        let Length { first, count, place } = lengths[bits];
        lengths[bits + 1].first = (first + count) << 1;
        lengths[bits + 1].place = place + count;
        bits += 1;
    }
    lengths
};

/// All octets, in the order of their codes.
const OCTETS: [u8; 256] = {
    let (mut octets, mut bits, mut place) = ([0; 256], SHORTEST, 0);
    while bits <= LONGEST {
        let mut octet = 0;
        while octet < BITS.len() {
            if BITS[octet] as usize == bits {
                octets[place] = octet as u8;
                place += 1;
            }
            octet += 1;
        }
        bits += 1;
    }
    octets
};

/// How many octets `raw` takes in code.
pub(super) fn coded_len(raw: &[u8]) -> usize {
    let bits: usize = raw
        .iter()
        .map(|&octet| usize::from(BITS[usize::from(octet)]))
        .sum();
    bits.div_ceil(8)
}

/// Appends to `raw` what `coded` stands for, if that is a string of at most `most` octets. If not, what it appended means nothing.
pub(crate) fn decode(coded: &[u8], most: usize, raw: &mut Vec<u8>) -> Option<()> {
    let end = raw.len().saturating_add(most);
    // The bits that have no octet yet, and how many they are: fewer than 30 and 8 more.
    let (mut held, mut bits) = (0_u64, 0);
    for &next in coded {
        held = held << 8 | u64::from(next);
        bits += 8;
        while let Some((octet, taken)) = first(held, bits) {
            if raw.len() == end {
                return None;
            }
            raw.push(octet);
            bits -= taken;
            held &= (1 << bits) - 1;
        }
        // Thirty ones are the end of a string, which none has.
        if bits >= LONGEST {
            return None;
        }
    }
    // What fills up the last octet is the beginning of thirty ones.
    (bits < 8 && held + 1 == 1 << bits).then_some(())
}

/// What the first code of these `bits` stands for, and its length.
fn first(held: u64, bits: usize) -> Option<(u8, usize)> {
    (SHORTEST..=bits.min(LONGEST)).find_map(|length| {
        let Length { first, count, place } = LENGTHS[length];
        let code = (held >> (bits - length)) as u32; // no more than 30 bits
        let nth = code.wrapping_sub(first);
        (nth < count).then(|| (OCTETS[(place + nth) as usize], length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut raw = Vec::new();
        decode(coded, usize::MAX, &mut raw).map(|()| raw)
    }

    /// RFC 7541 appendix C.4 and C.6.
    #[test]
    fn strings_are_as_the_rfc_has_them() {
        for (coded, raw) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                &b"www.example.com"[..],
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", b"no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", b"custom-value"),
            (b"\x64\x02", b"302"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                b"Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (b"", b""),
        ] {
            assert_eq!(decoded(coded).as_deref(), Some(raw));
            assert_eq!(coded_len(raw), coded.len());
            let mut short = Vec::new();
            if let Some(most) = raw.len().checked_sub(1) {
                assert_eq!(decode(coded, most, &mut short), None, "there is no room");
            }
        }
    }

    #[test]
    fn every_octet_has_a_code_of_its_own() {
        for octet in 0..=255 {
            let Length { first, place, .. } = LENGTHS[usize::from(BITS[usize::from(octet)])];
            let nth = OCTETS.iter().position(|&other| other == octet).expect("a place") as u32 - place;
            let length = usize::from(BITS[usize::from(octet)]);
            let filled = u64::from(first + nth) << (40 - length) | ((1 << (40 - length)) - 1);
            let coded = &filled.to_be_bytes()[3..3 + length.div_ceil(8)];
            assert_eq!(decoded(coded), Some(vec![octet]));
        }
        // All of them and the end leave no code over.
        let taken: u64 = BITS.iter().map(|&bits| 1 << (LONGEST - usize::from(bits))).sum();
        assert_eq!(taken + 1, 1 << LONGEST);
    }

    #[test]
    fn what_is_no_string_is_none() {
        for coded in [
            &b"\x00"[..],            // "0", and three bits that are no ones
            b"\xff",                 // eight ones more than there are
            b"\x1f\xff",             // "a", and eleven of them
            b"\xff\xff\xff\xff",     // the end
            b"\x1f\xff\xff\xff\xff", // behind a string
            b"\xff\xff\xff",         // cut short
        ] {
            assert_eq!(decoded(coded), None, "{coded:?}");
        }
    }
}
