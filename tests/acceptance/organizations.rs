//! The rules of organizations, and their effect on keys.

use apikey_api::{ApiKey, Organization, conditions};
use kube::Api;

use crate::support::{Cluster, Login, Scope, eventually};

const ALL: &str = "{allowedNamespaces: {from: All}}";

fn roles(key: &ApiKey) -> Vec<String> {
    key.status
        .as_ref()
        .map(|status| status.roles.clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn an_undeclared_organization_works_where_none_is_required_and_comes_under_the_rules_once_declared()
 {
    let cluster = Cluster::start();
    let _operator = cluster.operator(&["--require-organizations=false"]);
    let scope = cluster.undeclared_scope().await;
    scope.apply_key("ci", "roles: [anything]");
    let key = scope.ready("ci").await;
    let message = &key.status.unwrap().conditions[1].message;
    assert!(message.contains("is not declared"), "{message}");
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: build}]}",
    );
    let message = scope.refused("ci", "UnknownRole").await;
    assert!(
        message.contains("[anything]") && message.contains("[build]"),
        "{message}"
    );
    scope.apply_key("ci", "roles: [build, anything]");
    let key = scope.ready("ci").await;
    assert_eq!(roles(&key), ["build"]);
    assert!(
        key.status.unwrap().conditions[1]
            .message
            .contains("[anything]")
    );
}

#[tokio::test]
async fn a_key_waits_for_its_organization_and_then_heals() {
    let scope = Scope::shared_and_undeclared().await;
    scope.apply_key("ci", "");
    let message = scope.refused("ci", "OrganizationNotFound").await;
    assert!(message.contains("create it"), "{message}");
    scope.wait("condition=Reconciling", "apikey/ci");
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
    scope.declare(scope.org(), ALL);
    scope.ready("ci").await;
}

#[tokio::test]
async fn an_organization_that_is_deleted_closes_its_keys_and_one_that_comes_back_opens_them() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let credential = scope.usable(server, "ci", "").await;
    let login = Login::of(&credential);
    let before = scope.delivered("ci").await.metadata.uid;
    scope.kubectl(&["delete", "organization", scope.org()]);
    let refusal = "the token server refuses the key without the Organization";
    eventually(refusal, async || {
        (server.token_of(&login).status == 401).then_some(())
    })
    .await;
    let message = scope.refused("ci", "OrganizationNotFound").await;
    assert!(message.contains("create it"), "{message}");
    scope.declare_own();
    scope.ready("ci").await;
    server.token_for(&credential).await;
    assert_eq!(scope.delivered("ci").await.metadata.uid, before);
    eventually(
        "an Event reports that the key is usable again",
        async || {
            let events = scope.kubectl(&["events", "--for", "apikey/ci", "-o", "json"]);
            events.contains("\"Recovered\"").then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn keys_of_before_organizations_were_required_wait_with_their_secrets_until_theirs_exists() {
    let cluster = Cluster::start();
    let open = ["--require-organizations=false"];
    let scope = cluster.undeclared_scope().await;
    let credential = {
        let _operator = cluster.operator(&open);
        let server = cluster.token_server(&open);
        server.ready().await;
        scope.usable(&server, "ci", "roles: [anything]").await
    };
    let _operator = cluster.operator(&[]);
    let server = cluster.token_server(&[]);
    server.ready().await;
    scope.refused("ci", "OrganizationNotFound").await;
    assert_eq!(server.token_of(&Login::of(&credential)).status, 401);
    scope.declare_own();
    scope.ready("ci").await;
    server.token_for(&credential).await;
}

#[tokio::test]
async fn only_allowed_namespaces_make_keys_by_name_and_by_label() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: Names, names: [elsewhere]}}",
    );
    scope.apply_key("ci", "");
    scope.refused("ci", "NamespaceNotAllowed").await;
    let selector = "{allowedNamespaces: {from: Selector, selector: {matchLabels: {tier: prod}}}}";
    scope.declare(scope.org(), ALL);
    scope.ready("ci").await;
    scope.declare(scope.org(), selector);
    scope.refused("ci", "NamespaceNotAllowed").await;
    scope.kubectl(&["label", "namespace", &scope.namespace, "tier=prod"]);
    scope.ready("ci").await;
    scope.kubectl(&["label", "namespace", &scope.namespace, "tier-"]);
    scope.refused("ci", "NamespaceNotAllowed").await;
}

#[tokio::test]
async fn a_refusal_names_whom_to_ask() {
    let scope = Scope::shared().await;
    let org = scope.org();
    let owned = |owners: &str| {
        format!("{{allowedNamespaces: {{from: All}}, roles: [{{key: build}}], owners: {owners}}}")
    };
    scope.declare(org, &owned("[security@acme.example, '#keys']"));
    scope.apply_key("ci", "roles: [deploy]");
    let message = scope.refused("ci", "UnknownRole").await;
    assert!(
        message.ends_with("; ask security@acme.example, #keys"),
        "{message}"
    );
    let tree = scope.plugin(&["status", "ci"]).done();
    assert!(
        tree.contains("owners: security@acme.example, #keys"),
        "{tree}"
    );
    let wide = scope.kubectl(&["get", "org", org, "-o", "wide"]);
    assert!(
        wide.contains("OWNERS") && wide.contains(r##"["security@acme.example","#keys"]"##),
        "{wide}"
    );

    scope.declare(org, &owned("[ops@acme.example]"));
    scope
        .key("ci", "with the new owner", |key| {
            let status = key.status.as_ref().unwrap();
            let ready = conditions::find(&status.conditions, conditions::READY);
            ready.is_some_and(|ready| ready.message.ends_with("; ask ops@acme.example"))
        })
        .await;

    let many = format!("[{}]", vec!["x"; 17].join(", "));
    for refused in ["['']", r#"["two\nlines"]"#, "[a, a]", many.as_str()] {
        let yaml = format!(
            "{{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, \
             metadata: {{name: {org}}}, spec: {}}}",
            owned(refused)
        );
        let error = scope.try_apply(&yaml).unwrap_err();
        assert!(error.contains("spec.owners"), "{error}");
    }
}

#[tokio::test]
async fn over_the_quota_the_oldest_keys_win_and_a_freed_place_is_taken_by_the_next() {
    let scope = Scope::shared().await;
    let sub = format!("{}-sub", scope.org());
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, limits: {maxKeys: 2}}",
    );
    scope.declare(
        &sub,
        &format!(
            "{{parent: {}, allowedNamespaces: {{from: All}}}}",
            scope.org()
        ),
    );
    scope.apply_key("one", "");
    scope.ready("one").await;
    next_second(&scope.ready("one").await).await;
    scope.apply_key("two", &format!("org: {sub}"));
    let two = scope.ready("two").await;
    next_second(&two).await;
    scope.apply_key("three", "");
    let message = scope.refused("three", "QuotaExceeded").await;
    assert!(message.contains("maxKeys"), "{message}");
    assert!(scope.secrets().get_opt("three").await.unwrap().is_none());
    scope.kubectl(&["delete", "apikey", "one"]);
    scope.ready("three").await;
    scope.ready("two").await;
}

/// Waits until a new object is younger than this one. Creation times are whole seconds.
async fn next_second(key: &ApiKey) {
    let created = key
        .metadata
        .creation_timestamp
        .as_ref()
        .unwrap()
        .0
        .as_second();
    eventually("the next second begins", async || {
        (apikey_client::clock::Clock::system().now().as_second() > created).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lifetime_beyond_the_limit_is_refused_with_the_latest_date() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, limits: {maxLifetimeDays: 1}}",
    );
    scope.apply_key("ci", "expiry: '2027-05-24T00:00:00Z'");
    let message = scope.refused("ci", "LifetimeTooLong").await;
    assert!(message.contains("create it with an expiry of"), "{message}");
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
}

#[tokio::test]
async fn a_sub_organization_waits_for_its_parent_and_inherits_the_catalogue() {
    let scope = Scope::shared_and_undeclared().await;
    let sub = format!("{}-sub", scope.org());
    scope.declare(
        &sub,
        &format!(
            "{{parent: {}, allowedNamespaces: {{from: All}}}}",
            scope.org()
        ),
    );
    scope.apply_key("ci", &format!("org: {sub}, roles: [build]"));
    scope.refused("ci", "ParentNotFound").await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: build}]}",
    );
    scope.ready("ci").await;
    let deep = format!("{sub}-deep");
    scope.declare(
        &deep,
        &format!("{{parent: {sub}, allowedNamespaces: {{from: All}}}}"),
    );
    let refused = "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=ParentNotRoot";
    scope.wait(refused, &format!("organization/{deep}"));
}

#[tokio::test]
async fn an_organization_reports_its_id_and_how_many_keys_it_has() {
    let scope = Scope::shared().await;
    scope.declare(scope.org(), ALL);
    scope.apply_key("one", "");
    scope.apply_key("two", "");
    scope.apply_key("past", "expiry: '2020-01-01T00:00:00Z'");
    let organizations = Api::<Organization>::all(scope.client.clone());
    let status = eventually(
        "the organization counts two active keys and an expired one",
        async || {
            let status = organizations.get(scope.org()).await.unwrap().status?;
            (status.active_keys == Some(2) && status.expired_keys == Some(1)).then_some(status)
        },
    )
    .await;
    let id = apikey_policy::default_organization_id(scope.org());
    assert_eq!(status.id, Some(id.to_string()));
}

#[tokio::test]
async fn a_key_of_the_root_reports_which_sub_organizations_it_does_not_cover() {
    let scope = Scope::shared().await;
    let sub = format!("{}-sub", scope.org());
    let root = scope.org().to_owned();
    scope.declare(&root, ALL);
    scope.apply_key("ci", &format!("subOrgs: [{{org: {sub}}}]"));
    let ready_with_message = async |what: &str, left_out: bool| {
        let key = scope.key("ci", what, |key| {
            let conditions = &key.status.as_ref().unwrap().conditions;
            let ready = conditions::find(conditions, conditions::READY).unwrap();
            ready.status == "True" && ready.message.contains("are left out") == left_out
        });
        key.await
    };
    ready_with_message(
        "without access to a sub-organization that does not exist",
        true,
    )
    .await;
    let below =
        format!("{{parent: {root}, allowedNamespaces: {{from: Names, names: [elsewhere]}}}}");
    scope.declare(&sub, &below);
    ready_with_message(
        "with access to the sub-organization, although that one does not allow this namespace",
        false,
    )
    .await;
    let other = format!(
        "{{parent: {root}, roles: [{{key: other}}], \
         allowedNamespaces: {{from: Names, names: [elsewhere]}}}}"
    );
    scope.declare(&sub, &other);
    ready_with_message("without a role in the sub-organization", true).await;
    scope.apply_key("ci", &format!("subOrgs: [{{org: {sub}, roles: [other]}}]"));
    let key = ready_with_message("with a role of the sub-organization's catalogue", false).await;
    assert_eq!(
        roles(&key),
        ["viewer"],
        "the status has only the roles of its own organization"
    );
    scope.kubectl(&["delete", "organization", &sub]);
    ready_with_message("without access to the deleted sub-organization", true).await;
}

#[tokio::test]
async fn a_key_has_the_audiences_that_its_organization_allows() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, audiences: [builds]}",
    );
    scope.apply_key("ci", "token: {audiences: [cluster]}");
    let message = scope.refused("ci", "AudienceNotAllowed").await;
    assert!(
        message.contains("[cluster]") && message.contains("[builds]"),
        "{message}"
    );
    assert!(scope.secrets().get_opt("ci").await.unwrap().is_none());
    scope.apply_key("ci", "token: {audiences: [builds, cluster]}");
    let key = scope.ready("ci").await;
    let conditions = key.status.unwrap().conditions;
    let ready = conditions::find(&conditions, conditions::READY).unwrap();
    assert!(ready.message.contains("[cluster]"), "{}", ready.message);
}

#[tokio::test]
async fn a_change_of_an_organization_has_those_looked_at_that_it_concerns_and_no_others() {
    const ORGANIZATIONS: usize = 40;
    const LOOKS: &str =
        "controller_runtime_reconcile_total{controller=\"organization\",result=\"success\"}";
    let cluster = Cluster::start();
    let operator = cluster.operator(&[]);
    let scope = cluster.undeclared_scope().await;
    let root = scope.org().to_owned();
    let below = format!("{{parent: {root}, allowedNamespaces: {{from: All}}}}");
    for n in 0..ORGANIZATIONS {
        scope.declare(&format!("{root}-other-{n}"), ALL);
    }
    scope.declare(&format!("{root}-sub"), &below);
    let organizations = Api::<Organization>::all(scope.client.clone());
    let reason = async |name: &str, wanted: &str| {
        eventually(wanted, async || {
            let status = organizations.get(name).await.unwrap().status?;
            let ready = conditions::find(&status.conditions, conditions::READY)?;
            (ready.reason == wanted).then_some(())
        })
        .await;
    };
    reason(&format!("{root}-sub"), "ParentNotFound").await;
    for n in 0..ORGANIZATIONS {
        reason(&format!("{root}-other-{n}"), "Accepted").await;
    }

    let before = operator.metric(LOOKS).unwrap();
    scope.declare(&root, ALL);
    reason(&root, "Accepted").await;
    reason(&format!("{root}-sub"), "Accepted").await;
    let taken = format!(
        "{{id: {}, allowedNamespaces: {{from: All}}}}",
        apikey_policy::default_organization_id(&format!("{root}-other-0"))
    );
    scope.declare(&format!("{root}-taker"), &taken);
    reason(&format!("{root}-taker"), "IdConflict").await;
    scope.kubectl(&["delete", "organization", &format!("{root}-other-0")]);
    reason(&format!("{root}-taker"), "Accepted").await;
    scope.kubectl(&["delete", "organization", &root]);
    reason(&format!("{root}-sub"), "ParentNotFound").await;
    let looks = operator.metric(LOOKS).unwrap() - before;
    assert!(looks < 20.0, "{looks} reconciles for four changes");
}
