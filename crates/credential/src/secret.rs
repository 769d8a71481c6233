//! The format of a secret: `ak_<keyId>_<random><crc>`.
//!
//! | part | characters | content |
//! | --- | --- | --- |
//! | `ak_` | 3 | fixed prefix, with which scanners find leaked secrets |
//! | keyId | 16 | public id ([`KeyId`]) of the key to revoke |
//! | `_` | 1 | |
//! | random | 43 | a 256-bit number in base62, most significant digit first |
//! | crc | 6 | CRC-32 (ISO-HDLC) of everything before it, in base62 |
//!
//! Base62 is `0-9A-Za-z`, padded with '0' to its width. The checksum detects typos and false positives of
//! scanners without a lookup. It proves nothing. `docs/secret-format.json` has test vectors for other
//! languages.

use std::fmt;

use zeroize::Zeroizing;

use super::{KeyId, random};

const PREFIX: &str = "ak_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 43;
const CRC_CHARS: usize = 6;
const BODY_CHARS: usize = PREFIX.len() + KeyId::LENGTH + 1 + RANDOM_CHARS;

/// Regular expression for a secret, in the dialect common to RE2, PCRE and gitleaks.
pub const PATTERN: &str = r"\bak_[0-9a-hjkmnp-tv-z]{16}_[0-9A-Za-z]{49}\b";

/// A secret in clear text. It is wiped when it is dropped, and can't be printed or serialized.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    key_id: KeyId,
}

/// Why a text is not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The text does not have 69 characters.
    #[error("a secret has 69 characters")]
    Length,
    /// A character is not allowed in its position.
    #[error("a secret looks like ak_<16 characters>_<49 characters>")]
    Shape,
    /// The checksum does not match.
    #[error("the checksum does not match: the secret is mistyped or incomplete")]
    Checksum,
}

impl Secret {
    /// Length in characters.
    pub const LENGTH: usize = BODY_CHARS + CRC_CHARS;

    /// Generates a new secret for this key.
    ///
    /// # Errors
    /// Random bytes are not available.
    pub fn generate(key_id: &KeyId) -> Result<Self, random::Error> {
        let mut entropy = Zeroizing::new([0; 32]);
        random::fill(&mut *entropy)?;
        Ok(Self::encode(key_id, &mut entropy))
    }

    /// Creates the secret of this key with this random number (big-endian).
    #[must_use]
    pub fn from_entropy(key_id: &KeyId, entropy: [u8; 32]) -> Self {
        Self::encode(key_id, &mut Zeroizing::new(entropy))
    }

    /// Encodes the number, which is 0 afterwards.
    fn encode(key_id: &KeyId, entropy: &mut [u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::LENGTH));
        text.push_str(PREFIX);
        text.push_str(key_id.as_str());
        text.push('_');
        let mut digits = Zeroizing::new([0_u8; RANDOM_CHARS]);
        for digit in digits.iter_mut().rev() {
            *digit = BASE62[usize::from(divide_by_62(entropy))];
        }
        text.extend(digits.iter().map(|&digit| char::from(digit)));
        let crc = checksum(&text);
        text.extend(crc.map(char::from));
        Self {
            text,
            key_id: key_id.clone(),
        }
    }

    /// Whether the text begins like a secret of this format. Tokens and most other secrets do not.
    #[must_use]
    pub fn is_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parses a presented secret. It does not check whether the secret is valid for the key.
    ///
    /// # Errors
    /// Returns [`FormatError`], which names the malformed part.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.len() != Self::LENGTH {
            return Err(FormatError::Length);
        }
        let after_prefix = text.strip_prefix(PREFIX).ok_or(FormatError::Shape)?;
        let (key_id, rest) = after_prefix.split_once('_').ok_or(FormatError::Shape)?;
        let key_id = KeyId::try_from(key_id).map_err(|_| FormatError::Shape)?;
        if !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(FormatError::Shape);
        }
        let (body, crc) = text.split_at(BODY_CHARS);
        if crc.as_bytes() != checksum(body) {
            return Err(FormatError::Checksum);
        }
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            key_id,
        })
    }

    /// Public id of the key that the secret belongs to.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Returns the secret in clear text. Callers must not log, print or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(ak_{}_[redacted])", self.key_id)
    }
}

/// Divides the big-endian number in place and returns the remainder.
fn divide_by_62(number: &mut [u8; 32]) -> u8 {
    let mut remainder = 0_u16;
    for byte in number.iter_mut() {
        let value = (remainder << 8) | u16::from(*byte);
        *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
        remainder = value % 62;
    }
    u8::try_from(remainder).unwrap_or(u8::MAX)
}

fn checksum(body: &str) -> [u8; CRC_CHARS] {
    let mut crc = crc32fast::hash(body.as_bytes());
    let mut digits = [0; CRC_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(crc % 62).unwrap_or_default()];
        crc /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Vectors {
        #[serde(rename = "description")]
        _description: String,
        pattern: String,
        valid: Vec<Valid>,
        invalid: Vec<Invalid>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Valid {
        key_id_entropy: String,
        entropy: String,
        key_id: String,
        secret: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Invalid {
        text: String,
        error: String,
    }

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        std::array::from_fn(byte)
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../../docs/secret-format.json")).unwrap()
    }

    #[test]
    fn published_vectors_hold() {
        let vectors = vectors();
        assert_eq!(vectors.pattern, PATTERN);
        for valid in vectors.valid {
            let key_id = KeyId::from_entropy(unhex(&valid.key_id_entropy));
            let secret = Secret::from_entropy(&key_id, unhex(&valid.entropy));
            assert_eq!(key_id.as_str(), valid.key_id);
            assert_eq!(secret.expose(), valid.secret);
            assert_eq!(Secret::parse(&valid.secret).unwrap().key_id(), &key_id);
        }
        for invalid in vectors.invalid {
            let error = Secret::parse(&invalid.text).unwrap_err();
            assert_eq!(format!("{error:?}"), invalid.error, "{}", invalid.text);
        }
    }

    #[test]
    fn the_published_rule_for_scanners_has_the_pattern() {
        for text in [
            include_str!("../../../docs/gitleaks.toml"),
            include_str!("../../../docs/secret-format.md"),
        ] {
            assert!(text.contains(PATTERN));
        }
    }

    #[test]
    fn debug_shows_the_key_id_and_nothing_of_the_rest() {
        let secret = Secret::from_entropy(&KeyId::from_entropy([7; 10]), [9; 32]);
        let (_, rest) = secret.expose().rsplit_once('_').unwrap();
        assert!(!format!("{secret:?}").contains(&rest[..6]));
    }

    proptest! {
        #[test]
        fn what_is_minted_can_be_read(key in any::<[u8; 10]>(), entropy in any::<[u8; 32]>()) {
            let secret = Secret::from_entropy(&KeyId::from_entropy(key), entropy);
            prop_assert_eq!(secret.expose().len(), Secret::LENGTH);
            prop_assert!(Secret::parse(secret.expose()).is_ok());
        }

        #[test]
        fn one_changed_character_is_noticed(
            entropy in any::<[u8; 32]>(), at in 0..Secret::LENGTH, to in "[0-9A-Za-z]",
        ) {
            let secret = Secret::from_entropy(&KeyId::from_entropy([1; 10]), entropy);
            let mut text = secret.expose().to_owned();
            text.replace_range(at..=at, &to);
            prop_assert_eq!(Secret::parse(&text).is_ok(), text == secret.expose());
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,80}") {
            prop_assert!(Secret::parse(&text).is_err());
        }
    }
}
