//! The audit log has every token and every refusal, with caller, key and reason.

use serde_json::{Value, json};

use crate::support::{Login, Scope, TokenServer, eventually};

const GENEROUS: [&str; 2] = [
    "--source-failures-per-second=100000",
    "--failures-per-second=100000",
];

/// Waits for this many audit lines with this action. Leaves out refusals from before the server
/// knew the key.
async fn lines(server: &TokenServer, action: &str, count: usize) -> Vec<Value> {
    eventually(
        &format!("the audit lines have {action} {count} times"),
        async || {
            let mut lines = server.process.audit();
            lines.retain(|line| line["action"] == action && line["reason"] != "UnknownKey");
            (lines.len() >= count).then_some(lines)
        },
    )
    .await
}

#[tokio::test]
async fn tokens_and_refusals_are_audited_with_key_organization_caller_and_reason() {
    let scope = Scope::shared().await;
    let server = scope.cluster.token_server(&GENEROUS);
    server.ready().await;
    let before = crate::support::now();
    scope.apply_key("ci", "name: login, roles: [build]");
    let key = scope.ready("ci").await;
    let credential = scope.credential(&key).await;
    let claims = server.token_for(&credential).await.claims();
    let known = Login::of(&credential);
    let issued = &lines(&server, "IssueToken", 1).await[0];
    let status = key.status.unwrap();
    let mut expected = json!({
        "action": "IssueToken",
        "actor": status.email,
        "keyId": status.key_id,
        "namespace": scope.namespace,
        "name": "ci",
        "org": scope.org(),
        "roles": ["build"],
        "revision": 1,
        "jti": claims["jti"],
        "expiresAt": k8s_openapi::jiff::Timestamp::from_second(claims["exp"].as_i64().unwrap())
            .unwrap().to_string(),
        "route": "api-key-token",
        "remote": "127.0.0.1",
        "source": "token-server",
        "time": issued["time"],
    });
    assert_eq!(*issued, expected);
    let time: k8s_openapi::jiff::Timestamp = issued["time"].as_str().unwrap().parse().unwrap();
    let seconds = before.as_second()..=crate::support::now().as_second();
    assert!(seconds.contains(&time.as_second()), "{issued}");

    // The line names the key even if the secret is wrong.
    assert_eq!(server.token_of(&known.forged(1)).status, 401);
    let renamed = Login {
        name: "other".into(),
        ..known.clone()
    };
    assert_eq!(server.token_of(&renamed).status, 401);
    let bearer = ("Authorization", "Bearer nonsense");
    assert_eq!(server.get("/authz/x", &[bearer]).status, 401);
    let guid = "00000000-0000-0000-0000-000000000001";
    let (name, secret) = (known.name.as_str(), known.secret.as_str());
    let elsewhere = [("name", name), ("secret", secret), ("organizationId", guid)];
    assert_eq!(server.token(&elsewhere).status, 403);
    let refused = lines(&server, "Refuse", 4).await;
    for name in ["jti", "roles", "revision", "expiresAt"] {
        expected.as_object_mut().unwrap().remove(name);
    }
    expected["action"] = json!("Refuse");
    let reasons = [
        "WrongSecret",
        "WrongName",
        "InvalidToken",
        "OrganizationNotCovered",
    ];
    for (line, reason) in refused.iter().zip(reasons) {
        expected["reason"] = json!(reason);
        expected["time"] = line["time"].clone();
        if reason == "InvalidToken" {
            let (ours, theirs) = (line["route"].as_str(), line["remote"].as_str());
            assert_eq!((ours, theirs), (Some("authz"), Some("127.0.0.1")));
            assert_eq!(line["keyId"], Value::Null, "the line names a key");
        } else {
            assert_eq!(*line, expected);
        }
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_a_few_lines_whose_counts_add_up() {
    const FLOOD: u64 = 1000;
    let scope = Scope::shared().await;
    let server = scope.cluster.token_server(&GENEROUS);
    server.ready().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    server.token_for(&credential).await;
    let forged = Login::of(&credential).forged(1);
    for _ in 0..FLOOD {
        assert_eq!(server.token_of(&forged).status, 401);
    }
    let message = eventually("the audit lines have or count every refusal", async || {
        let mut lines = server.process.audit();
        lines.retain(|line| line["reason"] == "WrongSecret");
        let counts = lines.iter().map(|line| line["count"].as_u64().unwrap_or(1));
        let sum = counts.sum::<u64>();
        assert!(sum <= FLOOD, "{sum}");
        (sum == FLOOD).then_some(lines)
    })
    .await;
    let counted = message.iter().filter(|line| line["count"].is_u64()).count();
    let seconds: std::collections::BTreeSet<_> = message
        .iter()
        .map(|line| &line["time"].as_str().unwrap()[..19])
        .collect();
    assert!(
        counted >= 1 && message.len() - counted <= 10 * seconds.len(),
        "{}",
        message.len()
    );
    let metric = "apikey_refusals_total{route=\"api-key-token\",reason=\"WrongSecret\"}";
    assert_eq!(server.process.metric(metric), Some(1000.0));
    assert_eq!(
        server.process.metric("apikey_audit_lines_lost_total"),
        Some(0.0)
    );
}
