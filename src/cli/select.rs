//! Which keys: by name, by label, or all; read page by page.

use clap::Args;
use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use super::exit::Failure;
use super::invocation::Cluster;
use super::key;
use crate::api::ApiKey;
use crate::error::request;

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// Which keys of a namespace.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct Selection {
    /// Names of keys; `apikey/NAME` is understood too.
    #[arg(value_name = "NAME", conflicts_with_all = ["selector", "all"])]
    pub(super) names: Vec<String>,

    /// Label selector, for example `team=web,tier!=dev`.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub(super) selector: Option<String>,

    /// All keys of the namespace.
    #[arg(long)]
    pub(super) all: bool,

    /// Of the selected keys, only those of this organization.
    #[arg(long, value_name = "ORG", conflicts_with = "names")]
    pub(super) org: Option<String>,
}

impl Selection {
    /// The selected keys, and the names that no key has.
    pub(super) async fn read(&self, cluster: &Cluster) -> Result<Selected, Failure> {
        if !self.names.is_empty() {
            return by_name(&cluster.keys(), &self.names).await;
        }
        if self.selector.is_none() && !self.all {
            return Err(Failure::usage(
                "which keys? Give names, -l SELECTOR, or --all; with --org only those of one \
                 organization",
            ));
        }
        let mut params = ListParams::default();
        params.label_selector.clone_from(&self.selector);
        params.field_selector = self.org.as_deref().map(of_organization);
        Ok(Selected {
            keys: list(&cluster.keys(), "list ApiKeys", params).await?,
            missing: Vec::new(),
        })
    }
}

/// Keys that were selected.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) keys: Vec<ApiKey>,
    pub(super) missing: Vec<String>,
}

/// The field selector for the keys of an organization.
pub(super) fn of_organization(org: &str) -> String {
    format!("spec.org={org}")
}

async fn by_name(api: &Api<ApiKey>, names: &[String]) -> Result<Selected, Failure> {
    let (mut keys, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        let name = bare(name);
        if keys.iter().any(|other| key::name(other) == name) {
            continue;
        }
        match request("read the ApiKey", api.get_opt(name)).await? {
            Some(key) => keys.push(key),
            None => missing.push(name.to_owned()),
        }
    }
    Ok(Selected { keys, missing })
}

/// A name without the kind before it, as `kubectl get -o name` prints both.
pub(super) fn bare(name: &str) -> &str {
    let (kind, rest) = name.split_once('/').unwrap_or(("apikey", name));
    let ours = ["ak", "apikey", "apikeys", "apikey.apikey-operator.dev"];
    if ours.contains(&kind) { rest } else { name }
}

/// One key, by name.
pub(super) async fn one(cluster: &Cluster, name: &str) -> Result<ApiKey, Failure> {
    let name = bare(name);
    let found = request("read the ApiKey", cluster.keys().get_opt(name)).await?;
    found.ok_or_else(|| {
        Failure::not_found(format!(
            "there is no ApiKey '{name}' in namespace '{}'",
            cluster.namespace
        ))
    })
}

/// All objects of a list.
pub(super) async fn list<K>(
    api: &Api<K>,
    doing: &'static str,
    params: ListParams,
) -> Result<Vec<K>, Failure>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = params.limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = request(doing, api.list(&params)).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
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
