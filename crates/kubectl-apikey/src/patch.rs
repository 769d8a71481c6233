//! Changes the spec and the annotations of a key.

use kube::Resource as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::{key, lost, select};
use apikey_api::ApiKey;
use apikey_client::error::{Error, request};
use apikey_client::object::Answer;

/// Field manager of everything that this program writes, except actions. Flux adopts the fields of managers
/// whose name begins with `kubectl`, so a key that was created by hand can become managed by Git.
pub(super) const FIELD_MANAGER: &str = "kubectl-apikey";
/// Field manager of actions, which must persist even if a tool manages the key: `suspend`, `resume`, `rotate`
/// and `discard-previous`.
const ACTION_FIELD_MANAGER: &str = "apikey-cli";
/// Maximum number of times that a change is computed again after a conflict. Each change also causes a write
/// of the status, which can conflict with the next change.
const TRIES: usize = 20;

/// Suspends exactly this key. It uses server-side apply, so that the key stays suspended if Flux removes the
/// field of an earlier manager, such as kubectl or an old version of this program.
pub(super) async fn suspend(cluster: &Cluster, key: &ApiKey) -> Result<ApiKey, Failure> {
    let name = key::name(key);
    let body = json!({
        "apiVersion": ApiKey::api_version(&()),
        "kind": ApiKey::kind(&()),
        "metadata": {"name": name, "uid": key.metadata.uid},
        "spec": {"suspended": true},
    });
    // This manager may not apply other fields, because an apply removes the fields that it does not send.
    let params = PatchParams::apply(ACTION_FIELD_MANAGER).force();
    let write = async || patch(cluster, name, &params, &Patch::Apply(&body)).await;
    let made = async || {
        let seen = select::one(cluster, name).await?;
        let is_same = seen.metadata.uid == key.metadata.uid;
        // If the key was already suspended, its state does not show whether this write was made.
        let is_made = is_same && seen.spec.suspended && !key.spec.suspended;
        Ok(is_made.then_some(seen))
    };
    let refused = async |error: Error| {
        if error.code() == Some(409)
            && let Err(gone) = select::one(cluster, name).await
        {
            return gone;
        }
        error.into()
    };
    lost::certain(write, made, refused).await
}

/// Resumes a key.
pub(super) async fn resume(cluster: &Cluster, name: &str) -> Result<ApiKey, Failure> {
    let body = json!({"spec": {"suspended": false}});
    let params = params(ACTION_FIELD_MANAGER);
    merge(cluster, name, &params, &body, |key| !key.spec.suspended).await
}

/// Merges these annotations into exactly this key. With `dry_run`, the API server stores nothing.
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
    let uid = key.metadata.uid.as_deref();
    merge(cluster, key::name(key), &params, &body, |seen| {
        !dry_run && seen.metadata.uid.as_deref() == uid && has(seen, change)
    })
    .await
}

/// Whether the key has these annotations. `null` means that the annotation is absent.
fn has(key: &ApiKey, annotations: &Value) -> bool {
    let mut wanted = annotations.as_object().into_iter().flatten();
    let all = key.metadata.annotations.as_ref();
    wanted.all(|(name, value)| {
        let found = all.and_then(|all| all.get(name));
        found.map(String::as_str) == value.as_str()
    })
}

/// Merges the result of `change` into the spec of exactly the version of the key that `change` was given.
/// After a conflict, `change` runs again on the new version. `None` means that there is nothing to change.
pub(super) async fn recomputed(
    cluster: &Cluster,
    name: &str,
    change: impl Fn(&ApiKey) -> Result<Option<Value>, Failure>,
) -> Result<(ApiKey, bool), Failure> {
    let (mut tries, mut lost) = (0, 0);
    loop {
        let key = match lost {
            0 => select::one(cluster, name).await?,
            _ => lost::look(async || select::one(cluster, name).await.map(Some)).await?,
        };
        let Some(spec) = change(&key)? else {
            return Ok((key, lost > 0));
        };
        let version = &key.metadata.resource_version;
        let body = json!({"metadata": {"resourceVersion": version}, "spec": spec});
        tries += 1;
        let params = params(FIELD_MANAGER);
        match patch(cluster, key::name(&key), &params, &Patch::Merge(&body)).await {
            Ok(key) => return Ok((key, true)),
            Err(error) if error.code() == Some(409) && tries < TRIES => {}
            Err(error) if lost::may_be_made(&error) && lost < lost::TRIES => lost += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Merges a patch. `is_made` reports whether a key has the change.
async fn merge(
    cluster: &Cluster,
    name: &str,
    params: &PatchParams,
    body: &Value,
    is_made: impl Fn(&ApiKey) -> bool,
) -> Result<ApiKey, Failure> {
    let write = async || patch(cluster, name, params, &Patch::Merge(body)).await;
    let made = async || {
        let key = select::one(cluster, name).await?;
        Ok(is_made(&key).then_some(key))
    };
    let done = lost::certain(write, made, async |error| error.into()).await;
    done.map_err(|failure| {
        if failure.exit() == Exit::NotFound {
            Failure::not_found(format!("ApiKey '{name}' no longer exists"))
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

/// Patch parameters for this field manager.
pub(super) fn params(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    }
}
