//! The kubectl plugin and objects that can't be read.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{KEYS, ORGANIZATIONS, Poison, World, apikey_path, poison, store_newer, take_newer};
use crate::support::{Cluster, Scope, eventually, outcome, plugin_file};

/// The schema of a field that may be a number.
const ANY: &str = r#"{"x-kubernetes-int-or-string": true}"#;

#[tokio::test]
async fn the_plugin_lists_changes_and_revokes_keys_that_kubectl_can_read() {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&super::CONTROLLER);
    let scope = cluster.scope().await;
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    for name in ["good", "time", "depth"] {
        scope.apply_key(name, "");
        scope.ready(name).await;
    }
    for (name, kind) in [("time", Poison::Time), ("depth", Poison::Depth)] {
        poison(&scope, &apikey_path(&scope, name), kind).await;
        let secret = format!("/api/v1/namespaces/{}/secrets/{name}", scope.namespace);
        poison(&scope, &secret, kind).await;
    }
    let table = scope.plugin(&["list", "-A"]).done();
    assert_eq!(table.matches("Active").count(), 3, "{table}");
    for name in ["time", "depth"] {
        let status = scope.plugin(&["status", name]).done();
        assert!(status.contains("Active"), "{status}");
        scope.plugin(&["suspend", name]).done();
        scope.plugin(&["resume", name]).done();
        scope.plugin(&["rotate", name, "--overlap", "0s"]).done();
        scope.plugin(&["revoke", name, "--yes"]).done();
    }
}

#[tokio::test]
async fn a_key_that_the_plugin_can_t_read_is_a_row_of_its_own_with_what_to_do() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    scope.declare(scope.org(), "{allowedNamespaces: {from: All}}");
    scope.apply_key("good", "");
    take_newer_keys(&scope);
    spoil(&scope, "odd").await;
    let listed = scope.plugin(&["list"]);
    assert!(listed.stdout.contains("good"), "{listed:?}");
    assert!(listed.stdout.contains("Unreadable"), "{listed:?}");
    assert_names(&listed.stderr, "odd");
    listed.done();
    assert_names(&scope.plugin(&["status", "odd"]).failed(1), "odd");
}

#[tokio::test]
async fn programs_get_of_a_list_what_kubectl_gets_and_nothing_is_lost_when_it_is_written_back() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    take_newer_keys(&scope);
    for name in ["deep", "long"] {
        scope.apply_key(name, "");
        let finalizers = r#"{"metadata": {"finalizers": ["example.com/kept"]}}"#;
        scope.kubectl(&["patch", "apikey", name, "--type=merge", "-p", finalizers]);
    }
    spoil(&scope, "odd").await;
    poison(&scope, &apikey_path(&scope, "deep"), Poison::Depth).await;
    poison(&scope, &apikey_path(&scope, "long"), Poison::Time).await;
    let wanted: Value =
        serde_json::from_str(&scope.kubectl(&["get", "apikeys", "-o", "json"])).unwrap();
    let listed = scope.plugin(&["list", "-o", "json"]);
    assert_eq!(listed.json()["items"], wanted["items"]);
    assert_names(&listed.stderr, "odd");
    let yaml = scope.plugin(&["list", "-o", "yaml"]).done();
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(yaml["items"], wanted["items"]);
    for item in wanted["items"].as_array().unwrap() {
        let name = item["metadata"]["name"].as_str().unwrap();
        let one = scope.plugin(&["status", name, "-o", "json"]).json();
        assert_eq!(&one, item);
    }
    let names = scope.plugin(&["list", "-o", "name"]).done();
    assert_eq!(names, "apikey/deep\napikey/long\napikey/odd\n");

    let mut replace = cluster.control_plane.kubectl();
    replace.args(["-n", &scope.namespace, "replace", "-f", "-"]);
    outcome(&mut replace, &listed.stdout).done();
    let stored = scope.kubectl(&["get", "--raw", &apikey_path(&scope, "deep")]);
    assert!(stored.contains("example.com/kept"), "{stored}");
    assert!(stored.contains(&r#"{"f:a":"#.repeat(200)), "{stored}");
    for name in ["deep", "long"] {
        // The answer is the object, because its finalizer keeps it.
        scope.plugin(&["revoke", name, "--yes"]).done();
        let none = r#"{"metadata": {"finalizers": null}}"#;
        scope.kubectl(&["patch", "apikey", name, "--type=merge", "-p", none]);
    }
}

#[tokio::test]
async fn a_filter_shows_people_a_key_that_can_t_be_read_and_keeps_it_from_programs() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    take_newer_keys(&scope);
    scope.apply_key("good", "");
    spoil(&scope, "odd").await;
    for filter in [["--unused", "0s"], ["--expiring", "30d"]] {
        let filtered = |form: &[&str]| scope.plugin(&[&["list"], &filter[..], form].concat());
        let table = filtered(&[]);
        assert!(table.stdout.contains("odd"), "{table:?}");
        assert!(table.stderr.contains("1 of them shown"), "{table:?}");
        for form in ["json", "yaml", "name"] {
            let listed = filtered(&["-o", form]);
            assert!(!listed.stdout.contains("odd"), "{listed:?}");
            assert_names(&listed.stderr, "odd");
            assert!(listed.stderr.contains("1 of them left out"), "{listed:?}");
            listed.done();
        }
    }
}

#[tokio::test]
async fn waiting_for_a_key_ends_at_once_when_it_can_t_be_read() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    take_newer_keys(&scope);
    scope.apply_key("odd", "");
    let waiting = async {
        let mut rotate = scope.plugin_command();
        rotate.args(["rotate", "odd", "--timeout", "5m"]);
        tokio::task::spawn_blocking(move || outcome(&mut rotate, ""))
            .await
            .unwrap()
    };
    let spoiling = async {
        eventually("the plugin requests a rotation", async || {
            let key = scope.kubectl(&["get", "apikey", "odd", "-o", "json"]);
            key.contains("rotate-requested-at").then_some(())
        })
        .await;
        let begun = Instant::now();
        spoil(&scope, "odd").await;
        begun
    };
    let (ended, begun) = tokio::join!(waiting, spoiling);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_names(&ended.failed(1), "odd");
}

#[tokio::test]
async fn every_verb_works_for_a_key_beside_ones_that_can_t_be_read_and_names_them() {
    let cluster = Cluster::start();
    let world = World::start(&cluster).await;
    let (scope, other) = (&world.victim, &world.attacker);
    take_newer_keys(scope);
    let leaked = scope.usable(&world.server, "odd", "").await.data("secret");
    let good = scope.usable(&world.server, "good", "").await.data("secret");
    spoil(scope, "odd").await;
    spoil(other, "odd").await;
    let url = format!("http://{}", world.server.address);

    let tree = |name: &str| scope.plugin(&["status", name]);
    assert!(tree("good").done().contains("Active"));
    scope
        .plugin(&["create", "new", "--org", scope.org(), "--role", "viewer"])
        .done();
    let all = scope.plugin(&["list", "-A"]).done();
    assert_eq!(all.matches("Unreadable").count(), 2, "{all}");
    assert_eq!(scope.plugin(&["reveal", "good"]).done().trim_end(), good);
    let token = scope.plugin(&["token", "good", "--url", &url]).done();
    scope
        .plugin_reads(token.trim_end(), &["verify", "-", "--url", &url])
        .done();
    let whose = scope.plugin_reads(&good, &["inspect", "--find"]);
    let place = format!("{}/good (Active)", scope.namespace);
    assert!(whose.stdout.contains(&place), "{whose:?}");
    let whose = scope.plugin_reads(&leaked, &["inspect", "--find"]);
    let place = format!("{}/odd (Unreadable)", scope.namespace);
    assert!(whose.stdout.contains(&place), "{whose:?}");
    assert!(
        whose.stderr.contains("kubectl delete apikey odd"),
        "{whose:?}"
    );
    let checked = scope.plugin(&["check", "--url", &url]);
    assert_names(&checked.stdout, "odd");
    checked.failed(5);
    let words = completed(scope);
    assert!(words.contains("good\tActive"), "{words}");
    assert!(words.contains("odd\tUnreadable"), "{words}");
    lint_names_both(scope).await;

    let own = [
        &["roles", "add", "good", "editor"][..],
        &["suspend", "good"],
        &["resume", "good"],
        &["rotate", "good"],
        &["discard-previous", "good", "--yes"],
    ];
    for verb in own {
        scope.plugin(verb).done();
    }
    let verbs = [
        &["status", "odd"][..],
        &["roles", "add", "odd", "editor"],
        &["suspend", "odd"],
        &["resume", "odd"],
        &["rotate", "odd"],
        &["discard-previous", "odd", "--yes"],
        &["reveal", "odd"],
        &["token", "odd", "--url", &url],
        &["revoke", "odd", "--yes"],
    ];
    for verb in verbs {
        assert_names(&scope.plugin(verb).failed(1), "odd");
    }
    let exists = ["create", "odd", "--org", scope.org(), "--role", "viewer"];
    assert!(scope.plugin(&exists).failed(1).contains("already exists"));
    let revoked = scope.plugin(&["revoke", "--all", "--yes"]);
    assert!(
        revoked.stdout.contains("apikey/good revoked"),
        "{revoked:?}"
    );
    assert!(revoked.stdout.contains("apikey/new revoked"), "{revoked:?}");
    assert_names(&revoked.failed(1), "odd");
}

/// The completions after `status`.
fn completed(scope: &Scope<'_>) -> String {
    let mut command = Command::new(plugin_file());
    let command = command
        .args(["__complete", "-n", &scope.namespace, "status", ""])
        .env("KUBECONFIG", scope.cluster.control_plane.admin_kubeconfig());
    outcome(command, "").done()
}

/// `lint --server` checks a key against Organizations that it can read, and names those that it can't read.
async fn lint_names_both(scope: &Scope<'_>) {
    let lint = |yaml: &str| scope.plugin_reads(yaml, &["lint", "--server", "-f", "-"]);
    lint(&scope.key_yaml("further", "")).done();
    let odd = lint(&scope.key_yaml("odd", ""));
    assert!(odd.stdout.contains("apikey/odd"), "{odd:?}");
    assert!(odd.stdout.contains("can't be read"), "{odd:?}");
    odd.failed(5);
    take_newer(scope, ORGANIZATIONS, "displayName", ANY);
    let organization = "{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, \
         metadata: {name: newer}, spec: {displayName: 7, allowedNamespaces: {from: All}}}";
    eventually("the API server accepts the newer form", async || {
        scope.try_apply(organization).ok()
    })
    .await;
    let refused = lint(&scope.key_yaml("further", "org: newer"));
    assert!(
        refused
            .stdout
            .contains("Organization 'newer' of the cluster can't be read"),
        "{refused:?}"
    );
    refused.failed(5);
    let of_another = lint(&scope.key_yaml("further", ""));
    of_another.done();
}

/// Makes the API server accept descriptions of keys that are not text.
fn take_newer_keys(scope: &Scope<'_>) {
    take_newer(scope, KEYS, "description", ANY);
}

/// Creates or changes a key, so that this version can't read it.
async fn spoil(scope: &Scope<'_>, name: &str) {
    store_newer(scope, name, "description: 7").await;
}

/// Checks that a message about an unreadable key names the key, the cause and the fix.
fn assert_names(text: &str, name: &str) {
    for part in [
        format!("apikey/{name}"),
        "can't be read: spec: invalid type: integer `7`".to_owned(),
        format!("kubectl get apikey {name}"),
        format!("kubectl delete apikey {name}"),
    ] {
        assert!(text.contains(&part), "no '{part}' in {text}");
    }
}
