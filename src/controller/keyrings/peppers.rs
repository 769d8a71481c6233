//! The pepper ring, which is created once.

use k8s_openapi::jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Due, Ring};
use apikey_api::names;
use apikey_credential::fingerprint::{Error, PepperRing};
use apikey_credential::signing::RotationPolicy;

impl Ring for PepperRing {
    const NAME: &'static str = "pepper ring";
    const SECRET: &'static str = names::PEPPERS_SECRET;
    const LOSS: &'static str = "each secret is proved by its slower hash until it is rotated";
    type Error = Error;
    type Logged = ();

    fn parse(json: &[u8]) -> Result<Self, Error> {
        Self::parse(json)
    }

    fn document(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.to_json().map_err(|_| Error::Unusable)
    }

    fn due(
        known: Option<&Self>,
        now: Timestamp,
        _policy: RotationPolicy,
    ) -> Result<Due<Self>, Error> {
        match known {
            Some(_) => Ok(Due::Nothing(None)),
            None => Self::generate(now).map(Due::Store),
        }
    }
}
