//! Changes of the spec and the annotations of a key.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::invocation::Cluster;
use super::{key, lost, select};
use crate::api::ApiKey;
use crate::error::request;
use crate::object::Answer;

/// Field manager of what this program writes.
pub(super) const FIELD_MANAGER: &str = "kubectl-apikey";
/// How often a change is computed anew because somebody else changed the key in between. Each change
/// makes a write of the status as well, which is one more conflict for others.
const TRIES: usize = 20;

/// Takes a key out of service, or puts it back.
pub(super) async fn suspended(
    cluster: &Cluster,
    name: &str,
    suspended: bool,
) -> Result<ApiKey, Failure> {
    let body = json!({"spec": {"suspended": suspended}});
    merge(cluster, name, &params(), &body, |key| {
        key.spec.suspended == suspended
    })
    .await
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
    let uid = key.metadata.uid.as_deref();
    merge(cluster, key::name(key), &params, &body, |seen| {
        !dry_run && seen.metadata.uid.as_deref() == uid && has(seen, change)
    })
    .await
}

/// Whether the key has these annotations; `null`: it has none of the name.
fn has(key: &ApiKey, annotations: &Value) -> bool {
    let mut wanted = annotations.as_object().into_iter().flatten();
    let all = key.metadata.annotations.as_ref();
    wanted.all(|(name, value)| {
        let found = all.and_then(|all| all.get(name));
        found.map(String::as_str) == value.as_str()
    })
}

/// Merges what `change` makes of the key into its spec; exactly that version of the key is changed,
/// else `change` is asked again. `None`: there is nothing to change.
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
            Err(error) if lost::may_be_made(&error) && lost < lost::TRIES => lost += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes a merge. `is_made`: whether a key is as after it.
async fn merge(
    cluster: &Cluster,
    name: &str,
    params: &PatchParams,
    body: &Value,
    is_made: impl Fn(&ApiKey) -> bool,
) -> Result<ApiKey, Failure> {
    let api = cluster.keys();
    let patch = Patch::Merge(body);
    let write = async || {
        let written = request("change the ApiKey", api.patch(name, params, &patch)).await;
        written.map(|Answer(key)| key)
    };
    let made = async || {
        let key = select::one(cluster, name).await?;
        Ok(is_made(&key).then_some(key))
    };
    let done = lost::certain(write, made, Failure::from).await;
    done.map_err(|failure| {
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
