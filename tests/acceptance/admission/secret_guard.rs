//! The operator can write only its own Secrets.

use apikey_api::names;

use crate::support::{OPERATOR_NAMESPACE, Scope, eventually};

const OPERATOR: &str = "system:serviceaccount:apikey-operator:apikey-operator";
const REFUSED: &str = "ValidatingAdmissionPolicy 'apikey-operator-secret-guard'";

/// A Secret in YAML flow style, with or without the operator's labels.
fn secret(name: &str, kind: &str, labelled: bool, owner: &str) -> String {
    let labels = if labelled {
        "app.kubernetes.io/managed-by: apikey-operator, app.kubernetes.io/component: api-key"
    } else {
        ""
    };
    format!(
        "{{apiVersion: v1, kind: Secret, type: {kind}, metadata: {{name: {name}, \
         labels: {{{labels}}}, annotations: {{kubernetes.io/service-account.name: default}}, \
         ownerReferences: [{owner}]}}, stringData: {{made: by-operator}}}}"
    )
}

/// A reference to an ApiKey.
fn owner(controller: bool) -> String {
    format!(
        "{{apiVersion: apikey-operator.dev/v1alpha1, kind: ApiKey, name: ci, uid: {}, \
         controller: {controller}}}",
        uuid::Uuid::nil()
    )
}

#[tokio::test]
async fn the_operator_can_write_no_secret_that_is_not_its_own() {
    let scope = Scope::shared().await;
    let (ours, opaque) = (owner(true), "Opaque");
    let create = |yaml: &str| {
        let dry = ["create", "--dry-run=server", "-f", "-"];
        scope.kubectl_as(OPERATOR, yaml, &dry)
    };
    eventually("the guard is in force", async || {
        let foreign = create(&secret("foreign", opaque, false, ""));
        foreign.stderr.contains(REFUSED).then_some(())
    })
    .await;
    create(&secret("ours", opaque, true, &ours)).done();
    create(&secret("ours", "example.com/key", true, &ours)).done();
    for refused in [
        secret("foreign", opaque, false, ""),
        secret("foreign", opaque, true, ""),
        secret("foreign", opaque, true, &owner(false)),
        secret("foreign", opaque, false, &ours),
        secret("foreign", opaque, true, &ours.replace("ApiKey", "Pod")),
        secret(
            "foreign",
            opaque,
            true,
            &ours.replace("apikey-operator.dev", "example.com"),
        ),
        secret("token", "kubernetes.io/service-account-token", true, &ours),
        secret("node", "bootstrap.kubernetes.io/token", true, &ours),
        secret("verifier", names::VERIFIER_SECRET_TYPE, true, &ours),
    ] {
        let message = create(&refused).failed(1);
        assert!(message.contains(REFUSED), "{refused}: {message}");
        assert!(message.contains("an ApiKey controls"), "{message}");
    }
}

#[tokio::test]
async fn the_operator_can_write_no_secret_that_another_program_takes_for_its_configuration() {
    let scope = Scope::shared().await;
    let labelled = |label: &str, owner: &str| {
        let yaml = secret("cluster", "Opaque", true, owner);
        yaml.replace("labels: {", &format!("labels: {{{label}"))
    };
    let create = |yaml: &str| {
        let dry = ["create", "--dry-run=server", "-f", "-"];
        scope.kubectl_as(OPERATOR, yaml, &dry)
    };
    create(&labelled("team: a, ", &owner(true))).done();
    for label in [
        "argocd.argoproj.io/secret-type: cluster, ",
        "cluster.x-k8s.io/cluster-name: a, ",
        "sealedsecrets.bitnami.com/sealed-secrets-key: active, ",
    ] {
        let message = eventually("the guard is in force", async || {
            let made = create(&labelled(label, &owner(true)));
            (made.code != 0).then_some(made.stderr)
        })
        .await;
        assert!(
            message.contains(REFUSED) && message.contains("no label"),
            "{message}"
        );
    }
    let made_up = owner(true).replace(&uuid::Uuid::nil().to_string(), "made-up");
    let message = create(&labelled("", &made_up)).failed(1);
    assert!(message.contains("an ApiKey controls"), "{message}");
}

#[tokio::test]
async fn a_label_that_somebody_else_set_does_not_stop_a_new_secret() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    scope.kubectl(&["label", "secret", "ci", "argocd.argoproj.io/instance=app"]);
    scope.rotate("ci", "once").await;
    let labels = scope.delivered("ci").await.metadata.labels.unwrap();
    assert_eq!(labels["argocd.argoproj.io/instance"], "app");
}

#[tokio::test]
async fn a_secret_of_somebody_else_can_neither_be_adopted_nor_removed() {
    let scope = Scope::shared().await;
    scope.kubectl(&[
        "create",
        "secret",
        "generic",
        "theirs",
        "--from-literal=mine=1",
    ]);
    // Labels and annotation alone identify our Secret only while keys are restored.
    scope.kubectl(&[
        "label",
        "secret",
        "theirs",
        "app.kubernetes.io/managed-by=apikey-operator",
        "app.kubernetes.io/component=api-key",
    ]);
    let annotation = format!("{}=0123456789abcdef", names::ANNOTATION_VERIFIER);
    scope.kubectl(&["annotate", "secret", "theirs", &annotation]);
    let before = scope.delivered("theirs").await;
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    for yaml in [
        secret("theirs", "Opaque", true, &owner(true)),
        secret("theirs", "Opaque", false, ""),
    ] {
        let message = scope.kubectl_as(OPERATOR, &yaml, &apply).failed(1);
        assert!(message.contains(REFUSED), "{message}");
    }
    let remove = ["delete", "secret", "theirs"];
    let message = scope.kubectl_as(OPERATOR, "", &remove).failed(1);
    assert!(message.contains("removes no Secret"), "{message}");
    assert_eq!(scope.delivered("theirs").await, before);
}

#[tokio::test]
async fn in_its_own_namespace_the_operator_can_write_records_and_key_rings_alone() {
    let scope = Scope::shared().await;
    let own = scope.cluster.scope_of(OPERATOR_NAMESPACE.to_owned()).await;
    let name = scope.namespace.as_str();
    let create = ["create", "--dry-run=server", "-f", "-"];
    for kind in [names::VERIFIER_SECRET_TYPE, names::KEY_RING_SECRET_TYPE] {
        own.kubectl_as(OPERATOR, &secret(name, kind, false, ""), &create)
            .done();
    }
    let record = names::record_secret(&uuid::Uuid::nil().to_string());
    own.kubectl_as(OPERATOR, &secret(&record, "Opaque", false, ""), &create)
        .done();
    let foreign = secret(name, "Opaque", false, "");
    let message = own.kubectl_as(OPERATOR, &foreign, &create).failed(1);
    assert!(message.contains(REFUSED), "{message}");
    own.kubectl(&["create", "secret", "generic", name, "--from-literal=tls=1"]);
    let remove = ["delete", "secret", name, "--dry-run=server"];
    let message = own.kubectl_as(OPERATOR, "", &remove).failed(1);
    own.kubectl(&["delete", "secret", name]);
    assert!(message.contains(REFUSED), "{message}");
}

#[tokio::test]
async fn a_delivered_secret_whose_labels_were_removed_gets_them_back() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    scope.kubectl(&["label", "secret", "ci", "app.kubernetes.io/managed-by-"]);
    scope.rotate("ci", "once").await;
    let labels = scope.delivered("ci").await.metadata.labels.unwrap();
    assert_eq!(labels[names::LABEL_MANAGED_BY], names::MANAGED_BY);
}
