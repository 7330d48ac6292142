//! The listeners of a peer, one door to each address, on a thread of their own.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::Socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::life::{self, Shop};
use super::sockets;

#[derive(Debug)]
struct Command {
    open: bool,
    done: oneshot::Sender<()>,
}

/// The test's side of the doors.
pub(super) struct Doors {
    commands: BTreeMap<IpAddr, mpsc::UnboundedSender<Command>>,
    running: watch::Receiver<()>,
}

impl Doors {
    pub(super) async fn set(&self, ips: &[IpAddr], open: bool) {
        for ip in ips {
            let (done, obeyed) = oneshot::channel();
            self.commands[ip]
                .send(Command { open, done })
                .expect("the peer's door lives");
            obeyed.await.expect("the peer's door obeys");
        }
    }

    /// Waits until the peer's runtime is gone, and every task and socket with it.
    pub(super) async fn ended(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

/// Opens every door; they close when `stop` changes or its sender is gone.
pub(super) fn open(
    ips: &[IpAddr],
    sockets: Vec<Socket>,
    shop: Shop,
    stop: watch::Receiver<()>,
) -> (Doors, JoinHandle<()>) {
    let (keep_running, running) = watch::channel(());
    let mut doors = Doors {
        commands: BTreeMap::new(),
        running,
    };
    let mut rooms = Vec::new();
    for (ip, socket) in ips.iter().zip(sockets) {
        let (sender, commands) = mpsc::unbounded_channel();
        doors.commands.insert(*ip, sender);
        let (shop, stop) = (shop.clone(), stop.clone());
        rooms.push(Door {
            ip: *ip,
            idle: Some(socket),
            listener: None,
            shop,
            commands,
            stop,
        });
    }
    let thread = std::thread::Builder::new()
        .name("scripted peer".to_owned())
        .spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a peer's runtime");
            runtime.block_on(async {
                let mut tasks: JoinSet<()> = rooms.into_iter().map(Door::attend).collect();
                while let Some(ended) = tasks.join_next().await {
                    ended.expect("a peer's door does not panic");
                }
            });
            drop(runtime);
            drop(keep_running);
        });
    (doors, thread.expect("a peer's thread"))
}

struct Door {
    ip: IpAddr,
    /// Bound without listening: the port is ours, and a connect to it is refused. (At the start it listens.)
    idle: Option<Socket>,
    listener: Option<TcpListener>,
    shop: Shop,
    commands: mpsc::UnboundedReceiver<Command>,
    stop: watch::Receiver<()>,
}

impl Door {
    async fn attend(mut self) {
        let mut connections = JoinSet::new();
        self.set(true);
        loop {
            tokio::select! {
                biased;
                _ = self.stop.changed() => break,
                Some(command) = self.commands.recv() => {
                    self.set(command.open);
                    // The test may have stopped waiting.
                    let _ = command.done.send(());
                }
                Some(ended) = connections.join_next() => ended.expect("a peer's connection does not panic"),
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok((tcp, from)) => {
                        tcp.set_nodelay(true).ok();
                        connections.spawn(life::live(self.shop.clone(), self.ip, from, tcp));
                    }
                    // Out of descriptors, or a client that left: the next accept may do better, a little later.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                },
            }
        }
        connections.shutdown().await;
    }

    fn set(&mut self, open: bool) {
        if open && let Some(socket) = self.idle.take() {
            socket.listen(sockets::BACKLOG).expect("a bound socket listens");
            self.listener = Some(TcpListener::from_std(socket.into()).expect("a listener"));
        } else if !open && let Some(listener) = self.listener.take() {
            let address = listener.local_addr().expect("a listener's address");
            drop(listener);
            self.idle = Some(sockets::bind_again(address.ip(), address.port()).expect("the peer's own port"));
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}
