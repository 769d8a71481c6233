//! Every endpoint accepts the greatest token that the token server can issue.

use std::sync::atomic::{AtomicUsize, Ordering};

use apikey_api::ApiKey;
use apikey_api::bounds::{MAX_AUDIENCES_CHARS, MAX_ROLES_CHARS};
use apikey_api::crds::schema;
use serde_json::{Value, json};

use crate::support::{Cluster, Login, Scope, TokenServer, basic, eventually, form, part_of};

/// The longest line of a head that nginx and Apache accept. Unit: bytes.
const GATEWAY_LINE_BYTES: usize = 8190;

/// A bound of the spec of an `ApiKey`.
fn bound(path: &str) -> usize {
    let definition = schema::<ApiKey>().unwrap();
    let bound = definition.pointer(&format!("/properties/spec/properties/{path}"));
    usize::try_from(bound.and_then(Value::as_u64).unwrap()).unwrap()
}

/// The greatest number of different texts for the list, with this many characters in total.
fn texts(list: &str, chars: usize) -> Vec<String> {
    let count = bound(&format!("{list}/maxItems"));
    let text = |n: usize| {
        let length = chars * (n + 1) / count - chars * n / count;
        format!("{n:02}{}", "x".repeat(length - 2))
    };
    (0..count).map(text).collect()
}

/// The spec with these roles and audiences, as YAML.
fn spec(roles: &[String], audiences: &[String]) -> String {
    format!(
        "roles: {}, token: {{audiences: {}}}",
        json!(roles),
        json!(audiences)
    )
}

/// Requests a token with all roles as scope, and presents it to every route.
fn assert_taken_everywhere(
    server: &TokenServer,
    key: &Login,
    roles: &[String],
    aud: &str,
) -> usize {
    let scope = roles.join(" ");
    let grant = [("grant_type", "client_credentials"), ("scope", &scope)];
    let header = basic(&key.name, &key.secret);
    let by_basic = [("Authorization", header.as_str())];
    let answer = server.post("/oauth2/token", &by_basic, &form(&grant));
    let token = answer.access_token();
    let claims = part_of(&token, 1);
    assert_eq!(claims["roles"], json!(roles));
    let bearer = format!("Bearer {token}");
    let authorization = [("Authorization", bearer.as_str())];
    let aud = aud.replace('/', "%2F");
    let through = server.get(&format!("/authz-with/aud={aud}/x"), &authorization);
    assert_eq!(through.status, 200, "{through:?}");
    assert_eq!(through.headers["x-apikey-roles"], roles.join(","));
    let live = server.introspect(key, &token).json();
    assert_eq!(live["active"], true, "{live}");
    for claim in ["roles", "aud", "scope", "jti"] {
        assert_eq!(live[claim], claims[claim], "{claim}");
    }
    for public in ["/oauth2/jwks", "/.well-known/openid-configuration"] {
        assert_eq!(server.get(public, &authorization).status, 200, "{public}");
    }
    "authorization: Bearer \r\n".len() + token.len()
}

#[tokio::test]
async fn the_greatest_token_is_taken_at_every_endpoint_and_fits_through_gateways() {
    let cluster = Cluster::start();
    let domain = [&*"d".repeat(63), &*"e".repeat(63), &*"f".repeat(61)].join(".");
    let _controller = cluster.operator(&[
        "--leader-elect=false",
        "--signing-algorithm=RS256",
        &format!("--email-domain={domain}"),
    ]);
    let host = "https://keys.example.com/";
    let issuer = format!("{host}{}", "i".repeat(255 - host.len()));
    let server = cluster.token_server(&[&format!("--issuer-url={issuer}")]);
    server.ready().await;
    let scope = cluster.scope_of("n".repeat(63)).await;
    scope.kubectl(&["create", "namespace", &scope.namespace]);
    scope.declare_own();

    let roles = texts("roles", usize::try_from(MAX_ROLES_CHARS).unwrap());
    let audiences = texts(
        "token/properties/audiences",
        usize::try_from(MAX_AUDIENCES_CHARS).unwrap(),
    );
    let name = "k".repeat(bound("name/maxLength"));
    let greatest = scope
        .usable(&server, &name, &spec(&roles, &audiences))
        .await;
    let line = assert_taken_everywhere(&server, &Login::of(&greatest), &roles, &audiences[15]);
    assert!(line <= GATEWAY_LINE_BYTES, "{line}");

    let refused = |more: String, message: &str| {
        let output = scope.try_apply(&scope.key_yaml("more", &more));
        let output = output.unwrap_err();
        assert!(output.contains(message), "{output}");
    };
    let longer = |texts: &[String]| [&[format!("{}x", texts[0])], &texts[1..]].concat();
    let message = |max| format!("at most {max} characters in total");
    refused(spec(&longer(&roles), &audiences), &message(MAX_ROLES_CHARS));
    refused(
        spec(&roles, &longer(&audiences)),
        &message(MAX_AUDIENCES_CHARS),
    );
    let in_sub = format!("subOrgs: [{{org: sub, roles: {}}}]", json!(longer(&roles)));
    refused(in_sub, &message(MAX_ROLES_CHARS));
}

#[tokio::test]
async fn a_key_from_before_there_were_bounds_keeps_working_and_may_still_change() {
    let cluster = Cluster::start();
    let _controller = cluster.operator(&["--leader-elect=false"]);
    let server = cluster.token_server(&[]);
    server.ready().await;
    let scope = cluster.scope().await;
    let all = |list: &str| {
        let (count, chars) = (
            bound(&format!("{list}/maxItems")),
            bound(&format!("{list}/items/maxLength")),
        );
        texts(list, count * chars)
    };
    let (roles, audiences) = (all("roles"), all("token/properties/audiences"));
    let more = spec(&roles, &audiences);
    let try_key = |name: &str| scope.try_apply(&scope.key_yaml(name, &more));

    change_rules(&scope, |path, _| json!({"op": "remove", "path": path}));
    eventually(
        "the API server stores a key with the old rules",
        async || try_key("old").ok(),
    )
    .await;
    change_rules(
        &scope,
        |path, rules| json!({"op": "add", "path": path, "value": rules}),
    );
    let attempts = AtomicUsize::new(0);
    eventually("the rules are in force again", async || {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        try_key(&format!("new-{attempt}")).err()
    })
    .await;

    let old = scope.credential(&scope.ready("old").await).await;
    server.token_for(&old).await;
    assert_taken_everywhere(&server, &Login::of(&old), &roles, &audiences[0]);
    scope.patch_key("old", r#"{"description": "changed"}"#);
    let status = scope.rotate("old", "1").await.status.unwrap();
    assert_eq!(status.revision, Some(2));
}

/// Patches the definition's rules about the total length of texts. `change` gets the place and value of each.
fn change_rules(scope: &Scope<'_>, change: impl Fn(String, &Value) -> Value) {
    let definition = schema::<ApiKey>().unwrap();
    let changes = ["roles", "token/properties/audiences"].map(|list| {
        let place = format!("/properties/spec/properties/{list}/x-kubernetes-validations");
        let rules = definition.pointer(&place).unwrap();
        change(
            format!("/spec/versions/0/schema/openAPIV3Schema{place}"),
            rules,
        )
    });
    let patch = json!(changes).to_string();
    let name = "apikeys.apikey-operator.dev";
    scope.kubectl(&["patch", "crd", name, "--type=json", "-p", &patch]);
}
