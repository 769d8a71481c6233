//! The API server of another cluster accepts the tokens (structured authentication configuration).

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use controlplane::{ControlPlane, write_private};
use serde_json::{Value, json};

use crate::support::{Authority, Scope, TlsFiles, eventually, free_address, run};

const AUDIENCE: &str = "kubernetes";

/// The example with this issuer.
fn configuration(issuer: &str, ca_pem: &str) -> String {
    let example = include_str!("../../../examples/gateways/kube-apiserver.yaml");
    let mut lines = Vec::new();
    for line in example.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim() {
            "url: https://keys.example.com" => lines.push(format!("{indent}url: {issuer}")),
            "MII..." => lines.extend(ca_pem.lines().map(|line| format!("{indent}{line}"))),
            "-----BEGIN CERTIFICATE-----" | "-----END CERTIFICATE-----" => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// Runs kubectl with a token as the only credential.
fn kubectl(control_plane: &ControlPlane, token: &str, arguments: &[&str]) -> Output {
    let ca = BASE64.encode(control_plane.ca_pem());
    let cluster = json!({"server": control_plane.server_url(), "certificate-authority-data": ca});
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let path = control_plane.dir().join("caller.kubeconfig");
    write_private(&path, &kubeconfig.to_string()).unwrap();
    let mut kubectl = control_plane.kubectl();
    kubectl
        .env("KUBECONFIG", &path)
        .args(arguments)
        .output()
        .unwrap()
}

/// The user that the API server sees in a token.
fn who(control_plane: &ControlPlane, token: &str) -> Result<Value, String> {
    let output = kubectl(control_plane, token, &["auth", "whoami", "-o", "json"]);
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let review: Value = serde_json::from_slice(&output.stdout).unwrap();
    Ok(review["status"]["userInfo"].clone())
}

#[tokio::test]
async fn an_api_server_takes_a_token_for_it_with_roles_as_groups_that_nobody_else_has() {
    let scope = Scope::shared().await;
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let authority = Authority::new();
    let files = TlsFiles::new(&folder);
    files.put(&authority.server());
    let address = free_address();
    let issuer = format!("https://{address}");
    let (issuer_flag, flags) = (format!("--issuer-url={issuer}"), files.flags());
    let arguments = [&*issuer_flag, &flags[0], &flags[1]];
    let published = scope.cluster.token_server_at(address, &arguments);
    // Another replica with the same keys, without TLS, because the client of this test has none.
    let server = scope.cluster.token_server(&[&issuer_flag]);
    published.ready().await;
    server.ready().await;

    let file = folder.join("authentication.yaml");
    std::fs::write(&file, configuration(&issuer, &authority.pem())).unwrap();
    let flag = format!("--authentication-config={}", file.display());
    let builder = ControlPlane::builder().apiserver_arg(flag);
    let relying = builder.start().expect("an API server with our issuer");

    let audience = format!("token: {{audiences: [{AUDIENCE}]}}");
    let roles = "roles: [build-viewer, build-operator]";
    let key = scope
        .usable(&server, "app", &format!("{roles}, {audience}"))
        .await;
    let answer = server.token_for(&key).await;
    let (token, claims) = (answer.access_token(), answer.claims());
    assert_eq!(claims["aud"], AUDIENCE);
    // The API server fetches our keys in the background.
    let user = eventually("the API server accepts the token", async || {
        who(&relying, &token).ok()
    })
    .await;
    let email = claims["email"].as_str().unwrap();
    assert_eq!(user["username"], format!("apikey:{email}"));
    assert_eq!(user["uid"], claims["sub"]);
    let groups = json!([
        "apikey:build-viewer",
        "apikey:build-operator",
        "system:authenticated"
    ]);
    assert_eq!(user["groups"], groups);
    let organization = &user["extra"]["apikey-operator.dev/organization"];
    assert_eq!(organization, &json!([scope.org()]));

    // RBAC decides what a role permits.
    let list = ["get", "configmaps", "-n", "default"];
    assert!(!kubectl(&relying, &token, &list).status.success());
    let binding = [
        "create",
        "clusterrolebinding",
        "b",
        "--clusterrole=view",
        "--group=apikey:build-viewer",
    ];
    run(relying.kubectl().args(binding));
    eventually("RBAC lets the group read", async || {
        kubectl(&relying, &token, &list)
            .status
            .success()
            .then_some(())
    })
    .await;

    let elsewhere = scope.usable(&server, "elsewhere", "").await;
    let refusal = who(&relying, &server.token_for(&elsewhere).await.access_token()).unwrap_err();
    assert!(
        refusal.contains("Unauthorized"),
        "another audience: {refusal}"
    );

    // A role with the name of a Kubernetes group, or of a group in other bindings, is not that group.
    let system = format!("roles: ['system:masters', admins], {audience}");
    let system = scope.usable(&server, "system", &system).await;
    let system = server.token_for(&system).await.access_token();
    let groups = json!([
        "apikey:system:masters",
        "apikey:admins",
        "system:authenticated"
    ]);
    assert_eq!(who(&relying, &system).unwrap()["groups"], groups);
    assert!(!kubectl(&relying, &system, &list).status.success());
    let mut tampered = token.clone();
    tampered.pop();
    assert!(
        who(&relying, &tampered)
            .unwrap_err()
            .contains("Unauthorized")
    );
    assert!(who(&relying, &token).is_ok());
}
