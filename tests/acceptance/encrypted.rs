//! A secret that is delivered encrypted is nowhere in clear.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use apikey_credential::sealed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::support::{Cluster, Login, Scope, contains, is_stored, run};

/// A file with a private key, in the cluster's folder, and the public key.
fn age_keygen(cluster: &Cluster, name: &str) -> (std::path::PathBuf, String) {
    let file = cluster.control_plane.dir().join(name);
    let tool = || cluster.control_plane.command("age-keygen");
    run(tool().arg("-o").arg(&file));
    let public = run(tool().arg("-y").arg(&file)).trim().to_owned();
    (file, public)
}

/// Decrypts an age file with the reference implementation.
fn age_decrypt(cluster: &Cluster, identity: &Path, sealed: &str) -> Option<String> {
    let mut age: Command = cluster.control_plane.command("age");
    age.arg("-d").arg("-i").arg(identity);
    let mut age = age
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    age.stdin
        .take()
        .unwrap()
        .write_all(sealed.as_bytes())
        .unwrap();
    let output = age.wait_with_output().unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// Whether etcd ever wrote the text. Its log has all writes, and its database has the current state.
fn was_ever_stored(cluster: &Cluster, text: &str) -> bool {
    let mut folders = vec![cluster.control_plane.dir().join("etcd")];
    let mut found = false;
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                found |= contains(&std::fs::read(path).unwrap(), text);
            }
        }
    }
    assert!(files >= 2, "etcd has no log or no database");
    found
}

#[tokio::test]
async fn the_value_is_never_in_etcd_and_each_recipient_opens_it_with_age() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let _operator = cluster.operator(&[]);
    let server = cluster.token_server(&[]);
    let (one, one_public) = age_keygen(&cluster, "one");
    let (other, other_public) = age_keygen(&cluster, "other");
    let (stranger, _) = age_keygen(&cluster, "stranger");
    let more =
        format!("secret: {{recipients: [{one_public}, {other_public}], keys: {{name: USER}}}}");
    scope.apply_key("ci", &more);
    scope.apply_key("clear", "");
    scope.ready("ci").await;
    let mut opened = Vec::new();
    for token in ["1", "2"] {
        let secret = scope.delivered("ci").await;
        let data = secret.data.unwrap();
        assert!(!data.contains_key("secret"));
        assert_eq!(data["USER"].0, b"ci");
        let armored = String::from_utf8(data["secret.age"].0.clone()).unwrap();
        let value = age_decrypt(&cluster, &one, &armored).expect("the first identity decrypts it");
        assert_eq!(
            age_decrypt(&cluster, &other, &armored).as_ref(),
            Some(&value)
        );
        assert_eq!(age_decrypt(&cluster, &stranger, &armored), None);
        let identity = std::fs::read_to_string(&one).unwrap();
        let ours = sealed::open(armored.as_bytes(), &identity).unwrap();
        assert_eq!(*ours, value);
        opened.push(value);
        scope.rotate("ci", token).await;
        scope
            .annotate("ci", &[("apikey-operator.dev/discard-previous", token)])
            .await;
    }
    assert_ne!(opened[0], opened[1]);
    server.ready().await;
    let login = Login {
        name: "ci".into(),
        secret: {
            let secret = scope.delivered("ci").await;
            let armored = secret.data.unwrap()["secret.age"].0.clone();
            age_decrypt(&cluster, &one, &String::from_utf8(armored).unwrap()).unwrap()
        },
    };
    assert_eq!(server.token_of(&login).status, 200);
    opened.push(login.secret);

    let clear = scope
        .credential(&scope.ready("clear").await)
        .await
        .data("secret");
    assert!(
        was_ever_stored(&cluster, &clear),
        "the search does not find a text that etcd wrote"
    );
    for value in opened {
        assert!(!is_stored(&cluster, &value));
        assert!(
            !was_ever_stored(&cluster, &value),
            "etcd stored the value in clear"
        );
        assert!(
            !was_ever_stored(&cluster, &BASE64.encode(&value)),
            "etcd stored the value in base64"
        );
    }
}

#[tokio::test]
async fn a_mistyped_recipient_is_named_and_nothing_is_minted_for_it() {
    let scope = Scope::shared().await;
    let (_, public) = age_keygen(scope.cluster, "typo");
    let last = if public.ends_with('q') { "p" } else { "q" };
    let mistyped = format!("{}{last}", &public[..public.len() - 1]);
    scope.apply_key("ci", &format!("secret: {{recipients: [{mistyped}]}}"));
    let message = scope.refused("ci", "InvalidSpec").await;
    assert!(
        message.contains("secret.recipients") && message.contains(&mistyped),
        "{message}"
    );
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
    scope.apply_key("ci", &format!("secret: {{recipients: [{public}]}}"));
    scope.ready("ci").await;
}

#[tokio::test]
async fn what_does_not_go_with_encryption_is_refused_by_the_api_server() {
    let scope = Scope::shared().await;
    let (_, public) = age_keygen(scope.cluster, "refused");
    let refusal = |name: &str, more: &str| {
        let yaml = scope.key_yaml(name, more);
        scope.try_apply(&yaml).expect_err(more)
    };
    let alias = refusal(
        "ci",
        &format!("secret: {{recipients: [{public}], keys: {{secret: S}}}}"),
    );
    assert!(
        alias.contains("`keys.secret` can't be used with `recipients`"),
        "{alias}"
    );
    let malformed = refusal("ci", "secret: {recipients: [age1nonsense]}");
    assert!(malformed.contains("spec.secret.recipients"), "{malformed}");
    scope.apply_key("clear", "");
    let added = refusal("clear", &format!("secret: {{recipients: [{public}]}}"));
    assert!(added.contains("can't be added or removed"), "{added}");
}
