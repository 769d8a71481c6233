//! Rotation, loss and damage of signing keys, peppers and credential records. The server refuses no secret that it can
//! still check, and the log names the way out.

use apikey_api::names;
use apikey_credential::signing::{Algorithm, SigningKey, SigningRing};
use k8s_openapi::ByteString;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{
    Cluster, Login, OPERATOR_NAMESPACE, Scope, TokenServer, ahead, eventually, now, part_of,
};

/// A Secret of the operator's namespace and the document in it.
struct Stored<'a> {
    scope: &'a Scope<'a>,
    secret: String,
    data_key: &'static str,
    whole: Vec<u8>,
}

impl<'a> Stored<'a> {
    async fn read(scope: &'a Scope<'a>, secret: &str, data_key: &'static str) -> Self {
        let found = scope.operator_secrets().get(secret).await.unwrap();
        Self {
            scope,
            secret: secret.to_owned(),
            data_key,
            whole: found.data.unwrap()[data_key].0.clone(),
        }
    }

    async fn ring(scope: &'a Scope<'a>, secret: &str) -> Self {
        Self::read(scope, secret, names::KEY_RING_DATA_KEY).await
    }

    async fn write(&self, document: &[u8]) {
        let data = json!({"data": {self.data_key: ByteString(document.to_vec())}});
        let (secrets, patch) = (self.scope.operator_secrets(), Patch::Merge(data));
        let params = PatchParams::default();
        secrets.patch(&self.secret, &params, &patch).await.unwrap();
    }

    /// A truncated document, and a complete one of an unknown version.
    fn damaged(&self) -> [Vec<u8>; 2] {
        let whole = String::from_utf8(self.whole.clone()).unwrap();
        let newer = whole.replace("\"version\":1", "\"version\":99");
        assert_ne!(newer, whole);
        [
            self.whole[..self.whole.len() / 2].to_vec(),
            newer.into_bytes(),
        ]
    }
}

/// Creates keys, and stops the controller, so that nothing repairs the rings.
async fn minted<const N: usize>(
    cluster: &Cluster,
    scope: &Scope<'_>,
    keys: [&str; N],
) -> [Login; N] {
    let controller = cluster.operator(&["--leader-elect=false"]);
    let mut logins = Vec::new();
    for name in keys {
        scope.apply_key(name, "");
        let key = scope.ready(name).await;
        logins.push(Login::of(&scope.credential(&key).await));
    }
    controller.kill();
    logins.try_into().ok().unwrap()
}

async fn served(server: &TokenServer, key: &Login) {
    eventually("the server serves the key", async || {
        (server.token_of(key).status == 200).then_some(())
    })
    .await;
}

/// The numbers of verified secrets so far, by the method of the check.
fn paths(server: &TokenServer) -> [String; 3] {
    ["fingerprint", "argon2", "cache"].map(|path| {
        let series = format!("apikey_secrets_verified_total{{path=\"{path}\"}}");
        server
            .process
            .metric(&series)
            .unwrap_or_default()
            .to_string()
    })
}

#[tokio::test]
async fn tokens_of_a_retired_key_stay_good_and_both_keys_are_published() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let [key] = minted(&cluster, &scope, ["ci"]).await;
    let server = cluster.token_server(&[]);
    server.ready().await;
    served(&server, &key).await;
    let old = server.token_of(&key).access_token();
    let stored = Stored::ring(&scope, names::SIGNING_KEYS_SECRET).await;
    let ring = SigningRing::parse(&stored.whole).unwrap();
    // The next key must be from a later second than the first: stored times are whole seconds.
    let next = SigningKey::generate(Algorithm::EdDsa, now(), ahead(1)).unwrap();
    let kid = next.kid().to_owned();
    let ring = ring.changed(Some(next), &[]);
    stored.write(&ring.to_json().unwrap()).await;

    let new = eventually("the next key signs tokens", async || {
        let token = server.token_of(&key).access_token();
        (part_of(&token, 0)["kid"] == kid.as_str()).then_some(token)
    })
    .await;
    assert_eq!(part_of(&new, 0)["alg"], "EdDSA");
    assert_ne!(part_of(&old, 0)["kid"], kid.as_str());
    let jwks = server.get("/oauth2/jwks", &[]).json();
    for token in [&old, &new] {
        let live = server.introspect(&key, token).json();
        assert_eq!(live["active"], true);
        assert_eq!(live["jti"], part_of(token, 1)["jti"]);
        let bearer = format!("Bearer {token}");
        assert_eq!(
            server.get("/authz", &[("Authorization", &bearer)]).status,
            200
        );
        let published = jwks["keys"].as_array().unwrap().iter();
        let kid = &part_of(token, 0)["kid"];
        assert_eq!(published.filter(|key| key["kid"] == *kid).count(), 1);
    }
}

#[tokio::test]
async fn without_its_pepper_a_secret_is_proved_by_its_hash_and_then_remembered() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let [first, second] = minted(&cluster, &scope, ["first", "second"]).await;
    let running = cluster.token_server(&[]);
    running.ready().await;
    served(&running, &first).await;
    let (secret, namespace) = (names::PEPPERS_SECRET, OPERATOR_NAMESPACE);
    let rings = Stored::ring(&scope, secret).await;
    scope.kubectl(&["delete", "secret", secret, "-n", namespace]);
    let server = cluster.token_server(&[]);
    server.ready().await;
    let lost = server.process.metric("apikey_index_argon2_only_keys");
    assert_eq!(lost, Some(2.0));
    for key in [&first, &second, &first, &second, &first] {
        assert_eq!(server.token_of(key).status, 200);
        assert_eq!(running.token_of(key).status, 200);
    }
    assert_eq!(paths(&server), ["0", "2", "3"]);
    assert_eq!(paths(&running)[1..], ["0", "0"]);
    // The server refuses wrong secrets of known and unknown keys, also after a correct one.
    let stranger = Login {
        name: first.name.clone(),
        secret: "ak_0000000000000000_0000000000000000000000000000000000000000000".to_owned(),
    };
    let stranger = with_checksum(stranger);
    for forged in [first.forged(1), second.forged(2), stranger, first.forged(1)] {
        assert_eq!(server.token_of(&forged).status, 401);
    }
    assert_eq!(paths(&server), ["0", "2", "3"]);

    // After a restore from a backup, the fingerprint decides again.
    let restored = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": secret, "namespace": namespace},
        "data": {rings.data_key: ByteString(rings.whole.clone())},
    });
    let file = cluster.control_plane.dir().join("restored.json");
    std::fs::write(&file, restored.to_string()).unwrap();
    let file = file.to_str().unwrap();
    scope.kubectl(&["apply", "-f", file, "-n", namespace]);
    eventually("the fingerprint decides", async || {
        assert_eq!(server.token_of(&second).status, 200);
        (paths(&server)[0] != "0").then_some(())
    })
    .await;
}

/// A well-formed secret of an unknown key.
fn with_checksum(login: Login) -> Login {
    use apikey_credential::{KeyId, Secret};
    let secret = Secret::from_entropy(&KeyId::from_entropy([0xab; 10]), [1; 32]);
    Login {
        secret: secret.expose().to_owned(),
        ..login
    }
}

#[tokio::test]
async fn damage_while_the_server_runs_refuses_nothing_valid_and_the_log_names_the_way_out() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let keys = minted(&cluster, &scope, ["one", "other"]).await;
    let server = cluster.token_server(&[]);
    server.ready().await;
    for key in &keys {
        served(&server, key).await;
    }
    let uid = scope.keys().get("one").await.unwrap().metadata.uid.unwrap();
    let record = names::record_secret(&uid);
    for (stored, text) in [
        (
            Stored::read(&scope, &record, names::VERIFIER_DATA_KEY).await,
            "restore it from a backup, or delete it to mint a new secret",
        ),
        (
            Stored::ring(&scope, names::PEPPERS_SECRET).await,
            "restore it from a backup",
        ),
        (
            Stored::ring(&scope, names::SIGNING_KEYS_SECRET).await,
            "restore it from a backup",
        ),
    ] {
        let about = if stored.secret == record {
            &uid
        } else {
            &stored.secret
        };
        let count_lines = || {
            let log = server.process.stderr();
            let lines = log.lines().filter(|line| line.contains(text));
            lines.filter(|line| line.contains(about.as_str())).count()
        };
        for damaged in stored.damaged() {
            let before = count_lines();
            stored.write(&damaged).await;
            eventually("the log reports the damaged ring", async || {
                (count_lines() > before).then_some(())
            })
            .await;
            for key in &keys {
                let token = server.token_of(key).access_token();
                assert_eq!(server.introspect(key, &token).json()["active"], true);
            }
            assert_eq!(server.process.get("/readyz").unwrap().0, 200);
        }
        stored.write(&stored.whole).await;
    }
    assert_eq!(paths(&server)[1..], ["0", "0"]);
    let log = server.process.stderr();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn a_server_started_with_damage_does_what_it_can_and_heals_without_a_restart() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let [one, other] = minted(&cluster, &scope, ["one", "other"]).await;
    let uid = scope.keys().get("one").await.unwrap().metadata.uid.unwrap();
    let record = names::record_secret(&uid);
    let record = Stored::read(&scope, &record, names::VERIFIER_DATA_KEY).await;
    for damaged in record.damaged() {
        record.write(&damaged).await;
        let server = cluster.token_server(&[]);
        server.ready().await;
        server
            .process
            .logged("Ignoring a credential record that can't be read")
            .await;
        assert_eq!(server.token_of(&other).status, 200);
        assert_eq!(server.token_of(&one).status, 401);
        record.write(&record.whole).await;
        served(&server, &one).await;
    }

    let peppers = Stored::ring(&scope, names::PEPPERS_SECRET).await;
    for damaged in peppers.damaged() {
        peppers.write(&damaged).await;
        let server = cluster.token_server(&[]);
        server.ready().await;
        server.process.logged("The ring can't be used").await;
        for key in [&one, &other] {
            assert_eq!(server.token_of(key).status, 200);
        }
        assert_eq!(server.token_of(&one.forged(1)).status, 401);
        assert_eq!(paths(&server), ["0", "2", "0"]);
        peppers.write(&peppers.whole).await;
        eventually("the fingerprint decides", async || {
            assert_eq!(server.token_of(&one).status, 200);
            (paths(&server)[0] != "0").then_some(())
        })
        .await;
    }

    let signing = Stored::ring(&scope, names::SIGNING_KEYS_SECRET).await;
    for damaged in signing.damaged() {
        signing.write(&damaged).await;
        let server = cluster.token_server(&[]);
        server.process.logged("The ring can't be used").await;
        eventually(
            "readiness names only the signing keys, and the fix",
            async || {
                let (code, report) = server.process.get("/readyz")?;
                assert_eq!(code, 503, "{report}");
                let cause = "failed: waiting for signing keys (the signing ring can't be read: ";
                let fix = ": restore Secret apikey-operator-signing-keys from a backup)\n";
                (report.contains(cause) && report.contains(fix)).then_some(())
            },
        )
        .await;
        std::net::TcpStream::connect(server.address)
            .expect_err("the port is open before the server is ready");
        signing.write(&signing.whole).await;
        server.ready().await;
        assert_eq!(server.token_of(&one).status, 200);
    }
}
