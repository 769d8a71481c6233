//! Users can give a key only those roles that they may grant.

use std::sync::LazyLock;

use serde_json::Value;

use crate::support::{Cluster, Scope, eventually};

const REFUSED: &str = "ValidatingAdmissionPolicy 'apikey-operator-role-grants'";

/// A control plane that checks which roles a user may grant. The API server does that, without an operator.
static CHECKED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start_with(CHECK));
const CHECK: &[&str] = &["--set", "admission.roleGrants.enabled=true"];

/// A namespace in which the policy is in force, and a user who may create keys in it.
async fn checked() -> (Scope<'static>, String) {
    let scope = CHECKED.scope().await;
    let user = scope.maker("maker").await;
    let yaml = scope.key_yaml("probe", "");
    let probe = ["create", "--dry-run=server", "-f", "-"];
    eventually("the policy is in force", async || {
        let made = scope.kubectl_as(&user, &yaml, &probe);
        made.stderr.contains(REFUSED).then_some(())
    })
    .await;
    (scope, user)
}

impl Scope<'_> {
    /// Lets a user grant these roles in this namespace.
    async fn let_grant(&self, user: &str, names: &[&str]) {
        let role = format!("grant-{}", names.join("-").replace([':', '*'], "."));
        self.apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: {role}}}, \
             rules: [{{apiGroups: [apikey-operator.dev], resources: [roles], verbs: [grant], \
             resourceNames: {names:?}}}]}}"
        ));
        self.kubectl(&[
            "create",
            "rolebinding",
            &role,
            "--role",
            &role,
            "--user",
            user,
        ]);
        let last = names.last().unwrap();
        self.may(user, "grant", "roles.apikey-operator.dev", last)
            .await;
    }

    /// Applies a key as this user; the error output if it is refused.
    fn apply_key_as(&self, user: &str, name: &str, more: &str) -> Result<(), String> {
        let yaml = self.key_yaml(name, more);
        let applied = self.kubectl_as(user, &yaml, &["apply", "-f", "-"]);
        if applied.code == 0 {
            Ok(())
        } else {
            Err(applied.stderr)
        }
    }
}

/// Roles in YAML flow style: `prefix`0 and so on.
fn many(prefix: &str, count: usize) -> String {
    let roles: Vec<_> = (0..count).map(|i| format!("{prefix}{i}")).collect();
    format!("[{}]", roles.join(", "))
}

#[tokio::test]
async fn kubernetes_finds_nothing_to_warn_of_in_the_policies() {
    let (scope, _) = checked().await;
    for policy in ["role-grants", "secret-guard", "past-expiry"] {
        let policy = format!("apikey-operator-{policy}");
        let status = eventually(&format!("{policy} is checked"), async || {
            let get = ["get", "validatingadmissionpolicy", &policy, "-o", "json"];
            let policy: Value = serde_json::from_str(&scope.kubectl(&get)).unwrap();
            let status = policy["status"].clone();
            status["observedGeneration"].is_u64().then_some(status)
        })
        .await;
        assert_eq!(status["typeChecking"], serde_json::json!({}), "{policy}");
    }
}

#[tokio::test]
async fn a_role_that_one_may_grant_can_be_given_and_another_is_refused_with_the_rule_to_add() {
    let (scope, user) = checked().await;
    let org = scope.org();
    scope
        .let_grant(&user, &[&format!("{org}:build"), &format!("{org}:view")])
        .await;
    scope
        .apply_key_as(&user, "ci", "roles: [build, view]")
        .unwrap();
    let message = scope
        .apply_key_as(&user, "other", "roles: [build, deploy]")
        .unwrap_err();
    let text = [
        format!("user '{user}' may not grant role 'deploy' of organization '{org}'"),
        format!("in namespace '{}'", scope.namespace),
        format!(
            "{{apiGroups: [apikey-operator.dev], resources: [roles], resourceNames: \
             ['{org}:deploy'], verbs: [grant]}}"
        ),
    ];
    for part in text {
        assert!(message.contains(&part), "{message}");
    }
    assert!(scope.keys().get_opt("other").await.unwrap().is_none());
}

#[tokio::test]
async fn the_rule_of_the_message_is_what_helps_also_cluster_wide() {
    let (scope, user) = checked().await;
    scope
        .apply_key_as(&user, "ci", "roles: [build]")
        .unwrap_err();
    let (org, role) = (scope.org(), format!("grant-{}", scope.org()));
    scope.apply(&format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {role}}}, \
         rules: [{{apiGroups: [apikey-operator.dev], resources: [roles], \
         resourceNames: ['{org}:build'], verbs: [grant]}}]}}"
    ));
    let binding = [
        "create",
        "clusterrolebinding",
        &role,
        "--clusterrole",
        &role,
        "--user",
        &user,
    ];
    scope.kubectl(&binding);
    eventually("the user may grant the role", async || {
        scope.apply_key_as(&user, "ci", "roles: [build]").ok()
    })
    .await;
}

#[tokio::test]
async fn a_role_in_a_sub_organization_is_one_of_that_organization() {
    let (scope, user) = checked().await;
    let org = scope.org();
    scope
        .let_grant(&user, &[&format!("{org}:build"), &format!("{org}-tr:view")])
        .await;
    let key = |sub: &str| format!("roles: [build], subOrgs: [{{org: {org}-tr{sub}}}]");
    scope
        .apply_key_as(&user, "ci", &key(", roles: [view]"))
        .unwrap();
    let message = scope
        .apply_key_as(&user, "more", &key(", roles: [view, build]"))
        .unwrap_err();
    assert!(message.contains(&format!("'{org}-tr:build'")), "{message}");
    // A sub-organization without its own roles gets the roles of the key.
    let message = scope.apply_key_as(&user, "same", &key("")).unwrap_err();
    assert!(message.contains(&format!("'{org}-tr:build'")), "{message}");
}

#[tokio::test]
async fn a_change_needs_the_roles_that_it_adds_and_none_that_were_there() {
    let (scope, user) = checked().await;
    let org = scope.org();
    scope.apply_key("ci", "roles: [build, deploy]");
    let patch = |patch: &str| {
        let patch = ["patch", "apikey", "ci", "--type=merge", "-p", patch];
        scope.kubectl_as(&user, "", &patch)
    };
    patch(r#"{"metadata": {"labels": {"team": "a"}}}"#).done();
    patch(r#"{"spec": {"description": "uploads", "suspended": true}}"#).done();
    patch(r#"{"spec": {"suspended": false, "roles": ["deploy"]}}"#).done();
    let message = patch(r#"{"spec": {"roles": ["deploy", "build"]}}"#).failed(1);
    assert!(message.contains(&format!("'{org}:build'")), "{message}");
    // A right to grant a role in the key's organization is no right to grant it in a sub-organization.
    let sub = format!(r#"{{"spec": {{"subOrgs": [{{"org": "{org}-tr"}}]}}}}"#);
    let message = patch(&sub).failed(1);
    assert!(message.contains(&format!("'{org}-tr:deploy'")), "{message}");
    scope.let_grant(&user, &[&format!("{org}-tr:deploy")]).await;
    patch(&sub).done();
    // A new role of the key also applies to each sub-organization without its own roles.
    scope.let_grant(&user, &[&format!("{org}:build")]).await;
    let message = patch(r#"{"spec": {"roles": ["deploy", "build"]}}"#).failed(1);
    assert!(message.contains(&format!("'{org}-tr:build'")), "{message}");
    patch(r#"{"spec": {"subOrgs": null, "roles": ["deploy", "build"]}}"#).done();
}

#[tokio::test]
async fn whoever_may_not_grant_a_role_cannot_have_its_secret_handed_to_them() {
    let (scope, user) = checked().await;
    let org = scope.org();
    let [theirs, mine] = [(); 2].map(|()| age::x25519::Identity::generate().to_public());
    let with =
        |more: &str| format!("roles: [build], subOrgs: [{{org: {org}-tr, roles: [view]}}], {more}");
    scope.apply_key(
        "sealed",
        &with(&format!("secret: {{recipients: ['{theirs}']}}")),
    );
    scope.apply_key("once", &with("secret: {delivery: RevealOnce}"));
    scope.apply_key("kept", &with(""));
    let patch = |key: &str, patch: &str| {
        let patch = ["patch", "apikey", key, "--type=merge", "-p", patch];
        scope.kubectl_as(&user, "", &patch)
    };
    let annotate = |token: &str| {
        format!(
            r#"{{"metadata": {{"annotations": {{"apikey-operator.dev/rotate-requested-at": {token}}}}}}}"#
        )
    };
    let recipients = format!(r#"{{"spec": {{"secret": {{"recipients": ["{mine}"]}}}}}}"#);
    // Annotations can make other controllers copy a Secret.
    let copied =
        r#"{"spec": {"secret": {"template": {"annotations": {"example.com/copy-to": "mine"}}}}}"#;
    let days = |days: &str| format!(r#"{{"spec": {{"rotation": {{"everyDays": {days}}}}}}}"#);
    let handed_out = [
        ("sealed", recipients.clone()),
        ("sealed", annotate("\"now\"")),
        ("once", annotate("\"now\"")),
        ("sealed", days("1")),
        ("kept", copied.to_owned()),
        ("sealed", copied.to_owned()),
    ];
    let refuse = |missing: &str| {
        for (key, change) in &handed_out {
            let message = patch(key, change).failed(1);
            assert!(message.contains(missing), "{key} {change}: {message}");
            assert!(message.contains("hands it out"), "{message}");
        }
    };
    refuse(&format!("'{org}:build'"));
    // A change that gives nobody the secret needs no grant.
    patch("kept", &annotate("\"now\"")).done();
    patch("kept", &days("1")).done();
    patch(
        "sealed",
        r#"{"spec": {"description": "d", "suspended": true}}"#,
    )
    .done();
    patch("sealed", &annotate("null")).done();
    // The check includes roles in sub-organizations.
    scope.let_grant(&user, &[&format!("{org}:build")]).await;
    refuse(&format!("'{org}-tr:view'"));
    scope.let_grant(&user, &[&format!("{org}-tr:view")]).await;
    for (key, change) in &handed_out {
        patch(key, change).done();
    }
    patch("sealed", &days("2")).done();
}

#[tokio::test]
async fn who_administers_a_namespace_cannot_help_themselves_to_a_role() {
    let (scope, user) = checked().await;
    let admin = [
        "create",
        "rolebinding",
        "all",
        "--clusterrole=admin",
        "--user",
        &user,
    ];
    scope.kubectl(&admin);
    scope
        .may(&user, "create", "roles.rbac.authorization.k8s.io", "")
        .await;
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: mine}, \
                rules: [{apiGroups: [apikey-operator.dev], resources: [roles], verbs: [grant]}]}";
    let message = scope
        .kubectl_as(&user, role, &["create", "-f", "-"])
        .failed(1);
    assert!(
        message.contains("attempting to grant RBAC permissions"),
        "{message}"
    );
    scope.apply_key_as(&user, "ci", "").unwrap_err();
}

#[tokio::test]
async fn the_star_stands_for_every_role_and_any_number_of_them() {
    let (scope, user) = checked().await;
    let org = scope.org();
    let subs: Vec<_> = (0..32).map(|i| format!("{{org: {org}-{i:02}}}")).collect();
    let most = |prefix: &str| {
        let roles = many(prefix, 64);
        format!("roles: {roles}, subOrgs: [{}]", subs.join(", "))
    };
    // These roles have the longest total that is valid.
    let long = "r".repeat(22);
    let refused = scope.apply_key_as(&user, "most", &most(&long)).unwrap_err();
    assert!(refused.contains("may not grant role"), "{refused}");
    scope.let_grant(&user, &[&format!("{org}:*")]).await;
    scope.apply_key_as(&user, "most", &most(&long)).unwrap();
    scope
        .apply_key_as(&user, "most", &most(&"s".repeat(22)))
        .unwrap();
    // The grant applies only to keys of this organization.
    let elsewhere = format!("org: {org}-00, roles: [build]");
    scope.apply_key_as(&user, "sub", &elsewhere).unwrap_err();
}

#[tokio::test]
async fn twenty_roles_are_checked_one_by_one_and_more_get_an_instruction() {
    let (scope, user) = checked().await;
    let org = scope.org();
    let names: Vec<_> = (0..21).map(|i| format!("{org}:r{i}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    scope.let_grant(&user, &names).await;
    scope
        .apply_key_as(&user, "ci", &format!("roles: {}", many("r", 20)))
        .unwrap();
    let more = format!("roles: {}", many("r", 21));
    let message = scope.apply_key_as(&user, "more", &more).unwrap_err();
    assert!(
        message.contains("grants 21 roles") && message.contains(&format!("'{org}:*'")),
        "{message}"
    );
    scope.apply_key_as(&user, "ci", &more).unwrap();
}

#[tokio::test]
async fn to_try_it_out_it_warns_of_each_role_and_the_audit_log_has_them() {
    let cluster = Cluster::start_with(CHECK);
    cluster.install_chart(
        &[
            CHECK,
            &[
                "--set",
                "admission.roleGrants.validationActions={Warn,Audit}",
            ],
        ]
        .concat(),
    );
    let scope = cluster.scope().await;
    let user = scope.maker("maker").await;
    let yaml = scope.key_yaml("ci", "roles: [build, deploy]");
    let made = eventually("the policy is in force", async || {
        scope.try_kubectl(&["delete", "apikey", "ci", "--ignore-not-found"]);
        let made = scope.kubectl_as(&user, &yaml, &["create", "-f", "-"]);
        (made.code == 0 && made.stderr.contains("Warning")).then_some(made)
    })
    .await;
    for role in ["build", "deploy"] {
        let text = format!("may not grant role '{role}'");
        assert_eq!(made.stderr.matches(&text).count(), 1, "{made:?}");
    }
    made.done();
    let org = scope.org();
    let (granted, failed) = eventually("the audit log has the request", async || {
        let log = std::fs::read_to_string(cluster.control_plane.audit_log()).unwrap();
        let lines = log.lines().rev();
        let mut entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.find_map(|entry| {
            let annotations = &entry["annotations"];
            let granted = annotations["apikey-operator-role-grants/granted-roles"].as_str()?;
            let failed =
                annotations["validation.policy.admission.k8s.io/validation_failure"].as_str()?;
            Some((granted.to_owned(), failed.to_owned()))
        })
    })
    .await;
    assert_eq!(granted, format!("{org}:build {org}:deploy"));
    assert!(failed.contains(&format!("'{org}:deploy'")), "{failed}");
}
