//! `kubectl apikey lint`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Cluster, Outcome, Scope, eventually, outcome, plugin_file};

const GOOD: &str = "\
apiVersion: apikey-operator.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec:
  allowedNamespaces: {from: Names, names: [team-a]}
  roles: [{key: viewer}]
  limits: {maxLifetimeDays: 30}
---
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: ci, namespace: team-a}
spec:
  org: acme
  roles: [viewer]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
";

/// Without a cluster.
fn offline(input: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(plugin_file());
    command
        .arg("lint")
        .args(arguments)
        .env("KUBECONFIG", "/nonexistent");
    outcome(&mut command, input)
}

#[test]
fn sound_files_pass_without_a_cluster() {
    let good = offline(GOOD, &["-f", "-"]);
    assert!(
        good.stderr
            .contains("2 object(s) checked, 1 of other kinds skipped"),
        "{good:?}"
    );
    assert_eq!(good.done(), "");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(&examples).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|ext| ext == "yaml"));
    // The file replaces the Organization of quickstart.yaml.
    let (replaces, files): (Vec<_>, Vec<_>) = files
        .map(|file| file.display().to_string())
        .partition(|file| file.ends_with("/organization.yaml"));
    offline("", &["-f", &replaces[0], "--strict"]).done();
    let all: Vec<_> = files.iter().flat_map(|file| ["-f", file]).collect();
    let warned = offline("", &all);
    assert!(
        warned.stdout.lines().all(|line| line.contains("warning:")),
        "{warned:?}"
    );
    warned.done();
    offline("", &[all.as_slice(), &["--strict"]].concat()).failed(5);
    let gitops = examples.join("gitops").display().to_string();
    offline("", &["-f", &gitops, "--strict"]).done();
}

#[test]
fn problems_are_one_a_line_with_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.yaml");
    let bad = GOOD
        .replace("roles: [viewer]\n---", "rolls: [viewer]\n---")
        .replace("org: acme", "org: Acme");
    std::fs::write(&file, bad).unwrap();
    let folder = folder.path().to_str().unwrap();
    let outcome = offline("", &["-f", folder]);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let file = file.to_str().unwrap();
    let expected = [
        format!("{file}:12: apikey/ci: spec.roles: is required: set it"),
        format!("{file}:13: apikey/ci: spec.org: 'Acme' must match"),
        format!("{file}:14: apikey/ci: spec.rolls: is not a field: do you mean `roles`?"),
    ];
    assert_eq!(lines.len(), 3, "{outcome:?}");
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected.as_str()), "{line}\n{expected}");
    }
    assert!(outcome.failed(5).contains("3 problem(s)"));
    let json: Value =
        serde_json::from_str(&offline("", &["-f", folder, "-o", "json"]).stdout).unwrap();
    assert_eq!(
        (&json["checked"], &json["problems"][1]["line"]),
        (&2.into(), &13.into())
    );
}

#[test]
fn keys_are_checked_against_the_organizations_of_the_files() {
    for (from, to, expected) in [
        (
            "org: acme\n  roles: [viewer]",
            "org: acme\n  roles: [root]",
            "none is in the catalogue",
        ),
        (
            "namespace: team-a",
            "namespace: team-b",
            "does not allow keys from namespace 'team-b'",
        ),
        (
            "org: acme\n",
            "org: acme\n  expiry: '2999-01-01T00:00:00Z'\n",
            "more than 30 days",
        ),
        (
            "org: acme\n",
            "org: acme\n  secret: {recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q]}\n",
            "is not a public key of age",
        ),
        (
            "org: acme\n",
            "org: acme\n  expiry: '2020-01-01T00:00:00Z'\n",
            "is in the past",
        ),
    ] {
        let outcome = offline(&GOOD.replace(from, to), &["-f", "-"]);
        assert!(outcome.stdout.contains(expected), "{expected}\n{outcome:?}");
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        outcome.failed(5);
    }
    let part = GOOD.replace("roles: [viewer]\n---", "roles: [viewer, root]\n---");
    let part = offline(&part, &["-f", "-"]);
    assert!(
        part.stdout.contains("warning: [root] not among the roles"),
        "{part:?}"
    );
    part.done();
    let twice = offline(&format!("{GOOD}---\n{GOOD}"), &["-f", "-"]);
    assert_eq!(
        twice.stdout.matches("appears twice").count(),
        2,
        "{twice:?}"
    );
    let broken = offline("a: [", &["-f", "-"]);
    assert!(broken.stdout.contains("is not YAML or JSON"), "{broken:?}");
    offline("", &["-f", "/nonexistent"]).failed(2);
}

#[test]
fn a_kind_that_there_is_not_is_a_problem_and_so_is_input_without_an_object() {
    let slip = offline(&GOOD.replace("kind: ApiKey", "kind: Apikey"), &["-f", "-"]);
    let expected = "<stdin>:10: kind: 'Apikey' is not a kind of apikey-operator.dev (do you mean 'ApiKey'?): \
                    the kinds are ApiKey and Organization\n";
    assert_eq!(slip.stdout, expected);
    slip.failed(5);
    for nothing in ["", "# nothing yet\n", "---\n---\n"] {
        for form in [&["-f", "-"][..], &["-f", "-", "-o", "json"]] {
            let result = offline(nothing, form).failed(5);
            assert!(
                result.contains("nothing was checked"),
                "{nothing:?} {result}"
            );
        }
    }
    let others = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n";
    let warned = offline(others, &["-f", "-"]);
    assert!(
        warned.stderr.contains("warning: nothing was checked"),
        "{warned:?}"
    );
    warned.done();
    offline(others, &["-f", "-", "--strict"]).failed(5);
}

#[test]
fn what_is_wrong_with_a_file_is_reported_without_its_text() {
    let secret = "s3cr3t-0123456789";
    let head = format!("apiVersion: v1\nkind: Secret\nstringData: {{token: {secret}}}\n");
    for (yaml, expected) in [
        (
            format!("{head}kind: Secret\n"),
            "<stdin>:4: is not YAML or JSON, at column 1: `kind` appears twice",
        ),
        (
            format!("{head}stringData: {{token: {secret}}}\n"),
            "`stringData` appears twice: remove one\n",
        ),
        (format!("{head}data: [\n"), "<stdin>:"),
        (format!("{head}  data: {secret}\n"), "<stdin>:4: "),
        (format!("{head}? [{secret}]\n: a\n"), "<stdin>:4: "),
        (format!("{head}data: *{secret}\n"), "<stdin>:4: "),
        (format!("{head}data: !!int {secret}\n"), "<stdin>:4: "),
    ] {
        let broken = offline(&yaml, &["-f", "-"]);
        assert!(broken.stdout.contains(expected), "{broken:?}");
        let is_plain = !broken.stdout.contains(secret) && !broken.stdout.contains("\\u{");
        assert!(is_plain && !broken.stdout.contains("Options"), "{broken:?}");
        broken.failed(5);
    }
}

#[tokio::test]
async fn with_a_cluster_its_rules_and_organizations_count_too() {
    let scope = Scope::shared().await;
    let org = scope.org();
    scope.declare(
        org,
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}]}",
    );
    scope.apply_key("ci", "expiry: '2027-05-24T00:00:00Z'");
    scope.ready("ci").await;
    let lint = |yaml: &str| scope.plugin_reads(yaml, &["lint", "--server", "-f", "-"]);
    lint(&scope.key_yaml("new", "")).done();
    let other_role = lint(&scope.key_yaml("new", "roles: [root]"));
    assert!(
        other_role.stdout.contains("none is in the catalogue"),
        "{other_role:?}"
    );
    other_role.failed(5);
    let other_expiry = lint(&scope.key_yaml("ci", "expiry: '2027-05-25T00:00:00Z'"));
    assert!(
        other_expiry.stdout.contains("immutable"),
        "{other_expiry:?}"
    );
    other_expiry.failed(5);
    assert!(scope.keys().get_opt("new").await.unwrap().is_none());
}

const NOWHERE: &str = "\
apiVersion: apikey-operator.dev/v1alpha1
kind: Organization
metadata: {name: ROOT}
spec: {allowedNamespaces: {from: All}, roles: [{key: viewer}]}
---
apiVersion: apikey-operator.dev/v1alpha1
kind: Organization
metadata: {name: ROOT-sub}
spec: {allowedNamespaces: {from: All}, parent: PARENT, roles: [{key: viewer}]}
---
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: typo}
spec: {org: ROOTx, roles: [viewer]}
---
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: of-sub}
spec: {org: ROOT-sub, roles: [viewer, unknown]}
---
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: further}
spec: {org: ROOT, roles: [viewer], subOrgs: [{org: ROOT-typo}]}
";

#[test]
fn an_organization_that_is_in_no_file_may_be_on_the_cluster() {
    let yaml = NOWHERE
        .replace("PARENT", "elsewhere")
        .replace("ROOT", "acme");
    let result = offline(&yaml, &["-f", "-"]);
    let nowhere = |name: &str| format!("warning: Organization '{name}' is in none of these files");
    for (object, field, part) in [
        ("organization/acme-sub", "spec.parent", nowhere("elsewhere")),
        (
            "apikey/typo",
            "spec.org",
            nowhere("acmex") + " (do you mean 'acme'?)",
        ),
        ("apikey/of-sub", "spec.org", nowhere("elsewhere")),
        (
            "apikey/of-sub",
            "spec.roles",
            "warning: [unknown] not among the roles".to_owned(),
        ),
        ("apikey/further", "spec.subOrgs", nowhere("acme-typo")),
    ] {
        let line = format!("{object}: {field}: {part}");
        assert!(result.stdout.contains(&line), "{line}\n{result:?}");
    }
    assert_eq!(result.stdout.lines().count(), 5, "{result:?}");
    assert!(
        result.stderr.contains("0 problem(s), 5 warning(s)"),
        "{result:?}"
    );
    result.done();
    // `--strict` ignores warnings about objects that may be on the cluster.
    let strict = yaml.replace(", unknown]", "]");
    offline(&strict, &["-f", "-", "--strict"]).done();
    offline(&yaml, &["-f", "-", "--strict"]).failed(5);
}

#[tokio::test]
async fn with_a_cluster_an_organization_that_is_nowhere_is_a_problem() {
    let scope = Scope::shared_and_undeclared().await;
    let root = scope.org();
    let lint = |parent: &str| {
        let yaml = NOWHERE.replace("PARENT", parent).replace("ROOT", root);
        scope.plugin_reads(&yaml, &["lint", "--server", "-f", "-"])
    };
    let result = lint(&format!("{root}-elsewhere"));
    for part in [
        format!(
            "organization/{root}-sub: spec.parent: Organization '{root}-elsewhere' does not exist"
        ),
        format!(
            "apikey/typo: spec.org: Organization '{root}x' does not exist (do you mean '{root}'?)"
        ),
        format!("apikey/of-sub: spec.org: Organization '{root}-sub' has parent '{root}-elsewhere'"),
        format!("apikey/further: spec.subOrgs: warning: Organization '{root}-typo' does not exist"),
    ] {
        assert!(result.stdout.contains(&part), "{part}\n{result:?}");
    }
    assert!(result.failed(5).contains("3 problem(s), 1 warning(s)"));
    // All of these organizations are on the cluster.
    for name in ["-elsewhere", "x"].map(|end| format!("{root}{end}")) {
        scope.declare(&name, "{allowedNamespaces: {from: All}}");
    }
    let sub = format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}");
    scope.declare(&format!("{root}-typo"), &sub);
    let result = lint(&format!("{root}-elsewhere"));
    assert!(
        result.stdout.contains("[unknown] not among the roles"),
        "{result:?}"
    );
    assert_eq!(result.stdout.lines().count(), 1, "{result:?}");
    result.done();
}

#[tokio::test]
async fn who_may_not_list_organizations_gets_the_rest_of_the_checks_and_the_chart_can_change_that()
{
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let org = scope.org();
    let binding = ["--clusterrole=admin", "--group=team"];
    scope.kubectl(&[&["create", "rolebinding", "team"], &binding[..]].concat());
    let user = ["--as", "dev", "--as-group", "team"];
    let lint = |yaml: &str| {
        scope.plugin_reads(
            yaml,
            &[&["lint", "--server", "-f", "-"], &user[..]].concat(),
        )
    };
    let good = scope.key_yaml("ci", "");
    let broken = scope.key_yaml("ci", "rotation: {everyDays: 1, overlapSeconds: 90000}");
    let other = "---\napiVersion: apikey-operator.dev/v1alpha1\nkind: Organization\n\
                 metadata: {name: other}\nspec: {allowedNamespaces: {from: All}}\n";
    let result = eventually("the binding is in force", async || {
        let result = lint(&good);
        (!result.stdout.contains("cannot patch")).then_some(result)
    })
    .await;
    assert!(
        result
            .stderr
            .contains("warning: keys are checked only against"),
        "{result:?}"
    );
    let part =
        format!("Organization '{org}' is in none of these files, and you may not list those");
    assert!(result.stdout.contains(&part), "{result:?}");
    assert!(
        result
            .stderr
            .contains("; the Organizations of the cluster were not read"),
        "{result:?}"
    );
    result.done();
    let strict = ["lint", "--server", "--strict", "-f", "-"];
    let result = scope.plugin_reads(&good, &[&strict[..], &user[..]].concat());
    assert!(result.failed(5).contains("were not read"));
    let result = lint(&broken);
    assert!(
        result.stdout.contains("must not exceed `everyDays`"),
        "{result:?}"
    );
    result.failed(5);
    let result = lint(&format!("{good}\n{other}"));
    assert!(
        result
            .stdout
            .contains("organization/other: the cluster refuses it"),
        "{result:?}"
    );
    result.failed(5);

    cluster.install_chart(&["--set", "rbac.organizationReaders={team}"]);
    let result = eventually("the chart's binding is in force", async || {
        let result = lint(&good);
        result.stderr.starts_with("1 object(s)").then_some(result)
    })
    .await;
    assert_eq!(result.done(), "");
    scope
        .plugin(&[&["status", "ci"], &user[..]].concat())
        .failed(3);
    let listed = scope.try_kubectl(&["get", "apikeys", "-A", "--as", "x", "--as-group", "team"]);
    assert!(listed.is_none(), "{listed:?}");
}
