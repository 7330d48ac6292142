//! A scripted proxy: HTTP's CONNECT or SOCKS5, honest or not. Whatever it is asked for, it leads to one peer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a proxy behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// HTTP, as it should.
    Http,
    /// SOCKS5, as it should.
    Socks5,
    /// Says this, whatever it hears, and then nothing more.
    Says(&'static [u8]),
    /// Says this, and closes.
    SaysAndCloses(&'static [u8]),
    /// Says this, and then this again and again.
    SaysWithoutEnd(&'static [u8], &'static [u8]),
    /// HTTP, with something behind its answer.
    SpeaksEarly,
}

/// What it was asked for once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `user:password`, where a login was shown.
    pub login: Option<String>,
    /// `host:port`.
    pub end: String,
}

/// A running proxy. Dropping it ends it.
pub struct Proxy {
    addr: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    accepts: Mutex<usize>,
    /// Whether somebody has said something to one that answers by rote.
    spoken_to: Mutex<bool>,
    asked: Mutex<Vec<Asked>>,
    /// The one login that it takes; none: it takes all.
    takes: Mutex<Option<String>>,
}

impl Proxy {
    /// One at a free port of this address, which leads to `peer`.
    pub async fn start(ip: IpAddr, manner: Manner, peer: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let seen: Arc<Seen> = Arc::default();
        let board = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut guests = tokio::task::JoinSet::new();
            while let Ok((guest, _)) = listener.accept().await {
                *board.accepts.lock() += 1;
                let board = Arc::clone(&board);
                guests.spawn(async move {
                    let _ = serve(guest, manner, peer, &board).await; // whoever leaves, leaves
                });
            }
        });
        Proxy { addr, seen, task }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes this login alone from now on.
    pub fn take(&self, login: &str) {
        *self.seen.takes.lock() = Some(login.to_owned());
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().clone()
    }

    /// Whether somebody has said something to one that says the same to all.
    pub fn was_spoken_to(&self) -> bool {
        *self.seen.spoken_to.lock()
    }

    /// How many connections it has accepted.
    pub fn accepts(&self) -> usize {
        *self.seen.accepts.lock()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// Writes down what was asked for. Whether the login will do.
    fn note(&self, login: Option<String>, end: String) -> bool {
        let takes = self.takes.lock().clone();
        let will_do = takes.is_none() || takes == login;
        self.asked.lock().push(Asked { login, end });
        will_do
    }
}

async fn serve(mut guest: TcpStream, manner: Manner, peer: SocketAddr, seen: &Seen) -> io::Result<()> {
    let granted = match manner {
        Manner::Http | Manner::SpeaksEarly => http(&mut guest, seen).await?,
        Manner::Socks5 => socks5(&mut guest, seen).await?,
        Manner::Says(text) | Manner::SaysAndCloses(text) => {
            guest.write_all(text).await?;
            if manner == Manner::Says(text) {
                guest.read_u8().await?;
                *seen.spoken_to.lock() = true;
                let mut rest = Vec::new();
                guest.read_to_end(&mut rest).await?;
            }
            false
        }
        Manner::SaysWithoutEnd(first, text) => {
            guest.write_all(first).await?;
            loop {
                guest.write_all(text).await?;
            }
        }
    };
    if !granted {
        return Ok(());
    }
    if manner == Manner::SpeaksEarly {
        guest.write_all(b"HTTP/1.1 200 OK\r\n\r\nwelcome").await?;
    } else if manner == Manner::Http {
        guest.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    } else {
        guest.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    }
    let mut inside = TcpStream::connect(peer).await?;
    copy_bidirectional(&mut guest, &mut inside).await?;
    Ok(())
}

async fn http(guest: &mut TcpStream, seen: &Seen) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(guest.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let end = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let login = head
        .lines()
        .find_map(|line| line.strip_prefix("Proxy-Authorization: Basic "));
    let login = login.map(|text| {
        let decoded = data_encoding::BASE64.decode(text.as_bytes()).expect("base64");
        String::from_utf8(decoded).expect("a login")
    });
    let granted = seen.note(login, end);
    if !granted {
        guest
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            .await?;
    }
    Ok(granted)
}

async fn socks5(guest: &mut TcpStream, seen: &Seen) -> io::Result<bool> {
    let mut start = [0; 2];
    guest.read_exact(&mut start).await?;
    let methods = read(guest, start[1].into()).await?;
    let login = match methods.contains(&2) {
        true => {
            guest.write_all(&[5, 2]).await?;
            guest.read_u8().await?;
            let mut parts = Vec::new();
            for _ in 0..2 {
                let length = guest.read_u8().await?;
                parts.push(String::from_utf8(read(guest, length.into()).await?).expect("a login"));
            }
            Some(parts.join(":"))
        }
        false => {
            guest.write_all(&[5, 0]).await?;
            None
        }
    };
    let takes = seen.takes.lock().clone();
    if login.is_some() {
        let refused = takes.is_some() && takes != login;
        guest.write_all(&[1, refused.into()]).await?;
        if refused {
            return Ok(seen.note(login, String::new()));
        }
    }
    let request = read(guest, 4).await?;
    let host = match request[3] {
        1 => IpAddr::from(<[u8; 4]>::try_from(read(guest, 4).await?).expect("four")).to_string(),
        4 => IpAddr::from(<[u8; 16]>::try_from(read(guest, 16).await?).expect("sixteen")).to_string(),
        _ => {
            let length = guest.read_u8().await?;
            String::from_utf8(read(guest, length.into()).await?).expect("a name")
        }
    };
    let port = guest.read_u16().await?;
    let granted = seen.note(login, format!("{host}:{port}"));
    if !granted {
        guest.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    }
    Ok(granted)
}

async fn read(guest: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; length];
    guest.read_exact(&mut octets).await?;
    Ok(octets)
}
