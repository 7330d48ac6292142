//! An address where a connect neither succeeds nor fails: its SYNs are dropped.
//!
//! Linux drops a SYN for a listener whose accept queue is full (`tcp_conn_request` in `net/ipv4/tcp_input.c`). The hole
//! listens with the shortest queue there is, fills it, and accepts nobody. The client's kernel sends its SYN again
//! after 1 s, 3 s, 7 s: a connect that hung gets through only once the hole is gone and another listens there.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::Socket;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::peer::sockets;

/// A connect over loopback takes microseconds; one that takes this long hangs.
const HANGS: Duration = Duration::from_millis(150);

/// More connects than the shortest queue can hold on any kernel.
const MOST: usize = 16;

/// A black hole. Dropping it ends it.
pub struct BlackHole {
    address: SocketAddr,
    filling: Vec<TcpStream>,
    listener: Socket,
}

impl BlackHole {
    /// Opens one at a port that the kernel chooses, and returns when a connect there has been seen to hang.
    pub async fn open(ip: IpAddr) -> Self {
        Self::open_at(SocketAddr::new(ip, 0)).await
    }

    /// Opens one at a port of the caller's.
    pub async fn open_at(address: SocketAddr) -> Self {
        let listener = sockets::bind(address.ip(), address.port()).expect("a port for the black hole");
        listener.listen(0).expect("a listener with the shortest queue");
        let address = sockets::local(&listener);
        let mut filling = Vec::new();
        while filling.len() < MOST {
            match timeout(HANGS, TcpStream::connect(address)).await {
                Ok(connected) => filling.push(connected.expect("a connect that fills the queue")),
                Err(_) => {
                    return Self {
                        address,
                        filling,
                        listener,
                    };
                }
            }
        }
        panic!("{MOST} connections to {address} and no connect hangs: no black hole on this kernel")
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
