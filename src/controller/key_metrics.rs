//! Metrics about keys, computed from the caches when they are scraped.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::store::Store;
use apikey_api::{ApiKey, Phase};

/// Reads a time of a key.
type TimeOf = fn(&ApiKey) -> Option<&Time>;

/// `apikeys{org,phase}`, with an empty `org` for keys that no Organization allows. If `per_key` is
/// set, also the phase and the times of each key.
#[derive(Debug)]
pub(crate) struct KeyMetrics {
    /// The caches and the quota index.
    pub(crate) store: Arc<Store>,
    /// Whether undeclared organizations are refused.
    pub(crate) require_organizations: bool,
    /// Whether to export series with the name of each key.
    pub(crate) per_key: bool,
}

impl Collector for KeyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "apikeys",
            "Keys by organization and phase; the organization is empty for keys that none allows",
            None,
            MetricType::Gauge,
        )?;
        let required = self.require_organizations;
        for (org, counts) in self.store.quota_index.lock().counts_by_org(required) {
            for (phase, count) in [
                (Phase::Pending, counts.pending),
                (Phase::Active, counts.active),
                (Phase::Expired, counts.expired),
            ] {
                let labels = [("org", org), ("phase", phase.as_str())];
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        if self.per_key {
            self.encode_keys(encoder)?;
        }
        Ok(())
    }
}

impl KeyMetrics {
    fn encode_keys(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let apikeys = self.store.caches.apikeys.all();
        let labels = |apikey: &ApiKey| {
            let meta = &apikey.metadata;
            (
                meta.namespace.clone().unwrap_or_default(),
                meta.name.clone().unwrap_or_default(),
            )
        };
        let times: [(&str, &str, TimeOf); 4] = [
            (
                "apikey_creation_timestamp_seconds",
                "Creation time of the key, since the Unix epoch",
                |apikey| apikey.metadata.creation_timestamp.as_ref(),
            ),
            (
                "apikey_expiration_timestamp_seconds",
                "Time from which the key is refused, since the Unix epoch",
                |apikey| apikey.status.as_ref()?.expires_at.as_ref(),
            ),
            (
                "apikey_next_rotation_timestamp_seconds",
                "Time of the next scheduled rotation of the key, since the Unix epoch",
                |apikey| apikey.status.as_ref()?.next_rotation_at.as_ref(),
            ),
            (
                "apikey_previous_secret_expiration_timestamp_seconds",
                "Time from which the replaced secret of the key is refused, since the Unix epoch",
                |apikey| {
                    Some(
                        &apikey
                            .status
                            .as_ref()?
                            .previous_secret
                            .as_ref()?
                            .valid_until,
                    )
                },
            ),
        ];
        for (name, help, time) in times {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for apikey in &apikeys {
                let Some(time) = time(apikey) else {
                    continue;
                };
                let (namespace, name) = labels(apikey);
                let labels = [("namespace", namespace.as_str()), ("name", name.as_str())];
                ConstGauge::new(time.0.as_second()).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "apikey_status_phase",
            "1 for the phase that the key is in, 0 for the others",
            None,
            MetricType::Gauge,
        )?;
        for apikey in &apikeys {
            let current = apikey.status.as_ref().and_then(|status| status.phase);
            let (namespace, name) = labels(apikey);
            for phase in Phase::ALL {
                let labels = [
                    ("namespace", namespace.as_str()),
                    ("name", name.as_str()),
                    ("phase", phase.as_str()),
                ];
                let value = i64::from(current == Some(phase));
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
