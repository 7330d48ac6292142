//! Why a dialer made no stream, and whom that blames.

use std::fmt;
use std::io;

use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Why a [`Dial`](crate::Dial) made no stream, and whom that blames: the [`cause`](crate::Error::cause) of an
/// [`ErrorKind::Dial`](crate::ErrorKind::Dial).
///
/// An [`io::Error`] turns into one that blames nobody: it may be of whatever the dialer goes by, which callers without it have nothing to do with. What is
/// known to be the address's own doing is said by [`DialError::address`].
#[derive(Debug)]
pub struct DialError(Why);

#[derive(Debug)]
enum Why {
    /// What the pool's own TCP said.
    Own(Error),
    Address(Boxed),
    Nobody(Boxed),
}

impl DialError {
    /// The address that was asked for is to blame: for this origin dials to it stand back, for a second, twice as long each time in a row, and others have their turn.
    ///
    /// So much for a dialer of the pool's, whose success clears the address again. From one that a call brought, which clears nothing, it blames the address only where that dialer had
    /// [connected](crate::DialTo::connect) to it, and the pool has none: on any other way it is that way's own affair. See [`GetOptions::dial`](crate::GetOptions::dial).
    pub fn address(error: impl Into<Boxed>) -> Self {
        DialError(Why::Address(error.into()))
    }

    /// Nobody is to blame, nobody here at least: nothing is held against the address.
    pub fn nobody(error: impl Into<Boxed>) -> Self {
        DialError(Why::Nobody(error.into()))
    }

    /// Whether the dialer says that the address that was asked for is to blame.
    pub fn blames_address(&self) -> bool {
        matches!(self.0, Why::Address(_))
    }

    pub(super) fn own(error: Error) -> Self {
        DialError(Why::Own(error))
    }

    /// What the pool's own TCP said of an address that nobody had asked for.
    pub(super) fn elsewhere(error: Error) -> Self {
        match error.kind() {
            ErrorKind::LocalResource | ErrorKind::SocketOption | ErrorKind::Source => DialError::own(error),
            _ => DialError::nobody(error),
        }
    }

    /// It took all the time there was for something of its own.
    pub(crate) fn slow() -> Self {
        DialError::nobody("it took too long")
    }

    pub(super) fn panicked() -> Self {
        DialError::nobody("it panicked")
    }

    /// What the caller is told.
    pub(super) fn into_error(self) -> Error {
        match self.0 {
            Why::Own(error) => error,
            why => Error::new(ErrorKind::Dial, Phase::Connect).with_source(DialError(why)),
        }
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match planted("io_errors_of_a_dialer_blame_the_address") {
            false => DialError::nobody(error),
            true => DialError::address(error),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Own(error) => error.fmt(f),
            Why::Address(error) | Why::Nobody(error) => write!(f, "dialer: {error}"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Why::Own(error) => std::error::Error::source(error),
            Why::Address(error) | Why::Nobody(error) => error.source(),
        }
    }
}
