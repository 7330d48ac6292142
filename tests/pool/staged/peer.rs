//! A server that answers, and then, at a random moment, says something more: a valid answer to nothing. It tells when that was written.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hotpool::rustls::{ServerConfig, ServerConnection, Stream};
use parking_lot::Mutex;

use super::Dice;
use crate::support::certs;

/// Never the answer to anything that was asked.
pub(super) const FORGED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-conn: 0\r\nx-nth: 0\r\n\r\nevil";

/// Where the forged answer is when it is noticed, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In one flight with the true answer: the client's TLS has both when the caller has read one.
    Tls,
    /// In the socket, later.
    Socket,
    /// In the socket, cut in two inside its record, later and later still.
    Split,
}

/// The longest that anything waits.
pub(super) const MOMENT: Duration = Duration::from_micros(300);

/// Whether a forged answer, or half of one, has been written; by the client's port.
type Written = Arc<Mutex<HashMap<u16, Arc<AtomicBool>>>>;

pub(super) struct Staged {
    pub(super) port: u16,
    written: Written,
}

impl Staged {
    pub(super) fn start(place: Place) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let written = Written::default();
        let config = Arc::new(config());
        let known = Arc::clone(&written);
        // Both kinds of thread end with the process, or with their client.
        std::thread::spawn(move || {
            for (seed, socket) in listener.incoming().enumerate() {
                let socket = socket.unwrap();
                let flag = Arc::new(AtomicBool::new(false));
                let client = socket.peer_addr().unwrap().port();
                known.lock().insert(client, Arc::clone(&flag));
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut actor = Actor {
                    socket,
                    tls,
                    flag,
                    place,
                    dice: Dice(seed as u64 * 7919 + 1),
                };
                // An error is the client's end.
                std::thread::spawn(move || while actor.play().is_ok() {});
            }
        });
        Staged { port, written }
    }

    /// Whether the write of a forged answer to this client has returned.
    pub(super) fn has_written(&self, client: u16) -> bool {
        let written = self.written.lock();
        written
            .get(&client)
            .is_some_and(|flag| flag.load(Ordering::SeqCst))
    }
}

fn config() -> ServerConfig {
    let leaf = certs::good();
    let config = ServerConfig::builder_with_provider(certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = config
        .with_no_client_auth()
        .with_single_cert(leaf.chain.clone(), leaf.key())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

struct Actor {
    socket: TcpStream,
    tls: ServerConnection,
    flag: Arc<AtomicBool>,
    place: Place,
    dice: Dice,
}

impl Actor {
    /// One request, its answer, and every other time the forged one.
    fn play(&mut self) -> std::io::Result<()> {
        self.socket.set_nodelay(true)?;
        let tag = self.request()?;
        let forges = self.dice.below(2) == 0;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-conn: 1\r\nx-nth: 1\r\n\r\n{tag}",
            tag.len()
        );
        let mut records = self.seal(&answer);
        if forges && self.place == Place::Tls {
            records.extend(self.seal(FORGED));
        }
        self.socket.write_all(&records)?;
        if forges && self.place != Place::Tls {
            self.forge()?;
        }
        Ok(())
    }

    fn forge(&mut self) -> std::io::Result<()> {
        let record = self.seal(FORGED);
        let cut = match self.place {
            Place::Split => 1 + self.dice.below(record.len() as u64 - 1) as usize,
            _ => record.len(),
        };
        self.wait();
        self.socket.write_all(&record[..cut])?;
        self.flag.store(true, Ordering::SeqCst);
        if cut < record.len() {
            (0..10).for_each(|_| self.wait());
            self.socket.write_all(&record[cut..])?;
        }
        Ok(())
    }

    /// Reads a request's head and answers the last segment of its path.
    fn request(&mut self) -> std::io::Result<String> {
        let mut head = Vec::new();
        let mut stream = Stream::new(&mut self.tls, &mut self.socket);
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).unwrap_or_default();
        Ok(path.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// The records that carry this text.
    fn seal(&mut self, text: &str) -> Vec<u8> {
        let mut records = Vec::new();
        self.tls.writer().write_all(text.as_bytes()).unwrap();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    fn wait(&mut self) {
        let (began, span) = (Instant::now(), self.dice.moment());
        while began.elapsed() < span {
            std::thread::yield_now();
        }
    }
}
