//! Reports changes of a key in audit lines and Events, and remembers what it reported.

use std::sync::Arc;

use kube::{Resource as _, ResourceExt as _};
use tokio::time::Instant;

use super::model::Observed;
use super::reported::Reported;
use super::transitions::{self, Change};
use crate::audit::log::AuditLog;
use crate::controller::events::Events;
use crate::controller::failures::object_key;
use crate::controller::message_limits::MessageLimits;
use crate::controller::remembered::Remembered;
use crate::controller::store::Store;
use crate::metrics::Metrics;
use apikey_api::{ApiKey, ApiKeyStatus};

/// Writes audit lines and Events about keys.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// Records audit lines.
    pub(crate) audit: AuditLog,
    /// Publishes Events.
    pub(crate) events: Events,
    /// Limits Events and log lines per key.
    pub(crate) limits: Arc<MessageLimits>,
    /// What was reported last, per key.
    pub(crate) reports: Arc<Remembered<Reported>>,
    /// Shows which keys exist.
    pub(crate) store: Arc<Store>,
    /// Counts Events that are over the limit.
    pub(crate) metrics: Metrics,
}

impl Reporter {
    /// Returns what was reported last about a key. It must be called before a reconcile writes
    /// anything. The first call of this leadership takes it from the stored status and remembers
    /// it.
    pub(super) fn begin(&self, observed: &Observed) -> Reported {
        let apikey = &observed.apikey;
        let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
        self.reports.of(uid).unwrap_or_else(|| {
            let stored = apikey.status.clone().unwrap_or_default();
            let reported = Reported::stored(&stored, observed.document(), observed.now);
            self.remember(apikey, reported.clone());
            reported
        })
    }

    /// Writes audit lines and Events about the changes in this status, and remembers them. If a
    /// later step fails and is tried again, they are not reported twice. The audit lines are
    /// written when this returns, if somebody reads them.
    pub(super) async fn report(
        &self,
        observed: &Observed,
        reported: &Reported,
        status: &ApiKeyStatus,
    ) {
        if observed.deleted {
            return;
        }
        let (apikey, document, now) = (&observed.apikey, observed.document(), observed.now);
        let changes = transitions::changes(apikey, reported, status, document, now);
        let mut is_audited = false;
        let key = object_key::<ApiKey>(apikey.namespace().as_deref(), &apikey.name_any());
        for Change { audit, transition } in changes {
            if let Some(record) = audit {
                self.audit.record(record);
                is_audited = true;
            }
            if self.limits.allows(&key, Instant::now()) {
                tracing::info!(reason = transition.reason, message = %transition.message, "Status changed");
                self.events.publish(apikey.object_ref(&()), transition);
            } else {
                self.metrics.event_dropped();
            }
        }
        self.remember(apikey, reported.next(status, document, now));
        if is_audited {
            self.audit.written().await;
        }
    }

    fn remember(&self, apikey: &ApiKey, reported: Reported) {
        let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
        self.reports.set(uid, reported, || self.store.knows(apikey));
    }
}
