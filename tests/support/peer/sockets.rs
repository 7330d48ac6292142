//! Listening sockets on several addresses at one port.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

const ATTEMPTS: usize = 50;

/// Connections that the kernel holds for a listener that is slow to accept.
pub const BACKLOG: i32 = 1024;

/// Sockets that listen on each of `ips`, at one port that was free on all of them.
pub fn listen_all(ips: &[IpAddr]) -> Vec<Socket> {
    let (first, rest) = ips.split_first().expect("at least one address");
    // The port that is free on the first address may be taken on another: then try with another port.
    for _ in 0..ATTEMPTS {
        let socket = bind(*first, 0).expect("a free port");
        let port = local(&socket).port();
        let others = rest.iter().map(|ip| bind(*ip, port));
        let all: io::Result<Vec<Socket>> = std::iter::once(Ok(socket)).chain(others).collect();
        if let Ok(all) = all
            && all.iter().all(|socket| socket.listen(BACKLOG).is_ok())
        {
            return all;
        }
    }
    panic!("no port is free on all of {ips:?}")
}

/// A socket bound there. It shares the port with others that do not listen (SO_REUSEADDR).
pub fn bind(ip: IpAddr, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(ip, port)), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    Ok(socket)
}

/// A socket bound where another was until now. Whoever connected from there in between, by chance, has it for a while.
pub fn bind_again(ip: IpAddr, port: u16) -> io::Result<Socket> {
    for _ in 0..ATTEMPTS {
        match bind(ip, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
    bind(ip, port)
}

/// The address that a socket is bound to.
pub fn local(socket: &Socket) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket");
    address.as_socket().expect("an IP socket")
}
