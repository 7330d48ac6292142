//! A stack of one's own that wraps the pool (`stack.rs`), and some requests through it, against `support/server.rs`: `cargo run --example own_stack`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "../support/server.rs"]
mod server;
mod stack;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = server::Server::start()?;
    let pool = hotpool::HotConnPool::builder().roots(server.roots()?);
    let pool = pool.resolver(server.resolver()?).build()?;
    let stack = stack::Stack(pool.clone());
    for tag in 0..100 {
        let request = http::Request::get(format!("https://{}/", server.target()));
        let request = request.header("x-tag", tag).body("".into())?;
        let answer = stack.send(&request).await.map_err(|error| error.to_string())?;
        assert_eq!(answer.headers()["x-tag"], tag.to_string());
    }
    println!("100 answers, {} connections", pool.stats().counters.opened);
    pool.close().await;
    Ok(())
}
