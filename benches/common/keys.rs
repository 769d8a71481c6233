//! Keys of the organization.

use apikey_api::{ApiKey, ApiKeySpec};
use k8s_openapi::jiff::Timestamp;

use super::cluster::ORGANIZATION;

pub(crate) fn key(n: u32, expiry: Option<Timestamp>) -> ApiKey {
    let spec = ApiKeySpec {
        org: ORGANIZATION.into(),
        roles: vec!["viewer".into()],
        expiry: expiry.map(|expiry| expiry.to_string()),
        ..ApiKeySpec::default()
    };
    ApiKey::new(&format!("key-{n:06}"), spec)
}
