//! The script of Appcircle's documentation runs with only the host changed.

use std::process::Command;

use crate::support::{Scope, TokenServer, part_of};

/// The script of the page. The test fills in the name, the secret and the host.
const SCRIPT: &str = r#"
set -e

API_KEY_NAME=apikey1
API_KEY_SECRET='your_secret'

echo "Retrieving access token for API key: $API_KEY_NAME"

response=$(curl --location 'https://auth.appcircle.io/auth/v1/api-key/token' \
--header 'Content-Type: application/x-www-form-urlencoded' \
--data-urlencode 'name='"$API_KEY_NAME"'' \
--data-urlencode 'secret='"$API_KEY_SECRET"'')

ACCESS_TOKEN=$(echo "$response" | jq -r '.access_token')

echo "Access token retrieved: $ACCESS_TOKEN"
"#;

fn run(server: &TokenServer, name: &str, secret: &str, more: &str) -> String {
    let script = SCRIPT
        .replace(
            "https://auth.appcircle.io",
            &format!("http://{}", server.address),
        )
        .replace("apikey1", name)
        .replace("your_secret", secret)
        .replace(
            r#"secret='"$API_KEY_SECRET"''"#,
            &format!(r#"secret='"$API_KEY_SECRET"''{more}"#),
        );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let token = text
        .lines()
        .find_map(|line| line.strip_prefix("Access token retrieved: "));
    token.expect("a token").to_owned()
}

#[tokio::test]
async fn the_script_of_the_documentation_gets_a_token() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.apply_key("apikey1", "roles: [build-operator, build-viewer]");
    let key = scope.ready("apikey1").await;
    let credential = scope.credential(&key).await;
    server.token_for(&credential).await;
    let status = key.status.unwrap();

    let token = run(server, "apikey1", &credential.data("secret"), "");
    let header = part_of(&token, 0);
    assert_eq!(
        (header["typ"].as_str(), header["alg"].as_str()),
        (Some("at+jwt"), Some("ES256"))
    );
    let claims = part_of(&token, 1);
    assert_eq!(
        claims["iss"],
        "http://apikey-operator-token.apikey-operator.svc"
    );
    assert_eq!(claims["aud"], claims["iss"]);
    assert_eq!(
        claims["sub"],
        format!("apikey:{}", status.key_id.as_deref().unwrap())
    );
    assert_eq!(claims["client_id"], status.key_id.unwrap());
    assert_eq!(claims["email"], status.email.unwrap());
    assert_eq!(claims["name"], "apikey1");
    assert_eq!(claims["namespace"], scope.namespace);
    assert_eq!(claims["org"], scope.org());
    assert_eq!(
        claims["currentOrganizationId"],
        status.organization_id.unwrap()
    );
    assert_eq!(
        claims["roles"],
        serde_json::json!(["build-operator", "build-viewer"])
    );
    let second = |claim: &str| claims[claim].as_i64().unwrap();
    assert_eq!(
        (second("nbf"), second("exp")),
        (second("iat") - 5, second("iat") + 3600)
    );
}

#[tokio::test]
async fn the_script_with_an_organization_gets_a_token_of_the_sub_organization() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let (root, sub) = (scope.org().to_owned(), format!("{}-sub", scope.org()));
    scope.declare(&root, "{allowedNamespaces: {from: All}}");
    scope.declare(
        &sub,
        &format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}"),
    );
    scope.apply_key(
        "apikey1",
        &format!("roles: [build-operator], subOrgs: [{{org: {sub}, roles: [build-viewer]}}]"),
    );
    let credential = scope.credential(&scope.ready("apikey1").await).await;
    server.token_for(&credential).await;

    let id = apikey_policy::default_organization_id(&sub).to_string();
    let more = format!(" \\\n--data-urlencode 'organizationId={id}'");
    let claims = part_of(
        &run(server, "apikey1", &credential.data("secret"), &more),
        1,
    );
    assert_eq!(claims["currentOrganizationId"], id);
    assert_eq!(claims["org"], sub);
    assert_eq!(claims["roles"], serde_json::json!(["build-viewer"]));
}
