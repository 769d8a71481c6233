use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;

use super::*;
use apikey_client::object::Stored;

fn object(name: &str, version: u64) -> ConfigMap {
    object_in("ns", name, version)
}

fn object_in(namespace: &str, name: &str, version: u64) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.into());
    object.metadata.namespace = Some(namespace.into());
    object.metadata.uid = Some(name.into());
    object.metadata.resource_version = Some(version.to_string());
    object
}

fn list(
    cache: &Cache<ConfigMap>,
    scope: &WatchScope,
    objects: &[ConfigMap],
) -> Vec<Delta<ConfigMap>> {
    let objects = objects
        .iter()
        .cloned()
        .map(Stored::from)
        .map(Event::InitApply);
    std::iter::once(Event::Init)
        .chain(objects)
        .chain([Event::InitDone])
        .flat_map(|event| cache.apply(scope, event))
        .collect()
}

fn summary(deltas: &[Delta<ConfigMap>]) -> Vec<String> {
    let mut summary: Vec<_> = deltas
        .iter()
        .map(|delta| match delta {
            Delta::Applied { new, old } => format!("{} {}", new.name_any(), old.is_some()),
            Delta::Deleted { identity, old } => {
                format!("-{} {} {}", identity.name, identity.uid, old.is_some())
            }
            Delta::Unreadable { identity, old } => {
                format!("?{} {}", identity.name, old.is_some())
            }
        })
        .collect();
    summary.sort();
    summary
}

fn synced(objects: &[ConfigMap]) -> Cache<ConfigMap> {
    let cache = Cache::default();
    list(&cache, &WatchScope::Everything, objects);
    cache
}

fn stored(cache: &Cache<ConfigMap>, name: &str) -> Option<u64> {
    stored_in(cache, "ns", name)
}

fn stored_in(cache: &Cache<ConfigMap>, namespace: &str, name: &str) -> Option<u64> {
    let object = cache.get(&ObjectRef::new(name).within(namespace));
    object.map(|o| version(&*o))
}

#[test]
fn our_own_write_is_there_at_once_and_its_event_changes_nothing() {
    let cache = synced(&[object("a", 5)]);
    cache.insert(cache.generation(), object("a", 7));
    assert_eq!(stored(&cache, "a"), Some(7));
    assert!(
        cache
            .apply(&WatchScope::Everything, Event::Apply(object("a", 6).into()))
            .is_empty()
    );
    assert!(
        cache
            .apply(&WatchScope::Everything, Event::Apply(object("a", 7).into()))
            .is_empty()
    );
    assert_eq!(stored(&cache, "a"), Some(7));
    assert_eq!(
        cache
            .apply(&WatchScope::Everything, Event::Apply(object("a", 8).into()))
            .len(),
        1
    );
}

#[test]
fn an_answer_that_comes_after_the_deletion_makes_no_ghost() {
    let cache = synced(&[object("a", 5)]);
    let generation = cache.generation();
    cache.apply(&WatchScope::Everything, Event::Apply(object("a", 7).into()));
    cache.apply(
        &WatchScope::Everything,
        Event::Delete(Identity::of(&object("a", 8))),
    );
    cache.insert(generation, object("a", 7));
    assert_eq!(stored(&cache, "a"), None);
}

#[test]
fn an_answer_from_before_a_list_is_dropped() {
    let cache = synced(&[object("a", 5)]);
    let generation = cache.generation();
    cache.apply(&WatchScope::Everything, Event::Init);
    cache.apply(&WatchScope::Everything, Event::InitDone);
    cache.insert(generation, object("a", 9));
    assert_eq!(stored(&cache, "a"), None);
}

#[test]
fn a_list_reports_what_changed_since_the_last_and_removes_when_it_is_complete() {
    let cache = synced(&[object("gone", 1), object("same", 2), object("changed", 9)]);
    let mut again = object("again", 3);
    cache.apply(&WatchScope::Everything, Event::Apply(again.clone().into()));
    again.metadata.uid = Some("another".into());
    let listed = [
        object("same", 2),
        object("changed", 6),
        object("new", 7),
        again,
    ];
    let events = listed.map(Stored::from).map(Event::InitApply);
    let mut deltas = cache.apply(&WatchScope::Everything, Event::Init);
    for event in events {
        deltas.extend(cache.apply(&WatchScope::Everything, event));
    }
    let so_far = [
        "-again again true",
        "again false",
        "changed true",
        "new false",
    ];
    assert_eq!(summary(&deltas), so_far);
    assert_eq!(stored(&cache, "gone"), Some(1));
    let gone = cache.apply(&WatchScope::Everything, Event::InitDone);
    assert_eq!(summary(&gone), ["-gone gone true"]);
    assert_eq!(stored(&cache, "gone"), None);
    assert_eq!(stored(&cache, "changed"), Some(6));
}

#[test]
fn a_list_of_one_namespace_leaves_the_others_alone() {
    let (a, b) = (
        WatchScope::Namespace("a".into()),
        WatchScope::Namespace("b".into()),
    );
    let cache = Cache::default();
    list(
        &cache,
        &a,
        &[object_in("a", "one", 1), object_in("a", "two", 2)],
    );
    list(&cache, &b, &[object_in("b", "one", 3)]);
    assert_eq!(
        summary(&list(&cache, &a, &[object_in("a", "two", 2)])),
        ["-one one true"]
    );
    assert_eq!(stored_in(&cache, "a", "one"), None);
    assert_eq!(stored_in(&cache, "b", "one"), Some(3));
    assert_eq!(summary(&list(&cache, &b, &[])), ["-one one true"]);
    assert_eq!(stored_in(&cache, "a", "two"), Some(2));
}

#[test]
fn what_the_watch_of_one_namespace_has_seen_says_nothing_about_another() {
    let (a, b) = (
        WatchScope::Namespace("a".into()),
        WatchScope::Namespace("b".into()),
    );
    let cache = Cache::default();
    list(&cache, &a, &[object_in("a", "one", 1)]);
    list(&cache, &b, &[object_in("b", "one", 2)]);
    let generation = cache.generation();
    cache.apply(&a, Event::Apply(object_in("a", "one", 9).into()));
    cache.apply(&a, Event::Init);
    cache.insert(generation, object_in("b", "one", 5));
    assert_eq!(stored_in(&cache, "b", "one"), Some(5));
    cache.insert(generation, object_in("a", "one", 10));
    assert_eq!(stored_in(&cache, "a", "one"), Some(9), "a list began since");
    cache.insert(cache.generation(), object_in("elsewhere", "one", 11));
    assert_eq!(stored_in(&cache, "elsewhere", "one"), None);
}

fn unreadable(name: &str, version: u64) -> Stored<ConfigMap> {
    let json = r#"{"metadata": {"name": 1}}"#;
    let json = serde_json::from_str::<ConfigMap>(json)
        .unwrap_err()
        .to_string();
    Stored::unreadable(Identity::of(&object(name, version)), &json)
}

#[test]
fn an_object_that_can_t_be_read_is_in_no_store_but_is_known_until_it_is_gone() {
    let cache = synced(&[object("a", 5), object("b", 6)]);
    let is_unreadable = |name| cache.is_unreadable(Some("ns"), name);
    let deltas = cache.apply(&WatchScope::Everything, Event::Apply(unreadable("a", 7)));
    assert_eq!(summary(&deltas), ["?a true"]);
    assert!(is_unreadable("a") && stored(&cache, "a").is_none());
    let readable = cache.apply(&WatchScope::Everything, Event::Apply(object("a", 8).into()));
    assert_eq!(summary(&readable), ["a false"]);
    assert!(!is_unreadable("a"));
    cache.apply(&WatchScope::Everything, Event::Apply(unreadable("a", 9)));
    cache.apply(&WatchScope::Everything, Event::Apply(unreadable("b", 10)));
    let deletion = Event::Delete(Identity::of(&object("b", 11)));
    let deleted = cache.apply(&WatchScope::Everything, deletion);
    assert_eq!(summary(&deleted), ["-b b false"]);
    assert!(is_unreadable("a") && !is_unreadable("b"));
    let gone = list(&cache, &WatchScope::Everything, &[]);
    assert_eq!(summary(&gone), ["-a a false"]);
    assert!(!is_unreadable("a"));
}

#[test]
fn an_object_is_gone_when_a_list_shows_another_in_its_place_whether_either_can_be_read() {
    let with_uid = |mut object: ConfigMap, uid: &str| {
        object.metadata.uid = Some(uid.into());
        object
    };
    let first = || unreadable("a", 5);
    let mut second = unreadable("a", 6);
    second.identity.uid = "second".into();
    let third = with_uid(object("a", 7), "third");
    let cache = synced(&[with_uid(object("a", 4), "zeroth")]);
    let apply = |stored: Stored<ConfigMap>| {
        cache.apply(&WatchScope::Everything, Event::Init);
        let mut deltas = cache.apply(&WatchScope::Everything, Event::InitApply(stored));
        deltas.extend(cache.apply(&WatchScope::Everything, Event::InitDone));
        summary(&deltas)
    };
    assert_eq!(apply(first()), ["-a zeroth true", "?a false"]);
    assert_eq!(apply(first()), ["?a false"]);
    assert_eq!(apply(second), ["-a a false", "?a false"]);
    assert_eq!(apply(third.into()), ["-a second false", "a false"]);
}

#[test]
fn after_the_cluster_was_set_back_a_list_of_lower_versions_counts_and_so_do_own_writes() {
    let cache = synced(&[object("a", 500)]);
    list(&cache, &WatchScope::Everything, &[object("a", 100)]);
    cache.apply(
        &WatchScope::Everything,
        Event::Apply(object("a", 101).into()),
    );
    assert_eq!(stored(&cache, "a"), Some(101));
    cache.insert(cache.generation(), object("a", 102));
    assert_eq!(stored(&cache, "a"), Some(102));
}
