//! `version`: the version of this program and of the API that the cluster serves.

use clap::{Args, ValueEnum};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::Client;
use serde::Serialize;

use super::exit::Failure;
use super::format::Machine;
use super::invocation::Invocation;
use super::text::Text;
use apikey_api::names;
use apikey_client::error::request;

/// Show the version of this program and of the API that the cluster serves.
///
/// If the cluster can't be reached or does not have the API, a message on standard error reports it, and the
/// call succeeds.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Version {
    /// Only show the version of this program. No cluster is needed.
    #[arg(long)]
    client: bool,

    /// Output format for programs.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Json,
    Yaml,
}

const EXAMPLES: &str = "\
Examples:
  Both:
    kubectl apikey version

  In a script, without a cluster:
    kubectl apikey version --client -o json";

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client_version: &'static str,
    api_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    api_versions: Vec<String>,
}

pub(super) async fn run(flags: &Version, call: &mut Invocation) -> Result<(), Failure> {
    let server = if flags.client {
        None
    } else {
        match ask(call).await {
            Ok(server) => Some(server),
            Err(failure) => {
                call.terminal.note(format!("server: {}", failure.message()));
                None
            }
        }
    };
    let versions = Versions {
        client_version: env!("CARGO_PKG_VERSION"),
        api_version: format!("{}/{}", names::GROUP, names::VERSION),
        server,
    };
    match flags.output {
        None => call.terminal.print(Text::lines(lines(&versions))),
        Some(Form::Json) => call.terminal.exact(&Machine::Json.render(&versions)?),
        Some(Form::Yaml) => call.terminal.exact(&Machine::Yaml.render(&versions)?),
    }
}

/// The versions of the API group that the cluster serves. Empty if the cluster does not have the group.
async fn ask(call: &Invocation) -> Result<Server, Failure> {
    let cluster = call.cluster().await?;
    let group = served(&cluster.client).await?;
    let versions = group.into_iter().flat_map(|group| group.versions);
    Ok(Server {
        api_versions: versions.map(|version| version.group_version).collect(),
    })
}

/// The API group as the cluster serves it.
pub(super) async fn served(client: &Client) -> Result<Option<APIGroup>, Failure> {
    let groups = request("list the API groups", client.list_api_groups()).await?;
    let mut groups = groups.groups.into_iter();
    Ok(groups.find(|group| group.name == names::GROUP))
}

fn lines(versions: &Versions) -> Vec<String> {
    let mut lines = vec![
        format!("Client version: {}", versions.client_version),
        format!("Client API: {}", versions.api_version),
    ];
    lines.extend(versions.server.as_ref().map(|Server { api_versions }| {
        if api_versions.is_empty() {
            "Server API: none; install the definitions with `apikey-operator crds | kubectl apply \
             --server-side -f -`"
                .to_owned()
        } else {
            format!("Server API: {}", api_versions.join(", "))
        }
    }));
    lines
}
