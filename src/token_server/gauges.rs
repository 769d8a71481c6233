//! Gauges of the token server, computed when metrics are scraped.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;

use super::service::Service;

/// Gauges of the token server.
#[derive(Debug)]
pub struct Gauges(pub Arc<Service>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let service = &self.0;
        let now = service.clock.now();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let signing_age = service.signer.read().as_ref().and_then(|signer| {
            let since = signer.current_since(now)?;
            Some(now.duration_since(since).as_secs())
        });
        let gauges = [
            (
                "apikey_index_keys",
                "Keys in the index of the token server that have a secret",
                Some(count(service.index.len())),
            ),
            (
                "apikey_index_argon2_only_keys",
                "Keys that only argon2id can check, because their pepper is lost",
                Some(count(service.index.argon2_only())),
            ),
            (
                "apikey_index_refused_ids",
                "Keys that are refused because an earlier key owns their id",
                Some(count(service.index.refused_ids())),
            ),
            (
                "apikey_index_unheard_seconds",
                "Time since the stalest watch last received a change, a bookmark, or the orderly end of a watch \
                 without changes",
                Some(service.watches.longest_staleness(now).as_secs()),
            ),
            (
                "apikey_argon2_checks_in_flight",
                "argon2id checks that run or wait",
                Some(count(service.argon2.in_flight())),
            ),
            (
                "apikey_signing_key_age_seconds",
                "Time since the current signing key started to sign",
                signing_age,
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
                gauge.encode(encoder)?;
            }
        }
        Ok(())
    }
}
