//! The holder of a key, and the request for a token.

use std::sync::Arc;

use apikey_api::names;
use apikey_credential::Secret;
use k8s_openapi::api::core::v1::Secret as CoreSecret;

const PATH: &str = "/auth/v1/api-key/token";

/// The bytes of a request.
pub(crate) type Request = Arc<[u8]>;

/// The name and the secret of a key.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

impl Holder {
    /// Reads the delivered Secret.
    pub(crate) fn of(delivered: &CoreSecret) -> Self {
        let data = delivered.data.as_ref().unwrap();
        let text = |field| std::str::from_utf8(&data[field].0).unwrap();
        Self {
            name: text(names::data::NAME).to_owned(),
            secret: Secret::parse(text(names::data::SECRET)).unwrap(),
        }
    }

    /// The request for a token.
    pub(crate) fn request(&self) -> Request {
        request(&self.name, &self.secret)
    }
}

/// The request for a token with this name and secret.
pub(crate) fn request(name: &str, secret: &Secret) -> Request {
    // No character of name and secret needs an encoding in a form.
    let body = format!("name={name}&secret={}", secret.expose());
    let length = body.len();
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}
