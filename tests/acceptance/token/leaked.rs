//! The end of a secret ends the tokens that were made with it, for every check against the current key.

use apikey_api::names;
use apikey_credential::signing::{SigningKey, SigningRing};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use crate::support::{Credential, Login, Scope, TokenServer, eventually, now, part_of};

const OVERLAP: &str = names::ANNOTATION_ROTATE_OVERLAP_SECONDS;
const REQUEST: &str = names::ANNOTATION_ROTATE_REQUESTED_AT;

/// Whether the token is valid at `/authz`, at introspection, and as the credential for introspection.
fn is_good(server: &TokenServer, asker: &Credential, token: &str) -> [bool; 3] {
    let bearer = format!("Bearer {token}");
    let authorization = [("Authorization", bearer.as_str())];
    let through = server.get("/authz/x", &authorization);
    assert!([200, 401].contains(&through.status), "{through:?}");
    let live = server.introspect(&Login::of(asker), token).json();
    let asks = server.post("/oauth2/introspect", &authorization, "token=x");
    [
        through.status == 200,
        live["active"] == true,
        asks.status == 200,
    ]
}

async fn is_refused(server: &TokenServer, asker: &Credential, token: &str) {
    eventually("every route refuses the token", async || {
        (is_good(server, asker, token) == [false; 3]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rotation_without_overlap_ends_the_tokens_of_the_leaked_secret_at_once() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let old = scope.usable(server, "app", "").await;
    let leaked = server.token_for(&old).await.access_token();
    assert_eq!(part_of(&leaked, 1)["secret_revision"], 1);
    assert_eq!(is_good(server, &asker, &leaked), [true; 3]);

    scope
        .annotate("app", &[(OVERLAP, "0"), (REQUEST, "1")])
        .await;
    scope.rotated("app", "1").await;
    is_refused(server, &asker, &leaked).await;
    let new = scope.credential(&scope.ready("app").await).await;
    let token = server.token_for(&new).await.access_token();
    assert_eq!(part_of(&token, 1)["secret_revision"], 2);
    assert_eq!(is_good(server, &asker, &token), [true; 3]);
    assert!(now().as_second() < part_of(&leaked, 1)["exp"].as_i64().unwrap());
}

#[tokio::test]
async fn a_discarded_secret_ends_its_tokens_and_those_of_the_new_one_go_on() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let old = scope.usable(server, "app", "").await;
    let leaked = server.token_for(&old).await.access_token();
    scope.rotate("app", "1").await;
    let new = scope.credential(&scope.ready("app").await).await;
    let token = server.token_for(&new).await.access_token();
    let both = [&leaked, &token].map(|token| is_good(server, &asker, token));
    assert_eq!(
        both, [[true; 3]; 2],
        "a token is refused within the overlap"
    );
    let discard = (names::ANNOTATION_DISCARD_PREVIOUS, "1");
    scope.annotate("app", &[discard]).await;
    is_refused(server, &asker, &leaked).await;
    assert_eq!(is_good(server, &asker, &token), [true; 3]);
}

#[tokio::test]
async fn the_tokens_of_a_replaced_secret_end_at_the_second_of_its_overlap() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let old = scope
        .usable(server, "app", "rotation: {overlapSeconds: 6}")
        .await;
    let token = server.token_for(&old).await.access_token();
    let status = scope.rotate("app", "1").await.status.unwrap();
    let end = status.previous_secret.unwrap().valid_until.0;
    assert!(part_of(&token, 1)["exp"].as_i64().unwrap() > end.as_second());
    let bearer = format!("Bearer {token}");
    eventually("the server refuses the token", async || {
        let asked = now();
        let status = server.get("/authz", &[("Authorization", &bearer)]).status;
        let answered = now();
        assert!(asked < end || status == 401, "{status} at {asked}");
        assert!(status != 401 || answered >= end, "refused at {answered}");
        (status == 401).then_some(())
    })
    .await;
}

/// The same claims without the revision, like tokens of older versions.
async fn without_revision(scope: &Scope<'_>, token: &str) -> String {
    let secret = scope
        .operator_secrets()
        .get(names::SIGNING_KEYS_SECRET)
        .await;
    let json = &secret.unwrap().data.unwrap()[names::KEY_RING_DATA_KEY].0;
    let ring = SigningRing::parse(json).unwrap();
    let (header, mut claims) = (part_of(token, 0), part_of(token, 1));
    claims.as_object_mut().unwrap().remove("secret_revision");
    let kid = header["kid"].as_str().unwrap();
    signed(ring.find(kid).unwrap(), &header, &claims)
}

fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let part = |json: &Value| BASE64URL.encode(json.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", BASE64URL.encode(signature.as_ref()))
}

#[tokio::test]
async fn a_token_from_before_the_upgrade_is_taken_until_its_secret_is_certainly_replaced() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let asker = scope.usable(server, "asker", "").await;
    let old = scope.usable(server, "app", "").await;
    let token = server.token_for(&old).await.access_token();
    let before = without_revision(&scope, &token).await;
    assert_eq!(is_good(server, &asker, &before), [true; 3]);
    // Stored times are whole seconds. The new secret must be from a later second.
    let made = part_of(&before, 1)["iat"].as_i64().unwrap();
    eventually("a second has passed", async || {
        (now().as_second() > made).then_some(())
    })
    .await;
    scope.rotate("app", "1").await;
    assert_eq!(
        is_good(server, &asker, &before),
        [true; 3],
        "refused within the overlap"
    );
    scope
        .annotate("app", &[(names::ANNOTATION_DISCARD_PREVIOUS, "1")])
        .await;
    is_refused(server, &asker, &before).await;
    let text = server.introspect(&Login::of(&asker), &before).json();
    assert_eq!(text, json!({"active": false}));
}
