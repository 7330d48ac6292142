//! Key shares that rustls would not send.
//!
//! rustls sends a share of its first group and, if that is a hybrid, one of its component. Browsers send more, or others. So the first group that is started within a
//! handshake makes keys for all shares of the profile; rustls is told of one more at most, as the first's component, and the stream takes
//! care of the rest: a ServerHello that took another reaches rustls under the component's name.

use std::sync::Arc;

use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

use super::scope;
use super::state::Shaping;
use crate::fault::planted;

/// A group that follows the connection whose handshake is running.
#[derive(Debug)]
pub(super) struct ShapedGroup(pub(super) &'static dyn SupportedKxGroup);

impl SupportedKxGroup for ShapedGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let inner = self.0.start()?;
        let first = |shaping: &Arc<Shaping>| {
            shaping.is_fresh() && shaping.shaper().shares().first() == Some(&u16::from(self.0.name()))
        };
        match scope::current().filter(first) {
            Some(shaping) => Shares::start(inner, shaping),
            None => Ok(inner),
        }
    }

    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        self.0.start_and_complete(peer)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.0.ffdhe_group()
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.0.usable_for_version(version)
    }
}

/// The keys of a first hello. Those of shares beyond the second stand with the connection's state.
struct Shares {
    inner: Box<dyn ActiveKeyExchange>,
    /// The component, if its key is not that of `inner`.
    second: Option<Box<dyn ActiveKeyExchange>>,
    shaping: Arc<Shaping>,
}

impl Shares {
    fn start(
        inner: Box<dyn ActiveKeyExchange>,
        shaping: Arc<Shaping>,
    ) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let shaper = shaping.shaper();
        let component = shaper.component();
        let own = inner.hybrid_component().map(|(group, _)| u16::from(group));
        let own = own.filter(|_| shaper.spec().reuses_x25519());
        let (mut second, mut further) = (None, Vec::new());
        for &group in shaper.shares().iter().skip(1) {
            if Some(group) == own && Some(group) == component {
                continue;
            }
            let lacking = || Error::General(format!("no group {group:#06x}"));
            let key = shaper.kx(group).ok_or_else(lacking)?.start()?;
            if Some(group) == component {
                second = Some(key);
            } else {
                further.push(key);
            }
        }
        shaping.keep_keys(further);
        Ok(Box::new(Shares {
            inner,
            second,
            shaping,
        }))
    }
}

impl ActiveKeyExchange for Shares {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        self.inner.complete(peer)
    }

    /// None if the profile has one share alone: then rustls must not take its hybrid's component for offered.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        match &self.second {
            Some(second) => Some((second.group(), second.pub_key())),
            None => {
                let component = self.shaping.shaper().component()?;
                self.inner
                    .hybrid_component()
                    .filter(|(group, _)| u16::from(*group) == component)
            }
        }
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let key = match (self.shaping.take_key(), self.second) {
            (Some(further), _) if !planted("third_share_has_the_second_s_key") => further,
            (_, Some(second)) => second,
            (_, None) => return self.inner.complete_hybrid_component(peer),
        };
        check_point(key.group(), peer)?;
        key.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        self.inner.pub_key()
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.inner.ffdhe_group()
    }

    fn group(&self) -> NamedGroup {
        self.inner.group()
    }
}

/// A point of a NIST curve comes uncompressed, and in no other form (RFC 8446 section 4.2.8.2).
fn check_point(group: NamedGroup, peer: &[u8]) -> Result<(), Error> {
    let len = match group {
        NamedGroup::secp256r1 => 65,
        NamedGroup::secp384r1 => 97,
        _ => return Ok(()),
    };
    if peer.len() == len && peer.first() == Some(&4) {
        return Ok(());
    }
    Err(PeerMisbehaved::InvalidKeyShare.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_comes_uncompressed_or_not_at_all() {
        for (group, len) in [(NamedGroup::secp256r1, 65), (NamedGroup::secp384r1, 97)] {
            let point = |form: u8, len: usize| {
                let mut point = vec![7; len];
                point[0] = form;
                check_point(group, &point)
            };
            assert_eq!(point(4, len), Ok(()));
            let refused = Err(PeerMisbehaved::InvalidKeyShare.into());
            // Compressed, hybrid, too short and too long.
            for (form, len) in [(2, len / 2 + 1), (6, len), (4, len - 1), (4, len + 1)] {
                assert_eq!(point(form, len), refused);
            }
            assert_eq!(check_point(group, &[]), refused);
        }
        assert_eq!(check_point(NamedGroup::X25519, &[2; 32]), Ok(()));
    }
}
