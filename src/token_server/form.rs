//! Parses form bodies and Basic credentials. Pure and strict: a repeated field or one that is not
//! UTF-8 is an error.
//!
//! Sources: RFC 6749 sections 2.3.1, 3.2 and appendix B; RFC 7617; the URL Standard's
//! `application/x-www-form-urlencoded`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode;
use zeroize::{Zeroize as _, Zeroizing};

/// Maximum number of fields in a body.
const MAX_FIELDS: usize = 32;

/// A malformed request, described in a sentence for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field is repeated.
    #[error("`{0}` is repeated: send it once")]
    Repeated(String),
    /// A field is not UTF-8 after percent-decoding.
    #[error("field {0} is not UTF-8 text")]
    NotText(usize),
    /// Too many fields.
    #[error("the form has more than {MAX_FIELDS} fields")]
    TooMany,
    /// The Authorization header does not contain Basic credentials.
    #[error("the Authorization header does not contain valid Basic credentials (RFC 7617)")]
    Basic,
}

/// The fields of a form. Values are wiped when dropped, because one of them is a secret.
#[derive(Default)]
pub struct Form {
    fields: Vec<(String, Zeroizing<String>)>,
}

impl Form {
    /// Parses a body. A field without a value counts as omitted (RFC 6749 section 3.2).
    ///
    /// # Errors
    /// See [`Error`]; no error contains a value.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut fields: Vec<(String, Zeroizing<String>)> = Vec::with_capacity(4);
        let pairs = body.split(|&b| b == b'&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index >= MAX_FIELDS {
                return Err(Error::TooMany);
            }
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let text = |half: Option<&[u8]>| decode(half.unwrap_or_default(), index + 1);
            let (name, value) = (text(halves.next())?, Zeroizing::new(text(halves.next())?));
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Error::Repeated(shown(&name)));
            }
            fields.push((name, value));
        }
        fields.retain(|(_, value)| !value.is_empty());
        Ok(Self { fields })
    }

    /// The value of a field, if it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name)?;
        Some(field.1.as_str())
    }

    /// The first field that is not one of these.
    #[must_use]
    pub fn unknown(&self, known: &[&str]) -> Option<String> {
        let names = self.fields.iter().map(|(name, _)| name);
        let mut unknown = names.filter(|name| !known.contains(&name.as_str()));
        unknown.next().map(|name| shown(name))
    }
}

/// Makes a name safe to show in an error: short and printable.
fn shown(name: &str) -> String {
    let printable = name.chars().filter(|c| !c.is_control());
    printable.take(40).collect()
}

fn decode(encoded: &[u8], field: usize) -> Result<String, Error> {
    let spaced: Cow<'_, [u8]> = if encoded.contains(&b'+') {
        let spaces = encoded.iter().map(|&b| if b == b'+' { b' ' } else { b });
        Cow::Owned(spaces.collect())
    } else {
        Cow::Borrowed(encoded)
    };
    let text = percent_decode(&spaced)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Error::NotText(field));
    if let Cow::Owned(mut spaced) = spaced {
        spaced.zeroize();
    }
    text
}

/// Name and secret of Basic credentials; `None` if the header has another scheme or is empty. Both
/// are form encoded (RFC 6749 section 2.3.1).
///
/// # Errors
/// [`Error::Basic`].
pub fn basic(header: &[u8]) -> Result<Option<(String, Zeroizing<String>)>, Error> {
    let encoded = credentials(header, "Basic");
    let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty()) else {
        return Ok(None);
    };
    let pair = BASE64.decode(encoded).map_err(|_| Error::Basic)?;
    let pair = Zeroizing::new(pair);
    let at = pair.iter().position(|&b| b == b':').ok_or(Error::Basic)?;
    let (name, secret) = (&pair[..at], &pair[at + 1..]);
    if name.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    let text = |half: &[u8]| decode(half, 1).map_err(|_| Error::Basic);
    Ok(Some((text(name)?, Zeroizing::new(text(secret)?))))
}

/// The text after the scheme in an Authorization header of that scheme.
#[must_use]
pub fn credentials<'a>(header: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (given, rest) = header.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?;
    given
        .eq_ignore_ascii_case(scheme.as_bytes())
        .then(|| rest.trim_ascii())
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.fields.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_decoded_and_empty_ones_count_as_left_out() {
        let form = Form::parse(b"name=ci%2Dupload+1&secret=%C3%A4&organizationId=").unwrap();
        assert_eq!(form.get("name"), Some("ci-upload 1"));
        assert_eq!(form.get("secret"), Some("\u{e4}"));
        assert_eq!(form.get("organizationId"), None);
        assert_eq!(form.unknown(&["name"]), Some("secret".into()));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let refused = |body: &[u8]| Form::parse(body).unwrap_err();
        assert_eq!(refused(b"name=a&name=b"), Error::Repeated("name".into()));
        assert_eq!(refused(b"name=a&n%61me="), Error::Repeated("name".into()));
        assert_eq!(refused(b"name=a&secret=%ff"), Error::NotText(2));
        assert_eq!(refused(&[0xff]), Error::NotText(1));
        assert_eq!(
            refused(b"a&b&".repeat(40).as_slice()),
            Error::Repeated("a".into())
        );
        let many: Vec<_> = (0..33).map(|n| format!("f{n}=1")).collect();
        let many = many.join("&");
        assert_eq!(refused(many.as_bytes()), Error::TooMany);
    }

    #[test]
    fn basic_credentials_are_form_encoded_pairs() {
        let of = |text: &str| basic(format!("Basic {}", BASE64.encode(text)).as_bytes());
        let (name, secret) = of("na%3Ame:se+cret:x").unwrap().unwrap();
        assert_eq!((name.as_str(), secret.as_str()), ("na:me", "se cret:x"));
        assert!(of("no colon").is_err());
        assert!(basic(b"basic !!").is_err());
        for none in ["Bearer x", "", "Basic", "Basic ", "Basic Og=="] {
            assert!(basic(none.as_bytes()).unwrap().is_none(), "{none:?}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let form = Form::parse(b"secret=hunter2").unwrap();
        assert_eq!(format!("{form:?}"), "[\"secret\"]");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = Form::parse(&bytes);
            let _ = basic(&bytes);
        }

        #[test]
        fn an_encoded_field_is_read_back(value in "\\PC{1,40}") {
            let encoded = percent_encoding::utf8_percent_encode(
                &value, percent_encoding::NON_ALPHANUMERIC);
            let form = Form::parse(format!("v={encoded}").as_bytes()).unwrap();
            prop_assert_eq!(form.get("v"), Some(value.as_str()));
        }
    }
}
