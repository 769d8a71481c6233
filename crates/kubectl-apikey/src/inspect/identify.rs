//! Identifies what the input is. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::jiff::Timestamp;

use crate::jwt::Jwt;
use apikey_credential::jwt::Malformed;
use apikey_credential::{FormatError, Secret};

const ARMOR_BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";
const AGE_MAGIC: &[u8] = b"age-encryption.org/";

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The secret of an API key.
    Secret,
    /// A JSON Web Token.
    Jwt,
    /// A file encrypted with age.
    AgeFile,
    /// A private key of age.
    AgeIdentity,
    /// A text that contains secrets of API keys.
    Text,
    /// Anything else.
    Unknown,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Jwt => "jwt",
            Self::AgeFile => "age-file",
            Self::AgeIdentity => "age-identity",
            Self::Text => "text",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Secret => "Secret of an API key",
            Self::Jwt => "JSON Web Token, unchecked",
            Self::AgeFile => "File encrypted with age",
            Self::AgeIdentity => "Private key of age",
            Self::Text => "Text that contains secrets of API keys",
            Self::Unknown => "Not recognised",
        }
    }
}

/// The result of the identification.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) kind: Kind,
    /// Names and values, in the order in which they are printed.
    pub(super) facts: Vec<(String, String)>,
    /// Public ids of the keys that the input refers to.
    pub(super) key_ids: Vec<String>,
    /// What to do with the input.
    pub(super) advice: Vec<String>,
    /// What is wrong with the input.
    pub(super) problem: Option<String>,
}

impl Identified {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            facts: Vec::new(),
            key_ids: Vec::new(),
            advice: Vec::new(),
            problem: None,
        }
    }

    fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.push((name.to_owned(), value.into()));
        self
    }

    fn advice(mut self, text: &str) -> Self {
        self.advice.push(text.to_owned());
        self
    }
}

/// Identifies the bytes. The result contains no part of a secret except its public id.
pub(super) fn identify(bytes: &[u8], now: Timestamp) -> Identified {
    if bytes.starts_with(AGE_MAGIC) {
        return age_file(bytes, "binary");
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    if text.starts_with(ARMOR_BEGIN) {
        return match armored(text) {
            Some(bytes) => age_file(&bytes, "armored"),
            None => damaged_age(),
        };
    }
    if Secret::is_like(text) && !text.contains(char::is_whitespace) {
        return secret(text);
    }
    if text
        .lines()
        .any(|line| line.trim().starts_with("AGE-SECRET-KEY-1"))
    {
        return Identified::new(Kind::AgeIdentity)
            .advice("it decrypts the secrets that are encrypted for it: keep it private");
    }
    match Jwt::parse(text) {
        Ok(token) => return jwt(&token, now),
        Err(Malformed::Part(part)) if text.starts_with("eyJ") => {
            let mut finding = Identified::new(Kind::Jwt);
            finding.problem = Some(format!("its {part} can't be read: it was cut or changed"));
            return finding;
        }
        Err(Malformed::Part(_) | Malformed::Parts(_) | Malformed::Length(_)) => {}
    }
    within(text)
}

fn secret(text: &str) -> Identified {
    let finding = Identified::new(Kind::Secret);
    match Secret::parse(text) {
        Ok(secret) => {
            let id = secret.key_id().as_str().to_owned();
            let mut finding = finding
                .fact("format", "as published")
                .fact("checksum", "right")
                .fact("key id", id.clone())
                .advice("only the token server knows whether it is accepted");
            finding.key_ids.push(id);
            finding
        }
        Err(error) => {
            // The public id helps even if the rest is mistyped.
            let id = text.get(3..).and_then(|rest| rest.split_once('_'));
            let id = id.filter(|_| error == FormatError::Checksum);
            let mut finding = match id {
                Some((id, _)) => finding.fact("format", "as published").fact("key id", id),
                None => finding.fact("format", "not as published"),
            };
            finding.key_ids.extend(id.map(|(id, _)| id.to_owned()));
            finding.problem = Some(error.to_string());
            finding
        }
    }
}

fn jwt(token: &Jwt, now: Timestamp) -> Identified {
    let mut finding = Identified::new(Kind::Jwt);
    for name in ["typ", "alg", "kid"] {
        if let Some(value) = token.header(name) {
            finding = finding.fact(name, value);
        }
    }
    finding.facts.extend(token.lines(now));
    let ours = token
        .claim("sub")
        .is_some_and(|sub| sub.starts_with("apikey:"));
    let id = token.claim("client_id").filter(|_| ours);
    finding.key_ids.extend(id.map(str::to_owned));
    finding.advice("the signature was not checked: use kubectl apikey verify")
}

fn armored(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(ARMOR_BEGIN)?.strip_suffix(ARMOR_END)?;
    let base64: String = inner.split_whitespace().collect();
    BASE64.decode(base64).ok()
}

fn damaged_age() -> Identified {
    let mut finding = Identified::new(Kind::AgeFile);
    finding.problem = Some("it can't be read: it was cut or changed".to_owned());
    finding
}

/// Reads the header of an age file (age-encryption.org/v1): one line `-> TYPE ...` per recipient.
fn age_file(bytes: &[u8], form: &str) -> Identified {
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(String::from_utf8_lossy);
    let mut recipients: BTreeMap<String, usize> = BTreeMap::new();
    let mut ended = false;
    for line in lines {
        if line.starts_with("---") {
            ended = true;
            break;
        }
        if let Some(stanza) = line.strip_prefix("-> ") {
            let kind = stanza.split(' ').next().unwrap_or_default();
            // Grease recipients belong to nobody. They keep readers from rejecting unknown types.
            if !kind.ends_with("-grease") {
                *recipients.entry(kind.to_owned()).or_default() += 1;
            }
        }
    }
    if !ended {
        return damaged_age();
    }
    let recipients = recipients.into_iter();
    let recipients: Vec<_> = recipients
        .map(|(kind, count)| format!("{count} of type {kind}"))
        .collect();
    Identified::new(Kind::AgeFile)
        .fact("form", form)
        .fact("recipients", recipients.join(", "))
        .advice("to open it: age --decrypt -i FILE, or kubectl apikey reveal NAME --identity FILE")
}

/// Finds the secrets in a text.
fn within(text: &str) -> Identified {
    let mut ids: Vec<(usize, String)> = Vec::new();
    for (place, _) in text.match_indices("ak_") {
        let candidate = text.get(place..place + Secret::LENGTH);
        if let Some(Ok(secret)) = candidate.map(Secret::parse) {
            let line = 1 + text[..place].matches('\n').count();
            ids.push((line, secret.key_id().as_str().to_owned()));
        }
    }
    if ids.is_empty() {
        let mut finding = Identified::new(Kind::Unknown);
        finding.problem = Some(
            "this is not a secret of an API key, contains none, and is not a token or an age file"
                .to_owned(),
        );
        return finding;
    }
    let mut finding = Identified::new(Kind::Text);
    for (line, id) in ids {
        finding = finding.fact(&format!("line {line}"), format!("secret of key id {id}"));
        if !finding.key_ids.contains(&id) {
            finding.key_ids.push(id);
        }
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_credential::KeyId;

    fn secret_text() -> (String, String) {
        let id = KeyId::from_entropy([3; 10]);
        let secret = Secret::from_entropy(&id, [4; 32]);
        (secret.expose().to_owned(), id.as_str().to_owned())
    }

    fn of(text: &str) -> Identified {
        identify(text.as_bytes(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_secret_is_told_by_its_key_and_never_repeated() {
        let (secret, id) = secret_text();
        let found = of(&format!("{secret}\n"));
        assert_eq!(
            (found.kind, &found.key_ids),
            (Kind::Secret, &vec![id.clone()])
        );
        assert_eq!(found.problem, None);
        let random = &secret[20..40];
        assert!(!format!("{found:?}").contains(random));
        let last = if secret.ends_with('0') { '1' } else { '0' };
        let mistyped = format!("{}{last}", &secret[..secret.len() - 1]);
        let found = of(&mistyped);
        assert_eq!((found.kind, found.key_ids), (Kind::Secret, vec![id]));
        assert!(found.problem.unwrap().contains("mistyped"));
        assert!(of("ak_short").problem.is_some());
    }

    #[test]
    fn secrets_in_a_text_are_found_with_their_lines() {
        let (secret, id) = secret_text();
        let found = of(&format!("first\nSECRET={secret} and {secret}\nak_no"));
        assert_eq!(
            (found.kind, &found.key_ids),
            (Kind::Text, &vec![id.clone()])
        );
        let fact = ("line 2".to_owned(), format!("secret of key id {id}"));
        assert_eq!(found.facts, [fact.clone(), fact]);
    }

    #[test]
    fn other_things_are_named() {
        let header = "age-encryption.org/v1\n-> X25519 abc\nx\n-> X25519 d\ny\n--- mac\n";
        let found = of(header);
        assert_eq!(found.kind, Kind::AgeFile);
        assert_eq!(found.facts[1].1, "2 of type X25519");
        let armored = format!("{ARMOR_BEGIN}\n{}\n{ARMOR_END}\n", BASE64.encode(header));
        assert_eq!(of(&armored).facts[0].1, "armored");
        assert!(of(&armored[..60]).problem.is_some());
        assert_eq!(of("# x\nAGE-SECRET-KEY-1QQ").kind, Kind::AgeIdentity);
        assert_eq!(of("hello").kind, Kind::Unknown);
        assert!(of("eyJx.eyJ.x").problem.is_some());
        assert_eq!(of("e30.e30.").kind, Kind::Jwt);
    }
}
