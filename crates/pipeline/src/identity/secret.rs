//! The form of a key's secret.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use vectrion_core::{Error, ErrorKind, Result};

const MARK: &str = "vk_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits of 256 bits in base 62.
const BODY: usize = 43;
/// Digits of 32 bits in base 62.
const CHECK: usize = 6;
/// Characters that are shown to recognise a key by, the mark included: 36 of its 256 bits.
const SHOWN: usize = 9;

/// The secret of an API key, shown once: `vk_`, 256 random bits in base 62, and a checksum that tells a mistyped key from
/// an unknown one without a look-up. Its `Debug` shows only the prefix.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(String);

impl KeySecret {
    /// A new secret.
    pub(super) fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut bits = [0; 32];
        rng.fill_bytes(&mut bits);
        let body = base62(&bits, BODY);
        let check = checksum(&body);
        Self(format!("{MARK}{body}{check}"))
    }

    /// Checks the form of a secret; whether anybody has it is another question.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` with reason `INVALID_API_KEY`.
    pub fn parse(text: &str) -> Result<Self> {
        let well_formed = text.strip_prefix(MARK).is_some_and(|rest| {
            rest.len() == BODY + CHECK
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && checksum(&rest[..BODY]) == rest[BODY..]
        });
        if well_formed { Ok(Self(text.to_owned())) } else { Err(invalid_key()) }
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its first characters, which may be stored and shown.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// HMAC-SHA-256 of it under the pepper.
    pub(super) fn hash(&self, pepper: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes keys of any length");
        mac.update(self.0.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySecret({}…)", self.prefix())
    }
}

/// The answer to every secret that nobody has.
pub(super) fn invalid_key() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "INVALID_API_KEY",
        "the API key is not valid; send `authorization: Bearer vk_…` with a key of this installation",
    )
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    base62(&digest[..4], CHECK)
}

/// A big-endian number in base 62, with leading zeros up to `width` digits.
fn base62(number: &[u8], width: usize) -> String {
    let mut number = number.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let part = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(part / 62).expect("rest is below 62, so the quotient is below 256");
            rest = part % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
    String::from_utf8(digits).expect("the alphabet is ASCII")
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn base62_agrees_with_arithmetic() {
        assert_eq!(base62(&[0], 3), "000");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&u32::MAX.to_be_bytes(), 6), "4gfFC3");
        // 62^43 > 2^256: the largest number fits its width, and no smaller width would do.
        assert_ne!(&base62(&[0xff; 32], BODY)[..1], "0");
    }

    #[test]
    fn secrets_parse_and_a_changed_character_does_not() {
        let secret = KeySecret::random(&mut StdRng::seed_from_u64(7));
        assert_eq!(secret.expose().len(), MARK.len() + BODY + CHECK);
        assert_eq!(KeySecret::parse(secret.expose()).expect("well formed"), secret);
        for at in MARK.len()..secret.expose().len() {
            let mut text = secret.expose().as_bytes().to_vec();
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            let text = String::from_utf8(text).expect("ASCII");
            assert_eq!(KeySecret::parse(&text).expect_err("mistyped").reason(), "INVALID_API_KEY", "{at}");
        }
        for text in ["", "vk_", "vk_not_a_key", "Bearer", "vk_é"] {
            assert!(KeySecret::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_differ_and_debug_shows_little() {
        let mut rng = StdRng::seed_from_u64(7);
        let (one, two) = (KeySecret::random(&mut rng), KeySecret::random(&mut rng));
        assert_ne!(one, two);
        let shown = format!("{one:?}");
        assert!(shown.contains(one.prefix()) && !shown.contains(&one.expose()[SHOWN..]), "{shown}");
    }

    #[test]
    fn the_hash_depends_on_the_pepper() {
        let secret = KeySecret::random(&mut StdRng::seed_from_u64(7));
        assert_eq!(secret.hash(b"pepper"), secret.hash(b"pepper"));
        assert_ne!(secret.hash(b"pepper"), secret.hash(b"salt"));
    }

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // RFC 4231, test case 2, through the same calls.
        let secret = KeySecret("what do ya want for nothing?".to_owned());
        assert_eq!(
            hex::encode(secret.hash(b"Jefe")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
