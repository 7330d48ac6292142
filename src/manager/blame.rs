//! Whom a failure is held against: one table over what went wrong and where. What is not in it does not compile.

use super::validator::Own;
use crate::dial::{Interned, Panicked};
use crate::dialer::DialError;
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::identity::Require;
use crate::machine::Cause;
use crate::proxy::{ProxyError, ProxyProblem};

/// Whom an error blames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nobody that is dialled: this machine, this pool, its owner's rules, whoever asks, or whoever dials for that one alone.
    Nobody,
    /// The address to connect from. None that is dialled: from another source it may be reached.
    Source,
    /// The proxy, which is what is dialled: for this origin alone, as it may serve others.
    Proxy,
    /// The address, for this origin: TLS failed there.
    Tls,
    /// The address, for this origin: it refused, was silent, broke off, spoke otherwise than it should, told us to come later.
    Protocol,
    /// The address, for this origin: it told us to stay away.
    Status,
    /// The address, for every origin: there is no way to it.
    Address,
}

impl Blame {
    /// As the tables of what is avoided have it.
    pub(super) const fn cause(self) -> Cause {
        match self {
            Blame::Nobody | Blame::Source => Cause::Local,
            Blame::Tls => Cause::Tls,
            Blame::Proxy | Blame::Protocol => Cause::Protocol,
            Blame::Status => Cause::Status,
            Blame::Address => Cause::Tcp,
        }
    }
}

/// What whoever asked has of its own that a failure may be due to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asker {
    /// It goes out from an address of its own.
    sourced: bool,
    /// Not every protocol will do.
    particular: bool,
    /// It brought its TLS setup.
    dressed: bool,
}

impl From<&Interned> for Asker {
    fn from(interned: &Interned) -> Self {
        let identity = &interned.identity;
        Asker {
            sourced: identity.sources.is_some(),
            particular: identity.require != Require::Any,
            dressed: identity.epoch.is_none(),
        }
    }
}

/// Whom an error of an attempt blames, or of the judgement over what it brought.
pub(super) fn blame(error: &Error, asker: Asker) -> Blame {
    if error.is_on_a_detour() {
        return Blame::Nobody;
    }
    let (kind, phase) = (error.kind(), error.phase());
    match whom(kind, phase) {
        // There is no way to it from that one, or from its network: what goes out from others may find one.
        Blame::Address if asker.sourced && !planted("one_source_speaks_for_all") => Blame::Protocol,
        Blame::Protocol if asker.particular && is_of_protocols(error) => Blame::Nobody,
        Blame::Tls | Blame::Protocol if asker.dressed && is_of_a_setup(kind, phase) => Blame::Nobody,
        Blame::Tls
            if error.cause_as::<Panicked>().is_some() && !planted("a_setup_s_panic_blames_the_address") =>
        {
            Blame::Nobody
        }
        Blame::Proxy if is_about_who_asks(error) => Blame::Nobody,
        Blame::Protocol if Own::is_of(error) || is_a_dialer_s(error) => Blame::Nobody,
        Blame::Protocol if phase == Phase::Validate && planted("who_fails_to_answer_blocks") => Blame::Status,
        Blame::Nobody if kind == ErrorKind::Dial && is_the_address_s(error) => Blame::Protocol,
        Blame::Nobody if kind == ErrorKind::LocalResource && planted("shortages_blame_the_peer") => {
            Blame::Address
        }
        Blame::Nobody if kind == ErrorKind::ProxyLogin && planted("what_was_not_sent_blames_the_address") => {
            Blame::Address
        }
        Blame::Nobody if kind == ErrorKind::ProxyLogin && planted("bad_logins_blame_the_proxy") => {
            Blame::Proxy
        }
        blame => blame,
    }
}

/// The table. A new kind, or a new phase, has to be given its place in it.
const fn whom(kind: ErrorKind, phase: Phase) -> Blame {
    use ErrorKind as Kind;
    match kind {
        // What this machine has not, what its owner does not want, what was not asked rightly, what nothing was sent for.
        Kind::InvalidTarget
        | Kind::NameNotFound
        | Kind::Resolve
        | Kind::AddressDenied
        | Kind::LocalResource
        | Kind::SocketOption
        | Kind::ProxyLogin
        | Kind::Busy
        | Kind::TooManyWaiters
        | Kind::TooManyHosts
        | Kind::Closed
        | Kind::Request
        | Kind::Body
        | Kind::NoRuntime
        | Kind::Validator
        // Unless whoever dials for the owner says otherwise.
        | Kind::Dial
        | Kind::Unsupported => Blame::Nobody,
        Kind::Source => Blame::Source,
        Kind::ProxyRefused | Kind::Proxy => Blame::Proxy,
        // In any other phase the pool says it, of what it holds already.
        Kind::Blocked => match phase {
            Phase::Validate => Blame::Status,
            Phase::Target
            | Phase::Acquire
            | Phase::Resolve
            | Phase::Connect
            | Phase::Proxy
            | Phase::Tls
            | Phase::Http2
            | Phase::Use => Blame::Nobody,
        },
        Kind::Unreachable => match phase {
            Phase::Connect => Blame::Address,
            phase => of_what_is_dialled(phase),
        },
        Kind::Protocol | Kind::Http2 => match phase {
            Phase::Tls => Blame::Protocol,
            phase => of_what_is_dialled(phase),
        },
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::Timeout
        | Kind::CertificateExpired
        | Kind::CertificateNotYetValid
        | Kind::CertificateName
        | Kind::CertificateIssuer
        | Kind::CertificateSelfSigned
        | Kind::CertificateInvalid
        | Kind::Tls
        | Kind::Shape
        | Kind::Rejected
        | Kind::Answer
        | Kind::Io => of_what_is_dialled(phase),
    }
}

/// Whom something blames that came from there, or did not come.
const fn of_what_is_dialled(phase: Phase) -> Blame {
    match phase {
        // A port that refuses or stays silent says nothing of the other ports of its address: that is the origin's trouble.
        Phase::Connect | Phase::Http2 | Phase::Validate => Blame::Protocol,
        Phase::Proxy => Blame::Proxy,
        Phase::Tls => Blame::Tls,
        // Nothing is dialled: a name is asked for, by a pool whose addresses are its proxy's; or it is the caller's affair.
        Phase::Target | Phase::Acquire | Phase::Resolve | Phase::Use => Blame::Nobody,
    }
}

/// Whether it does not speak what was required: it may well speak what others ask for.
fn is_of_protocols(error: &Error) -> bool {
    (error.kind(), error.phase()) == (ErrorKind::Protocol, Phase::Tls)
        && !planted("what_is_required_in_vain_blames_the_address")
}

/// Whether TLS failed for something that another setup may not mind, or not do. Whenever it did: a server may say late that it does not take a certificate. And whether
/// it offered no protocol that will do; what goes wrong with one that was chosen is no affair of its.
fn is_of_a_setup(kind: ErrorKind, phase: Phase) -> bool {
    use ErrorKind as Kind;
    let of_setup = match kind {
        Kind::CertificateExpired
        | Kind::CertificateNotYetValid
        | Kind::CertificateName
        | Kind::CertificateIssuer
        | Kind::CertificateSelfSigned
        | Kind::CertificateInvalid
        | Kind::Tls
        | Kind::Shape => true,
        Kind::Protocol => phase == Phase::Tls,
        Kind::Http2 => planted("a_setup_answers_for_http2"),
        _ => false,
    };
    of_setup && !planted("a_setup_of_one_s_own_blames_the_address")
}

/// Whether a dialer of the owner's took too long for something of its own.
fn is_a_dialer_s(error: &Error) -> bool {
    let cause: Option<&DialError> = error.cause_as();
    error.is_timeout() && cause.is_some_and(|cause| !cause.blames_address())
}

/// Whether a dialer of the owner's says that the address is to blame.
fn is_the_address_s(error: &Error) -> bool {
    error.cause_as().is_some_and(DialError::blames_address)
        || planted("every_dialer_s_error_blames_the_address")
}

/// Whether a proxy has something against whoever asks: another may be served.
fn is_about_who_asks(error: &Error) -> bool {
    /// "Connection not allowed by ruleset" (RFC 1928, section 6).
    const NOT_ALLOWED: u8 = 2;
    let problem = error.cause_as().map(ProxyError::problem);
    matches!(
        problem,
        Some(ProxyProblem::Status(403) | ProxyProblem::Reply(NOT_ALLOWED))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter for each phase, in their order: target, acquire, resolve, connect, proxy, TLS, HTTP/2, validate, use.
    const fn row(kind: ErrorKind) -> &'static str {
        use ErrorKind as Kind;
        match kind {
            Kind::InvalidTarget | Kind::NameNotFound | Kind::Resolve | Kind::AddressDenied => {
                ". . . . . . . . ."
            }
            Kind::LocalResource | Kind::SocketOption | Kind::ProxyLogin | Kind::Busy => ". . . . . . . . .",
            Kind::TooManyWaiters | Kind::TooManyHosts | Kind::Closed | Kind::NoRuntime => ". . . . . . . . .",
            Kind::Unsupported | Kind::Validator | Kind::Dial | Kind::Request | Kind::Body => {
                ". . . . . . . . ."
            }
            Kind::Source => "s s s s s s s s s",
            Kind::ProxyRefused | Kind::Proxy => "p p p p p p p p p",
            Kind::Blocked => ". . . . . . . S .",
            Kind::Unreachable => ". . . A p t o o .",
            Kind::Protocol | Kind::Http2 => ". . . o p o o o .",
            Kind::ConnectionRefused | Kind::ConnectionReset | Kind::Timeout | Kind::Io => ". . . o p t o o .",
            Kind::CertificateExpired | Kind::CertificateNotYetValid | Kind::CertificateName => {
                ". . . o p t o o ."
            }
            Kind::CertificateIssuer | Kind::CertificateSelfSigned | Kind::CertificateInvalid => {
                ". . . o p t o o ."
            }
            Kind::Tls | Kind::Shape | Kind::Rejected | Kind::Answer => ". . . o p t o o .",
        }
    }

    const fn letter(blame: Blame) -> &'static str {
        match blame {
            Blame::Nobody => ".",
            Blame::Source => "s",
            Blame::Proxy => "p",
            Blame::Tls => "t",
            Blame::Protocol => "o",
            Blame::Status => "S",
            Blame::Address => "A",
        }
    }

    #[test]
    fn every_failure_has_somebody_to_blame_or_nobody() {
        for &kind in ErrorKind::ALL {
            let letters = Phase::ALL.iter().map(|&phase| {
                let error = Error::new(kind, phase);
                assert_eq!(blame(&error, Asker::default()), whom(kind, phase));
                let sourced = Asker {
                    sourced: true,
                    ..Asker::default()
                };
                assert_ne!(blame(&error, sourced), Blame::Address);
                letter(blame(&error, Asker::default()))
            });
            assert_eq!(letters.collect::<Vec<_>>().join(" "), row(kind), "{kind:?}");
        }
    }

    /// No more than that is ever held against an address for the whole pool.
    #[test]
    fn the_whole_pool_avoids_what_cannot_be_reached_and_nothing_else() {
        let every = ErrorKind::ALL
            .iter()
            .flat_map(|&kind| Phase::ALL.iter().map(move |&phase| (kind, phase)));
        let pool_wide: Vec<_> = every
            .filter(|&(kind, phase)| whom(kind, phase).cause() == Cause::Tcp)
            .collect();
        assert_eq!(pool_wide, [(ErrorKind::Unreachable, Phase::Connect)]);
    }
}
