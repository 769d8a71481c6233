use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use apikey_api::OrganizationSpec;

const IDS: [&str; 2] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
];

fn organization(name: &str, age: i64, id: Option<usize>, parent: Option<&str>) -> Organization {
    let mut organization = Organization::new(name, OrganizationSpec::default());
    organization.metadata.uid = Some(format!("uid-{name}-{age}"));
    organization.metadata.creation_timestamp = Timestamp::from_second(age).ok().map(Time);
    organization.spec.id = id.map(|id| IDS[id].to_owned());
    organization.spec.parent = parent.map(str::to_owned);
    organization
}

/// Names in order, separated by commas.
fn concerned(relations: &mut Relations, organization: &Organization) -> String {
    let name = organization.name_any();
    listed(relations.declare(&name, Declared::Readable(organization)))
}

fn listed(names: BTreeSet<Arc<str>>) -> String {
    names.into_iter().collect::<Vec<_>>().join(",")
}

#[test]
fn sub_organizations_look_at_a_parent_that_comes_changes_its_place_or_goes() {
    let mut relations = Relations::default();
    for sub in ["sub-1", "sub-2"] {
        let sub = organization(sub, 1, None, Some("root"));
        assert_eq!(concerned(&mut relations, &sub), "");
    }
    let root = organization("root", 2, None, None);
    assert_eq!(concerned(&mut relations, &root), "sub-1,sub-2");
    let mut edited = root.clone();
    edited.spec.owners = vec!["ops".to_owned()];
    assert_eq!(concerned(&mut relations, &edited), "");
    let moved = organization("sub-2", 1, None, Some("other"));
    assert_eq!(concerned(&mut relations, &moved), "");
    let below = organization("root", 2, None, Some("above"));
    assert_eq!(concerned(&mut relations, &below), "sub-1");
    let unreadable = relations.declare("root", Declared::Unreadable);
    assert_eq!(listed(unreadable), "sub-1");
    let still = relations.declare("root", Declared::Unreadable);
    assert_eq!(listed(still), "");
    assert_eq!(
        listed(relations.declare("root", Declared::Missing)),
        "sub-1"
    );
}

#[test]
fn those_with_one_id_look_at_each_other_when_the_oldest_is_another() {
    let mut relations = Relations::default();
    let second = organization("second", 2, Some(0), None);
    let third = organization("third", 3, Some(0), None);
    assert_eq!(concerned(&mut relations, &second), "");
    assert_eq!(concerned(&mut relations, &third), "");
    assert_eq!(relations.elder(&third).as_deref(), Some("second"));
    let first = organization("first", 1, Some(0), None);
    assert_eq!(concerned(&mut relations, &first), "second,third");
    assert_eq!(relations.elder(&second).as_deref(), Some("first"));
    assert_eq!(relations.elder(&first), None);
    let elsewhere = organization("first", 1, Some(1), None);
    assert_eq!(concerned(&mut relations, &elsewhere), "second,third");
    assert_eq!(
        listed(relations.declare("second", Declared::Missing)),
        "third"
    );
    assert_eq!(relations.elder(&third), None);
    assert_eq!(listed(relations.declare("third", Declared::Unreadable)), "");
    assert_eq!(relations.elder(&organization("x", 9, Some(0), None)), None);
}

#[test]
fn nothing_is_left_of_organizations_that_are_gone() {
    let mut relations = Relations::default();
    for n in 0..5 {
        let name = format!("sub-{n}");
        concerned(
            &mut relations,
            &organization(&name, n, Some(0), Some("root")),
        );
    }
    for n in 0..5 {
        relations.declare(&format!("sub-{n}"), Declared::Missing);
    }
    assert!(relations.organizations.is_empty());
    assert!(relations.by_id.is_empty() && relations.by_parent.is_empty());
}

/// What the status of an organization depends on besides itself, computed from all organizations.
fn seen_by(
    organization: &Organization,
    all: &BTreeMap<&str, Option<Organization>>,
) -> (Option<(bool, bool)>, Option<String>) {
    let parent = organization.spec.parent.as_deref();
    let parent = parent.and_then(|parent| all.get(parent)).map(|parent| {
        let of_parent = parent.as_ref().map(|parent| parent.spec.parent.is_some());
        (of_parent.is_none(), of_parent.unwrap_or(false))
    });
    let age = |o: &Organization| Age::of(o);
    let elder = all
        .values()
        .flatten()
        .filter(|other| {
            apikey_policy::organization_id(other) == apikey_policy::organization_id(organization)
        })
        .filter(|other| age(other) < age(organization))
        .min_by_key(|other| age(other));
    (parent, elder.map(kube::ResourceExt::name_any))
}

proptest! {
    #[test]
    fn whoever_sees_something_else_after_a_change_is_concerned(
        changes in prop::collection::vec(
            (0..5_usize, 0..4_u8, 1..4_i64, prop::option::of(0..2_usize), prop::option::of(0..5_usize)),
            1..40,
        )
    ) {
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
        let mut relations = Relations::default();
        let mut all = BTreeMap::new();
        for (name, what, age, id, parent) in changes {
            let name = NAMES[name];
            let before = all.clone();
            let concerned = match what {
                0 => {
                    all.remove(name);
                    relations.declare(name, Declared::Missing)
                }
                1 => {
                    all.insert(name, None);
                    relations.declare(name, Declared::Unreadable)
                }
                _ => {
                    let new = organization(name, age, id, parent.map(|parent| NAMES[parent]));
                    let concerned = relations.declare(name, Declared::Readable(&new));
                    all.insert(name, Some(new));
                    concerned
                }
            };
            for (other, organization) in &all {
                let Some(organization) = organization else { continue };
                let now = seen_by(organization, &all);
                let elder = relations.elder(organization);
                prop_assert_eq!(elder.as_deref(), now.1.as_deref());
                if *other != name && seen_by(organization, &before) != now {
                    prop_assert!(concerned.contains(*other), "{} sees {:?}", other, now);
                }
            }
        }
    }
}
