//! The ring of signing keys, which is rotated on schedule.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Due, Ring};
use apikey_api::names;
use apikey_credential::signing::{Error, RotationPolicy, SigningKey, SigningRing, Step};

/// Ids of the keys that were logged last.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    keys: BTreeSet<String>,
    current: Option<String>,
}

impl Ring for SigningRing {
    const NAME: &'static str = "signing ring";
    const SECRET: &'static str = names::SIGNING_KEYS_SECRET;
    const LOSS: &'static str = "every token that was issued is refused";
    type Error = Error;
    type Logged = Logged;

    fn parse(json: &[u8]) -> Result<Self, Error> {
        Self::parse(json)
    }

    fn document(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.to_json()
    }

    fn due(
        known: Option<&Self>,
        now: Timestamp,
        policy: RotationPolicy,
    ) -> Result<Due<Self>, Error> {
        let none = Self::default();
        let ring = known.unwrap_or(&none);
        match ring.next_step(now, &policy) {
            Step::WaitUntil(time) => Ok(Due::Nothing(Some(time))),
            Step::Change { add, remove } => {
                let add = add
                    .map(|signs_from| SigningKey::generate(policy.algorithm, now, signs_from))
                    .transpose()?;
                Ok(Due::Store(ring.changed(add, &remove)))
            }
        }
    }

    fn log_changes(&self, now: Timestamp, logged: &mut Logged) {
        let keys: BTreeSet<_> = self.keys().iter().map(|key| key.kid().to_owned()).collect();
        for key in self.keys() {
            let (kid, algorithm, signs_from) = (key.kid(), key.algorithm(), key.signs_from());
            if !logged.keys.contains(kid) && !logged.keys.is_empty() {
                tracing::info!(kid, %algorithm, %signs_from, "A signing key was added");
            }
        }
        for kid in logged.keys.difference(&keys) {
            tracing::info!(kid, "A signing key was removed");
        }
        let current = self.current(now);
        let kid = current.map(|key| key.kid().to_owned());
        if kid != logged.current
            && let Some(key) = current
        {
            let (kid, algorithm) = (key.kid(), key.algorithm());
            tracing::info!(kid, %algorithm, "This key signs tokens now");
        }
        *logged = Logged { keys, current: kid };
    }
}
