//! What a pool knows of names, to be kept over a restart.

use std::net::IpAddr;
use std::time::Duration;

use super::table::{Found, Key, LONGEST_TTL, usable};
use crate::clock::{Moment, wall};
use crate::fault::planted;
use crate::target::Target;

/// What a pool knew of names at one moment: see [`HotConnPool::dns_snapshot`](crate::HotConnPool::dns_snapshot).
///
/// One from the future, by a clock that was set back since, has an age that nobody knows: every name in it is asked for again, and it serves only
/// where name servers fail.
///
/// With the `serde` feature it is written to any format and read from it. What is read is believed no more than a name server: bounds, and the
/// pool's [`AddressPolicy`](crate::AddressPolicy), hold for it alike.
///
/// ```
/// use hotpool::{DnsName, DnsSnapshot, HotConnPool};
///
/// let pool = HotConnPool::builder().build()?;
/// let known: DnsSnapshot = pool.dns_snapshot(); // written to a file, with the feature `serde`
/// for name in &known.names {
///     let name: &DnsName = name;
///     println!("{}: {:?}", name.host, name.addresses);
/// }
/// let next = HotConnPool::builder().dns_snapshot(known).build()?;
/// # let _ = next;
/// # Ok::<(), hotpool::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct DnsSnapshot {
    /// When it was taken, in seconds since 1970.
    pub taken: u64,
    /// The names.
    pub names: Vec<DnsName>,
}

/// What was known of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct DnsName {
    /// The canonical host.
    pub host: String,
    /// The port, where the resolver tells ports apart.
    pub port: Option<u16>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// For how long, from then on, it need not be asked again, in seconds.
    pub fresh: u64,
    /// For how long, from then on, the addresses may be used, in seconds.
    pub usable: u64,
}

impl DnsSnapshot {
    pub(super) fn of<'a>(now: Moment, found: impl Iterator<Item = (&'a Key, &'a Found)>) -> Self {
        let mut names: Vec<DnsName> = found
            .map(|((host, port), found)| DnsName {
                host: host.to_string(),
                port: *port,
                addresses: found.addresses.clone(),
                fresh: found.fresh_until.since(now).as_secs(),
                usable: found.usable_until.since(now).as_secs(),
            })
            .collect();
        names.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        DnsSnapshot {
            taken: wall().as_secs(),
            names,
        }
    }

    /// What of it still holds.
    pub(super) fn read(&self, now: Moment) -> impl Iterator<Item = (Key, Found)> {
        let age = wall().as_secs().checked_sub(self.taken);
        self.names.iter().filter_map(move |name| name.read(now, age))
    }
}

impl DnsName {
    fn read(&self, now: Moment, age: Option<u64>) -> Option<(Key, Found)> {
        let target = Target::try_from(self.host.as_str()).ok()?;
        let canonical = target.ip().is_none() && target.host() == self.host;
        let left = |span: u64| Duration::from_secs(span.saturating_sub(age.unwrap_or(0))).min(LONGEST_TTL);
        let (addresses, usable_for) = (usable(&self.addresses), left(self.usable));
        let of_unknown_age = age.is_none() && !planted("what_comes_from_the_future_is_new");
        let fresh_for = left(if of_unknown_age { 0 } else { self.fresh });
        if !canonical || addresses.is_empty() || usable_for.is_zero() {
            return None;
        }
        let found = Found {
            addresses,
            fresh_until: now + fresh_for,
            usable_until: now + usable_for,
            whole: true,
            stale: false,
            kept_v6: None,
            foreign: false,
        };
        Some(((self.host.as_str().into(), self.port), found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str, fresh: u64, usable: u64) -> DnsName {
        DnsName {
            host: host.to_owned(),
            port: None,
            addresses: vec![IpAddr::from([192, 0, 2, 1])],
            fresh,
            usable,
        }
    }

    #[test]
    fn what_is_read_has_aged_and_is_bounded() {
        let now = Moment::ZERO + Duration::from_secs(100);
        let snapshot = |age: u64, names| DnsSnapshot {
            taken: wall().as_secs() - age,
            names,
        };
        let read = |snapshot: DnsSnapshot| snapshot.read(now).collect::<Vec<_>>();
        let [(key, found)] = &read(snapshot(10, vec![name("a.test", 60, 3_660)]))[..] else {
            panic!("one name");
        };
        assert_eq!(&*key.0, "a.test");
        // The clock may turn a second between the two looks.
        let near = |moment: Moment, seconds| {
            let expected = now + Duration::from_secs(seconds);
            moment <= expected && moment + Duration::from_secs(1) >= expected
        };
        assert!(
            near(found.fresh_until, 50) && near(found.usable_until, 3_650),
            "{found:?}"
        );
        let [(_, found)] = &read(snapshot(0, vec![name("a.test", u64::MAX, u64::MAX)]))[..] else {
            panic!("one name");
        };
        assert!(found.usable_until <= now + LONGEST_TTL);
        let bad = vec![
            name("A.test", 60, 60),
            name("a.test.", 60, 60),
            name("a.test:8443", 60, 60),
            name("192.0.2.1", 60, 60),
            name("a b", 60, 60),
            name("old.test", 5, 9),
            DnsName {
                addresses: Vec::new(),
                ..name("a.test", 60, 60)
            },
        ];
        assert_eq!(read(snapshot(10, bad)), []);
        // From the future, by a clock that was set back: nobody knows how old it is.
        for taken in [wall().as_secs() + 60, u64::MAX] {
            let ahead = DnsSnapshot {
                taken,
                names: vec![name("a.test", 60, u64::MAX)],
            };
            let [(_, found)] = &read(ahead)[..] else {
                panic!("one name");
            };
            assert_eq!((found.fresh_until, found.usable_until), (now, now + LONGEST_TTL));
        }
    }
}
