//! `kubectl apikey create`.

use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;

use crate::support::{BACKSPACE, DOWN, ENTER, ESC, SOON, Scope, ahead, outcome, press};

#[tokio::test]
async fn create_waits_until_the_key_is_ready_and_prints_no_secret() {
    let scope = Scope::shared().await;
    let org = scope.org();
    let create = [
        "create",
        "ci",
        "--org",
        org,
        "--role",
        "viewer,deployer",
        "--expires",
        "90d",
        "--description",
        "uploads",
        "--ttl",
        "10m",
        "--rotate-every",
        "30d",
        "--overlap",
        "1h",
    ];
    let outcome = scope.plugin(&create);
    assert_eq!(outcome.stdout, "apikey/ci created\n", "{outcome:?}");
    assert!(outcome.stderr.contains("in 89d"), "{outcome:?}");
    let read = format!("kubectl get secret ci -n {}", scope.namespace);
    assert!(outcome.stderr.contains(&read), "{outcome:?}");
    let key = scope.keys().get("ci").await.unwrap();
    let secret = scope.credential(&key).await.data("secret");
    assert!(!format!("{outcome:?}").contains(&secret));
    assert_eq!(key.spec.roles, ["viewer", "deployer"]);
    assert_eq!(key.spec.token.unwrap().ttl_seconds, Some(600));
    assert_eq!(key.spec.rotation.unwrap().every_days, Some(30));
    let expiry: Timestamp = key.spec.expiry.unwrap().parse().unwrap();
    assert!(expiry <= ahead(90 * 86_400) && expiry > ahead(90 * 86_400 - 120));
    let twice = scope.plugin(&create).failed(1);
    assert!(
        twice.contains("already exists") && twice.contains("apikey status"),
        "{twice}"
    );
}

#[tokio::test]
async fn create_prints_the_secret_alone_when_asked_for_it() {
    let scope = Scope::shared().await;
    let create = [
        "create",
        "ci",
        "--org",
        scope.org(),
        "--role",
        "viewer",
        "--show-secret",
    ];
    let secret = scope.plugin(&create).done();
    let key = scope.keys().get("ci").await.unwrap();
    assert_eq!(
        secret.trim_end(),
        scope.credential(&key).await.data("secret")
    );
}

#[tokio::test]
async fn what_is_missing_is_named_where_nobody_can_be_asked() {
    let scope = Scope::shared().await;
    let message = scope
        .plugin(&["create", "ci", "--role", "viewer"])
        .failed(2);
    assert!(message.contains("missing: --org"), "{message}");
    let message = scope.plugin(&["create"]).failed(2);
    assert!(message.contains("NAME, --org, --role"), "{message}");
    for bad in [
        ["--expires", "soon"],
        ["--rotate-every", "36h"],
        ["--sub-org", "=a"],
    ] {
        let all = [
            &["create", "ci", "--org", "acme", "--role", "viewer"],
            &bad[..],
        ]
        .concat();
        scope.plugin(&all).failed(2);
    }
}

#[tokio::test]
async fn a_dry_run_creates_nothing() {
    let scope = Scope::shared().await;
    let fixed = [
        "create",
        "ci",
        "--org",
        scope.org(),
        "--role",
        "viewer",
        "-o",
        "yaml",
    ];
    let yaml = scope.plugin(&[&fixed[..], &["--dry-run"]].concat()).done();
    assert!(
        yaml.contains("kind: ApiKey") && !yaml.contains("status"),
        "{yaml}"
    );
    scope
        .plugin(&[&fixed[..], &["--dry-run=server"]].concat())
        .done();
    assert!(scope.keys().get_opt("ci").await.unwrap().is_none());
    scope.apply(&yaml);
    scope.ready("ci").await;
    let all = [
        "create",
        "CI",
        "--org",
        "acme",
        "--role",
        "viewer",
        "--dry-run=server",
    ];
    let refused = scope.plugin(&all).failed(2);
    assert!(refused.contains("metadata.name"), "{refused}");
}

#[tokio::test]
async fn what_the_definition_excludes_is_wrong_usage_and_names_the_flag() {
    let scope = Scope::shared().await;
    for (name, flags, expected) in [
        (
            "ci",
            "--ttl 10s",
            "--ttl (spec.token.ttlSeconds): 10 must be at least 60",
        ),
        (
            "ci",
            "--rotate-every 2d --overlap 3d",
            "--overlap (spec.rotation): ",
        ),
        (
            "ci",
            "--rotate-every 0d",
            "--rotate-every (spec.rotation.everyDays): 0 must be",
        ),
        (
            "ci",
            "--overlap 91d",
            "--overlap (spec.rotation.overlapSeconds): 7862400 must be",
        ),
        (
            "ci",
            "--reveal-within 1s --delivery reveal-once",
            "--reveal-within (spec.secret.",
        ),
        (
            "ci",
            "--secret-name S",
            "--secret-name (spec.secret.name): 'S' must",
        ),
        ("ci", "--login-name a/../b", "--login-name (spec.name): "),
        (
            "C7",
            "",
            "NAME (metadata.name): 'C7' must be lower-case letters",
        ),
    ] {
        let fixed = ["create", name, "--org", scope.org(), "--role", "viewer"];
        let call = [&fixed[..], &flags.split_whitespace().collect::<Vec<_>>()].concat();
        for run in [&[][..], &["--dry-run"], &["--dry-run", "-o", "yaml"]] {
            let refused = scope.plugin(&[&call[..], run].concat());
            assert_eq!(refused.stdout, "", "{refused:?}");
            let result = refused.failed(2);
            assert!(result.contains(expected), "{expected}\n{result}");
        }
    }
    let keys = scope.keys().list(&ListParams::default()).await.unwrap();
    assert!(keys.items.is_empty());
}

#[tokio::test]
async fn a_key_that_is_refused_is_a_failure_with_the_reason() {
    let scope = Scope::shared().await;
    let org = scope.org();
    scope.declare(
        org,
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}]}",
    );
    // Until the controller has read the Organization, the plugin accepts any role.
    scope.organization_ready(org);
    let create = ["create", "ci", "--org", org, "--role", "nothing"];
    let refused = scope.plugin(&create).failed(1);
    assert!(refused.contains("none is in the catalogue"), "{refused}");
}

#[tokio::test]
async fn the_dialogue_offers_what_there_is_and_shows_the_secret_once() {
    let scope = Scope::shared().await;
    let org = scope.org().to_owned();
    let roles = "roles: [{key: builder}, {key: viewer, description: may look}]";
    scope.declare(
        &org,
        &format!("{{allowedNamespaces: {{from: All}}, {roles}}}"),
    );
    let mut session = scope.plugin_on_terminal(&["create"]);
    session.exp_string("Name of the key").unwrap();
    press(&mut session, &["CI", ENTER]);
    session.exp_string("use lower-case letters").unwrap();
    press(&mut session, &[BACKSPACE, BACKSPACE, "ci", ENTER]);
    session.exp_string("It expires after").unwrap();
    press(&mut session, &[DOWN, ENTER]);
    session.exp_string("Organization").unwrap();
    press(&mut session, &[&org, ENTER]);
    session.exp_string("may look").unwrap();
    press(&mut session, &[DOWN, " ", ENTER]);
    session.exp_string("Without questions").unwrap();
    session.exp_string("Create it?").unwrap();
    press(&mut session, &[ENTER]);
    session.exp_string("created").unwrap();
    let shown = session
        .exp_regex("ak_[0-9a-z]{16}_[0-9A-Za-z]{49}")
        .unwrap()
        .1;
    session.exp_string("shown once").unwrap();
    session.exp_eof().unwrap();
    let key = scope.keys().get("ci").await.unwrap();
    assert_eq!(shown, scope.credential(&key).await.data("secret"));
    assert_eq!(
        (key.spec.org, key.spec.roles),
        (org, vec!["viewer".to_owned()])
    );
    let expiry: Timestamp = key.spec.expiry.unwrap().parse().unwrap();
    assert!(expiry <= ahead(90 * 86_400) && expiry > ahead(90 * 86_400 - 120));
}

#[tokio::test]
async fn a_dialogue_that_is_left_creates_nothing() {
    let scope = Scope::shared().await;
    let mut session = scope.plugin_on_terminal(&["create", "ci", "--org", "acme"]);
    session.exp_string("It expires after").unwrap();
    press(&mut session, &[ESC]);
    session.exp_string("nothing was changed").unwrap();
    session.exp_eof().unwrap();
    assert!(scope.keys().get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn revoke_asks_on_a_terminal_and_takes_no_for_an_answer() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    for (answer, result, remains) in [
        ("n", "nothing was revoked", true),
        ("y", "ci revoked", false),
    ] {
        let mut session = scope.plugin_on_terminal(&["revoke", "ci"]);
        session.exp_string("LAST-USED").unwrap();
        session.exp_string("Revoke 1 key(s)?").unwrap();
        press(&mut session, &[answer, ENTER]);
        session.exp_string(result).unwrap();
        session.exp_eof().unwrap();
        assert_eq!(scope.keys().get_opt("ci").await.unwrap().is_some(), remains);
    }
}

#[tokio::test]
async fn a_key_that_is_claimed_or_encrypted_comes_with_the_way_to_its_secret() {
    let scope = Scope::shared().await;
    let create = |name: &str, more: &[&str]| {
        let fixed = ["create", name, "--org", scope.org(), "--role", "viewer"];
        scope.plugin(&[&fixed, more].concat())
    };
    let once = ["--delivery", "reveal-once", "--reveal-within", "1h"];
    let result = create("once", &once);
    assert!(
        result.stderr.contains("apikey reveal once -n"),
        "{result:?}"
    );
    result.done();
    let secret = scope.keys().get("once").await.unwrap().spec.secret.unwrap();
    assert_eq!(secret.reveal_within_seconds, Some(3600));
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let result = create("sealed", &["--recipient", recipient]);
    assert!(result.stderr.contains("age -d -i"), "{result:?}");
    result.done();
    for more in [&once[..], &["--recipient", recipient]] {
        let refused = create("shown", &[more, &["--show-secret"]].concat()).failed(2);
        assert!(refused.contains("can't be used with"), "{refused}");
    }
    assert!(scope.keys().get_opt("shown").await.unwrap().is_none());
}

#[tokio::test]
async fn a_misspelt_organization_ends_create_at_once() {
    let scope = Scope::shared().await;
    let org = scope.org();
    let typo = format!("{org}x");
    let create = |name: &str, more: &[&str]| {
        let fixed = [
            "create",
            name,
            "--org",
            &typo,
            "--role",
            "viewer",
            "--timeout",
            "2m",
        ];
        scope.plugin(&[&fixed, more].concat())
    };
    let begun = Instant::now();
    let refused = create("ci", &[]).failed(1);
    assert!(begun.elapsed() < SOON, "{refused}");
    let meant = format!("Organization '{typo}' does not exist (do you mean '{org}'?)");
    assert!(refused.contains(&meant), "{refused}");
    assert!(
        refused.contains("was created, but: `org` names"),
        "{refused}"
    );
    for more in ["--wait=false", "--dry-run=server"] {
        let result = create(
            more.trim_start_matches('-').split('=').next().unwrap(),
            &[more],
        );
        assert!(result.stderr.contains(&meant), "{result:?}");
        result.done();
    }

    // A user who may not read Organizations sees it in the status.
    let user = "namespace-admin";
    scope.kubectl(&[
        "create",
        "rolebinding",
        user,
        "--clusterrole=admin",
        "--user",
        user,
    ]);
    let begun = Instant::now();
    let refused = create("ours", &["--as", user]).failed(1);
    assert!(begun.elapsed() < SOON, "{refused}");
    assert!(
        refused.contains("was created, but: `org` names"),
        "{refused}"
    );
}

#[tokio::test]
async fn create_waits_for_an_organization_that_the_controller_has_not_seen_yet() {
    let scope = Scope::shared_and_undeclared().await;
    let org = scope.org();
    let mut create = scope.plugin_command();
    create.args(["create", "ci", "--org", org, "--role", "viewer"]);
    scope.declare_own();
    tokio::task::spawn_blocking(move || outcome(&mut create, ""))
        .await
        .unwrap()
        .done();
}

#[tokio::test]
async fn create_warns_of_what_is_left_out() {
    let scope = Scope::shared().await;
    let org = scope.org();
    scope.declare(
        org,
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: editor}]}",
    );
    let sub = format!("{org}-nowhere=viewer");
    let create = [
        "create",
        "ci",
        "--org",
        org,
        "--role",
        "viewer,edtor",
        "--sub-org",
        &sub,
    ];
    let result = scope.plugin(&create);
    for part in [
        format!("[edtor] not in the catalogue of Organization '{org}', which has [viewer, editor]"),
        format!("Organization '{org}-nowhere' does not exist: it is left out"),
    ] {
        assert!(result.stderr.contains(&part), "{part}\n{result:?}");
    }
    result.done();
    let tree = scope.plugin(&["status", "ci"]).done();
    let line = format!("{org}-nowhere (does not exist, left out)");
    assert!(tree.contains(&line), "{tree}");
}

#[tokio::test]
async fn the_dialogue_warns_of_an_organization_that_does_not_exist() {
    let scope = Scope::shared().await;
    let typo = format!("{}x", scope.org());
    let mut session = scope.plugin_on_terminal(&["create", "ci", "--org", &typo]);
    session.exp_string("It expires after").unwrap();
    press(&mut session, &[ENTER]);
    session.exp_string("does not exist (do you mean").unwrap();
    session
        .exp_string("the catalogue of the organization is not known")
        .unwrap();
    press(&mut session, &["viewer", ENTER]);
    session.exp_string("Create it anyway?").unwrap();
    press(&mut session, &[ENTER]);
    session.exp_string("nothing was created").unwrap();
    session.exp_eof().unwrap();
    assert!(scope.keys().get_opt("ci").await.unwrap().is_none());
}
