//! Encrypts a secret as an armored age file, which only the owner of a private key can open.
//!
//! Format: age-encryption.org/v1 with X25519 recipients.

use std::io::{Read as _, Write as _};
use std::str::FromStr as _;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{Decryptor, Encryptor, x25519};
use zeroize::Zeroizing;

use super::Secret;

/// Maximum size of a sealed file in bytes. A secret for 16 recipients takes 3 KiB.
const MAX_SEALED_BYTES: u64 = 64 * 1024;

/// Public keys that a secret is encrypted to.
pub struct Recipients(Vec<x25519::Recipient>);

/// A text is not the public key of an X25519 identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{value}' is not a public key of age (a character was changed or lost): copy the line that \
     begins with 'age1' from `age-keygen -y FILE`"
)]
pub struct BadRecipient {
    /// The invalid text.
    pub value: String,
}

/// A secret can't be encrypted.
#[derive(Debug, thiserror::Error)]
#[error("the secret can't be encrypted: {0}")]
pub struct SealError(String);

/// A sealed secret can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The identity file has no private key.
    #[error(
        "no private key of age found (a line that begins with 'AGE-SECRET-KEY-1'): create one with \
         `age-keygen`"
    )]
    NoIdentity,
    /// The file is encrypted to other recipients.
    #[error("the secret is not encrypted for this identity: use the file of another recipient")]
    OtherRecipient,
    /// The file is damaged.
    #[error("the encrypted secret can't be read: {0}")]
    Damaged(String),
}

impl Recipients {
    /// Parses public keys of the form "age1...".
    ///
    /// # Errors
    /// Returns the first text that is not a public key.
    pub fn parse(texts: &[String]) -> Result<Self, BadRecipient> {
        let parse = |text: &String| {
            x25519::Recipient::from_str(text).map_err(|_| BadRecipient {
                value: text.clone(),
            })
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Encrypts the secret as an age file that each of the recipients can open.
    ///
    /// # Errors
    /// There are no recipients, or random bytes are not available.
    pub fn seal(&self, secret: &Secret) -> Result<String, SealError> {
        let recipients = self
            .0
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient);
        let encryptor =
            Encryptor::with_recipients(recipients).map_err(|error| SealError(error.to_string()))?;
        write(encryptor, secret).map_err(|error| SealError(error.to_string()))
    }
}

fn write(encryptor: Encryptor, secret: &Secret) -> std::io::Result<String> {
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(secret.expose().as_bytes())?;
    let armored = writer.finish()?.finish()?;
    String::from_utf8(armored).map_err(std::io::Error::other)
}

/// Whether an identity file contains a private key.
#[must_use]
pub fn has_identity(identity_file: &str) -> bool {
    !identities(identity_file).is_empty()
}

fn identities(identity_file: &str) -> Vec<x25519::Identity> {
    let lines = identity_file.lines().map(str::trim);
    lines
        .filter_map(|line| x25519::Identity::from_str(line).ok())
        .collect()
}

/// Opens a sealed secret with the private keys of an identity file.
///
/// # Errors
/// See [`OpenError`].
pub fn open(sealed: &[u8], identity_file: &str) -> Result<Zeroizing<String>, OpenError> {
    let identities = identities(identity_file);
    if identities.is_empty() {
        return Err(OpenError::NoIdentity);
    }
    let damaged = |error: &dyn std::error::Error| OpenError::Damaged(error.to_string());
    let decryptor = Decryptor::new(ArmoredReader::new(sealed)).map_err(|error| damaged(&error))?;
    let identities = identities
        .iter()
        .map(|identity| identity as &dyn age::Identity);
    let reader = decryptor.decrypt(identities).map_err(|error| {
        if matches!(error, age::DecryptError::NoMatchingKeys) {
            OpenError::OtherRecipient
        } else {
            damaged(&error)
        }
    })?;
    let mut value = Zeroizing::new(String::new());
    reader
        .take(MAX_SEALED_BYTES)
        .read_to_string(&mut value)
        .map_err(|error| damaged(&error))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;
    use crate::KeyId;

    fn secret() -> Secret {
        Secret::from_entropy(&KeyId::from_entropy([1; 10]), [2; 32])
    }

    fn identity() -> (String, String) {
        let identity = x25519::Identity::generate();
        let private = identity.to_string().expose_secret().to_owned();
        (private, identity.to_public().to_string())
    }

    #[test]
    fn each_recipient_opens_a_sealed_secret_and_nobody_else() {
        let ((one, one_public), (other, other_public)) = (identity(), identity());
        let recipients = Recipients::parse(&[one_public, other_public]).unwrap();
        let sealed = recipients.seal(&secret()).unwrap();
        assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        assert!(!sealed.contains(secret().expose()));
        for file in [one, format!("# created by hand\n{other}\n")] {
            let opened = open(sealed.as_bytes(), &file).unwrap();
            assert_eq!(opened.as_str(), secret().expose());
        }
        let (stranger, _) = identity();
        let refused = open(sealed.as_bytes(), &stranger);
        assert!(matches!(refused, Err(OpenError::OtherRecipient)));
        let nothing = open(sealed.as_bytes(), "# empty");
        assert!(matches!(nothing, Err(OpenError::NoIdentity)));
    }

    #[test]
    fn a_mistyped_recipient_is_named() {
        let (_, public) = identity();
        let last = if public.ends_with('q') { "p" } else { "q" };
        let mistyped = format!("{}{last}", &public[..public.len() - 1]);
        let bad = Recipients::parse(&[public, mistyped.clone()])
            .err()
            .unwrap();
        assert_eq!(bad.value, mistyped);
    }

    #[test]
    fn a_damaged_file_is_an_error_wherever_it_is_cut() {
        let (private, public) = identity();
        let sealed = Recipients::parse(&[public])
            .unwrap()
            .seal(&secret())
            .unwrap();
        let whole = sealed.trim_end().len();
        for cut in 0..whole {
            assert!(
                open(&sealed.as_bytes()[..cut], &private).is_err(),
                "at {cut}"
            );
        }
    }
}
