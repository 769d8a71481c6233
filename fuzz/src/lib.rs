//! Properties of any bytes that a caller may send or that may be stored. The fuzzer searches for bytes that break
//! them. `tests/corpus.rs` of the operator replays the corpus.

pub mod line;
pub mod object;
pub mod plan;
pub mod record;

use std::sync::LazyLock;

use apikey_credential::Secret;
use apikey_credential::signing::{Algorithm, SigningKey, SigningRing};
use apikey_operator::token_server::claims::Claims;
use apikey_operator::token_server::form::{self, Form};
use apikey_operator::token_server::routes::authz::Requirement;
use apikey_operator::token_server::signer::Signer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Parses the bytes as a body, an Authorization header and the requirement of a path. Errors are short and printable.
/// A requirement has as many parts as its text.
pub fn request(bytes: &[u8]) {
    match Form::parse(bytes) {
        Ok(form) => {
            let names = ["name", "secret", "organizationId", "grant_type", "scope"];
            let mut read = names.iter().filter_map(|name| form.get(name));
            assert!(read.all(|value| !value.is_empty() && value.len() <= bytes.len()));
            let unknown = form.unknown(&names);
            assert!(unknown.is_none_or(|name| is_showable(&name, 40)));
        }
        Err(error) => assert!(is_showable(&error.to_string(), 100), "{error}"),
    }
    match form::basic(bytes) {
        Ok(Some((name, secret))) => assert!(name.len() + secret.len() < bytes.len()),
        // `Og==` is a colon: neither name nor secret.
        Ok(None) => assert!(
            form::credentials(bytes, "Basic").is_none_or(|rest| rest.is_empty() || rest == b"Og==")
        ),
        Err(error) => assert_eq!(error, form::Error::Basic),
    }
    if let Some(rest) = form::credentials(bytes, "Bearer") {
        assert_eq!(rest, rest.trim_ascii());
        assert!(form::credentials(bytes, "Basic").is_none());
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(requirement) = Requirement::parse(text)
    {
        let lists = requirement.roles.len() + requirement.audiences.len();
        let asked = usize::from(requirement.org.is_some()) + lists;
        assert_eq!(asked, text.split(',').count(), "{text}");
    }
}

fn is_showable(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// Parses the bytes as a secret. A secret names its key and is not shown by `Debug`. A change of one character makes it
/// invalid.
pub fn secret(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // The fuzzer can't guess a checksum, so the right one is added to texts of the right length.
    let body = text.as_bytes();
    let completed = (body.len() == Secret::LENGTH - CRC_CHARS).then(|| with_checksum(text));
    for text in [Some(text.to_owned()), completed].into_iter().flatten() {
        let Ok(secret) = Secret::parse(&text) else {
            continue;
        };
        assert_eq!(secret.expose(), text);
        let mut parts = text.splitn(3, '_').skip(1);
        assert_eq!(parts.next(), Some(secret.key_id().as_str()));
        let random = parts.next().unwrap_or_default();
        assert_eq!(random.len(), 43 + CRC_CHARS);
        assert!(!format!("{secret:?}").contains(random));
        assert_eq!(with_checksum(&text[..text.len() - CRC_CHARS]), text);
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'7' { b'8' } else { b'7' };
            let other = String::from_utf8_lossy(&other);
            assert!(Secret::parse(&other).is_err(), "{other} beside {text}");
        }
    }
}

const CRC_CHARS: usize = 6;

/// Appends the checksum, which is computed here independently.
fn with_checksum(body: &str) -> String {
    let mut crc = !body.bytes().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    let digits: Vec<u8> = (b'0'..=b'9')
        .chain(b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .collect();
    let mut tail = [0; CRC_CHARS];
    for place in tail.iter_mut().rev() {
        *place = digits[usize::try_from(crc % 62).unwrap_or_default()];
        crc /= 62;
    }
    format!("{body}{}", String::from_utf8_lossy(&tail))
}

/// A ring with a key of each algorithm, and one token for each key.
struct Issued {
    signer: Signer,
    tokens: Vec<String>,
    kids: Vec<String>,
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| issue().expect("a ring and its tokens"));

fn issue() -> Option<Issued> {
    let from = |hour| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour);
    let mut ring = SigningRing::default();
    for (hour, algorithm) in (0..).zip(Algorithm::ALL) {
        let key = SigningKey::generate(algorithm, from(0), from(hour)).ok()?;
        ring = ring.changed(Some(key), &[]);
    }
    let kids = ring.keys().iter().map(|key| key.kid().to_owned()).collect();
    let signer = Signer::new(ring).ok()?;
    let claims = serde_json::json!({
        "iss": "https://keys.test", "sub": "apikey:0000000000000000", "aud": "a", "iat": 0,
        "nbf": 0, "exp": 9, "jti": "0", "client_id": "0000000000000000", "email": "a@b.test",
        "name": "a", "namespace": "b", "org": "c", "roles": ["viewer"],
        "currentOrganizationId": "00000000-0000-0000-0000-000000000000", "secret_revision": 1,
    });
    let claims: Claims<'static> = serde_json::from_value(claims).ok()?;
    let tokens = (0..3).map(|hour| signer.sign(&claims, from(hour)).ok());
    let tokens: Vec<_> = tokens.collect::<Option<_>>()?;
    assert!(tokens.iter().all(|token| signer.verify(token).is_some()));
    Some(Issued {
        signer,
        tokens,
        kids,
    })
}

/// Only a signed token is accepted: no arbitrary text, no signed token with changes, and none that is assembled from
/// parts with the id of an existing key.
pub fn token(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else {
        return;
    };
    let issued = &*ISSUED;
    let which = usize::from(how / 3) % issued.tokens.len();
    let text = match how % 3 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => edited(&issued.tokens[which], rest),
        _ => assembled(&issued.kids[which], rest),
    };
    if issued.signer.verify(&text).is_some() {
        assert!(issued.tokens.contains(&text), "{text} was never signed");
    }
}

/// Replaces, inserts or removes bytes of the token. Each edit takes three bytes.
fn edited(token: &str, edits: &[u8]) -> String {
    let mut token = token.as_bytes().to_vec();
    for edit in edits.chunks_exact(3) {
        let [high, low, byte] = [edit[0], edit[1], edit[2]];
        let at = (usize::from(high & 0x3f) << 8 | usize::from(low)) % (token.len() + 1);
        match high >> 6 {
            0 => token.insert(at, byte),
            1 => token.truncate(at),
            _ if at < token.len() => token[at] = byte,
            _ => {}
        }
    }
    String::from_utf8_lossy(&token).into_owned()
}

/// Assembles a token from header, claims and signature, which zero bytes separate. `KID` stands for a key of the ring.
fn assembled(kid: &str, parts: &[u8]) -> String {
    let parts = parts.split(|&byte| byte == 0);
    let encoded = parts.map(|part| match std::str::from_utf8(part) {
        Ok(text) => BASE64URL.encode(text.replace("KID", kid)),
        Err(_) => BASE64URL.encode(part),
    });
    encoded.collect::<Vec<_>>().join(".")
}
