//! The client as a service of [tower](https://docs.rs/tower)'s. Behind the feature `tower`.
//!
//! ```
//! # use hotpool::{Body, HotConnPool, SendOptions};
//! use std::time::Duration;
//!
//! use hotpool::tower::Client;
//! use tower::{Service, ServiceBuilder};
//!
//! # fn example() -> Result<(), hotpool::ConfigError> {
//! let pool = HotConnPool::builder().build()?;
//! let client = ServiceBuilder::new()
//!     .concurrency_limit(64)
//!     .timeout(Duration::from_secs(10))
//!     .service(Client::new(pool).options(SendOptions::new().resend_idempotent()));
//! # fn is_a_service<S: Service<http::Request<Body>>>(_: &S) {}
//! # is_a_service(&client);
//! # Ok(())
//! # }
//! # example().unwrap();
//! ```
//!
//! # Under layers
//!
//! - It is always ready: who has to wait for a connection waits in the pool's line, first come, first served among those who want the same, for as long as
//!   `acquire_timeout` says, and `max_waiters` at the most do. A limit in front (`concurrency_limit`, `buffer`) keeps the line short.
//! - A future that is dropped, as a timeout does, leaves nothing behind: see [`HotConnPool::send`].
//! - What was certainly not processed is sent again below, within one call. A retry layer sees what is left; [`Error::kind`], [`Error::phase`] and [`Error::retry_after`] say
//!   what there is to know, and that an error in any phase before [`Phase::Use`](crate::Phase::Use) means that nothing was sent.
//! - The answer is its head. A limit on it (`timeout`, `concurrency_limit`) ends there, and the body goes on with its lease.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use crate::fault::planted;
use crate::{Body, Error, HotConnPool, SendOptions};

/// A pool as a service: sends each request as [`HotConnPool::send`] does. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Client {
    pool: HotConnPool,
    options: SendOptions,
}

impl Client {
    /// One that sends by the defaults.
    pub fn new(pool: HotConnPool) -> Self {
        Client {
            pool,
            options: SendOptions::new(),
        }
    }

    /// Sends with these options, every request.
    #[must_use]
    pub fn options(mut self, options: SendOptions) -> Self {
        self.options = options;
        self
    }
}

/// An answer to come: see [`Client`].
///
/// ```no_run
/// # async fn example(pool: hotpool::HotConnPool) -> Result<(), Box<dyn std::error::Error>> {
/// use hotpool::Body;
/// use hotpool::tower::{Client, Sending};
/// use tower_service::Service;
///
/// let request = http::Request::get("https://example.com/").body(Body::empty())?;
/// let sending: Sending = Client::new(pool).call(request);
/// println!("{}", sending.await?.status());
/// # Ok(())
/// # }
/// ```
pub type Sending = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

impl<B> Service<Request<B>> for Client
where
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Sending;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Sending {
        let Client { pool, options } = self.clone();
        let options = match planted("the_service_forgets_its_options") {
            true => SendOptions::new(),
            false => options,
        };
        Box::pin(async move { pool.send_with(request, options).await })
    }
}
