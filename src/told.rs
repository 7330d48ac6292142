//! What others say, as it is shown: their words end up in terminals and logs.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::fault::planted;

/// How much of a cause is shown, in characters.
const MOST_SHOWN: usize = 300;

/// A cause that may hold a peer's own text: names of a certificate, what a GOAWAY says, a name server's words.
///
/// It is shown in one line with its own causes, printable characters alone, and is cut where it gets long.
#[derive(Clone)]
pub(crate) struct Told(Arc<dyn StdError + Send + Sync>);

impl Told {
    pub(crate) fn new(cause: impl StdError + Send + Sync + 'static) -> Self {
        Told(Arc::new(cause))
    }

    /// As it came.
    pub(crate) fn cause(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line {
            out: f,
            left: MOST_SHOWN,
        };
        let (mut between, mut cause) = ("", Some(&*self.0 as &dyn StdError));
        while let Some(error) = cause.filter(|_| line.left > 0) {
            write!(line, "{between}{error}")?;
            (between, cause) = (": ", error.source());
        }
        match line.left {
            0 => f.write_char('…'),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl StdError for Told {}

/// Takes any text in, and lets so many characters of it out.
struct Line<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl fmt::Write for Line<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if planted("peers_text_is_shown_as_it_is") {
            return self.out.write_str(text);
        }
        for c in text.chars() {
            // Quotes and backslashes harm nobody, and may be of an escape already.
            let plain = matches!(c, '"' | '\'' | '\\');
            for shown in c.escape_debug().skip(usize::from(plain)) {
                let Some(left) = self.left.checked_sub(1) else {
                    return Ok(());
                };
                self.left = left;
                self.out.write_char(shown)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(String, #[source] Option<Box<Said>>);

    fn told(text: &str, cause: Option<&str>) -> String {
        let cause = cause.map(|text| Box::new(Said(text.to_owned(), None)));
        Told::new(Said(text.to_owned(), cause)).to_string()
    }

    #[test]
    fn a_plain_text_is_shown_with_its_causes() {
        assert_eq!(
            told(r#"one "two" \x00 ä"#, Some("three")),
            r#"one "two" \x00 ä: three"#
        );
    }

    #[test]
    fn nothing_but_printable_characters_stand_there() {
        let shown = told("a\r\nb\u{1b}[31m\u{202e}c\0", Some("d\te"));
        assert_eq!(shown, r"a\r\nb\u{1b}[31m\u{202e}c\0: d\te");
    }

    #[test]
    fn a_long_text_is_cut_and_that_shows() {
        let long = "ä".repeat(10 * MOST_SHOWN);
        let expected = format!("{}…", "ä".repeat(MOST_SHOWN));
        assert_eq!(told(&long, Some("never seen")), expected);
        assert_eq!(told("short", Some(&long)).chars().count(), MOST_SHOWN + 1);
    }
}
