//! What one connection draws, once, before its first hello.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use super::super::hello::KeyShare;
use super::{EchGrease, HelloSpec};

/// What one connection draws: GREASE values, the order of its extensions, and what fills encrypted_client_hello.
///
/// Every draw is independent of every other, and of the client's random: a GREASE value that followed from what else stands in the hello would tell the
/// client from a browser. Both hellos of a connection are made with the same draws.
#[derive(Clone, Debug)]
pub struct Draws {
    pub(super) ciphers: u16,
    /// One value for supported_groups and key_share.
    pub(super) groups: u16,
    pub(super) signatures: u16,
    pub(super) versions: u16,
    /// The types of the two GREASE extensions.
    pub(super) extensions: [u16; 2],
    /// The slots, in the order of the wire.
    pub(super) order: Vec<usize>,
    pub(super) ech: EchDraws,
    /// Shares that TLS itself does not send.
    pub(super) shares: Vec<KeyShare>,
}

/// What fills an encrypted_client_hello that encrypts nothing.
#[derive(Clone, Debug)]
pub(super) struct EchDraws {
    pub(super) config_id: u8,
    /// Picks among the ciphers and among the lengths that the client has, each as often as any other.
    pub(super) aead: u32,
    pub(super) len: u32,
    /// A public key of X25519, or what passes for one.
    pub(super) enc: [u8; 32],
    /// What the payload begins with, and what a longer one grows from.
    payload: Vec<u8>,
}

impl HelloSpec {
    /// Draws for one connection. `fill` fills a buffer with bytes from a secure source. `key` makes a public key of X25519, fresh as well, whose
    /// private key nobody needs. It is asked only where [the client sends one](EchGrease): 32 bytes of any kind are told apart from a key, and
    /// a key from them.
    ///
    /// # Errors
    /// Whatever `key` or `fill` answers.
    pub fn draw<E>(
        &self,
        key: impl FnOnce() -> Result<[u8; 32], E>,
        fill: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Draws, E> {
        let mut fill = buffered(fill);
        let mut payload = vec![0; self.ech_grease().map_or(0, EchGrease::likely)];
        fill(&mut payload)?;
        let mut enc = [0; 32];
        match self.sends_public_key() {
            true => enc = key()?,
            false => fill(&mut enc)?,
        }
        let mut values = [0; 6];
        for value in &mut values {
            *value = grease(below(16, &mut fill)?);
        }
        let [ciphers, groups, signatures, versions, first, mut second] = values;
        if second == first {
            // As BoringSSL does it, so that no type stands twice.
            second ^= 0x1010;
        }
        let mut id = [0; 1];
        fill(&mut id)?;
        Ok(Draws {
            ciphers,
            groups,
            signatures,
            versions,
            extensions: [first, second],
            order: self.order(&mut fill)?,
            ech: EchDraws {
                config_id: id[0],
                aead: below(2, &mut fill)?,
                len: below(4, &mut fill)?,
                enc,
                payload,
            },
            shares: Vec::new(),
        })
    }

    /// The places of the slots, those that are permuted in an order of which each is as likely as any other.
    fn order<E>(&self, fill: &mut impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Vec<usize>, E> {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        let Some(permuted) = order.get_mut(self.permuted.clone()) else {
            return Ok(order);
        };
        for (last, count) in (1..permuted.len()).zip(2_u32..) {
            // A list of extensions is far shorter than any integer.
            permuted.swap(last, below(count, fill)? as usize);
        }
        Ok(order)
    }
}

impl Draws {
    /// With a share of a group for which TLS itself sends none.
    #[must_use]
    pub fn with_share(mut self, share: KeyShare) -> Self {
        self.add_share(share);
        self
    }

    pub(crate) fn add_share(&mut self, share: KeyShare) {
        self.shares.push(share);
    }
}

impl EchDraws {
    /// A payload of this length: what was drawn, and where that is too short, what grows from it.
    pub(super) fn payload(&self, len: usize) -> Cow<'_, [u8]> {
        if let Some(payload) = self.payload.get(..len) {
            return Cow::Borrowed(payload);
        }
        let mut payload = self.payload.clone();
        for block in 0_u64.. {
            if payload.len() >= len {
                break;
            }
            let digest = Sha256::new_with_prefix(&self.payload).chain_update(block.to_be_bytes());
            payload.extend_from_slice(&digest.finalize());
        }
        payload.truncate(len);
        Cow::Owned(payload)
    }

    pub(super) fn aead(&self, ech: &EchGrease) -> u16 {
        match ech {
            EchGrease::Firefox if self.aead == 1 => 3,
            EchGrease::ChromiumWithoutAes => 3,
            EchGrease::Chromium | EchGrease::Firefox => 1,
            EchGrease::Fixed { aead, .. } => *aead,
        }
    }
}

/// The same bytes, asked for all at once, as a rule: each call to a secure source has its price.
fn buffered<E>(mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> impl FnMut(&mut [u8]) -> Result<(), E> {
    const MOST: usize = 640;
    let mut stock = [0; MOST];
    let mut used = MOST;
    move |mut buffer| {
        while !buffer.is_empty() {
            if used == MOST {
                fill(&mut stock)?;
                used = 0;
            }
            let count = buffer.len().min(MOST - used);
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&stock[used..used + count]);
            used += count;
            buffer = later;
        }
        Ok(())
    }
}

/// One of the sixteen values.
fn grease(high: u32) -> u16 {
    // `high` is below 16.
    (high as u16) << 12 | 0x0a00 | (high as u16) << 4 | 0x000a
}

/// A number below `limit`, each as likely as any other. `limit` is not zero.
fn below<E>(limit: u32, fill: &mut impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<u32, E> {
    // What is left over when the numbers are dealt out evenly is thrown away and drawn again.
    let even: RangeInclusive<u32> = 0..=u32::MAX - (u32::MAX % limit + 1) % limit;
    loop {
        let mut bytes = [0; 4];
        fill(&mut bytes)?;
        let drawn = u32::from_be_bytes(bytes);
        if even.contains(&drawn) {
            return Ok(drawn % limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_limit_is_as_likely() {
        // 2^32 = 3 * 1431655765 + 1: the last value is drawn again.
        let mut bytes = [u32::MAX, u32::MAX - 1].into_iter();
        let drawn = below(3, &mut |buffer: &mut [u8]| {
            buffer.copy_from_slice(&bytes.next().ok_or(())?.to_be_bytes());
            Ok::<(), ()>(())
        });
        assert_eq!(drawn, Ok((u32::MAX - 1) % 3));
        assert_eq!(bytes.next(), None);
        let mut none = |_: &mut [u8]| Err("no source");
        assert_eq!(below(16, &mut none), Err("no source"));
    }

    #[test]
    fn grease_values_are_the_sixteen() {
        let values: Vec<u16> = (0..16).map(grease).collect();
        assert!(values.iter().all(|value| super::super::super::is_grease(*value)));
        assert_eq!((values[0], values[15]), (0x0a0a, 0xfafa));
    }
}
