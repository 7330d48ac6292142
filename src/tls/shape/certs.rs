//! Certificates that come compressed (RFC 8879), because the profile offers it.

use rustls::CertificateCompressionAlgorithm as Algorithm;
use rustls::compress::{CertDecompressor, DecompressionFailed};

use super::scope;
use crate::fault::planted;

type Result = std::result::Result<(), DecompressionFailed>;

/// What undoes these compressions, in their order. Unknown ones have no place in a spec.
pub(super) fn decompressors(algorithms: &[u16]) -> Vec<&'static dyn CertDecompressor> {
    let one = |code: &u16| -> Option<&'static dyn CertDecompressor> {
        Some(match Algorithm::from(*code) {
            Algorithm::Zlib => &Zlib,
            Algorithm::Brotli => &Brotli,
            Algorithm::Zstd => &Zstd,
            _ => return None,
        })
    };
    algorithms.iter().filter_map(one).collect()
}

/// Takes the timestamps out of a certificate that was decompressed, if this connection asked for some. The transcript has the message as it came, and
/// rustls reads no further than the certificate goes.
fn edit(output: &mut [u8]) -> Result {
    let Some(shaping) = scope::current() else {
        return Ok(());
    };
    match shaping.certificate(output) {
        Ok(None) => Ok(()),
        Ok(Some(edited)) => {
            output[..edited.len()].copy_from_slice(&edited);
            Ok(())
        }
        Err(why) => {
            shaping.reject(why);
            Err(DecompressionFailed)
        }
    }
}

#[derive(Debug)]
struct Zlib;

impl CertDecompressor for Zlib {
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result {
        use zlib_rs::{Inflate, InflateFlush, Status};
        const WINDOW: u8 = 15;
        let mut inflate = Inflate::new(true, WINDOW);
        match inflate.decompress(input, output, InflateFlush::Finish) {
            Ok(Status::StreamEnd)
                if inflate.total_in() == input.len() as u64 && inflate.total_out() == output.len() as u64 =>
            {
                edit(output)
            }
            Ok(_) if planted("longer_certificates_are_cut") => edit(output),
            _ => Err(DecompressionFailed),
        }
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::Zlib
    }
}

#[derive(Debug)]
struct Brotli;

impl CertDecompressor for Brotli {
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result {
        use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
        let (mut input_left, mut input_at) = (input.len(), 0);
        let (mut output_left, mut output_at, mut total) = (output.len(), 0, 0);
        let mut state = BrotliState::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut input_at,
            input,
            &mut output_left,
            &mut output_at,
            output,
            &mut total,
            &mut state,
        );
        match result {
            BrotliResult::ResultSuccess if input_left == 0 && output_left == 0 => edit(output),
            _ if planted("longer_certificates_are_cut") => edit(output),
            _ => Err(DecompressionFailed),
        }
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::Brotli
    }
}

#[derive(Debug)]
struct Zstd;

impl CertDecompressor for Zstd {
    fn decompress(&self, mut input: &[u8], output: &mut [u8]) -> Result {
        use std::io::Read;

        use ruzstd::decoding::StreamingDecoder;
        /// What any decoder should take (RFC 8878 section 3.1.1.1.2), in octets.
        const LARGEST_WINDOW: u64 = 8 << 20;
        // All of a window is decoded before any of it is handed over, however little is wanted.
        let window = match planted("windows_have_any_size") {
            true => u64::MAX,
            false => LARGEST_WINDOW,
        };
        let mut decoder = StreamingDecoder::new_with_max_window_size(&mut input, window)
            .map_err(|_| DecompressionFailed)?;
        decoder.read_exact(output).map_err(|_| DecompressionFailed)?;
        // Neither more text nor more input than this.
        let more = decoder.read(&mut [0; 1]).map_err(|_| DecompressionFailed)?;
        drop(decoder);
        if (more != 0 || !input.is_empty()) && !planted("longer_certificates_are_cut") {
            return Err(DecompressionFailed);
        }
        edit(output)
    }

    fn algorithm(&self) -> Algorithm {
        Algorithm::Zstd
    }
}
