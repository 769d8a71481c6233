//! The claims of a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

/// The claims of the token in a response. The signature is not checked.
pub(crate) fn of(body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let token = body["access_token"].as_str().unwrap();
    let payload = BASE64URL.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
