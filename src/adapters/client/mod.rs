//! A client: requests in, answers out, over whatever the connection speaks.
//!
//! | what | where |
//! |---|---|
//! | a request and its further tries | here, `attempt` |
//! | what is sent, and what is refused | `request`, `upload` |
//! | an exchange | `h1`, `h2`; `interim` |
//! | what comes back | `body`, `upgrade` |

mod attempt;
mod body;
mod h1;
mod h2;
mod interim;
mod options;
mod request;
mod upgrade;
mod upload;

use std::error::Error as StdError;
use std::future::Future;

use http::{Request, Response};
use http_body::Body as HttpBody;

use self::attempt::Outgoing;
pub use self::body::Body;
#[cfg(feature = "__internals")]
pub use self::h1::Reading;
pub use self::options::SendOptions;
pub use self::upgrade::Upgraded;
use self::upload::Upload;
use crate::Error;
use crate::HotConnPool;

impl HotConnPool {
    /// Sends `request` over a connection of the pool, and answers with the head of its answer; the [`Body`] has the lease until it is read.
    ///
    /// The URI is absolute, of `https`, and names where to. `Host` is what it says unless the request has one of its own, which on HTTP/2 becomes the
    /// authority. Headers that the [profile](crate::fingerprint::Profile::headers) has are added where the request has none of that name.
    ///
    /// Where the body's length is known it is announced, else it goes in chunks (HTTP/1.1). Trailers of a request go out on HTTP/2 and behind chunks; a `Trailer`
    /// header asks for chunks. Interim answers are passed over; `Expect: 100-continue` has the body wait for one, for a second at the most. Over HTTP/1.1, and where a body waits, a
    /// hundred of them may come: with one more there is no answer. What comes before the body is out is heard, wherever its caller has it wait.
    ///
    /// What is not asked of a resource, or changes what is spoken:
    ///
    /// | request | URI | goes over |
    /// |---|---|---|
    /// | `OPTIONS *` (RFC 9112 section 3.2.4) | `*`, with a [`target`](SendOptions::target) that says of which server; or `https`, a host, and the path `*` | either protocol |
    /// | CONNECT (RFC 9110 section 9.3.6) | a host and a port alone; it has no other `Host`, and no length | either; the tunnel is the connection (HTTP/1.1) or one stream of it |
    /// | CONNECT with an [`h2::ext::Protocol`](crate::h2::ext::Protocol) among its extensions (RFC 8441) | as any other | HTTP/2, which it asks for; it has no `Upgrade` and no length. A peer that takes none resets the stream |
    /// | one with `Upgrade` | as any other | HTTP/1.1, which it asks for; the upgrade begins once all of its body is out |
    ///
    /// A request that was certainly not processed is sent again, over another connection, twice at the most: no byte of it was sent, or its
    /// peer says so (HTTP/2: refused, or above the last stream of a GOAWAY). That takes a body which can begin anew: none, a [`Body`] made of bytes, or one of
    /// which nothing was taken yet. All tries together have the time of one `get` for their connections, `acquire_timeout` or what
    /// [`SendOptions::get`] says, from the call on: once it is over, nothing is sent again.
    ///
    /// Cancel safe: dropped, it leaves nothing behind. A request that was on its way may be acted upon; its connection closes (HTTP/1.1), or its stream
    /// is reset (HTTP/2).
    ///
    /// # Errors
    /// As [`get`](HotConnPool::get); and in [`Phase::Use`](crate::Phase::Use): [`ErrorKind::Request`](crate::ErrorKind::Request) if the request is malformed or may be read in two ways, [`ErrorKind::Body`](crate::ErrorKind::Body) if its body
    /// failed, [`ErrorKind::Answer`](crate::ErrorKind::Answer) if what came back is no HTTP, or interim answers without end, [`ErrorKind::ConnectionReset`](crate::ErrorKind::ConnectionReset), [`ErrorKind::Http2`](crate::ErrorKind::Http2) and others if the connection failed.
    pub fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<'_, B>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.send_with(request, SendOptions::new())
    }

    /// As [`send`](HotConnPool::send), with options for this one request.
    ///
    /// # Errors
    /// As [`send`](HotConnPool::send); and [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) once the time for the head is over.
    pub fn send_with<B>(
        &self,
        request: Request<B>,
        options: SendOptions,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send + use<'_, B>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        // At once, and in a box: it is handed down from one future to the next, which would copy it each time.
        Outgoing::send(Outgoing::new(head, Upload::new(body), options), self)
    }
}
