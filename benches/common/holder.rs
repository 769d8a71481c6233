//! Somebody with a key, and what is sent for a token.

use std::sync::Arc;

use apikey_api::names;
use apikey_credential::Secret;
use k8s_openapi::api::core::v1::Secret as CoreSecret;

const PATH: &str = "/auth/v1/api-key/token";

/// A request in the form in which it is sent.
pub(crate) type Request = Arc<[u8]>;

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

impl Holder {
    /// Whoever reads this delivered Secret.
    pub(crate) fn of(delivered: &CoreSecret) -> Self {
        let data = delivered.data.as_ref().unwrap();
        let text = |field| std::str::from_utf8(&data[field].0).unwrap();
        Self {
            name: text(names::data::NAME).to_owned(),
            secret: Secret::parse(text(names::data::SECRET)).unwrap(),
        }
    }

    /// The call for a token.
    pub(crate) fn request(&self) -> Request {
        request(&self.name, &self.secret)
    }
}

/// The call for a token with this name and secret.
pub(crate) fn request(name: &str, secret: &Secret) -> Request {
    // Neither has a character that a form would have to encode.
    let body = format!("name={name}&secret={}", secret.expose());
    let length = body.len();
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}
