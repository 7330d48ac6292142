//! What a spec must be for h2 to keep it.

use super::{H2Spec, H2SpecError, Priority, Pseudo, WINDOW, setting};

type Result<T = ()> = std::result::Result<T, H2SpecError>;

/// The largest window (RFC 9113 section 6.9.1), and the largest stream id.
const MOST: u32 = (1 << 31) - 1;
/// h2 tells its peer of a larger window once it has grown by half.
const LEAST_UPDATE: u32 = WINDOW / 2;
/// Those before it are passed over one by one, on every connection.
const LAST_FIRST_STREAM: u32 = 1_023;
/// So many entries say all that there is to say.
const MOST_SETTINGS: usize = 64;
const MOST_PRIORITY_FRAMES: usize = 64;
/// What a peer may fill without asking: the table, and one list of headers. In octets.
const MOST_TABLE: u32 = 1 << 20;
const MOST_HEADER_LIST: u32 = 16 << 20;

impl H2Spec {
    pub(super) fn check(&self) -> Result {
        self.check_settings()?;
        self.check_windows()?;
        self.check_order()?;
        if !is_clients(self.first_stream) || self.first_stream > LAST_FIRST_STREAM {
            return Err(H2SpecError::new(
                "first_stream",
                format!("{} is no odd number up to {LAST_FIRST_STREAM}", self.first_stream),
            ));
        }
        self.check_priorities()
    }

    fn check_settings(&self) -> Result {
        let wrong = |why: String| Err(H2SpecError::new("settings", why));
        if self.settings.len() > MOST_SETTINGS {
            return wrong(format!("more than {MOST_SETTINGS} entries"));
        }
        for (nth, &(id, value)) in self.settings.iter().enumerate() {
            if self.settings[..nth].iter().any(|&(other, _)| other == id) {
                return wrong(format!("{id} stands there twice"));
            }
            let range = match id {
                0 => return wrong("0 is no setting".to_owned()),
                setting::HEADER_TABLE_SIZE => 0..=MOST_TABLE,
                setting::ENABLE_PUSH | setting::ENABLE_CONNECT_PROTOCOL | setting::NO_RFC7540_PRIORITIES => {
                    0..=1
                }
                setting::INITIAL_WINDOW_SIZE => 0..=MOST,
                setting::MAX_FRAME_SIZE => 16_384..=16_777_215,
                setting::MAX_HEADER_LIST_SIZE => 1..=MOST_HEADER_LIST,
                _ => continue,
            };
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return wrong(format!("{id} is {least} to {most}, not {value}"));
            }
        }
        Ok(())
    }

    fn check_windows(&self) -> Result {
        let most = MOST - WINDOW;
        if self.window_update != 0 && !(LEAST_UPDATE..=most).contains(&self.window_update) {
            return Err(H2SpecError::new(
                "window_update",
                format!("0, or {LEAST_UPDATE} to {most}, not {}", self.window_update),
            ));
        }
        let (field, initial) = ("stream_window_update", self.advertised_window());
        match initial.checked_add(self.stream_window_update) {
            Some(0) => Err(H2SpecError::new(
                field,
                "a stream's window is 0: no body could come",
            )),
            // h2 knows of one window for all streams, and only those that are opened here are followed by an update.
            Some(1..=MOST)
                if self.stream_window_update > 0 && self.setting(setting::ENABLE_PUSH) != Some(0) =>
            {
                Err(H2SpecError::new(
                    field,
                    "with push allowed: a pushed stream would have none",
                ))
            }
            Some(1..=MOST) => Ok(()),
            _ => Err(H2SpecError::new(
                field,
                format!("with the initial window of {initial} more than {MOST}"),
            )),
        }
    }

    fn check_order(&self) -> Result {
        match Pseudo::ALL
            .iter()
            .all(|pseudo| self.pseudo_order.contains(pseudo))
        {
            true => Ok(()),
            false => Err(H2SpecError::new(
                "pseudo_order",
                "each of the four stands there once",
            )),
        }
    }

    fn check_priorities(&self) -> Result {
        let (field, frames) = ("priority_frames", &self.priority_frames);
        if frames.len() > MOST_PRIORITY_FRAMES {
            let why = format!("more than {MOST_PRIORITY_FRAMES} frames");
            return Err(H2SpecError::new(field, why));
        }
        for frame in frames {
            if !is_clients(frame.stream) {
                let why = format!("{} is no odd number up to {MOST}", frame.stream);
                return Err(H2SpecError::new(field, why));
            }
            if frame.priority.depends_on == frame.stream {
                let why = format!("stream {} depends on itself", frame.stream);
                return Err(H2SpecError::new(field, why));
            }
            frame.priority.check(field)?;
        }
        let Some(priority) = self.headers_priority else {
            return Ok(());
        };
        priority.check("headers_priority")?;
        if priority.depends_on >= self.first_stream {
            return Err(H2SpecError::new(
                "headers_priority",
                format!("stream {} would depend on itself", priority.depends_on),
            ));
        }
        Ok(())
    }
}

impl Priority {
    fn check(&self, field: &'static str) -> Result {
        if !(1..=256).contains(&self.weight) {
            return Err(H2SpecError::new(
                field,
                format!("a weight is 1 to 256, not {}", self.weight),
            ));
        }
        if self.depends_on != 0 && !is_clients(self.depends_on) {
            return Err(H2SpecError::new(
                field,
                format!(
                    "depends on {}, which is no odd number up to {MOST}",
                    self.depends_on
                ),
            ));
        }
        Ok(())
    }
}

fn is_clients(stream: u32) -> bool {
    stream % 2 == 1 && stream <= MOST
}
