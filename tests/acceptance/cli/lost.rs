//! Writes of the plugin whose answer is lost: the plugin reads back whether they were made.

use apikey_api::names;

use crate::support::{Cluster, Loss, Outcome, Scope, eventually, outcome};

const ONCE: &str = "secret: {delivery: RevealOnce}";
const LOSSES: [Loss; 3] = [Loss::Cut, Loss::Status(504), Loss::Status(500)];

/// Runs the plugin through a proxy that loses the answer to its first request of this method.
fn losing(scope: &Scope<'_>, method: &'static str, loss: Loss, call: &[&str]) -> Outcome {
    let lossy = scope.cluster.lossy(method, loss, 1);
    let mut command = scope.plugin_command();
    let command = command.args(call).env("KUBECONFIG", lossy.kubeconfig());
    let outcome = outcome(command, "");
    assert!(lossy.lost() > 0, "{call:?}: no answer was lost");
    outcome
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_recognised_as_ones_own() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let operator = cluster.operator(&["--leader-elect=false"]);
    let losses = [&LOSSES[..], &[Loss::Silence]].concat();
    let names: Vec<_> = (0..losses.len()).map(|n| format!("once-{n}")).collect();
    let mut secrets = Vec::new();
    for name in &names {
        scope.apply_key(name, ONCE);
        let key = scope.ready(name).await;
        secrets.push(scope.credential(&key).await.data("secret"));
    }
    // Otherwise the operator removes the Secret at once.
    drop(operator);
    for ((name, loss), secret) in names.iter().zip(losses).zip(secrets) {
        let shown = losing(&scope, "PATCH", loss, &["reveal", name]);
        assert_eq!(shown.done().trim_end(), secret, "{loss:?}");
        let annotations = scope.delivered(name).await.metadata.annotations.unwrap();
        assert!(annotations.contains_key(names::ANNOTATION_REVEALED_AT));
    }
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_has_its_secret_even_if_the_operator_was_faster() {
    let scope = Scope::shared().await;
    for (n, loss) in [&LOSSES[..], &[Loss::Silence]]
        .concat()
        .into_iter()
        .enumerate()
    {
        let name = format!("once-{n}");
        scope.apply_key(&name, ONCE);
        let key = scope.ready(&name).await;
        let secret = scope.credential(&key).await.data("secret");
        let shown = losing(&scope, "PATCH", loss, &["reveal", &name]);
        assert_eq!(shown.done().trim_end(), secret, "{loss:?}");
        scope.plugin(&["reveal", &name]).failed(5);
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_was_made_once() {
    let scope = Scope::shared().await;
    for (n, loss) in LOSSES.into_iter().enumerate() {
        let (name, new) = (format!("ci-{n}"), format!("new-{n}"));
        scope.apply_key(&name, "");
        scope.ready(&name).await;
        let created = losing(
            &scope,
            "POST",
            loss,
            &["create", &new, "--org", scope.org(), "--role", "viewer"],
        );
        assert!(created.done().contains("created"), "{loss:?}");
        let run_losing = |method, call: &[&str]| losing(&scope, method, loss, call).done();
        assert_eq!(
            run_losing("PATCH", &["suspend", &name]),
            format!("apikey/{name} suspended\n")
        );
        assert_eq!(
            run_losing("PATCH", &["resume", &name]),
            format!("apikey/{name} resumed\n")
        );
        assert_eq!(
            run_losing("PATCH", &["roles", "add", &name, "editor"]),
            format!("apikey/{name} changed\n")
        );
        let rotated = run_losing("PATCH", &["rotate", &name]);
        assert!(rotated.contains("rotated to revision 2"), "{rotated}");
        let discarded = run_losing("PATCH", &["discard-previous", &name, "--yes"]);
        assert!(discarded.contains("revision 1 discarded"), "{discarded}");
        let key = scope.ready(&name).await;
        assert_eq!(key.status.unwrap().revision, Some(2));
        assert_eq!(
            run_losing("DELETE", &["revoke", &name, "--yes"]),
            format!("apikey/{name} revoked\n")
        );
        eventually("the key is gone", async || {
            let found = scope.keys().get_opt(&name).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
    }
}
