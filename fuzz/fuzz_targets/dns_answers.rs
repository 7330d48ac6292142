//! Whatever name servers answer, in whatever order: what is made of it stays within its bounds, and the policy of addresses judges every form of an
//! address alike.
#![no_main]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use hotpool::answers::{Found, Table, Terms};
use hotpool::clock::Moment;
use hotpool::{AddressPolicy, Answer, ResolveError};
use libfuzzer_sys::fuzz_target;

const DAY: Duration = Duration::from_secs(86_400);
/// How soon a name is asked again whose answer was not whole.
const PARTLY: Duration = Duration::from_secs(30);
const NAMES: [&str; 3] = ["a.test", "b.test", "c.test"];

enum Part {
    /// These, and as many times more, each one further.
    Four(Vec<[u8; 4]>, u8, u32),
    Six(Vec<[u8; 16]>, u32),
    NotFound(u32),
    Timeout,
    Local,
    Failed,
}

struct Step {
    wait: u32,
    name: u8,
    parts: Vec<Part>,
}

impl<'a> Arbitrary<'a> for Part {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match input.int_in_range(0..=5)? {
            0 => Part::Four(input.arbitrary()?, input.arbitrary()?, input.arbitrary()?),
            1 => Part::Six(input.arbitrary()?, input.arbitrary()?),
            2 => Part::NotFound(input.arbitrary()?),
            3 => Part::Timeout,
            4 => Part::Local,
            _ => Part::Failed,
        })
    }
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Step {
            // Ten days: the clock does not come to its end, where no moment is later than now.
            wait: input.int_in_range(0..=864_000)?,
            name: input.arbitrary()?,
            parts: input.arbitrary()?,
        })
    }
}

fn local() -> ResolveError {
    ResolveError::Local("EMFILE".into())
}

fn answer(part: &Part) -> Result<Answer, ResolveError> {
    let secs = |ttl: &u32| Duration::from_secs((*ttl).into());
    match part {
        Part::Four(some, times, ttl) => {
            let further = |n: u8| move |ip: &[u8; 4]| Ipv4Addr::from(u32::from_be_bytes(*ip).wrapping_add(n.into()));
            let all = (0..=*times).flat_map(|n| some.iter().map(further(n)));
            let addresses = all.map(IpAddr::V4).collect();
            Ok(Answer { addresses, ttl: secs(ttl) })
        }
        Part::Six(some, ttl) => {
            let addresses = some.iter().map(|ip| IpAddr::V6(Ipv6Addr::from(*ip))).collect();
            Ok(Answer { addresses, ttl: secs(ttl) })
        }
        Part::NotFound(ttl) => Err(ResolveError::NotFound { ttl: secs(ttl) }),
        Part::Timeout => Err(ResolveError::Timeout),
        Part::Local => Err(local()),
        Part::Failed => Err(ResolveError::Failed("SERVFAIL".into())),
    }
}

fn check(now: Moment, terms: Terms, found: &Found) {
    let addresses: BTreeSet<_> = found.addresses.iter().collect();
    assert!((1..=32).contains(&addresses.len()));
    assert_eq!(addresses.len(), found.addresses.len(), "each once");
    assert!(addresses.iter().all(|ip| ip.to_canonical() == **ip));
    assert!(now < found.fresh_until && found.fresh_until <= now + terms.refresh.max(PARTLY));
    assert!(now < found.usable_until && found.usable_until <= now + DAY + terms.stale);
}

fn judge(ip: [u8; 4]) {
    let v4 = Ipv4Addr::from(ip);
    let [a, b, c, d] = ip;
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let forms = [
        IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)),
        IpAddr::V6(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1)),
    ];
    let deny = AddressPolicy::allow_all().deny(&v4.to_string()).expect("an address");
    let allow = AddressPolicy::deny_all().allow(&v4.to_string()).expect("an address");
    for policy in [AddressPolicy::deny_private(), deny, allow, AddressPolicy::allow_all()] {
        let allowed = policy.allows(IpAddr::V4(v4));
        for form in forms {
            assert_eq!(policy.allows(form), allowed, "{form} and {v4}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let Ok((steps, refresh, stale)) = <(Vec<Step>, u16, u16)>::arbitrary(&mut input) else {
        return;
    };
    let terms = Terms {
        refresh: Duration::from_secs(u64::from(refresh) + 1),
        stale: Duration::from_secs(stale.into()),
    };
    let (mut table, mut now) = (Table::default(), Moment::ZERO);
    for step in &steps {
        now = now + Duration::from_secs(step.wait.into());
        let name = NAMES[usize::from(step.name) % NAMES.len()];
        if let Some(known) = table.remembered(now, name) {
            assert!(known.is_err() || known.is_ok_and(|found| now < found.usable_until.min(found.fresh_until)));
            continue; // it is not asked
        }
        for part in &step.parts {
            if let Part::Four(some, _, _) = part {
                some.iter().copied().for_each(judge);
            }
        }
        let parts: Vec<_> = step.parts.iter().map(answer).collect();
        let outcome = table.answered(now, terms, name, &parts);
        match &outcome {
            Ok(found) => check(now, terms, found),
            Err(_) => {
                let any = parts.iter().flatten().any(|answer| !answer.addresses.is_empty());
                assert!(!any, "an address was found");
            }
        }
        // Whatever came of it, it is not asked again at once; but for this machine's own trouble.
        assert!(table.remembered(now, name).is_some() || parts.contains(&Err(local())), "{outcome:?}");
        assert!(table.names() <= NAMES.len());
    }
});
