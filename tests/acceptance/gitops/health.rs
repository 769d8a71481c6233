//! Health of every state of a key and an organization, taken from a control plane. kstatus, Argo CD and Flux
//! must agree. With `GITOPS_WRITE` set, the objects become the test data for Argo CD.

use std::fmt::Write as _;
use std::path::Path;

use apikey_api::conditions::{self, Desired, READY, RECONCILING, reason};
use serde_json::{Value, json};

use super::argocd::{SCRIPTS, SOME_TIME};
use super::judges::{Verdict, argocd, flux, kstatus};
use super::{file, tree};
use crate::support::{
    Cluster, Inside, MovedClock, OPERATOR_NAMESPACE, Scope, ahead, eventually, now, run,
};

/// An object at one moment.
struct State {
    kind: &'static str,
    name: &'static str,
    yaml: String,
    object: Value,
    verdict: Verdict,
    health: &'static str,
}

struct Album<'a> {
    scope: &'a Scope<'a>,
    states: Vec<State>,
}

impl Album<'_> {
    /// Records the current state of an object.
    fn take(
        &mut self,
        name: &'static str,
        what: (&'static str, &str),
        verdict: Verdict,
        health: &'static str,
    ) {
        let (kind, object_name) = what;
        let yaml = self
            .scope
            .kubectl(&["get", kind, object_name, "-o", "yaml"]);
        let object = serde_saphyr::from_str(&yaml).unwrap();
        self.states.push(State {
            kind,
            name,
            yaml,
            object,
            verdict,
            health,
        });
    }

    fn key(&mut self, name: &'static str, key: &str, verdict: Verdict, health: &'static str) {
        self.take(name, ("ApiKey", key), verdict, health);
    }

    fn judge(&self, kind: &str) {
        let all: Vec<_> = tree("examples/gitops/flux")
            .into_iter()
            .flat_map(|(_, document)| {
                let release = document["kind"] == "HelmRelease";
                let listed = document["spec"]["healthCheckExprs"].as_array().cloned();
                let listed = listed.unwrap_or_default().into_iter();
                listed.map(move |expressions| (release, expressions))
            })
            .filter(|(_, expressions)| expressions["kind"] == kind)
            .collect();
        assert!(!all.is_empty(), "no expressions for {kind}");
        let script = file(SCRIPTS).join(kind).join("health.lua");
        for state in self.states.iter().filter(|state| state.kind == kind) {
            let (name, object) = (state.name, &state.object);
            assert_eq!(
                kstatus(object),
                state.verdict,
                "kstatus of {name}: {object}"
            );
            if let Some(printed) = argocd(&script, object) {
                assert_eq!(
                    printed["status"], state.health,
                    "Argo CD of {name}: {object}"
                );
            }
            for (release, expressions) in &all {
                // The example for releases accepts an expired key. Flux has no verdict for an object
                // that is being deleted.
                let expected = match state.verdict {
                    Verdict::Failed if *release && object["status"]["phase"] == "Expired" => {
                        Verdict::Current
                    }
                    Verdict::Terminating => Verdict::InProgress,
                    Verdict::InProgress | Verdict::Current | Verdict::Failed => state.verdict,
                };
                assert_eq!(
                    flux(expressions, object),
                    expected,
                    "Flux of {name}: {object}"
                );
            }
        }
    }

    fn write(&self, kind: &str) {
        let folder = file(SCRIPTS).join(kind);
        let mut tests = "tests:\n".to_owned();
        for state in self.states.iter().filter(|state| state.kind == kind) {
            let message = match state.verdict {
                Verdict::Terminating => "Being deleted",
                Verdict::InProgress if is_behind(&state.object) => "Waiting for the operator",
                Verdict::InProgress | Verdict::Current | Verdict::Failed => {
                    let conditions = state.object["status"]["conditions"].as_array().unwrap();
                    let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
                    ready["message"].as_str().unwrap()
                }
            };
            writeln!(
                tests,
                "- healthStatus:\n    status: {}\n    message: '{}'\n  inputPath: testdata/{}.yaml",
                state.health,
                message.replace('\'', "''"),
                state.name
            )
            .unwrap();
            put(
                &folder.join("testdata").join(format!("{}.yaml", state.name)),
                &state.yaml,
            );
        }
        put(&folder.join("health_test.yaml"), &tests);
    }

    /// The input of each action, and the expected result, as a patch of kubectl.
    fn write_actions(&self) {
        let folder = file(SCRIPTS).join("ApiKey/actions/testdata");
        let rotate = "apikey-operator.dev/rotate-requested-at";
        let rotate = json!({"metadata": {"annotations": {(rotate): SOME_TIME}}});
        let discard = "apikey-operator.dev/discard-previous";
        let discard = json!({"metadata": {"annotations": {(discard): "1"}}});
        for (input, action, patch) in [
            ("healthy_rotated", "rotate", rotate),
            ("healthy_rotated", "discard-previous", discard),
            (
                "healthy_rotated",
                "suspend",
                json!({"spec": {"suspended": true}}),
            ),
            ("suspended", "resume", json!({"spec": {"suspended": false}})),
        ] {
            let state = self
                .states
                .iter()
                .find(|s| s.kind == "ApiKey" && s.name == input);
            let input = folder.join(format!("{input}.yaml"));
            put(&input, &state.unwrap().yaml);
            let mut kubectl = self.scope.cluster.control_plane.kubectl();
            let patched = run(kubectl
                .args(["patch", "--local", "--type=merge", "-o", "yaml", "-f"])
                .arg(&input)
                .args(["-p", &patch.to_string()]));
            put(&folder.join(format!("{action}.yaml")), &patched);
        }
    }
}

fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn is_behind(object: &Value) -> bool {
    object["status"]["observedGeneration"] != object["metadata"]["generation"]
}

/// Sets whether the operator may create Secrets.
async fn may_create_secrets(scope: &Scope<'_>, may: bool) {
    let verbs: &[&str] = if may {
        &["get", "list", "watch", "create", "patch", "delete"]
    } else {
        &["get", "list", "watch"]
    };
    let role: Value = serde_json::from_str(&scope.kubectl(&[
        "get",
        "clusterrole",
        "apikey-operator",
        "-o",
        "json",
    ]))
    .unwrap();
    let rules = role["rules"].as_array().unwrap();
    let at = rules
        .iter()
        .position(|rule| rule["resources"] == json!(["secrets"]));
    let verbs_of = format!("/rules/{}/verbs", at.unwrap());
    let patch = json!([{"op": "replace", "path": verbs_of, "value": verbs}]).to_string();
    scope.kubectl(&[
        "patch",
        "clusterrole",
        "apikey-operator",
        "--type=json",
        "-p",
        &patch,
    ]);
    let account = format!("--as=system:serviceaccount:{OPERATOR_NAMESPACE}:apikey-operator");
    eventually("the API server applies the rule", async || {
        let answer = scope.try_kubectl(&["auth", "can-i", "create", "secrets", &account]);
        (answer.is_some() == may).then_some(())
    })
    .await;
}

/// A status that lasts for milliseconds only, with the operator's text.
fn working() -> String {
    let message = "Minting and delivering the secret";
    let desired = |type_, status| Desired {
        type_,
        status,
        reason: reason::PROGRESSING,
        message: message.to_owned(),
    };
    let both = vec![desired(READY, "Unknown"), desired(RECONCILING, "True")];
    let conditions = conditions::next(&[], both, 1, now());
    json!({"status": {"observedGeneration": 1, "phase": "Pending", "conditions": conditions}})
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_has_one_verdict_for_kubectl_helm_argo_cd_and_flux() {
    use Verdict::{Current, Failed, InProgress, Terminating};
    let cluster = Cluster::start();
    // The test data has readable names.
    let scope = cluster.scope_of("acme".to_owned()).await;
    scope.kubectl(&["create", "namespace", "acme"]);
    let organization = |name: &str, spec: &str| scope.declare(name, spec);
    let org = scope.org();
    let mut album = Album {
        scope: &scope,
        states: Vec::new(),
    };

    organization(
        org,
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}]}",
    );
    album.take(
        "progressing_unseen",
        ("Organization", org),
        InProgress,
        "Progressing",
    );
    scope.apply_key("ci", "");
    album.key("progressing_unseen", "ci", InProgress, "Progressing");
    let patch = [
        "patch",
        "apikey",
        "ci",
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    scope.kubectl(&[&patch[..], &[&working()]].concat());
    album.key("progressing_working", "ci", InProgress, "Progressing");

    let clock = MovedClock::default();
    let client = kube::Client::try_from(cluster.operator_config().await).unwrap();
    let operator = Inside::controller(client, clock.clock()).await;
    scope.ready("ci").await;
    album.key("healthy", "ci", Current, "Healthy");
    scope.rotate("ci", "2026-11-24").await;
    scope.ready("ci").await;
    album.key("healthy_rotated", "ci", Current, "Healthy");
    scope.organization_ready(org);
    album.take("healthy", ("Organization", org), Current, "Healthy");

    scope.apply_key("paused", "suspended: true");
    scope.wait("condition=Suspended", "apikey/paused");
    album.key("suspended", "paused", Current, "Suspended");
    let once = "secret: {delivery: RevealOnce, revealWithinSeconds: 60}";
    scope.apply_key("once", once);
    scope.ready("once").await;
    album.key("healthy_awaiting_claim", "once", Current, "Healthy");
    scope.apply_key("refused", "roles: [nobody]");
    scope.refused("refused", "UnknownRole").await;
    album.key("degraded_refused", "refused", Failed, "Degraded");
    scope.kubectl(&["create", "secret", "generic", "taken"]);
    scope.apply_key("taken", "");
    scope.refused("taken", "SecretConflict").await;
    album.key("degraded_secret_conflict", "taken", Failed, "Degraded");
    scope.apply_key("late", "expiry: '2020-01-01T00:00:00Z'");
    scope.refused("late", "Expired").await;
    album.key("degraded_expired_at_first", "late", Failed, "Degraded");

    let sub = format!("{org}-sub");
    organization(
        &sub,
        &format!("{{allowedNamespaces: {{from: All}}, parent: {org}-root}}"),
    );
    scope.apply_key("waiting", &format!("org: {sub}"));
    scope.refused("waiting", "ParentNotFound").await;
    album.key(
        "progressing_parent_missing",
        "waiting",
        InProgress,
        "Progressing",
    );
    scope.wait(
        "jsonpath={.status.observedGeneration}=1",
        &format!("organization/{sub}"),
    );
    album.take(
        "progressing_parent_missing",
        ("Organization", &sub),
        InProgress,
        "Progressing",
    );
    let below = format!("{org}-below");
    organization(
        &below,
        &format!("{{allowedNamespaces: {{from: All}}, parent: {sub}}}"),
    );
    scope.wait("condition=Stalled", &format!("organization/{below}"));
    album.take(
        "degraded_parent_not_root",
        ("Organization", &below),
        Failed,
        "Degraded",
    );

    may_create_secrets(&scope, false).await;
    scope.apply_key("retry", "");
    scope.refused("retry", "ProgressingWithRetry").await;
    album.key("progressing_with_retry", "retry", InProgress, "Progressing");
    may_create_secrets(&scope, true).await;

    // The operator has no finalizer on a key. An object with another finalizer is in deletion for a while.
    scope.apply_key("held", "");
    scope.ready("held").await;
    let hold = r#"{"metadata": {"finalizers": ["example.com/hold"]}}"#;
    scope.kubectl(&["patch", "apikey", "held", "--type=merge", "-p", hold]);
    scope.kubectl(&["delete", "apikey", "held", "--wait=false"]);
    album.key("progressing_deleted", "held", Terminating, "Progressing");
    scope.kubectl(&["patch", "organization", &below, "--type=merge", "-p", hold]);
    scope.kubectl(&["delete", "organization", &below, "--wait=false"]);
    album.take(
        "progressing_deleted",
        ("Organization", &below),
        Terminating,
        "Progressing",
    );

    let expiry = ahead(3000);
    scope.apply_key("short", &format!("expiry: '{expiry}'"));
    scope.ready("short").await;
    clock.advance(3600);
    // The operator notices the moved clock at the next reconcile.
    for key in ["short", "once"] {
        scope.annotate(key, &[("looked-at", "1")]).await;
    }
    scope.refused("short", "Expired").await;
    album.key("degraded_expired", "short", Failed, "Degraded");
    scope.refused("once", "ClaimExpired").await;
    album.key("degraded_claim_expired", "once", Failed, "Degraded");

    drop(operator);
    scope.apply_key("ci", "description: changed, and nobody has seen it");
    album.key("progressing_changed", "ci", InProgress, "Progressing");
    let _operator = cluster.operator(&["--leader-elect=false"]);
    scope.apply_key("early", &format!("org: {org}-undeclared"));
    scope.refused("early", "OrganizationNotFound").await;
    album.key(
        "progressing_organization_missing",
        "early",
        InProgress,
        "Progressing",
    );

    if std::env::var_os("GITOPS_WRITE").is_some() {
        album.write("ApiKey");
        album.write("Organization");
        album.write_actions();
    }
    for kind in ["ApiKey", "Organization"] {
        album.judge(kind);
    }
    for key in ["apikey/held", &format!("organization/{below}")] {
        let free = r#"{"metadata": {"finalizers": null}}"#;
        scope.kubectl(&["patch", key, "--type=merge", "-p", free]);
    }
}
