//! Secrets are wiped from memory. The test searches the memory of the processes for them.

#![cfg(target_os = "linux")]

use apikey_api::{ApiKey, ApiKeySpec, names};
use apikey_client::object::Decode as _;
use apikey_credential::fingerprint::PepperRing;
use apikey_credential::sealed::Recipients;
use apikey_credential::{Argon2Cost, Hasher, KeyId, Secret};
use apikey_operator::controller::apikey::render::{self, NewValue};
use apikey_operator::controller::delivered::Delivered;
use apikey_operator::token_server::form::{self, Form};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::support::{Login, Needle, Scope, eventually, form as encoded, found, now};

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// Runs a step with a new secret, and searches for copies of it afterwards.
async fn leaves_no_copy(step: &str, take: impl AsyncFnOnce(&Secret)) {
    let secret = Secret::generate(&KeyId::from_entropy([1; 10])).unwrap();
    let needles = Needle::of_secret(secret.expose());
    take(&secret).await;
    assert!(
        !found("self", &needles).unwrap().is_empty(),
        "the secret is in memory"
    );
    drop(secret);
    assert_eq!(found("self", &needles).unwrap(), [""; 0], "{step}");
}

/// Returns these bytes one after the other, and keeps no copy of them.
fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut joined = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        joined.extend_from_slice(part);
    }
    joined
}

#[tokio::test]
async fn what_is_done_with_a_secret_leaves_no_copy_of_it() {
    let cost = Argon2Cost {
        memory_kib: 8,
        iterations: 1,
    };
    let hasher = Hasher::new(cost, 1);
    let ring = PepperRing::generate(now()).unwrap();
    leaves_no_copy("minting", async |_| {}).await;
    leaves_no_copy("hashing", async |secret| {
        let hash = hasher.hash(secret.clone()).await.unwrap();
        let verified = hasher.verify(secret.clone(), hash.into()).await;
        assert!(verified.unwrap());
    })
    .await;
    leaves_no_copy("fingerprinting", async |secret| {
        let fingerprint = ring.fingerprint(secret).unwrap();
        assert_eq!(ring.matches(secret, &fingerprint), Some(true));
    })
    .await;
    leaves_no_copy("encrypting", async |secret| {
        let recipients = Recipients::parse(&[RECIPIENT.to_owned()]).unwrap();
        recipients.seal(secret).unwrap();
    })
    .await;
    let before = Delivered::decode(r#"{"metadata": {"name": "ci"}}"#).unwrap();
    leaves_no_copy("rendering", async |secret| {
        let value = NewValue {
            secret,
            sealed: None,
            revision: 1,
            entry_digest: "0",
            key_id: secret.key_id(),
            organization_id: uuid::Uuid::nil(),
            expires_at: now(),
        };
        let apikey = ApiKey::new("ci", ApiKeySpec::default());
        drop(render::value(&apikey, &value, None));
        drop(render::value_patch(&apikey, &value, &before));
    })
    .await;
    leaves_no_copy("reading a form", async |secret| {
        let sent = joined(&[b"name=ci&secret=%61", &secret.expose().as_bytes()[1..]]);
        let form = Form::parse(&sent).unwrap();
        Secret::parse(form.get("secret").unwrap()).unwrap();
    })
    .await;
    leaves_no_copy("reading a header", async |secret| {
        let pair = joined(&[b"ci:", secret.expose().as_bytes()]);
        let pair = Zeroizing::new(BASE64.encode(&pair));
        let sent = joined(&[b"Basic ", pair.as_bytes()]);
        let (_, basic) = form::basic(&sent).unwrap().unwrap();
        Secret::parse(&basic).unwrap();
    })
    .await;
}

/// The peppers, which a process keeps. A search that finds them would also find a secret.
async fn kept(scope: &Scope<'_>) -> Needle {
    let ring = scope
        .operator_secrets()
        .get(names::PEPPERS_SECRET)
        .await
        .unwrap();
    let ring = &ring.data.unwrap()[names::KEY_RING_DATA_KEY].0;
    let ring: serde_json::Value = serde_json::from_slice(ring).unwrap();
    let pepper = ring["peppers"][0]["key"].as_str().unwrap();
    Needle::new("pepper", &pepper.as_bytes()[8..])
}

/// Waits until the process has none of the needles. Fails if the search does not find the peppers that it keeps.
async fn assert_wiped(who: &str, pid: &str, kept: Needle, secrets: &[Needle]) {
    match found(pid, &[kept]) {
        Ok(found) => assert!(
            !found.is_empty(),
            "the search does not find the peppers of the {who}"
        ),
        Err(error) => {
            println!("LEFT OUT: the memory of the {who}, which may not be read here: {error}");
            return;
        }
    }
    eventually(&format!("the {who} wipes the secrets"), async || {
        let found = found(pid, secrets).unwrap();
        found.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_controller_keeps_no_copy_of_a_secret_that_it_delivered() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "secret: {keys: {secret: API_KEY_SECRET}}");
    let created = scope.credential(&scope.ready("ci").await).await;
    let applied = scope.credential(&scope.rotate("ci", "1").await).await;
    let secrets = [created, applied].map(|credential| Login::of(&credential).secret);
    let needles: Vec<_> = secrets.iter().flat_map(|s| Needle::of_secret(s)).collect();
    let pid = Scope::operator(|operator| operator.pid().to_owned());
    assert_wiped("controller", &pid, kept(&scope).await, &needles).await;
}

#[tokio::test]
async fn a_token_server_keeps_no_copy_of_a_secret_that_was_sent() {
    let server = Scope::token_server().await;
    let scope = Scope::shared().await;
    let key = Login::of(&scope.usable(server, "ci", "").await);
    let basic = format!("Basic {}", BASE64.encode(format!("ci:{}", key.secret)));
    let basic = [("Authorization", basic.as_str())];
    let grant = encoded(&[("grant_type", "client_credentials")]);
    assert_eq!(server.token_of(&key).status, 200);
    assert_eq!(server.post("/oauth2/token", &basic, &grant).status, 200);
    assert_eq!(server.introspect(&key, &key.secret).status, 200);
    assert_eq!(
        server.get("/authz", &[("x-api-key", &key.secret)]).status,
        200
    );
    let needles = Needle::of_secret(&key.secret);
    let pid = server.process.pid();
    assert_wiped("token server", pid, kept(&scope).await, &needles).await;
}
