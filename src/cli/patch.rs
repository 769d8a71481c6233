//! Changes of the spec and the annotations of a key.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::{key, select};
use crate::api::ApiKey;
use crate::error::request;
use crate::object::Answer;

/// Field manager of what this program writes.
pub(super) const FIELD_MANAGER: &str = "kubectl-apikey";
/// How often a change is computed anew because somebody else changed the key in between. Each change
/// makes a write of the status as well, which is one more conflict for others.
const TRIES: usize = 20;

/// Merges this into the spec.
pub(super) async fn spec(cluster: &Cluster, name: &str, change: &Value) -> Result<ApiKey, Failure> {
    merge(cluster, name, &params(), &json!({"spec": change})).await
}

/// Merges this into the annotations of exactly this key. `dry_run`: the API server keeps nothing.
pub(super) async fn annotations(
    cluster: &Cluster,
    key: &ApiKey,
    change: &Value,
    dry_run: bool,
) -> Result<ApiKey, Failure> {
    let body = json!({"metadata": {"uid": key.metadata.uid, "annotations": change}});
    let params = PatchParams {
        dry_run,
        ..params()
    };
    merge(cluster, key::name(key), &params, &body).await
}

/// Merges what `change` makes of the key into its spec; exactly that version of the key is changed,
/// else `change` is asked again. `None`: there is nothing to change.
pub(super) async fn recomputed(
    cluster: &Cluster,
    name: &str,
    change: impl Fn(&ApiKey) -> Result<Option<Value>, Failure>,
) -> Result<(ApiKey, bool), Failure> {
    let mut tries = 0;
    loop {
        let key = select::one(cluster, name).await?;
        let Some(spec) = change(&key)? else {
            return Ok((key, false));
        };
        let version = &key.metadata.resource_version;
        let body = json!({"metadata": {"resourceVersion": version}, "spec": spec});
        tries += 1;
        let api = cluster.keys();
        let params = params();
        let patch = Patch::Merge(&body);
        let written = request(
            "change the ApiKey",
            api.patch(key::name(&key), &params, &patch),
        );
        match written.await {
            Ok(Answer(key)) => return Ok((key, true)),
            Err(error) if error.code() == Some(409) && tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn merge(
    cluster: &Cluster,
    name: &str,
    params: &PatchParams,
    body: &Value,
) -> Result<ApiKey, Failure> {
    let api = cluster.keys();
    let patch = Patch::Merge(body);
    let written = request("change the ApiKey", api.patch(name, params, &patch)).await;
    let written = written.map(|Answer(key)| key);
    written.map_err(Failure::from).map_err(|failure| {
        if failure.exit() == Exit::NotFound {
            Failure::not_found(format!("there is no ApiKey '{name}' any more"))
        } else {
            failure
        }
    })
}

/// Parameters of what this program writes.
pub(super) fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
