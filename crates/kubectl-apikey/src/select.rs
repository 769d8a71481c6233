//! Selects keys by name, by label, or all, and reads them page by page.

use clap::Args;
use kube::api::{GetParams, ListParams};
use kube::core::Request;

use super::exit::Failure;
use super::invocation::Cluster;
use super::pages::{Listed, Unread, list, read, unreadable};
use super::{key, organization};
use apikey_api::ApiKey;
use apikey_client::error::request;
use apikey_client::object::{Decode, Stored};

/// The keys of a namespace to select.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct Selection {
    /// Names of keys. `apikey/NAME` is also accepted.
    #[arg(value_name = "NAME", conflicts_with_all = ["selector", "all"])]
    pub(super) names: Vec<String>,

    /// Label selector, for example `team=web,tier!=dev`.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub(super) selector: Option<String>,

    /// Select all keys of the namespace.
    #[arg(long)]
    pub(super) all: bool,

    /// Select only keys of this organization. The exit code is 3 if there are none and the Organization does
    /// not exist.
    #[arg(long, value_name = "ORG", conflicts_with = "names")]
    pub(super) org: Option<String>,
}

impl Selection {
    /// Reads the selected keys, and lists the names that no key has.
    pub(super) async fn read(&self, cluster: &Cluster) -> Result<Selected, Failure> {
        if !self.names.is_empty() {
            return by_name(cluster, &self.names).await;
        }
        if self.selector.is_none() && !self.all {
            return Err(Failure::usage(
                "no keys are selected: give names, -l SELECTOR or --all; --org selects only the \
                 keys of one organization",
            ));
        }
        let mut params = ListParams::default();
        params.label_selector.clone_from(&self.selector);
        params.field_selector = self.org.as_deref().map(of_organization);
        let Listed {
            objects,
            unreadable,
        } = list(cluster.keys(), "list ApiKeys", params).await?;
        if objects.is_empty()
            && unreadable.is_empty()
            && let Some(org) = &self.org
        {
            refuse_missing(cluster, org).await?;
        }
        Ok(Selected {
            keys: objects,
            missing: Vec::new(),
            unreadable,
        })
    }
}

/// Fails if no Organization has this name, because the name is then a typo. If the user may not read
/// Organizations, the name is accepted.
async fn refuse_missing(cluster: &Cluster, org: &str) -> Result<(), Failure> {
    match organization::find(cluster, org).await {
        Ok(None) => {
            let why = organization::missing(cluster, org).await;
            Err(Failure::not_found(format!(
                "{why}, and no key of namespace '{}' names it",
                cluster.namespace
            )))
        }
        Ok(Some(_)) | Err(_) => Ok(()),
    }
}

/// The selected keys.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) keys: Vec<ApiKey>,
    pub(super) missing: Vec<String>,
    pub(super) unreadable: Vec<Unread>,
}

/// The field selector for the keys of an organization.
pub(super) fn of_organization(org: &str) -> String {
    format!("spec.org={org}")
}

async fn by_name(cluster: &Cluster, names: &[String]) -> Result<Selected, Failure> {
    let (mut keys, mut missing, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let name = bare(name);
        if keys.iter().any(|other| key::name(other) == name) {
            continue;
        }
        match get(cluster, name).await?.map(read) {
            Some(Ok(key)) => keys.push(key),
            Some(Err(key)) => unreadable.push(key),
            None => missing.push(name.to_owned()),
        }
    }
    Ok(Selected {
        keys,
        missing,
        unreadable,
    })
}

/// The name without the kind that `kubectl get -o name` prints before it.
pub(super) fn bare(name: &str) -> &str {
    let (kind, rest) = name.split_once('/').unwrap_or(("apikey", name));
    let ours = ["ak", "apikey", "apikeys", "apikey.apikey-operator.dev"];
    if ours.contains(&kind) { rest } else { name }
}

/// Reads one key by name.
pub(super) async fn one(cluster: &Cluster, name: &str) -> Result<ApiKey, Failure> {
    readable(stored(cluster, name).await?)
}

/// Reads one key by name, whether or not it can be decoded.
pub(super) async fn stored<K: Decode>(cluster: &Cluster, name: &str) -> Result<Stored<K>, Failure> {
    let name = bare(name);
    get(cluster, name).await?.ok_or_else(|| {
        Failure::not_found(format!(
            "there is no ApiKey '{name}' in namespace '{}'",
            cluster.namespace
        ))
    })
}

/// Returns a key that can be decoded, or the failure for one that can't.
pub(super) fn readable<K>(key: Stored<K>) -> Result<K, Failure> {
    read(key).map_err(|key| unreadable(&key))
}

async fn get<K: Decode>(cluster: &Cluster, name: &str) -> Result<Option<Stored<K>>, Failure> {
    let url = cluster.keys().resource_url().to_owned();
    let get = Request::new(url).get(name, &GetParams::default());
    let get = get.map_err(kube::Error::BuildRequest);
    let found = async { cluster.client.request::<Stored<K>>(get?).await };
    match request("read the ApiKey", found).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_its_kind_before_it() {
        for written in ["ci", "apikey/ci", "ak/ci", "apikey.apikey-operator.dev/ci"] {
            assert_eq!(bare(written), "ci");
        }
        assert_eq!(bare("secret/ci"), "secret/ci");
    }
}
