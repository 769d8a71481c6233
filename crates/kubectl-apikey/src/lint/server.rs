//! Checks against a cluster: a dry run of each object, and the cluster's Organizations.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;
use super::read::{Document, Kind};
use super::rules::{Others, World};
use crate::exit::{Exit, Failure};
use crate::invocation::Cluster;
use crate::pages::{self, Unread};
use crate::patch;
use apikey_api::{ApiKey, Organization};
use apikey_client::error::{Error, request};
use apikey_client::object::Answer;

/// Adds the Organizations of the cluster. Returns a message if the user may not list them.
pub(super) async fn learn(cluster: &Cluster, world: &mut World) -> Result<Option<String>, Failure> {
    let api = cluster.organizations();
    let listed = pages::list(api, "list Organizations", ListParams::default()).await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(failure) if failure.exit() == Exit::Forbidden => {
            world.set_others(Others::Unlisted);
            return Ok(Some(format!(
                "keys are checked only against Organizations of the files: {}",
                failure.message()
            )));
        }
        Err(failure) => return Err(failure),
    };
    world.set_others(Others::None);
    for organization in listed.objects {
        world.add(organization);
    }
    for Unread { identity, why } in listed.unreadable {
        world.add_unreadable(identity.name.into(), why.to_string());
    }
    Ok(None)
}

/// Validates objects on the cluster with a dry run.
pub(super) async fn check(
    cluster: &Cluster,
    world: &mut World,
    documents: &[&Document],
    now: Timestamp,
) -> Result<Vec<Problem>, Failure> {
    let mut problems = Vec::new();
    for document in documents {
        let namespace = document.text("/metadata/namespace");
        let namespace = namespace.unwrap_or(&cluster.namespace);
        match try_one(cluster, document, namespace).await {
            Ok(tried) => {
                if let Some(key) = tried {
                    learn_namespace(cluster, world, namespace).await;
                    problems.extend(world.assess(document, &with_creation(key, now)));
                } else {
                    problems.extend(world.of_organization(document));
                }
            }
            Err(error) if error.code() == Some(401) => return Err(error.into()),
            // Another user may be allowed to apply the object, so run the checks that need no cluster.
            Err(error) if error.code() == Some(403) => {
                problems.extend(refused(document, &error));
                problems.extend(world.judge(document, Some(namespace), now));
            }
            Err(error) if error.is_unreadable() => {
                let text = format!(
                    "merged with the object in the cluster, it can't be read by this version: \
                     {error}"
                );
                problems.push(document.problem("", text));
            }
            Err(error) if error.code().is_none() => return Err(error.into()),
            Err(error) => problems.extend(refused(document, &error)),
        }
    }
    Ok(problems)
}

/// Returns the key as it would be stored.
async fn try_one(
    cluster: &Cluster,
    document: &Document,
    namespace: &str,
) -> Result<Option<ApiKey>, Error> {
    let client = cluster.client.clone();
    match document.kind {
        Kind::ApiKey => {
            let api: Api<Answer<ApiKey>> = Api::namespaced(client, namespace);
            let tried = dry_run(&api, document).await;
            tried.map(|Answer(key)| Some(key))
        }
        Kind::Organization => {
            let api: Api<Answer<Organization>> = Api::all(client);
            dry_run(&api, document).await.map(|_| None)
        }
    }
}

async fn dry_run<K>(api: &Api<K>, document: &Document) -> Result<K, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut value = document.value.clone();
    if let Value::Object(fields) = &mut value {
        fields.remove("status");
    }
    let name = document.text("/metadata/name").unwrap_or_default();
    let params = PatchParams {
        dry_run: true,
        force: true,
        ..PatchParams::apply(patch::FIELD_MANAGER)
    };
    let patch = Patch::Apply(&value);
    request("try the object", api.patch(name, &params, &patch)).await
}

/// Sets the creation time to now on a key that does not exist yet.
fn with_creation(mut key: ApiKey, now: Timestamp) -> ApiKey {
    let created = &mut key.metadata.creation_timestamp;
    created.get_or_insert_with(|| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    key
}

/// Adds the labels of a namespace. If they can't be read, a selector stays undecided.
async fn learn_namespace(cluster: &Cluster, world: &mut World, name: &str) {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let found = request("read the Namespace", cluster.metadata(api, name)).await;
    if let Ok(Some(found)) = found {
        let labels = found.metadata.labels.unwrap_or_default();
        world.add_namespace(name.to_owned(), labels);
    }
}

/// Returns one problem for each cause that the server reports.
fn refused(document: &Document, error: &Error) -> Vec<Problem> {
    let status = error.answer();
    let details = status.and_then(|status| status.details.as_ref());
    let causes = details.map(|d| d.causes.as_slice()).unwrap_or_default();
    if causes.is_empty() {
        let message = status.map_or_else(|| error.to_string(), |status| status.message.clone());
        return vec![document.problem("", format!("the cluster refuses it: {message}"))];
    }
    let problem = |cause: &kube::core::response::StatusCause| {
        document.problem(
            &cause.field,
            format!("the cluster refuses it: {}", cause.message),
        )
    };
    causes.iter().map(problem).collect()
}
