use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use apikey_api::{ApiKeySpec, ApiKeyStatus, OrganizationLimits, OrganizationSpec};

fn apikey(org: &str, namespace: &str, name: &str, created: i64) -> ApiKey {
    let mut key = ApiKey::new(
        name,
        ApiKeySpec {
            org: org.into(),
            ..ApiKeySpec::default()
        },
    );
    key.metadata.namespace = Some(namespace.into());
    key.metadata.uid = Some(format!("uid-{namespace}-{name}"));
    key.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
    key
}

fn declared(parent: Option<&str>, max_keys: Option<i64>) -> Arc<Organization> {
    let limits = OrganizationLimits {
        max_keys,
        ..OrganizationLimits::default()
    };
    let spec = OrganizationSpec {
        parent: parent.map(Into::into),
        limits: Some(limits),
        ..OrganizationSpec::default()
    };
    Arc::new(Organization::new("unused", spec))
}

fn key(name: &str) -> KeyRef {
    KeyRef::new("ns", name)
}

fn admitted(quota_index: &QuotaIndex, names: &[&str]) -> Vec<bool> {
    names
        .iter()
        .map(|name| quota_index.over_quota(&key(name)).is_none())
        .collect()
}

#[test]
fn the_oldest_keys_keep_their_place_and_a_freed_one_is_taken_by_the_next() {
    let mut quota_index = QuotaIndex::default();
    quota_index.declare("acme", Some(declared(None, Some(2))));
    quota_index.upsert(&apikey("acme", "ns", "c", 3));
    quota_index.upsert(&apikey("acme", "ns", "b", 2));
    assert_eq!(
        quota_index.upsert(&apikey("acme", "ns", "a", 1)),
        [key("c")]
    );
    assert_eq!(
        admitted(&quota_index, &["a", "b", "c"]),
        [true, true, false]
    );
    assert_eq!(quota_index.remove(&key("a")), [key("c")]);
    assert_eq!(admitted(&quota_index, &["b", "c"]), [true, true]);
}

#[test]
fn keys_of_sub_organizations_count_for_the_parent_in_any_order_of_arrival() {
    let mut quota_index = QuotaIndex::default();
    quota_index.upsert(&apikey("sub", "ns", "s", 1));
    quota_index.upsert(&apikey("root", "ns", "r", 2));
    assert_eq!(
        quota_index.declare("root", Some(declared(None, Some(1)))),
        [key("r")]
    );
    assert_eq!(admitted(&quota_index, &["s", "r"]), [true, true]);
    assert_eq!(
        quota_index.declare("sub", Some(declared(Some("root"), None))),
        [key("r"), key("s")]
    );
    assert_eq!(admitted(&quota_index, &["s", "r"]), [true, false]);
    let over = quota_index.over_quota(&key("r")).unwrap();
    assert_eq!((over.organization.as_str(), over.max_keys), ("root", 1));
    quota_index.declare("sub", None);
    assert_eq!(admitted(&quota_index, &["s", "r"]), [true, true]);
}

/// Keys of the parent may list the sub-organization in `subOrgs`.
#[test]
fn a_change_of_a_sub_organization_concerns_the_keys_of_the_parent_it_has_and_had() {
    let mut quota_index = QuotaIndex::default();
    for (org, name) in [("one", "a"), ("two", "b"), ("sub", "s"), ("else", "e")] {
        quota_index.upsert(&apikey(org, "ns", name, 1));
    }
    let below = |parent| Some(declared(Some(parent), None));
    assert_eq!(
        quota_index.declare("sub", below("one")),
        [key("a"), key("s")]
    );
    assert_eq!(
        quota_index.declare("sub", below("two")),
        [key("a"), key("b"), key("s")]
    );
    assert_eq!(
        quota_index.declare("sub", Some(declared(None, None))),
        [key("b"), key("s")]
    );
    assert_eq!(quota_index.declare("sub", None), [key("s")]);
    quota_index.declare("sub", below("one"));
    assert_eq!(quota_index.declare("sub", None), [key("a"), key("s")]);
}

#[test]
fn a_key_from_a_namespace_that_is_not_allowed_takes_nobodys_place() {
    let mut quota_index = QuotaIndex::default();
    let mut acme = Organization::clone(&declared(None, Some(1)));
    acme.spec.allowed_namespaces.from = apikey_api::FromNamespaces::Names;
    acme.spec.allowed_namespaces.names = vec!["ns".into()];
    quota_index.declare("acme", Some(Arc::new(acme)));
    quota_index.upsert(&apikey("acme", "elsewhere", "old", 1));
    quota_index.upsert(&apikey("acme", "ns", "new", 2));
    assert_eq!(admitted(&quota_index, &["new"]), [true]);
}

#[test]
fn phases_are_tallied_per_organization() {
    let mut quota_index = QuotaIndex::default();
    let mut one = apikey("acme", "ns", "a", 1);
    quota_index.upsert(&one);
    one.status = Some(ApiKeyStatus {
        phase: Some(Phase::Active),
        ..Default::default()
    });
    quota_index.upsert(&one);
    quota_index.upsert(&one);
    assert_eq!(
        quota_index.phase_counts("acme"),
        PhaseCounts {
            active: 1,
            ..PhaseCounts::default()
        }
    );
    quota_index.remove(&key("a"));
    assert_eq!(quota_index.counts_by_org(false), []);
}

fn pending(keys: i64) -> PhaseCounts {
    PhaseCounts {
        pending: keys,
        ..PhaseCounts::default()
    }
}

#[test]
fn keys_that_no_organization_allows_are_counted_under_no_name() {
    let mut quota_index = QuotaIndex::default();
    let mut acme = Organization::clone(&declared(None, None));
    acme.spec.allowed_namespaces.from = apikey_api::FromNamespaces::Names;
    acme.spec.allowed_namespaces.names = vec!["ns".into()];
    let mut all = acme.clone();
    all.spec.allowed_namespaces.from = apikey_api::FromNamespaces::All;
    quota_index.declare("acme", Some(Arc::new(acme)));
    assert_eq!(quota_index.counts_by_org(true), [("acme", pending(0))]);
    quota_index.upsert(&apikey("acme", "ns", "own", 1));
    let mut strange = apikey("acme", "elsewhere", "strange", 1);
    quota_index.upsert(&strange);
    quota_index.upsert(&apikey("made-up", "elsewhere", "a", 1));
    quota_index.upsert(&apikey("made-up-too", "elsewhere", "b", 1));
    let uncounted = quota_index.counts_by_org(true);
    assert_eq!(uncounted, [("acme", pending(1)), ("", pending(3))]);
    let named = [
        ("acme", pending(1)),
        ("made-up", pending(1)),
        ("made-up-too", pending(1)),
        ("", pending(1)),
    ];
    assert_eq!(quota_index.counts_by_org(false), named, "any name will do");

    strange.status = Some(ApiKeyStatus {
        phase: Some(Phase::Active),
        ..Default::default()
    });
    quota_index.upsert(&strange);
    assert_eq!(
        quota_index.phase_counts("acme"),
        pending(1),
        "whatever its status says"
    );
    quota_index.declare("acme", Some(Arc::new(all)));
    let both = PhaseCounts {
        pending: 1,
        active: 1,
        expired: 0,
    };
    assert_eq!(
        quota_index.counts_by_org(true),
        [("acme", both), ("", pending(2))]
    );
    for name in ["strange", "a", "b"] {
        quota_index.remove(&KeyRef::new("elsewhere", name));
    }
    assert_eq!(quota_index.counts_by_org(true), [("acme", pending(1))]);
}

proptest! {
    /// The model sorts all keys by age and admits the first `max`.
    #[test]
    fn places_are_those_of_the_oldest(
        steps in prop::collection::vec((0..12_i64, any::<bool>(), 0..6_i64), 1..60),
    ) {
        let mut quota_index = QuotaIndex::default();
        let mut model: BTreeMap<i64, ApiKey> = BTreeMap::new();
        for (n, add, max) in steps {
            let one = apikey("acme", "ns", &format!("k{n}"), (n * 7) % 5);
            if add {
                quota_index.upsert(&one);
                model.insert(n, one);
            } else {
                quota_index.remove(&KeyRef::of(&one));
                model.remove(&n);
            }
            quota_index.declare("acme", Some(declared(None, Some(max))));
            let mut by_age: Vec<_> = model.values().collect();
            by_age.sort_by_key(|k| {
                (k.metadata.creation_timestamp.clone().map(|t| t.0), k.metadata.uid.clone())
            });
            for (rank, one) in by_age.into_iter().enumerate() {
                let has_place = i64::try_from(rank).unwrap() < max;
                prop_assert_eq!(quota_index.over_quota(&KeyRef::of(one)).is_none(), has_place);
            }
        }
    }
}
