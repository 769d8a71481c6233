//! A tenant whose objects are as hostile as the API server takes them, written all the time. Nobody else
//! may notice.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::world::World;

/// Namespace and organization of the tenant.
pub(crate) const TENANT: &str = "hostile";
/// From one write to the next: nine a second.
const PACE: Duration = Duration::from_millis(110);
/// Its keys, and as many labelled Secrets.
const OBJECTS: usize = 4;
/// Finalizers of one object, about a megabyte.
const FINALIZERS: usize = 15_000;
const GROUP: &str = "/apis/apikey-operator.dev/v1alpha1";

/// Writes for ever. While the API server is away, nothing is written.
pub(crate) async fn write(world: Arc<World>) {
    let mut tick = tokio::time::interval(PACE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let tenant = Tenant(&world);
    for turn in 0.. {
        tick.tick().await;
        let n = turn / 6 % OBJECTS;
        let written = match turn % 6 {
            0 => tenant.create(n, turn < 6).await,
            1 => tenant.poison(&key(n), "9999-12-31T23:59:59Z", 1).await,
            2 => tenant.poison(&key(n), "2026-01-01T00:00:00Z", 200).await,
            3 => tenant.poison(&secret(n), "9999-12-31T23:59:59Z", 200).await,
            4 => tenant.break_status(&key(n)).await,
            _ => tenant.touch(&key(n), turn).await,
        };
        world.tally.lock().counts.hostile_writes += u32::from(written.is_ok());
    }
}

fn key(n: usize) -> String {
    format!("{GROUP}/namespaces/{TENANT}/apikeys/bad-{n}")
}

fn secret(n: usize) -> String {
    format!("/api/v1/namespaces/{TENANT}/secrets/bad-secret-{n}")
}

struct Tenant<'a>(&'a World);

impl Tenant<'_> {
    /// A key and a labelled Secret; one that is there already stays.
    async fn create(&self, n: usize, is_large: bool) -> kube::Result<String> {
        let finalizers: Vec<_> = (0..if is_large { FINALIZERS } else { 0 })
            .map(|n| format!("example.com/{}-{n}", "f".repeat(48)))
            .collect();
        let key = json!({
            "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey",
            "metadata": {"name": format!("bad-{n}"), "finalizers": finalizers},
            "spec": {"org": TENANT, "roles": ["viewer"]},
        });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("bad-secret-{n}"), "labels": {
                "app.kubernetes.io/managed-by": "apikey-operator",
                "app.kubernetes.io/component": "api-key",
            }},
        });
        let keys = format!("{GROUP}/namespaces/{TENANT}/apikeys");
        let secrets = format!("/api/v1/namespaces/{TENANT}/secrets");
        let _ = self
            .send("POST", &secrets, "application/json", secret.to_string())
            .await;
        self.send("POST", &keys, "application/json", key.to_string())
            .await
    }

    /// Sets `managedFields` that nobody else can read. What is patched is not read before, for nobody
    /// could.
    async fn poison(&self, path: &str, time: &str, depth: usize) -> kube::Result<String> {
        let fields = r#"{"f:a":"#.repeat(depth) + "{}" + &"}".repeat(depth);
        let version = path.split('/').nth(2).filter(|_| path.starts_with("/api/"));
        let version = version.unwrap_or("apikey-operator.dev/v1alpha1");
        let patch = format!(
            r#"{{"metadata": {{"managedFields": [{{"manager": "x", "operation": "Update",
                "apiVersion": "{version}", "time": "{time}", "fieldsType": "FieldsV1",
                "fieldsV1": {fields}}}]}}}}"#
        );
        self.send("PATCH", path, "application/merge-patch+json", patch)
            .await
    }

    async fn break_status(&self, path: &str) -> kube::Result<String> {
        let status = json!({"status": {"rotatedAt": "2026-01-01T00:00:00+99:99"}});
        let path = format!("{path}/status");
        self.send(
            "PATCH",
            &path,
            "application/merge-patch+json",
            status.to_string(),
        )
        .await
    }

    async fn touch(&self, path: &str, turn: usize) -> kube::Result<String> {
        let touched = json!({"metadata": {"annotations": {"turn": turn.to_string()}}});
        self.send(
            "PATCH",
            path,
            "application/merge-patch+json",
            touched.to_string(),
        )
        .await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: String,
    ) -> kube::Result<String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, content);
        let request = request.body(body.into_bytes()).expect("a request");
        self.0.client.request_text(request).await
    }
}
