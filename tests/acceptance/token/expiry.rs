//! Nothing of a key outlives it, even while no controller runs.

use crate::support::{Cluster, Login, Scope, ahead, form};

#[tokio::test]
async fn a_token_ends_with_its_key_whatever_lifetime_it_may_have() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let expiry = ahead(75);
    scope.apply_key(
        "ci",
        &format!("expiry: '{expiry}', token: {{ttlSeconds: 3600}}"),
    );
    let credential = scope.credential(&scope.ready("ci").await).await;
    let seed = server.token_for(&credential).await;
    let key = Login::of(&credential);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &key.name),
        ("client_secret", &key.secret),
    ];
    let oauth = server.post("/oauth2/token", &[], &form(&fields));
    for answer in [seed, oauth] {
        let claims = answer.claims();
        assert_eq!(claims["exp"], expiry.as_second());
        let left = expiry.as_second() - claims["iat"].as_i64().unwrap();
        assert_eq!(answer.json()["expires_in"], left);
    }
}

#[tokio::test]
async fn without_the_controller_a_key_is_refused_from_its_second_on() {
    let cluster = Cluster::start();
    let controller = cluster.operator(&["--leader-elect=false"]);
    let server = cluster.token_server(&[]);
    let scope = cluster.scope().await;
    let expiry = ahead(10);
    scope.apply_key("short", &format!("expiry: '{expiry}'"));
    scope.apply_key("long", "");
    let short = scope.credential(&scope.ready("short").await).await;
    let long = Login::of(&scope.credential(&scope.ready("long").await).await);
    controller.kill();
    server.ready().await;
    let token = server.token_for(&short).await.access_token();
    let short = Login::of(&short);
    let bearer = format!("Bearer {token}");
    let passes = |value: &str| server.get("/authz/x", &[("Authorization", value)]).status;
    let active = |token: &str| server.introspect(&long, token).json()["active"].clone();
    super::assert_ends_at(expiry, &server, &short).await;
    for value in [&bearer, &format!("Bearer {}", short.secret)] {
        assert_eq!(passes(value), 401);
    }
    for token in [&token, &short.secret] {
        assert_eq!(active(token), false);
    }
    assert_eq!(active(&long.secret), true);
    assert_eq!(server.token_of(&long).status, 200);
}
