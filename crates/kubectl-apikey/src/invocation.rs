//! The context of one call: the program name, the terminal, the clock, and the target cluster. A verb
//! connects to the cluster when it first needs it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client, Config, Resource};
use tokio::sync::OnceCell;

use super::exit::Failure;
use super::terminal::Terminal;
use apikey_api::{ApiKey, Organization};
use apikey_client::clock::Clock;
use apikey_client::error::chain;
use apikey_client::kubeconfig;
use apikey_client::object::Answer;

/// Maximum time to connect.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The cluster, user and namespace to use.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Target {
    /// Namespace to use. Default: the namespace of the context.
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global"
    )]
    pub(super) namespace: Option<String>,

    /// Context of the kubeconfig to use. Default: the current context.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global")]
    pub(super) context: Option<String>,

    /// Path of the kubeconfig. Default: $KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// User to act as, if you may impersonate.
    #[arg(
        long = "as",
        global = true,
        value_name = "USER",
        help_heading = "Global"
    )]
    pub(super) impersonate: Option<String>,

    /// Group to act as, with --as. May be repeated.
    #[arg(
        long = "as-group",
        global = true,
        value_name = "GROUP",
        requires = "impersonate",
        help_heading = "Global"
    )]
    pub(super) impersonate_groups: Vec<String>,
}

/// The context of one call.
pub(super) struct Invocation {
    /// Name of the program, for hints.
    pub(super) program: String,
    /// Terminal to write to.
    pub(super) terminal: Terminal,
    /// Clock that gives the current time.
    pub(super) clock: Clock,
    target: Target,
    cluster: OnceCell<Cluster>,
}

impl Invocation {
    pub(super) fn new(program: String, terminal: Terminal, clock: Clock, target: Target) -> Self {
        Self {
            program,
            terminal,
            clock,
            target,
            cluster: OnceCell::new(),
        }
    }

    /// The target that the flags name.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Returns a client for the cluster.
    ///
    /// It sends no request. It fails only if the kubeconfig can't be used.
    pub(super) async fn cluster(&self) -> Result<Cluster, Failure> {
        let cluster = self.cluster.get_or_try_init(|| connect(&self.target));
        cluster.await.cloned()
    }
}

/// A cluster and the namespace to use.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl Cluster {
    /// Objects of a kind in the namespace.
    pub(super) fn here<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The keys of the namespace.
    pub(super) fn keys(&self) -> Api<Answer<ApiKey>> {
        self.here()
    }

    /// The keys of all namespaces.
    pub(super) fn all_keys(&self) -> Api<Answer<ApiKey>> {
        Api::all(self.client.clone())
    }

    /// All organizations.
    pub(super) fn organizations(&self) -> Api<Answer<Organization>> {
        Api::all(self.client.clone())
    }

    /// The Secrets of the namespace.
    pub(super) fn secrets(&self) -> Api<Answer<Secret>> {
        self.here()
    }

    /// Metadata of an object, if it exists.
    pub(super) async fn metadata<K: Resource>(
        &self,
        api: Api<K>,
        name: &str,
    ) -> kube::Result<Option<PartialObjectMeta<K>>> {
        let get = Request::new(api.resource_url()).get_metadata(name, &GetParams::default());
        let get = get.map_err(kube::Error::BuildRequest)?;
        match self
            .client
            .request::<Answer<PartialObjectMeta<K>>>(get)
            .await
        {
            Ok(Answer(found)) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn connect(target: &Target) -> Result<Cluster, Failure> {
    let mut config = config(target).await?;
    // kube's own retries could hold a request for minutes and hide that the server throttles.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_DEADLINE);
    if target.impersonate.is_some() {
        config.auth_info.impersonate.clone_from(&target.impersonate);
        let groups = &target.impersonate_groups;
        config.auth_info.impersonate_groups = (!groups.is_empty()).then(|| groups.clone());
    }
    let namespace = target
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| {
        Failure::failed(format!("the kubeconfig can't be used: {}", chain(&error)))
    })?;
    Ok(Cluster { client, namespace })
}

async fn config(target: &Target) -> Result<Config, Failure> {
    let unusable = |error: &dyn std::error::Error| {
        let context = match &target.context {
            Some(name) => format!(", context '{name}'"),
            None => String::new(),
        };
        let file = match &target.kubeconfig {
            Some(path) => format!(" {}", path.display()),
            None => String::new(),
        };
        Failure::failed(format!(
            "the kubeconfig{file}{context} can't be used: {error}; \
             `kubectl config get-contexts` shows what there is"
        ))
    };
    let context = target.context.as_deref();
    let config = match &target.kubeconfig {
        Some(path) => kubeconfig::of_file(path, context).await,
        None => kubeconfig::infer(context).await,
    };
    config.map_err(|error| unusable(&error))
}
