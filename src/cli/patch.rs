//! Changes of the spec and the annotations of a key.

use kube::Resource as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::{key, select};
use crate::api::ApiKey;
use crate::error::{Error, request};
use crate::object::Answer;

/// Field manager of what this program writes, except for actions. Flux takes over what managers hold whose
/// name begins with `kubectl`, so a key that was made by hand becomes that of Git.
pub(super) const FIELD_MANAGER: &str = "kubectl-apikey";
/// Field manager of actions, which have to last whatever keeps the key: `suspend`, `resume`, `rotate` and
/// `discard-previous`.
const ACTION_FIELD_MANAGER: &str = "apikey-cli";
/// How often a change is computed anew because somebody else changed the key in between. Each change
/// makes a write of the status as well, which is one more conflict for others.
const TRIES: usize = 20;

/// Suspends exactly this key. It is applied, so that it lasts as well if somebody else has suspended the key
/// before, whom Flux undoes: kubectl, or an earlier version.
pub(super) async fn suspend(cluster: &Cluster, key: &ApiKey) -> Result<ApiKey, Failure> {
    let name = key::name(key);
    let body = json!({
        "apiVersion": ApiKey::api_version(&()),
        "kind": ApiKey::kind(&()),
        "metadata": {"name": name, "uid": key.metadata.uid},
        "spec": {"suspended": true},
    });
    // Nothing else may be applied by this manager: what an apply leaves out is taken back.
    let params = PatchParams::apply(ACTION_FIELD_MANAGER).force();
    let written = patch(cluster, name, &params, &Patch::Apply(&body)).await;
    match written {
        Err(error) if error.code() == Some(409) => {
            select::one(cluster, name).await?;
            Err(error.into())
        }
        written => written.map_err(Failure::from),
    }
}

/// Puts a key back into service.
pub(super) async fn resume(cluster: &Cluster, name: &str) -> Result<ApiKey, Failure> {
    let body = json!({"spec": {"suspended": false}});
    merge(cluster, name, &params(ACTION_FIELD_MANAGER), &body).await
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
        ..params(ACTION_FIELD_MANAGER)
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
        let params = params(FIELD_MANAGER);
        match patch(cluster, key::name(&key), &params, &Patch::Merge(&body)).await {
            Ok(key) => return Ok((key, true)),
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
    let written = patch(cluster, name, params, &Patch::Merge(body)).await;
    written.map_err(Failure::from).map_err(|failure| {
        if failure.exit() == Exit::NotFound {
            Failure::not_found(format!("there is no ApiKey '{name}' any more"))
        } else {
            failure
        }
    })
}

async fn patch(
    cluster: &Cluster,
    name: &str,
    params: &PatchParams,
    patch: &Patch<&Value>,
) -> Result<ApiKey, Error> {
    let api = cluster.keys();
    let written = request("change the ApiKey", api.patch(name, params, patch)).await;
    written.map(|Answer(key)| key)
}

/// Parameters of what this program writes as this manager.
pub(super) fn params(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    }
}
