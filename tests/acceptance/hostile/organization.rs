//! Organizations that this version can't read, like those that a newer version may store.

use super::World;
use crate::support::Cluster;

#[tokio::test]
async fn an_organization_that_can_t_be_read_is_not_undeclared_its_keys_are_refused_until_it_can() {
    let cluster = Cluster::start();
    let mut world = World::start(&cluster).await;
    let (attacker, victim) = (&world.attacker, &world.victim);
    let [bad, good] = [
        world.key(attacker, "bad").await,
        world.key(victim, "good").await,
    ];
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/\
                allowedNamespaces/properties/from/enum/-";
    let newer = format!(r#"[{{"op": "add", "path": "{path}", "value": "Galaxies"}}]"#);
    attacker.kubectl(&[
        "patch",
        "crd",
        "organizations.apikey-operator.dev",
        "--type=json",
        "-p",
        &newer,
    ]);
    let unreadable = "{allowedNamespaces: {from: Galaxies}}";
    let yaml = format!(
        "{{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, \
         metadata: {{name: {}}}, spec: {unreadable}}}",
        attacker.org()
    );
    crate::support::eventually("the API server accepts the newer form", async || {
        attacker.try_apply(&yaml).ok()
    })
    .await;
    world.refused("a key of the organization", &bad).await;
    attacker.refused("bad", "OrganizationUnreadable").await;
    assert_eq!(world.token(&good).status, 200);
    let series = r#"apikey_unreadable_objects{kind="Organization"}"#;
    assert_eq!(world.operator.metric(series), Some(1.0));
    crate::support::eventually("an Event reports the unreadable Organization", async || {
        let events = victim.try_kubectl(&["get", "events", "-A", "-o", "wide"])?;
        let is_about_it = |line: &str| line.contains("Unreadable") && line.contains(attacker.org());
        events.lines().any(is_about_it).then_some(())
    })
    .await;

    world.restart(&cluster).await;
    let (attacker, victim) = (&world.attacker, &world.victim);
    assert_eq!(world.token(&bad).status, 401);
    world.key(victim, "new").await;
    attacker.declare(attacker.org(), "{allowedNamespaces: {from: All}}");
    crate::support::eventually("the token server serves the keys again", async || {
        (world.token(&bad).status == 200).then_some(())
    })
    .await;
    crate::support::eventually("no object is unreadable", async || {
        (world.operator.metric(series)? == 0.0).then_some(())
    })
    .await;
}
