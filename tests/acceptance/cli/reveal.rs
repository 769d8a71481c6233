//! `kubectl apikey reveal`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use apikey_operator::api::conditions::{self, reason};
use apikey_operator::api::names;
use apikey_operator::credential::Secret;

use crate::support::{Cluster, ENTER, Login, Outcome, Scope, eventually, outcome, press};

const ONCE: &str = "secret: {delivery: RevealOnce}";

/// A pair of keys of age: private, public.
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
async fn of_two_claims_at_once_one_has_the_secret_and_the_other_is_told() {
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
    assert!(refused.contains("kubectl apikey rotate once"), "{refused}");
    let won = won.remove(0);
    assert!(won.stderr.contains("claimed"), "{won:?}");
    let secret = won.done().trim_end().to_owned();
    Secret::parse(&secret).expect("the published format");

    // It is kept nowhere else, and it is good.
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
    let said = scope.plugin(&["rotate", "once"]).done();
    assert!(said.contains("kubectl apikey reveal once"), "{said}");
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

    // What can't be opened is not claimed.
    scope.plugin(&["reveal", "both"]).failed(2);
    scope
        .plugin_reads("nonsense", &["reveal", "both", "--identity", "-"])
        .failed(2);
    let opened = scope.plugin(&["reveal", "both", "--identity", file]).done();
    Secret::parse(opened.trim_end()).expect("the published format");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_of_others_is_said_so() {
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

/// Forwards connections to `upstream`, and cuts each one where the answer to a PATCH would come.
fn forward_but_patches(upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(upstream).unwrap());
            let patched = Arc::new(AtomicBool::new(false));
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let seen = Arc::clone(&patched);
            std::thread::spawn(move || {
                copy(from, to, |bytes| {
                    if bytes.windows(6).any(|six| six == b"PATCH ") {
                        seen.store(true, Ordering::SeqCst);
                    }
                    true
                });
            });
            std::thread::spawn(move || copy(server, client, |_| !patched.load(Ordering::SeqCst)));
        }
    });
    address
}

/// Copies until the end, or until some bytes may not pass.
fn copy(mut from: TcpStream, mut to: TcpStream, mut may_pass: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !may_pass(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_recognised_as_ones_own() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let operator = cluster.operator(&["--leader-elect=false"]);
    scope.apply_key("once", ONCE);
    let key = scope.ready("once").await;
    let secret = scope.credential(&key).await.data("secret");
    // Else it removes the Secret at once.
    drop(operator);
    let mut kubectl = cluster.control_plane.kubectl();
    let mut proxy = kubectl
        .args(["proxy", "--port=0", "--reject-methods=^$"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap());
    lines.read_line(&mut said).unwrap();
    let upstream = said.trim_end().rsplit(' ').next().unwrap();
    let address = forward_but_patches(upstream.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let content = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, \
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], \
         users: [{{name: u, user: {{}}}}], \
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
    );
    std::fs::write(&kubeconfig, content).unwrap();
    let mut claim = scope.plugin_command();
    let claim = claim.args(["reveal", "once"]).env("KUBECONFIG", kubeconfig);
    let outcome = outcome(claim, "");
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert_eq!(outcome.done().trim_end(), secret);
    let metadata = scope.delivered("once").await.metadata;
    let annotations = metadata.annotations.unwrap();
    assert!(annotations.contains_key(names::ANNOTATION_REVEALED_AT));
}
