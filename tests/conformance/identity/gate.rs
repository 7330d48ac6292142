//! A gate before a peer: connections stand there, with their first byte unread, until it is opened.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::exchange::within;

pub(super) struct Gate {
    pub(super) port: u16,
    open: watch::Sender<bool>,
    arrived: watch::Receiver<u64>,
    keeper: JoinHandle<()>,
}

impl Gate {
    /// A gate that is shut. What passes it once it is open goes to `peer`.
    pub(super) async fn before(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (open, opened) = watch::channel(false);
        let (count, arrived) = watch::channel(0);
        let keeper = tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                let mut opened = opened.clone();
                tokio::spawn(async move {
                    opened.wait_for(|open| *open).await.expect("a gate");
                    let mut inside = TcpStream::connect(peer).await.expect("the peer");
                    // Ends with either side.
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Gate {
            port,
            open,
            arrived,
            keeper,
        }
    }

    /// Waits until so many have come, in all.
    pub(super) async fn arrived(&mut self, count: u64) {
        let seen = within("an arrival", self.arrived.wait_for(|seen| *seen >= count)).await;
        seen.expect("a keeper");
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
