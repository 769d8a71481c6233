//! Creates an `ApiKey` on the cluster of the current kubeconfig and waits until its secret is delivered:
//!
//! ```console
//! $ cargo run --package apikey-api --example create_apikey -- NAMESPACE NAME ORG ROLE
//! ```

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use apikey_api::conditions::READY;
use apikey_api::{ApiKey, ApiKeySpec};
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, name, org, role] = arguments.as_slice() else {
        return Err("usage: create_apikey NAMESPACE NAME ORG ROLE".into());
    };
    let spec = ApiKeySpec {
        org: org.clone(),
        roles: vec![role.clone()],
        ..ApiKeySpec::default()
    };
    let apikeys: Api<ApiKey> = Api::namespaced(Client::try_default().await?, namespace);
    apikeys
        .create(&PostParams::default(), &ApiKey::new(name, spec))
        .await?;

    let ready = await_condition(apikeys, name, is_ready);
    tokio::time::timeout(Duration::from_secs(30), ready).await??;
    writeln!(
        std::io::stdout(),
        "the secret of {namespace}/{name} is in the Secret {name}"
    )?;
    Ok(())
}

/// Whether the key has the condition `Ready`.
fn is_ready(apikey: Option<&ApiKey>) -> bool {
    let status = apikey.and_then(|apikey| apikey.status.as_ref());
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| condition.type_ == READY && condition.status == "True")
}
