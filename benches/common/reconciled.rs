//! Waits until a controller has reconciled every key.

use std::time::Duration;

use crate::common::operator::Operator;

impl Operator {
    /// Waits until it has completed this many reconciles of keys.
    pub(crate) async fn reconciled(&self, keys: u32, look: Duration) {
        let name = r#"controller_runtime_reconcile_total{controller="apikey""#;
        self.until("through the keys", look, || {
            self.metric(name) >= f64::from(keys)
        })
        .await;
    }
}
