//! A new TLS setup of the pool's: nothing that rests on the one before is kept for nobody.

use hotpool::Tls;
use hotpool::scripted::Stage;

use crate::explore::explore;
use crate::stand::{finish, get, join, pool, rest, thread};

#[test]
fn a_get_meets_a_new_setup() {
    explore(|| {
        let stage = Stage::new(1);
        let pool = pool(&stage, |_| {});
        let getter = thread(&pool, |pool| drop(get(&pool, "a.test")));
        let owner = thread(&pool, |pool| pool.update_tls(Tls::builder().build().unwrap()));
        join([getter, owner]);
        rest(&pool);
        let held = get(&pool, "a.test");
        assert_eq!(pool.size(), 1, "another is kept that nobody can have");
        drop(held);
        finish(&stage, &pool);
    });
}
