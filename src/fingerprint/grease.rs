//! Values that mean nothing and are sent to keep servers tolerant (RFC 8701).

/// Whether a cipher suite, extension type, group, signature scheme or version is one of the sixteen GREASE values 0x0a0a, 0x1a1a …
/// 0xfafa (RFC 8701 section 2).
///
/// ```
/// use hotpool::fingerprint::is_grease;
/// assert!(is_grease(0x0a0a) && is_grease(0xfafa));
/// assert!(!is_grease(0x0a1a) && !is_grease(0x1301));
/// ```
pub const fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

/// Whether a mode of psk_key_exchange_modes is one of the eight GREASE values 0x0b, 0x2a, 0x49 … 0xe4 (RFC 8701 section 2).
pub const fn is_grease_psk_mode(mode: u8) -> bool {
    mode >= 0x0b && (mode - 0x0b).is_multiple_of(0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_registered_values_are_grease() {
        let codes: Vec<u16> = (0..=u16::MAX).filter(|code| is_grease(*code)).collect();
        let registered: Vec<u16> = (0..16).map(|high| (high << 4 | 0x0a) * 0x0101).collect();
        assert_eq!(codes, registered);
        let modes: Vec<u8> = (0..=u8::MAX).filter(|mode| is_grease_psk_mode(*mode)).collect();
        assert_eq!(modes, [0x0b, 0x2a, 0x49, 0x68, 0x87, 0xa6, 0xc5, 0xe4]);
    }
}
