//! nginx, as it is asked.

use crate::common::Dice;
use crate::support::outside::nginx::Nginx;
use crate::support::outside::{self, Outside};
use crate::tagged::size;
use crate::tagged::text::Text;

/// Files of nginx: so many sizes as bodies have, and the large one.
pub(super) const FILES: u64 = 40;

/// How many requests a connection has at nginx.
const A_CONNECTION: u32 = 500;

/// How long the file of this number is.
pub(super) fn file_size(number: u64) -> u64 {
    match number {
        0 => size::LARGE,
        _ => size::ordinary(&mut Dice(number * 7_919)),
    }
}

/// Serves each file by length (`/f/N`) and in chunks (`/c/N`), says whose request it answers, and hangs up on some.
pub(super) fn start() -> Option<Outside> {
    let more = format!(
        "keepalive_requests {A_CONNECTION}; add_header x-tag $arg_tag always;
    location /hang {{ return 444; }}
    location /c/ {{ ssi on; ssi_types text/plain; ssi_silent_errors on; alias files/; }}
    location /f/ {{ alias files/; }}"
    );
    let recipe = Nginx { http2: true, more };
    let nginx = outside::start_good(&recipe, 1)?;
    let dir = nginx.place().dir.join("files");
    std::fs::create_dir(&dir).unwrap();
    for number in 0..FILES {
        let text = Text::of(number).first(file_size(number));
        std::fs::write(dir.join(number.to_string()), text).unwrap();
    }
    Some(nginx)
}
