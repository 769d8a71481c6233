//! `kubectl apikey reveal`.

use std::process::Stdio;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use apikey_api::conditions::{self, reason};
use apikey_credential::Secret;

use crate::support::{ENTER, Login, Outcome, Scope, eventually, press};

const ONCE: &str = "secret: {delivery: RevealOnce}";

/// An age key pair: private, public.
fn identity() -> (String, String) {
    let identity = Identity::generate();
    let private = identity.to_string().expose_secret().to_owned();
    (private, identity.to_public().to_string())
}

#[tokio::test]
async fn a_secret_that_stays_is_printed_alone_and_in_the_other_forms() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    let credential = scope.credential(&scope.ready("ci").await).await;
    let secret = credential.data("secret");
    let shown = scope.plugin(&["reveal", "ci"]);
    assert_eq!(shown.stderr, "");
    assert_eq!(shown.done(), format!("{secret}\n"));
    let env = scope.plugin(&["reveal", "apikey/ci", "-o", "env"]).done();
    let expected = format!("export API_KEY_NAME='ci'\nexport API_KEY_SECRET='{secret}'\n");
    assert_eq!(env, expected);
    let json = scope.plugin(&["reveal", "ci", "-o", "json"]).json();
    assert_eq!(json["secret"], secret);
    assert_eq!(json["name"], "ci");
    assert_eq!(json["keyId"], credential.data("key-id"));
    assert_eq!(json["organizationId"], credential.data("organization-id"));
    assert!(json["expiresAt"].is_string(), "{json}");
    let refused = scope.plugin(&["reveal", "ci", "-o", "age"]).failed(2);
    assert!(refused.contains("not encrypted"), "{refused}");
}

#[tokio::test]
async fn of_two_claims_at_once_one_has_the_secret_and_the_other_fails() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.apply_key("once", ONCE);
    scope.ready("once").await;
    let start = || {
        let mut command = scope.plugin_command();
        let command = command
            .args(["reveal", "once"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let outcomes: Vec<Outcome> = [start(), start()]
        .map(|child| child.wait_with_output().unwrap())
        .map(|output| Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        })
        .into();
    let (mut won, mut lost): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|outcome| outcome.code == 0);
    assert_eq!((won.len(), lost.len()), (1, 1), "{won:?} {lost:?}");
    let lost = lost.remove(0);
    assert_eq!(lost.stdout, "");
    let refused = lost.failed(5);
    let hint = format!("kubectl apikey rotate once -n {}", scope.namespace);
    assert!(refused.contains(&hint), "{refused}");
    let won = won.remove(0);
    assert!(won.stderr.contains("claimed"), "{won:?}");
    let secret = won.done().trim_end().to_owned();
    Secret::parse(&secret).expect("the published format");

    // The Secret goes, and the secret is valid.
    eventually("the Secret is removed", async || {
        let found = scope.secrets().get_opt("once").await.unwrap();
        found.is_none().then_some(())
    })
    .await;
    let name = "once".to_owned();
    let login = Login { name, secret };
    eventually("the secret is accepted", async || {
        (server.token_of(&login).status == 200).then_some(())
    })
    .await;
    let key = scope
        .key("once", "claimed", |key| {
            let status = key.status.as_ref().unwrap();
            status.revealed_at.is_some()
        })
        .await;
    let status = key.status.unwrap();
    let delivered = conditions::find(&status.conditions, conditions::DELIVERED).unwrap();
    assert_eq!(delivered.reason, reason::REVEALED);
    let refused = scope.plugin(&["reveal", "once"]).failed(5);
    let at = status.revealed_at.unwrap().0.to_string();
    assert!(refused.contains("was already claimed at"), "{refused}");
    assert!(refused.contains(&at[..19]), "{refused} {at}");
}

#[tokio::test]
async fn a_rotated_secret_is_claimed_anew() {
    let scope = Scope::shared().await;
    scope.apply_key("once", ONCE);
    scope.ready("once").await;
    let first = scope.plugin(&["reveal", "once", "--yes"]).done();
    eventually("the Secret is removed", async || {
        let found = scope.secrets().get_opt("once").await.unwrap();
        found.is_none().then_some(())
    })
    .await;
    let message = scope.plugin(&["rotate", "once"]).done();
    let hint = format!("kubectl apikey reveal once -n {}", scope.namespace);
    assert!(message.contains(&hint), "{message}");
    let second = scope.plugin(&["reveal", "once"]).done();
    assert_ne!(first, second);
    scope.plugin(&["reveal", "once"]).failed(5);
}

#[tokio::test]
async fn an_encrypted_secret_is_opened_by_a_recipient_and_claimed_by_nobody_without_one() {
    let scope = Scope::shared().await;
    let (private, public) = identity();
    let (stranger, _) = identity();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    std::fs::write(&file, format!("# created by hand\n{private}\n")).unwrap();
    let file = file.to_str().unwrap();
    scope.apply_key("sealed", &format!("secret: {{recipients: [{public}]}}"));
    let more = format!("secret: {{recipients: [{public}], delivery: RevealOnce}}");
    scope.apply_key("both", &more);
    scope.ready("sealed").await;
    scope.ready("both").await;

    let refused = scope.plugin(&["reveal", "sealed"]).failed(2);
    assert!(refused.contains("--identity FILE"), "{refused}");
    let opened = scope
        .plugin(&["reveal", "sealed", "--identity", file])
        .done();
    Secret::parse(opened.trim_end()).expect("the published format");
    let by_pipe = ["reveal", "sealed", "--identity", "-"];
    assert_eq!(scope.plugin_reads(&private, &by_pipe).done(), opened);
    let other = scope.plugin_reads(&stranger, &by_pipe);
    assert_eq!(other.stdout, "");
    let other = other.failed(5);
    assert!(other.contains("not encrypted for this identity"), "{other}");
    assert!(other.contains("BEGIN AGE ENCRYPTED FILE"), "{other}");
    let none = scope.plugin_reads("nonsense", &by_pipe).failed(2);
    assert!(none.contains("no private key"), "{none}");
    let sealed = scope.plugin(&["reveal", "sealed", "-o", "age"]).done();
    assert!(sealed.starts_with("-----BEGIN AGE"), "{sealed}");

    // The plugin does not claim a secret that it can't decrypt.
    scope.plugin(&["reveal", "both"]).failed(2);
    scope
        .plugin_reads("nonsense", &["reveal", "both", "--identity", "-"])
        .failed(2);
    let opened = scope.plugin(&["reveal", "both", "--identity", file]).done();
    Secret::parse(opened.trim_end()).expect("the published format");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_of_others_is_reported() {
    let scope = Scope::shared().await;
    scope.plugin(&["reveal", "nobody"]).failed(3);
    scope.kubectl(&[
        "create",
        "secret",
        "generic",
        "ci",
        "--from-literal=secret=x",
    ]);
    scope.apply_key("ci", "");
    scope.refused("ci", reason::SECRET_CONFLICT).await;
    let refused = scope.plugin(&["reveal", "ci"]);
    assert_eq!(refused.stdout, "");
    let refused = refused.failed(5);
    assert!(refused.contains("does not belong"), "{refused}");
}

#[tokio::test]
async fn a_claim_is_asked_for_on_a_terminal() {
    let scope = Scope::shared().await;
    scope.apply_key("once", ONCE);
    scope.ready("once").await;
    let mut session = scope.plugin_on_terminal(&["reveal", "once"]);
    session.exp_string("Claim the secret of 'once'?").unwrap();
    press(&mut session, &["n", ENTER]);
    session.exp_string("not claimed").unwrap();
    session.exp_eof().unwrap();
    let mut session = scope.plugin_on_terminal(&["reveal", "once"]);
    session.exp_string("Claim the secret of 'once'?").unwrap();
    press(&mut session, &["y", ENTER]);
    let secret = "ak_[0-9a-z]{16}_[0-9A-Za-z]{49}";
    session.exp_regex(secret).unwrap();
    session.exp_eof().unwrap();
    scope.plugin(&["reveal", "once"]).failed(5);
}

#[tokio::test]
async fn without_the_permission_nothing_is_claimed() {
    let scope = Scope::shared().await;
    scope.apply_key("once", ONCE);
    scope.ready("once").await;
    let refused = scope.plugin(&["reveal", "once", "--as", "somebody"]);
    assert_eq!(refused.stdout, "");
    let refused = refused.failed(4);
    assert!(refused.contains("cannot get resource"), "{refused}");
    scope.plugin(&["reveal", "once"]).done();
}

#[tokio::test]
async fn json_has_nothing_raw_that_steers_a_terminal() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "description: \"a\\u009b\\u202e\\u007f\\n\\u00e9\"");
    scope.ready("ci").await;
    let hostile = "x\u{9b}2J\u{202e}\u{7f}\u{2066}";
    let secret = r#"{"stringData": {"token-url": "x\u009b2J\u202e\u007f\u2066"}}"#;
    let patch = ["patch", "secret", "ci", "--type=merge", "-p", secret];
    scope.kubectl(&patch);
    for (call, pointer, expected) in [
        (&["reveal", "ci", "-o", "json"][..], "/tokenUrl", hostile),
        (
            &["status", "ci", "-o", "json"],
            "/spec/description",
            "a\u{9b}\u{202e}\u{7f}\n\u{e9}",
        ),
        (
            &["list", "-o", "json"],
            "/items/0/spec/description",
            "a\u{9b}\u{202e}\u{7f}\n\u{e9}",
        ),
    ] {
        let shown = scope.plugin(call);
        assert_eq!(shown.json().pointer(pointer).unwrap(), expected);
        let raw = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!shown.stdout.contains(raw), "{call:?}: {shown:?}");
    }
    for call in [&["status", "ci", "-o", "yaml"][..], &["list", "-o", "yaml"]] {
        let shown = scope.plugin(call).done();
        assert!(
            !shown.contains(['\u{9b}', '\u{202e}', '\u{7f}']),
            "{call:?}: {shown:?}"
        );
    }
}
