//! TCP: a socket with the options that a pool wants, connected.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use crate::config::{SocketOptionError, TcpProfile};
use crate::error::{Error, ErrorKind, Phase};
use crate::fault::planted;
use crate::source::{SourceError, SourceLease};

/// Connects to `remote`, by a socket as `profile` says, from `source` if one is given. Cancel safe: dropping it closes the socket.
///
/// # Errors
/// An option that is refused is named, and a source that cannot be used: one that cannot be bound, or from which the system does not let anything go there.
pub(super) async fn connect(
    remote: SocketAddr,
    profile: &TcpProfile,
    source: Option<&SourceLease>,
) -> Result<TcpStream, Error> {
    let failed = |error| Error::from_io(Phase::Connect, error);
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    dress(&socket, remote, profile)
        .map_err(|refused| Error::new(ErrorKind::SocketOption, Phase::Connect).with_source(refused))?;
    let unusable = |problem| Error::new(ErrorKind::Source, Phase::Connect).with_source(problem);
    if let Some(lease) = source {
        bind(&socket, lease, remote, profile.device.is_some()).map_err(unusable)?;
    }
    // What is refused at once this machine refuses; what fails later somebody on the way has said.
    match socket.connect(&remote.into()) {
        Err(error) if is_under_way(&error) => {}
        Err(error) => match source {
            Some(lease) if is_of_source(&error) => {
                return Err(unusable(SourceError::no_way(lease.ip(), error)));
            }
            _ if is_denied(&error) && !planted("rules_of_this_machine_blame_the_peer") => {
                return Err(Error::new(ErrorKind::AddressDenied, Phase::Connect).with_source(error));
            }
            _ => return Err(failed(error)),
        },
        Ok(()) => {}
    }
    let stream = TcpStream::from_std(socket.into()).map_err(failed)?;
    stream.writable().await.map_err(failed)?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        // By then it is the network's word: "administratively prohibited" of ICMPv6.
        Ok(Some(error)) | Err(error) if is_denied(&error) => {
            Err(Error::new(ErrorKind::Unreachable, Phase::Connect).with_source(error))
        }
        Ok(Some(error)) | Err(error) => Err(failed(error)),
    }
}

/// Whether a connect was not let out: by a route, a firewall or a sandbox of this machine's.
fn is_denied(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::ACCESS, Errno::PERM]
        .iter()
        .any(|denial| code == Some(denial.raw_os_error()))
}

/// Binds to a source, at a port that is chosen when it connects. One of a link (RFC 4291, section 2.5.6) in the zone of where it is to go, unless the socket has a device already.
///
/// # Errors
/// One of a link that nothing names is of no use there, and any other that cannot be bound nowhere.
fn bind(socket: &Socket, lease: &SourceLease, remote: SocketAddr, device: bool) -> Result<(), SourceError> {
    let mut local = SocketAddr::new(lease.ip(), 0);
    let mut no_link = false;
    if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (&mut local, remote)
        && local.ip().is_unicast_link_local()
        && !planted("sources_of_a_link_have_no_zone")
    {
        local.set_scope_id(remote.scope_id());
        no_link = remote.scope_id() == 0 && !device && !planted("sources_without_a_link_end_the_dial");
    }
    let bound = match lease.freebind() {
        true => linux::set_freebind(socket, local),
        false => Ok(()),
    };
    let bound = bound
        .and_then(|()| linux::leave_port_open(socket))
        .and_then(|()| socket.bind(&local.into()));
    bound.map_err(|problem| match no_link {
        true => SourceError::no_way(lease.ip(), problem),
        false => SourceError::unbound(lease.ip(), problem),
    })
}

/// Whether a connect that does not wait has begun.
fn is_under_way(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::INPROGRESS.raw_os_error()) || error.kind() == io::ErrorKind::WouldBlock
}

/// Whether a connect was refused at once because nothing can go there from where it is bound: from the loopback to another machine, by its routes or
/// rules; or because all ports of that address are in use towards there.
fn is_of_source(error: &io::Error) -> bool {
    const REFUSALS: [Errno; 6] = [
        Errno::INVAL,
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
        Errno::ACCESS,
        Errno::PERM,
        Errno::ADDRNOTAVAIL,
    ];
    let code = error.raw_os_error();
    let invalid = code == Some(Errno::INVAL.raw_os_error());
    let refused = REFUSALS
        .iter()
        .any(|refusal| code == Some(refusal.raw_os_error()));
    invalid || refused && !planted("sources_that_lead_nowhere_blame_the_remote")
}

/// Sets every option, or says which one could not be set.
fn dress(socket: &Socket, remote: SocketAddr, profile: &TcpProfile) -> Result<(), SocketOptionError> {
    // Taken apart without `..`: a field that is added does not compile until it is set.
    let TcpProfile {
        nodelay,
        keepalive,
        keepalive_idle,
        keepalive_interval,
        keepalive_count,
        user_timeout,
        ttl,
        send_buffer,
        receive_buffer,
        mark,
        device,
    } = profile;
    named("nodelay", socket.set_tcp_nodelay(*nodelay))?;
    if *keepalive {
        let keepalive = TcpKeepalive::new()
            .with_time(*keepalive_idle)
            .with_interval(*keepalive_interval)
            .with_retries(*keepalive_count);
        named("keepalive", socket.set_tcp_keepalive(&keepalive))?;
    }
    if let Some(hops) = *ttl {
        let set = match remote {
            SocketAddr::V4(_) => socket.set_ttl_v4(hops),
            SocketAddr::V6(_) => socket.set_unicast_hops_v6(hops),
        };
        named("ttl", set)?;
    }
    if let Some(size) = *send_buffer {
        let set = socket.set_send_buffer_size(size as usize);
        named(
            "send_buffer",
            set.and_then(|()| holds(size, socket.send_buffer_size()?)),
        )?;
    }
    if let Some(size) = *receive_buffer {
        let set = socket.set_recv_buffer_size(size as usize);
        named(
            "receive_buffer",
            set.and_then(|()| holds(size, socket.recv_buffer_size()?)),
        )?;
    }
    if let Some(timeout) = *user_timeout {
        named("user_timeout", linux::set_user_timeout(socket, timeout))?;
    }
    if let Some(mark) = *mark {
        named("mark", linux::set_mark(socket, mark))?;
    }
    if let Some(name) = device {
        named("device", linux::bind_device(socket, name))?;
    }
    Ok(())
}

/// A refusal, by the field that was refused.
fn named(field: &'static str, set: io::Result<()>) -> Result<(), SocketOptionError> {
    match set {
        Err(_) if planted("refused_options_are_left_out") => Ok(()),
        set => set.map_err(|problem| SocketOptionError::new(field, problem)),
    }
}

/// Whether a buffer is as large as was asked for. Linux cuts it to its limit without a word, and counts its own books beside what it gives:
/// twice as much as was asked for.
fn holds(asked: u32, given: usize) -> io::Result<()> {
    let expected = match cfg!(target_os = "linux") {
        true => asked as usize * 2,
        false => asked as usize,
    };
    match given >= expected {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "more than the system allows",
        )),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;

    use nix::sys::socket::{setsockopt, sockopt};
    use socket2::Socket;

    pub(super) fn set_freebind(socket: &Socket, local: SocketAddr) -> io::Result<()> {
        match local {
            SocketAddr::V4(_) => socket.set_freebind_v4(true),
            SocketAddr::V6(_) => socket.set_freebind_v6(true),
        }
    }

    pub(super) fn leave_port_open(socket: &Socket) -> io::Result<()> {
        setsockopt(socket, sockopt::IpBindAddressNoPort, &true).map_err(io::Error::from)
    }

    pub(super) fn set_user_timeout(socket: &Socket, timeout: Duration) -> io::Result<()> {
        socket.set_tcp_user_timeout(Some(timeout))
    }

    pub(super) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
        socket.set_mark(mark)
    }

    pub(super) fn bind_device(socket: &Socket, name: &str) -> io::Result<()> {
        socket.bind_device(Some(name.as_bytes()))
    }
}

/// What other systems do not have, they refuse.
#[cfg(not(target_os = "linux"))]
mod linux {
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;

    use socket2::Socket;

    pub(super) fn set_freebind(_: &Socket, _: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A port is chosen at once: as many connections as there are ports may come from one address.
    pub(super) fn leave_port_open(_: &Socket) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn set_user_timeout(_: &Socket, _: Duration) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn bind_device(_: &Socket, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use socket2::SockRef;

    use super::*;
    use crate::support::network::alone;

    async fn connected(ip: std::net::IpAddr, profile: &TcpProfile) -> Result<TcpStream, Error> {
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.expect("a listener");
        connect(listener.local_addr().expect("its address"), profile, None).await
    }

    fn refused(error: &Error) -> &'static str {
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::SocketOption, Phase::Connect)
        );
        let cause: &SocketOptionError = error.cause_as().expect("the option");
        cause.field()
    }

    #[test]
    fn what_was_not_let_out_is_told_from_what_was_refused() {
        let is = |code: Errno| is_denied(&io::Error::from_raw_os_error(code.raw_os_error()));
        assert!(is(Errno::PERM) && is(Errno::ACCESS));
        for other in [
            Errno::CONNREFUSED,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::MFILE,
        ] {
            assert!(!is(other), "{other:?}");
        }
    }

    #[tokio::test]
    async fn the_defaults_are_what_they_say() {
        let stream = connected(Ipv4Addr::LOCALHOST.into(), &TcpProfile::default())
            .await
            .expect("connected");
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("nodelay") && socket.keepalive().expect("keepalive"));
        assert_eq!(
            socket.tcp_keepalive_time().expect("idle"),
            Duration::from_secs(60)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().expect("interval"),
            Duration::from_secs(15)
        );
        assert_eq!(socket.tcp_keepalive_retries().expect("count"), 4);
    }

    /// In a network of its own, where this process has every right.
    #[test]
    fn every_field_is_read_back_from_the_live_socket() {
        alone(
            "dial::tcp::tests::every_field_is_read_back_from_the_live_socket",
            || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
                        let profile = TcpProfile {
                            nodelay: false,
                            keepalive: true,
                            keepalive_idle: Duration::from_secs(31),
                            keepalive_interval: Duration::from_secs(7),
                            keepalive_count: 9,
                            user_timeout: Some(Duration::from_millis(12_345)),
                            ttl: Some(37),
                            send_buffer: Some(30_000),
                            receive_buffer: Some(40_000),
                            mark: Some(77),
                            device: Some("lo".to_owned()),
                        };
                        let stream = connected(ip, &profile).await.expect("connected");
                        let socket = SockRef::from(&stream);
                        assert!(
                            !socket.tcp_nodelay().expect("nodelay") && socket.keepalive().expect("keepalive")
                        );
                        assert_eq!(socket.tcp_keepalive_time().expect("idle"), profile.keepalive_idle);
                        assert_eq!(
                            socket.tcp_keepalive_interval().expect("interval"),
                            profile.keepalive_interval
                        );
                        assert_eq!(socket.tcp_keepalive_retries().expect("count"), 9);
                        assert_eq!(
                            socket.tcp_user_timeout().expect("user timeout"),
                            profile.user_timeout
                        );
                        let hops = match ip.is_ipv4() {
                            true => socket.ttl_v4(),
                            false => socket.unicast_hops_v6(),
                        };
                        assert_eq!(hops.expect("ttl"), 37);
                        assert_eq!(socket.send_buffer_size().expect("send buffer"), 60_000);
                        assert_eq!(socket.recv_buffer_size().expect("receive buffer"), 80_000);
                        assert_eq!(socket.mark().expect("mark"), 77);
                        assert_eq!(socket.device().expect("device").as_deref(), Some(&b"lo"[..]));
                        let quiet = TcpProfile {
                            keepalive: false,
                            ..TcpProfile::default()
                        };
                        let stream = connected(ip, &quiet).await.expect("connected");
                        assert!(!SockRef::from(&stream).keepalive().expect("keepalive"));
                    }
                });
            },
        );
    }

    #[tokio::test]
    async fn what_is_refused_is_named() {
        type Change = fn(&mut TcpProfile);
        let cases: [(&str, Change); 3] = [
            ("device", |tcp| tcp.device = Some("no-such-link".to_owned())),
            ("send_buffer", |tcp| tcp.send_buffer = Some((1 << 30) - 1)),
            ("receive_buffer", |tcp| tcp.receive_buffer = Some((1 << 30) - 1)),
        ];
        for (field, change) in cases {
            let mut profile = TcpProfile::default();
            change(&mut profile);
            let error = connected(Ipv4Addr::LOCALHOST.into(), &profile)
                .await
                .expect_err("refused");
            assert_eq!(refused(&error), field);
        }
    }
}
