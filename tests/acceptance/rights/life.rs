//! The whole life of keys, in which both processes do everything that they ever do.

use apikey_api::{ApiKey, names};

use crate::support::{
    Cluster, Login, OPERATOR_NAMESPACE, Operator, Scope, TokenServer, eventually,
};

/// Both processes, and a standby controller.
pub(super) struct Processes {
    leader: Operator,
    standby: Operator,
    pub(super) server: TokenServer,
}

impl Processes {
    pub(super) async fn start(cluster: &Cluster, flags: &[&str]) -> Self {
        let leader = cluster.operator(flags);
        leader.logged("Leading: reconciling").await;
        let this = Self {
            leader,
            standby: cluster.operator(flags),
            server: cluster.token_server(flags),
        };
        this.server.ready().await;
        this
    }

    /// Stops the leader and waits until the standby leads.
    pub(super) async fn hand_over(self) -> (Operator, TokenServer) {
        self.leader.terminate().await;
        self.standby.logged("Leading: reconciling").await;
        (self.standby, self.server)
    }
}

async fn used(scope: &Scope<'_>, name: &str) {
    let used = |key: &ApiKey| {
        let status = key.status.as_ref();
        status.is_some_and(|status| status.last_used_at.is_some())
    };
    scope.key(name, "recorded as used", used).await;
}

/// Does everything that can happen in a namespace: declares organizations, mints, uses, rotates, replaces, changes,
/// suspends and deletes a key, shows a secret once, and lets a key expire.
pub(super) async fn live(scope: &Scope<'_>, server: &TokenServer) {
    let rules = "{roles: [{key: viewer}, {key: editor}], allowedNamespaces: {from: All}}";
    scope.declare(scope.org(), rules);
    let orphan = format!("{}-orphan", scope.org());
    scope.declare(&orphan, "{parent: nobody, allowedNamespaces: {from: All}}");
    eventually("an Event reports the missing parent", async || {
        let regarding = format!("--field-selector=involvedObject.name={orphan}");
        let message = scope.kubectl(&["get", "events", "-n", "default", "-o", "name", &regarding]);
        (!message.is_empty()).then_some(())
    })
    .await;
    let first = scope.usable(server, "ci", "").await;
    used(scope, "ci").await;
    scope.rotate("ci", "1").await;
    let discard = (names::ANNOTATION_DISCARD_PREVIOUS, "1");
    scope.annotate("ci", &[discard]).await;
    let over = |key: &ApiKey| {
        let status = key.status.as_ref();
        status.is_some_and(|status| status.previous_secret.is_none())
    };
    scope.key("ci", "without an old secret", over).await;
    scope.kubectl(&["delete", "secret", "ci"]);
    scope
        .key("ci", "given a new secret", |key| {
            let status = key.status.as_ref();
            status.and_then(|status| status.revision) == Some(3)
        })
        .await;
    scope.patch_key("ci", r#"{"roles": ["editor"], "suspended": true}"#);
    let suspended = |key: &ApiKey| crate::support::ready_reason(key).1 == "Suspended";
    scope.key("ci", "suspended", suspended).await;

    scope.apply_key("once", "secret: {delivery: RevealOnce}");
    scope.delivered("once").await;
    let awaiting = |key: &ApiKey| key.status.as_ref().is_some_and(|s| s.key_id.is_some());
    scope.key("once", "waiting for its claim", awaiting).await;
    scope
        .claim("once")
        .await
        .expect("the secret was claimed already");
    let revealed = |key: &ApiKey| key.status.as_ref().is_some_and(|s| s.revealed_at.is_some());
    scope.key("once", "revealed", revealed).await;

    let expiry = crate::support::ahead(3);
    scope.apply_key("short", &format!("expiry: '{expiry}'"));
    scope.refused("short", "Expired").await;
    scope.declare(
        scope.org(),
        "{roles: [{key: viewer}], allowedNamespaces: {from: All}}",
    );
    scope.refused("ci", "UnknownRole").await;

    let keys = [scope.keys().get("ci").await, scope.keys().get("once").await];
    scope.kubectl(&["delete", "apikey", "ci", "once", "short", "--timeout=10s"]);
    for key in keys {
        let key = key.unwrap();
        eventually("the sweeper removes the credential record", async || {
            scope.document(&key).await.is_none().then_some(())
        })
        .await;
    }
    assert_eq!(server.token_of(&Login::of(&first)).status, 401);
    scope.wait("delete", "secret/ci");
}

/// Removes both rings and waits until they exist again.
pub(super) async fn lose_rings(scope: &Scope<'_>) {
    for ring in [names::PEPPERS_SECRET, names::SIGNING_KEYS_SECRET] {
        let made = scope.operator_secrets().get(ring).await.unwrap();
        scope.kubectl(&["delete", "secret", ring, "-n", OPERATOR_NAMESPACE]);
        eventually("the ring exists again", async || {
            let found = scope.operator_secrets().get_opt(ring).await.unwrap()?;
            (found.metadata.uid != made.metadata.uid).then_some(())
        })
        .await;
    }
}

/// Runs a controller with another algorithm, which adds a key to the ring.
pub(super) async fn change_algorithm(cluster: &Cluster, scope: &Scope<'_>, flags: &[&str]) {
    let ring = || async {
        scope
            .operator_secrets()
            .get(names::SIGNING_KEYS_SECRET)
            .await
    };
    let before = ring().await.unwrap().metadata.resource_version;
    let flags = [flags, &["--signing-algorithm=EdDSA"]].concat();
    let operator = cluster.operator(&flags);
    eventually("the ring has a next signing key", async || {
        (ring().await.unwrap().metadata.resource_version != before).then_some(())
    })
    .await;
    operator.terminate().await;
}
