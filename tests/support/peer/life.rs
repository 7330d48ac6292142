//! One accepted connection, from its accept to its end: what the script has for it, TLS, HTTP, and orders meanwhile.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};

use parking_lot::Mutex;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;

use super::board::{Board, Conn};
use super::script::{Act, Order, Pace, Script};
use super::tap::{Extra, Tap};
use super::wire::{self, Wire};
use super::{h1, h2};

/// What every connection of a peer shares.
#[derive(Clone)]
pub(super) struct Shop {
    pub(super) board: Arc<Board>,
    pub(super) script: Arc<Script>,
    pub(super) h2: h2::Options,
}

/// What the protocols need of their connection.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) conn: Arc<Conn>,
    pace: watch::Receiver<Pace>,
}

impl Desk {
    /// Waits until an answer may begin.
    pub(super) async fn may_answer(&mut self) {
        let Ok(pace) = self.pace.wait_for(|pace| !pace.held).await.map(|pace| *pace) else {
            return;
        };
        if !pace.delay.is_zero() {
            tokio::time::sleep(pace.delay).await;
        }
    }
}

/// Who ended the conversation.
pub(super) enum End {
    /// The peer: it owes the client close_notify and FIN.
    Ours,
    /// The client, or an error.
    Theirs,
}

/// Lives one connection. Orders reach it at any point; when it returns or is dropped, its socket is closed.
pub(super) async fn live(shop: Shop, ip: IpAddr, from: SocketAddr, tcp: TcpStream) {
    // Before anybody hears of it: whoever then gives an order at once must not leave the act of this one to the next.
    let act = shop.script.take_act(ip);
    let (conn, mut orders) = shop.board.accepted(ip, from);
    let conn = Arc::new(conn);
    let tcp = Arc::new(tcp);
    let tap = OnceLock::new();
    // Orders that only a connection whose TLS stands can obey: a client may have its side of a handshake, and give them, before that.
    let early = Mutex::new(Vec::new());
    let mut hung = false;
    let mut served = pin!(serve(&shop, &conn, &tcp, (act, &tap)));
    loop {
        // Orders first: an order given before a byte arrived is obeyed before that byte is read. Extras last: what
        // the protocol was in the middle of writing goes first.
        tokio::select! {
            biased;
            Some(order) = orders.recv() => match (order, tap.get()) {
                (Order::Reset, _) => {
                    wire::reset_when_dropped(&tcp);
                    return;
                }
                (Order::Hang, _) => hung = true,
                (Order::Resume, _) => hung = false,
                // The client may be gone already: then there is nothing left to half-close.
                (Order::HalfClose, _) => drop(wire::send_fin(&tcp)),
                (order, Some(tap)) => say(tap, order),
                (order, None) => early.lock().push(order),
            },
            () = &mut served, if !hung => return,
            () = wire::closed(&tcp, &conn), if hung => return,
            () = send_extras(&tap, &early) => {}
        }
    }
}

/// Queues what an order says.
fn say(tap: &Tap, order: Order) {
    match order {
        Order::Close => {
            tap.push(Extra::CloseNotify);
            tap.push(Extra::Fin);
        }
        Order::CloseNotify => tap.push(Extra::CloseNotify),
        Order::Send(bytes) => tap.push(Extra::Bytes(bytes)),
        Order::HalfClose | Order::Reset | Order::Hang | Order::Resume => {} // obeyed without TLS
    }
}

/// Sends what orders queued; never returns, since more may come.
async fn send_extras(tap: &OnceLock<Tap>, early: &Mutex<Vec<Order>>) {
    poll_fn(|cx| {
        if let Some(tap) = tap.get() {
            early.lock().drain(..).for_each(|order| say(tap, order));
            // A failed write shows in the protocol's own next step.
            let _ = ready!(tap.poll_extras(cx));
        }
        Poll::Pending
    })
    .await
}

async fn serve(shop: &Shop, conn: &Arc<Conn>, tcp: &Arc<TcpStream>, (act, tap): (Act, &OnceLock<Tap>)) {
    match act {
        Act::ResetOnAccept => return wire::reset_when_dropped(tcp),
        Act::StallOnAccept => return wire::closed(tcp, conn).await,
        _ => {}
    }
    // An error here is the client's doing and is counted where it is met.
    let Ok(Some(tls)) = shake_hands(shop, conn, tcp, &act).await else {
        return;
    };
    let tap = tap.get_or_init(|| tls).clone();
    let end = match act {
        Act::StallAfterHandshake => return wire::closed(tcp, conn).await,
        Act::CloseAfterHandshake => End::Ours,
        _ => talk(shop, conn, &tap).await,
    };
    if let End::Ours = end {
        tap.push(Extra::CloseNotify);
        tap.push(Extra::Fin);
        if poll_fn(|cx| tap.poll_extras(cx)).await.is_err() {
            return;
        }
    }
    linger(tap, tcp, conn).await;
}

/// The handshake as the script has it; `None` if the script ends the connection before its end.
async fn shake_hands(
    shop: &Shop,
    conn: &Arc<Conn>,
    tcp: &Arc<TcpStream>,
    act: &Act,
) -> io::Result<Option<Tap>> {
    let wire = Wire::new(tcp.clone(), conn.clone());
    let started = LazyConfigAcceptor::new(Acceptor::default(), wire).await;
    let mut start = started.inspect_err(|error| {
        if error.kind() == io::ErrorKind::InvalidData {
            conn.count(|counts| counts.handshakes_failed += 1);
        }
    })?;
    let bytes = start.io.take_hello();
    let hello = start.client_hello();
    let offered = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
    conn.hello(hello.server_name().map(str::to_owned), offered, bytes);
    match act {
        Act::ResetAfterHello => wire::reset_when_dropped(tcp),
        Act::StallAfterHello => wire::closed(tcp, conn).await,
        Act::Garbage(bytes) => {
            start.io.write_all(bytes).await?;
            start.io.shutdown().await?;
            wire::drain(tcp, conn).await;
        }
        _ => {
            let done = start.into_stream(shop.script.tls(conn.ip)).await;
            let tls = done.inspect_err(|_| conn.count(|counts| counts.handshakes_failed += 1))?;
            conn.handshake(tls.get_ref().1);
            return Ok(Some(Tap::new(tls, tcp.clone(), conn.clone())));
        }
    }
    Ok(None)
}

async fn talk(shop: &Shop, conn: &Arc<Conn>, tap: &Tap) -> End {
    let desk = Desk {
        conn: conn.clone(),
        pace: shop.script.pace(conn.ip),
    };
    let http2 = conn.seen(|seen| seen.alpn.as_deref() == Some(b"h2"));
    if http2 {
        h2::talk(tap.clone(), desk, &shop.h2).await
    } else {
        h1::talk(tap.clone(), desk).await
    }
}

/// Reads on until the client's end is known, so that its close is counted for what it was.
async fn linger(mut tap: Tap, tcp: &TcpStream, conn: &Conn) {
    let mut scrap = [0; 4096];
    while let Ok(1..) = tap.read(&mut scrap).await {}
    wire::drain(tcp, conn).await;
}
