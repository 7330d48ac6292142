//! What the log tells.

use hotpool::Outcome;

use super::ear::Ear;
use super::{alone_with_its_log, lease};
use crate::common::{finish, host, name, pool, round, until};
use crate::support::peer::{Order, Peer, To};

#[test]
fn every_close_is_told_once_with_its_reason() {
    alone_with_its_log("live::told::every_close_is_told_once_with_its_reason", async {
        let ear = Ear::of_all();
        let _listening = tracing::subscriber::set_default(ear.clone());
        let peer = Peer::start();
        let pool = pool(&peer, |_| {});
        let names = ["a.peer.test", "b.peer.test", "c.peer.test"].map(|known| host(&peer, known));
        lease(&pool, &names[0]).await.discard();
        lease(&pool, &names[1]).await.report(Outcome::Status(403));
        round(&pool, &names[2]).await;
        pool.manager().retain(|_| false);
        round(&pool, &name(&peer)).await;
        peer.order(To::All, Order::Reset);
        until(&pool, "all are closed", |stats| stats.total == 0).await;
        let counters = pool.stats().counters;
        let mut expected: Vec<_> = counters
            .closes_by_reason()
            .flat_map(|(reason, count)| {
                std::iter::repeat_n(format!("reason={reason} "), usize::try_from(count).unwrap())
            })
            .collect();
        expected.sort_unstable();
        let heard = ear.heard();
        let told = |word: &str| {
            heard
                .iter()
                .filter(|line| line.starts_with(&format!("message={word} ")))
                .cloned()
                .collect::<Vec<_>>()
        };
        let reason = |line: &String| line[line.find("reason=").unwrap()..].to_owned();
        let mut reasons: Vec<_> = told("closed").iter().map(reason).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, expected, "{heard:#?}");
        assert_eq!((reasons.len(), told("opened").len()), (4, 4), "{heard:#?}");
        finish(pool, peer).await;
    });
}
