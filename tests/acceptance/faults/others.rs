//! Somebody else, who changes objects that could not be read, so that they can be, and removes some.

use std::time::Duration;

use apikey_operator::api::{ApiKey, Organization};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::support::{Act, Errand, Faults, OPERATOR_NAMESPACE, Object};

/// How long an object stays as it can't be read.
const UNREADABLE: Duration = Duration::from_millis(500);

/// Annotation of an object that was changed.
const TOUCHED: &str = "example.com/touched";

/// Does what is asked for, until it is dropped.
pub(super) struct Others {
    _tasks: JoinSet<()>,
}

impl Others {
    pub(super) fn start(
        faults: Faults,
        mut errands: UnboundedReceiver<Errand>,
        client: Client,
        namespace: String,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut running = JoinSet::new();
            while let Some(errand) = errands.recv().await {
                let (faults, client) = (faults.clone(), client.clone());
                let namespace = namespace.clone();
                running.spawn(async move { go(&faults, &errand, client, &namespace).await });
            }
        });
        Self { _tasks: tasks }
    }
}

async fn go(faults: &Faults, errand: &Errand, client: Client, namespace: &str) {
    let Errand {
        key,
        object,
        name,
        act,
    } = errand;
    if *act == Act::Touch {
        sleep_until(Instant::now() + UNREADABLE).await;
        faults.mend_object(key, *object, name);
    }
    match object {
        Object::ApiKey => act_on::<ApiKey>(*act, &Api::namespaced(client, namespace), name).await,
        Object::Organization => act_on::<Organization>(*act, &Api::all(client), name).await,
        Object::Verifier => {
            act_on::<Secret>(*act, &Api::namespaced(client, OPERATOR_NAMESPACE), name).await;
        }
        Object::Delivered => {
            act_on::<Secret>(*act, &Api::namespaced(client, namespace), name).await;
        }
        Object::Event => {}
    }
}

/// Touches or removes an object, which may be gone.
async fn act_on<K>(act: Act, api: &Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let result = match act {
        Act::Touch => {
            let touched = json!({"metadata": {"annotations": {TOUCHED: "true"}}});
            let (params, patch) = (PatchParams::default(), Patch::Merge(touched));
            api.patch(name, &params, &patch).await.map(drop)
        }
        Act::Remove => api.delete(name, &DeleteParams::default()).await.map(drop),
    };
    if let Err(error) = result {
        assert!(
            matches!(&error, kube::Error::Api(status) if status.code == 404),
            "{act:?} of {name}: {error}"
        );
    }
}
