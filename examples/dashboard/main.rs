//! A pool at work, on a page in the browser: hosts, addresses, connections and what becomes of them, cold against hot, live.
//!
//! Runs by itself: TLS servers on four loopback addresses, a load, and a script in which a server goes away and comes back and an address
//! answers 403. The page is one file without anything from elsewhere.
//!
//! ```sh
//! cargo run --release --example dashboard
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "a service has a clock, tasks and pauses of its own, beside the pool's"
)]

#[path = "../support/by_alpn.rs"]
mod by_alpn;
#[path = "../probe/failure.rs"]
#[expect(dead_code, reason = "one module's errors, of which this asks little")]
mod failure;
#[path = "../probe/h1.rs"]
mod h1;
#[path = "../probe/h2.rs"]
mod h2;
mod latency;
mod load;
#[path = "../support/loopback.rs"]
mod loopback;
mod options;
#[path = "../probe/percentile.rs"]
mod percentile;
mod rows;
#[path = "../probe/samples.rs"]
mod samples;
mod script;
mod show;
mod site;
mod snapshot;
mod web;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::options::Options;
use self::show::{Show, Switch};
use self::site::Site;
use self::snapshot::Snapshot;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// From one snapshot to the next.
const EVERY: Duration = Duration::from_millis(500);
const IN_A_HURRY: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("dashboard: {problem}\ndashboard: --help tells what there is");
            return 2.into();
        }
    };
    if options.help {
        return ended(say(options::HELP));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    ended(
        runtime
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(run(&options))),
    )
}

fn ended(result: Result<(), AnyError>) -> ExitCode {
    let Err(problem) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("dashboard: {problem}");
    ExitCode::FAILURE
}

fn say(text: &str) -> Result<(), AnyError> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

async fn run(options: &Options) -> Result<(), AnyError> {
    let show = Arc::new(Show::new(Site::start()?, options.once)?);
    let load = show.load.run(&show.origins);
    let watching = tokio::spawn(watch(
        Arc::clone(&show),
        if options.once { IN_A_HURRY } else { EVERY },
    ));
    let result = match options.once {
        true => script::run(&show, false, tell).await,
        false => serve(options, &show).await,
    };
    drop(load);
    watching.abort();
    show.pool.close().await;
    result
}

/// Serves the page until somebody interrupts it.
async fn serve(options: &Options, show: &Arc<Show>) -> Result<(), AnyError> {
    // Before anybody knows that it runs.
    let (mut interrupt, mut end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    say(&format!("http://{}/\n", listener.local_addr()?))?;
    let serving = tokio::spawn(web::serve(listener, Arc::clone(show)));
    show.set(Switch::Script, !options.manual)?;
    let playing = tokio::spawn(play(Arc::clone(show)));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = end.recv() => {}
    }
    serving.abort();
    playing.abort();
    Ok(())
}

/// Takes a snapshot now and then.
async fn watch(show: Arc<Show>, every: Duration) {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let last = show.snapshots.borrow().clone();
        let now = Snapshot::take(&show, last.as_deref(), (began.elapsed(), every));
        show.snapshots.send_replace(Some(Arc::new(now)));
    }
}

/// The script, again and again, for as long as it is on.
async fn play(show: Arc<Show>) {
    let mut snapshots = show.snapshots.subscribe();
    loop {
        tokio::select! {
            _ = script::run(&show, true, |_| {}), if show.is(Switch::Script) => {}
            changed = snapshots.wait_for(|_| !show.is(Switch::Script)) => drop(changed),
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// A step that has come to pass, as a line of JSON.
fn tell(snapshot: &Snapshot) {
    let line = serde_json::to_string(snapshot).unwrap_or_default();
    let _ = say(&(line + "\n")); // a reader that has gone is no failure
}
