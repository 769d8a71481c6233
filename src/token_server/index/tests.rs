use crate::watch::event::Event;

use super::*;
use crate::token_server::testing::{
    NOW, apikey, at, document, index, organization, record, ring, secret,
};
use apikey_credential::record::CredentialRecord;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn standing(index: &Index, n: u8) -> Option<Standing> {
    Some(index.get(secret(n).key_id())?.standing.clone())
}

fn roles(index: &Index, n: u8) -> Vec<String> {
    match standing(index, n) {
        Some(Standing::Usable { grants, .. }) => grants[0].roles.clone(),
        _ => Vec::new(),
    }
}

#[test]
fn a_key_is_there_once_both_it_and_its_record_are_in_either_order() {
    let ring = ring();
    for record_first in [true, false] {
        let index = Index::new(false);
        if record_first {
            index.record(Event::Apply(record(document(1, &ring)).into()));
            assert!(index.is_empty());
            index.apikey(&WatchScope::Everything, Event::Apply(apikey(1).into()));
        } else {
            index.apikey(&WatchScope::Everything, Event::Apply(apikey(1).into()));
            assert!(index.is_empty());
            index.record(Event::Apply(record(document(1, &ring)).into()));
        }
        assert_eq!(roles(&index, 1), ["viewer"]);
    }
}

#[test]
fn deleting_suspending_and_changing_roles_take_effect_at_once() {
    let ring = ring();
    let index = index(3, &ring);
    index.apikey(
        &WatchScope::Everything,
        Event::Delete(Identity::of(&apikey(1))),
    );
    assert_eq!(standing(&index, 1), None);

    let mut suspended = apikey(2);
    suspended.spec.suspended = true;
    index.apikey(&WatchScope::Everything, Event::Apply(suspended.into()));
    assert_eq!(standing(&index, 2), Some(Standing::Suspended));
    index.apikey(&WatchScope::Everything, Event::Apply(apikey(2).into()));
    assert_eq!(roles(&index, 2), ["viewer"]);

    let mut changed = apikey(3);
    changed.spec.roles = vec!["operator".into()];
    index.apikey(&WatchScope::Everything, Event::Apply(changed.into()));
    assert_eq!(roles(&index, 3), ["operator"]);

    let mut deleting = apikey(3);
    deleting.metadata.deletion_timestamp = deleting.metadata.creation_timestamp.clone();
    index.apikey(&WatchScope::Everything, Event::Apply(deleting.into()));
    assert_eq!(standing(&index, 3), Some(Standing::Deleted));
}

#[test]
fn a_list_removes_what_it_does_not_show_and_only_when_it_is_complete() {
    let ring = ring();
    let index = index(2, &ring);
    index.apikey(&WatchScope::Everything, Event::Init);
    index.apikey(&WatchScope::Everything, Event::InitApply(apikey(2).into()));
    assert!(standing(&index, 1).is_some());
    index.apikey(&WatchScope::Everything, Event::InitDone);
    assert!(standing(&index, 1).is_none() && standing(&index, 2).is_some());

    index.record(Event::Init);
    assert!(standing(&index, 2).is_some());
    index.record(Event::InitDone);
    assert!(standing(&index, 2).is_none());
}

#[test]
fn a_list_of_one_namespace_leaves_the_keys_of_others_served() {
    let ring = ring();
    let index = index(0, &ring);
    let [team, other] = ["team", "other"].map(|name| WatchScope::Namespace(name.into()));
    index.apikey(&team, Event::Apply(apikey(1).into()));
    index.record(Event::Apply(record(document(1, &ring)).into()));
    let mut foreign = document(2, &ring);
    foreign.owner.namespace = "other".into();
    index.record(Event::Apply(record(foreign).into()));
    let mut key = apikey(2);
    key.metadata.namespace = Some("other".into());
    index.apikey(&other, Event::Init);
    index.apikey(&other, Event::InitApply(key.into()));
    // Another list begins and ends while this one is in progress.
    index.apikey(&team, Event::Init);
    index.apikey(&team, Event::InitApply(apikey(1).into()));
    index.apikey(&team, Event::InitDone);
    index.apikey(&other, Event::InitDone);
    assert!(standing(&index, 1).is_some() && standing(&index, 2).is_some());

    index.apikey(&team, Event::Init);
    index.apikey(&team, Event::InitDone);
    assert!(standing(&index, 1).is_none() && standing(&index, 2).is_some());
}

#[test]
fn a_list_of_one_namespace_leaves_the_labels_of_others() {
    let index = index(0, &ring());
    let labelled = |name: &str| NamespaceLabels {
        name: name.into(),
        uid: name.into(),
        resource_version: "1".into(),
        labels: Arc::new([("of".into(), name.into())].into()),
    };
    for name in ["a", "b", "a"] {
        let scope = WatchScope::Namespace(name.into());
        index.namespace(&scope, Event::Init);
        index.namespace(&scope, Event::InitApply(labelled(name).into()));
        index.namespace(&scope, Event::InitDone);
    }
    index.namespace(&WatchScope::Namespace("a".into()), Event::Init);
    index.namespace(&WatchScope::Namespace("a".into()), Event::InitDone);
    let state = index.state.lock();
    assert_eq!(state.quota_index.labels("a"), None);
    assert_eq!(state.quota_index.labels("b").unwrap()["of"], "b");
}

#[test]
fn a_key_made_again_under_its_name_does_not_inherit_the_secret() {
    let ring = ring();
    let index = index(1, &ring);
    let mut again = apikey(1);
    again.metadata.uid = Some("another".into());
    index.apikey(&WatchScope::Everything, Event::Apply(again.into()));
    assert_eq!(standing(&index, 1), None);
}

#[test]
fn an_id_stays_with_the_earlier_record_in_any_order_and_passes_on_only_with_it() {
    let ring = ring();
    let first = document(1, &ring);
    let mut second = document(2, &ring);
    second.key_id = first.key_id.clone();
    second.key_id_since = Some(Time(at(NOW + 60)));
    let uid = |index: &Index| index.get(&first.key_id).map(|known| known.uid.to_string());
    let arrivals = [
        Event::Apply(record(first.clone()).into()),
        Event::Apply(record(second.clone()).into()),
    ];
    for reversed in [false, true] {
        for keys in [[1, 2], [2, 1]] {
            for records_first in [false, true] {
                let index = Index::new(false);
                let mut arrivals = arrivals.clone();
                if reversed {
                    arrivals.reverse();
                }
                let give_keys = || {
                    for n in keys {
                        index.apikey(&WatchScope::Everything, Event::Apply(apikey(n).into()));
                    }
                };
                if !records_first {
                    give_keys();
                }
                for arrival in arrivals {
                    index.record(arrival);
                }
                if records_first {
                    give_keys();
                }
                assert_eq!(uid(&index).as_deref(), Some("uid-1"));
                assert_eq!(index.refused_ids(), 1);
                // A deleted key keeps its id while its credential record exists.
                index.apikey(
                    &WatchScope::Everything,
                    Event::Delete(Identity::of(&apikey(1))),
                );
                assert_eq!(uid(&index), None);
                let gone = record(first.clone());
                index.record(Event::Delete(Identity::of(&gone)));
                assert_eq!(uid(&index).as_deref(), Some("uid-2"));
                assert_eq!(index.refused_ids(), 0);
            }
        }
    }
}

#[test]
fn a_record_with_another_id_takes_the_earlier_id_out_of_service() {
    let ring = ring();
    let index = index(1, &ring);
    let old = document(1, &ring);
    let mut new = document(1, &ring);
    new.key_id = apikey_credential::KeyId::from_entropy([99; 10]);
    index.record(Event::Apply(record(new.clone()).into()));
    assert!(index.get(&old.key_id).is_none() && index.get(&new.key_id).is_some());
}

#[test]
fn rules_of_an_organization_reach_its_keys_as_they_change() {
    let ring = ring();
    let index = index(1, &ring);
    let none = organization("acme", |spec| {
        spec.allowed_namespaces.from = apikey_api::FromNamespaces::Names;
        spec.allowed_namespaces.names = vec!["elsewhere".into()];
    });
    index.organization(Event::Apply(none.clone().into()));
    assert_eq!(standing(&index, 1), Some(Standing::NotAllowed));
    index.organization(Event::Delete(Identity::of(&none)));
    assert_eq!(roles(&index, 1), ["viewer"]);
}

#[test]
fn over_the_quota_the_oldest_keys_are_served() {
    let ring = ring();
    let index = index(2, &ring);
    index.organization(Event::Apply(
        organization("acme", |spec| {
            spec.limits.get_or_insert_default().max_keys = Some(1);
        })
        .into(),
    ));
    assert_eq!(roles(&index, 1), ["viewer"]);
    assert_eq!(standing(&index, 2), Some(Standing::NotAllowed));
    index.apikey(
        &WatchScope::Everything,
        Event::Delete(Identity::of(&apikey(1))),
    );
    assert_eq!(roles(&index, 2), ["viewer"]);
}

#[test]
fn a_record_that_can_no_longer_be_read_leaves_its_key_served() {
    let ring = ring();
    let index = index(1, &ring);
    let mut damaged = record(document(1, &ring));
    damaged.document = CredentialRecord::parse(b"{\"version\": 99}");
    index.record(Event::Apply(damaged.into()));
    assert_eq!(roles(&index, 1), ["viewer"]);
}

#[test]
fn a_record_under_the_name_of_another_key_is_ignored() {
    let ring = ring();
    let index = index(1, &ring);
    let mut swapped = record(document(2, &ring));
    swapped.metadata.name = Some(apikey_api::names::record_secret("uid-1"));
    index.record(Event::Apply(swapped.into()));
    assert!(standing(&index, 1).is_some() && standing(&index, 2).is_none());
}

#[test]
fn a_change_of_last_use_alone_makes_no_new_credential() {
    let ring = ring();
    let index = index(1, &ring);
    let before = index.get(secret(1).key_id()).unwrap();
    let mut used = apikey(1);
    let status = used.status.get_or_insert_default();
    status.last_used_at = used.metadata.creation_timestamp.clone();
    index.apikey(&WatchScope::Everything, Event::Apply(used.clone().into()));
    assert!(Arc::ptr_eq(
        &before,
        &index.get(secret(1).key_id()).unwrap()
    ));
    assert!(index.last_used_at(&KeyRef::of(&used)).is_some());
}

#[test]
fn keys_of_a_lost_pepper_are_known_and_their_number_falls_when_it_is_back() {
    let ring = ring();
    let index = index(2, &ring);
    assert_eq!(
        (index.argon2_only(), index.dummy_hash().is_some()),
        (0, false)
    );
    index.use_peppers(crate::token_server::testing::ring());
    assert_eq!(
        (index.argon2_only(), index.dummy_hash().is_some()),
        (2, true)
    );
    index.record(Event::Delete(Identity::of(&record(document(1, &ring)))));
    assert_eq!(index.argon2_only(), 1);
    index.use_peppers(ring);
    assert_eq!(
        (index.argon2_only(), index.dummy_hash().is_some()),
        (0, false)
    );
}

#[test]
fn an_unknown_id_is_answered_with_some_other_key_and_a_known_one_with_its_own() {
    let ring = ring();
    let index = index(3, &ring);
    for n in 1..=3 {
        let id = secret(n).key_id().clone();
        assert_eq!(index.nearest(&id).unwrap().key_id(), &id);
    }
    for unknown in [0, 9, u8::MAX] {
        let id = secret(unknown).key_id().clone();
        let nearest = index.nearest(&id).unwrap();
        assert!(nearest.key_id() != &id && index.get(&id).is_none());
    }
    let none = self::index(0, &ring);
    assert!(none.nearest(secret(1).key_id()).is_none());
}
