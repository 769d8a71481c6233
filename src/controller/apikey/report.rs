//! Says what is new of a key, in audit lines and Events, and remembers that.

use kube::{Resource as _, ResourceExt as _};
use tokio::time::Instant;

use super::model::Observed;
use super::reported::Reported;
use super::transitions::{self, Change};
use crate::controller::context::Context;
use crate::controller::failures::object_key;
use apikey_api::{ApiKey, ApiKeyStatus};

/// Begins to report on a key, before anything is done about it. Returns what was last said; at the first look in
/// a term that is taken from the stored status, and remembered.
pub(super) fn begin(ctx: &Context, observed: &Observed) -> Reported {
    let apikey = &observed.apikey;
    let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
    ctx.reports.of(uid).unwrap_or_else(|| {
        let stored = apikey.status.clone().unwrap_or_default();
        let reported = Reported::stored(&stored, observed.document(), observed.now);
        remember(ctx, apikey, reported.clone());
        reported
    })
}

/// Writes audit lines and Events of what is new in this status, and remembers what they said. What comes next
/// may fail and be tried again without saying it twice. Audit lines are written when this ends, if somebody reads
/// them.
pub(super) async fn report(
    ctx: &Context,
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
            ctx.audit.record(record);
            is_audited = true;
        }
        if ctx.limits.allows(&key, Instant::now()) {
            tracing::info!(reason = transition.reason, message = %transition.message, "Status changed");
            ctx.events.publish(apikey.object_ref(&()), transition);
        } else {
            ctx.metrics.event_dropped();
        }
    }
    remember(ctx, apikey, reported.next(status, document, now));
    if is_audited {
        ctx.audit.written().await;
    }
}

fn remember(ctx: &Context, apikey: &ApiKey, reported: Reported) {
    let uid = apikey.metadata.uid.as_deref().unwrap_or_default();
    ctx.reports.set(uid, reported, || ctx.knows(apikey));
}
