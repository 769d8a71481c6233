//! `status.lastUsedAt` has the last use of a key, and costs about one write in ten minutes.

use apikey_api::{ApiKey, names};
use k8s_openapi::jiff::SignedDuration;

use crate::support::{ApiRequest, Cluster, Login, Scope, TokenServer, api_requests, now};

async fn used(scope: &Scope<'_>, server: &TokenServer, name: &str) {
    scope.apply_key(name, "");
    let credential = scope.credential(&scope.ready(name).await).await;
    server.token_for(&credential).await;
}

fn last_use(key: &ApiKey) -> Option<k8s_openapi::jiff::Timestamp> {
    let status = key.status.as_ref()?;
    Some(status.last_used_at.as_ref()?.0)
}

#[tokio::test]
async fn a_used_key_reports_it_an_unused_one_does_not_and_the_flag_turns_it_off() {
    let cluster = Cluster::start();
    let _controller = cluster.operator(&["--leader-elect=false"]);
    let silent = cluster.token_server(&["--record-last-used=false"]);
    let server = cluster.token_server(&[]);
    silent.ready().await;
    server.ready().await;
    let scope = cluster.scope().await;
    scope.apply_key("unused", "");
    scope.ready("unused").await;
    used(&scope, &silent, "unrecorded").await;
    // A refused request does not count as a use of the key.
    scope.apply_key("attacked", "");
    let attacked = Login::of(&scope.credential(&scope.ready("attacked").await).await);
    let before = now();
    used(&scope, &server, "used").await;
    assert_eq!(server.token_of(&attacked.forged(1)).status, 401);

    let recorded = |key: &ApiKey| last_use(key).is_some();
    let key = scope.key("used", "recorded as used", recorded).await;
    let late = before.duration_since(last_use(&key).unwrap());
    assert!(
        late <= SignedDuration::from_secs(1),
        "lastUsedAt is {late:?} before the use"
    );
    let owner = key.metadata.managed_fields.as_ref().unwrap().iter();
    let mut owner = owner.filter(|entry| {
        serde_json::to_string(&entry.fields_v1)
            .unwrap()
            .contains("f:lastUsedAt")
    });
    let owner = owner.next().unwrap();
    assert_eq!(
        owner.manager.as_deref(),
        Some(names::LAST_USED_FIELD_MANAGER)
    );
    assert_eq!(owner.subresource.as_deref(), Some("status"));

    for name in ["unused", "unrecorded", "attacked"] {
        assert_eq!(last_use(&scope.ready(name).await), None, "{name}");
    }
    let requests = api_requests(&cluster, "apikey-operator-token");
    let is_read = |r: &ApiRequest| ["list", "watch"].contains(&r.verb.as_str());
    let writes: Vec<_> = requests.into_iter().filter(|r| !is_read(r)).collect();
    let only = ApiRequest {
        verb: "patch".into(),
        group: "apikey-operator.dev".into(),
        resource: "apikeys/status".into(),
        namespace: scope.namespace.clone(),
        name: "used".into(),
        code: 200,
    };
    assert_eq!(writes, [only]);
}
