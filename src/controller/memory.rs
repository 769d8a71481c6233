//! The state that this process keeps while it leads.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::apikey::reported::Reported;
use super::failures::{Failures, object_key};
use super::message_limits::MessageLimits;
use super::remembered::Remembered;
use apikey_api::ApiKey;
use apikey_client::object::Identity;

/// What this process remembers while it leads. Nothing of it outlives the leadership, because
/// another controller may lead afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeadershipMemory {
    /// Consecutive failures, per object.
    pub(crate) failures: Arc<Failures>,
    /// Rate limits of logs and Events, per object.
    pub(crate) limits: Arc<MessageLimits>,
    /// Times of recent secret replacements, per key.
    pub(crate) replacements: Arc<Remembered<Vec<Timestamp>>>,
    /// The state that Events and the audit log reported last, per key.
    pub(crate) reports: Arc<Remembered<Reported>>,
}

impl LeadershipMemory {
    /// Forgets a deleted key.
    pub(crate) fn forget_apikey(&self, apikey: &Identity) {
        let key = object_key::<ApiKey>(apikey.namespace.as_deref(), &apikey.name);
        self.failures.clear(&key);
        self.replacements.forget(&apikey.uid);
        self.reports.forget(&apikey.uid);
    }

    /// Forgets everything, at the end of leadership.
    pub(crate) fn clear(&self) {
        let Self {
            failures,
            limits,
            replacements,
            reports,
        } = self;
        failures.clear_all();
        limits.clear();
        replacements.clear();
        reports.clear();
    }
}
