//! Where a key may act, and which audiences its tokens have.

use proptest::prelude::*;

use super::*;

type Texts = &'static [&'static str];

pub(super) fn sub_of(
    parent: &str,
    name: &str,
    change: impl FnOnce(&mut OrganizationSpec),
) -> Organization {
    organization(name, |spec| {
        spec.parent = Some(parent.into());
        change(spec);
    })
}

pub(super) fn listed(org: &str, roles: &[&str]) -> SubOrganization {
    SubOrganization {
        org: org.into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
    }
}

/// A key of the root organization `acme` with these roles, and with these listed and declared
/// sub-organizations.
pub(super) fn case(
    roles: &[&str],
    sub_orgs: &[SubOrganization],
    declared: &[Organization],
) -> Case {
    let mut key = apikey(roles);
    key.spec.sub_orgs = sub_orgs.to_vec();
    Case {
        sub_organizations: declared.iter().cloned().map(Arc::new).collect(),
        ..Case::of(key, organization("acme", |_| {}))
    }
}

/// Each grant as `organization: roles`.
fn reach(case: &Case) -> Vec<String> {
    let show = |grant: &Grant| format!("{}: {}", grant.organization, grant.roles.join(" "));
    case.assess().grants.iter().map(show).collect()
}

#[test]
fn a_key_acts_in_its_own_organization_first_and_then_in_the_listed_ones() {
    let tr = sub_of("acme", "tr", |spec| {
        spec.id = Some("1f0c2a52-7b1d-4a38-9c2e-0f6f6f1f9a10".into());
    });
    let case = case(&["build"], &[listed("tr", &[])], &[tr]);
    assert_eq!(reach(&case), ["acme: build", "tr: build"]);
    let assessment = case.assess();
    assert!(assessment.uncovered.is_empty());
    let ids: Vec<_> = assessment
        .grants
        .iter()
        .map(|grant| grant.organization_id.to_string())
        .collect();
    let own = default_organization_id("acme").to_string();
    assert_eq!(ids, [&*own, "1f0c2a52-7b1d-4a38-9c2e-0f6f6f1f9a10"]);
}

#[test]
fn a_sub_organization_that_is_not_the_keys_own_is_not_covered() {
    let other = organization("other", |_| {});
    let foreign = sub_of("other", "foreign", |_| {});
    let names = ["tr", "other", "foreign", "absent"];
    let all = names.map(|name| listed(name, &[]));
    let declared = [sub_of("acme", "tr", |_| {}), other, foreign];
    let case = case(&["build"], &all, &declared);
    assert_eq!(reach(&case), ["acme: build", "tr: build"]);
    assert_eq!(case.assess().uncovered, ["other", "foreign", "absent"]);
}

#[test]
fn a_key_of_a_sub_organization_reaches_neither_root_nor_sibling_nor_itself_twice() {
    let root = organization("root", |_| {});
    let own = sub_of("root", "acme", |_| {});
    let sibling = sub_of("root", "sibling", |_| {});
    let child = sub_of("acme", "child", |_| {});
    let all = ["root", "acme", "sibling", "child"].map(|name| listed(name, &[]));
    let declared = [root.clone(), own.clone(), sibling, child];
    let case = Case {
        organization: Some(own),
        parent: Some(root),
        ..case(&["build"], &all, &declared)
    };
    assert_eq!(reach(&case), ["acme: build"]);
    assert_eq!(
        case.assess().uncovered,
        ["root", "acme", "sibling", "child"]
    );
}

#[test]
fn a_key_of_an_undeclared_organization_reaches_no_other() {
    let tr = sub_of("acme", "tr", |_| {});
    let case = Case {
        organization: None,
        ..case(&["build"], &[listed("tr", &[])], &[tr])
    };
    assert_eq!(reach(&case), ["acme: build"]);
    assert_eq!(case.assess().uncovered, ["tr"]);
}

#[test]
fn roles_in_a_sub_organization_are_the_listed_ones_of_its_catalogue() {
    // Roles in the root's catalogue, in the sub-organization's catalogue, and in the key's list; granted
    // roles.
    let table: [(Texts, Texts, Texts, &str); 9] = [
        (&[], &[], &[], "tr: build deploy"),
        (&[], &[], &["view"], "tr: view"),
        (&["build"], &[], &[], "tr: build"),
        (&["build", "view"], &[], &["view", "nonsense"], "tr: view"),
        (&["build"], &[], &["view"], ""),
        (&["build"], &["view"], &["view"], "tr: view"),
        (&["build"], &["deploy"], &[], "tr: deploy"),
        (&["build"], &["view"], &[], ""),
        (&["build", "view"], &["build"], &["view"], ""),
    ];
    for (roots, subs, wanted, expected) in table {
        let tr = sub_of("acme", "tr", |spec| spec.roles = roles(subs));
        let case = Case {
            organization: Some(organization("acme", |spec| spec.roles = roles(roots))),
            ..case(&["build", "deploy"], &[listed("tr", wanted)], &[tr])
        };
        let got = reach(&case).get(1).cloned().unwrap_or_default();
        assert_eq!(got, expected, "{roots:?} {subs:?} {wanted:?}");
        let left_out = usize::from(expected.is_empty());
        assert_eq!(case.assess().uncovered.len(), left_out);
    }
}

#[test]
fn namespaces_are_the_roots_matter() {
    let closed = |spec: &mut OrganizationSpec| {
        spec.allowed_namespaces.from = FromNamespaces::Names;
        spec.allowed_namespaces.names = vec!["elsewhere".into()];
    };
    let tr = sub_of("acme", "tr", closed);
    let open = case(&["build"], &[listed("tr", &[])], &[tr]);
    assert_eq!(reach(&open), ["acme: build", "tr: build"]);
    let refused = Case {
        organization: Some(organization("acme", closed)),
        ..open
    };
    assert_eq!(refused.reason(), reason::NAMESPACE_NOT_ALLOWED);
}

#[test]
fn a_key_that_is_not_allowed_acts_nowhere() {
    let tr = sub_of("acme", "tr", |_| {});
    let acme = organization("acme", |spec| spec.roles = roles(&["build"]));
    let case = Case {
        organization: Some(acme),
        ..case(&["deploy"], &[listed("tr", &["build"])], &[tr])
    };
    assert_eq!(case.reason(), reason::UNKNOWN_ROLE);
    assert!(case.assess().grants.is_empty());
}

#[test]
fn audiences_are_those_that_the_organization_or_its_parent_allows() {
    let texts = |list: &[&str]| -> Vec<String> { list.iter().map(|a| (*a).into()).collect() };
    // Audiences of the parent, of the organization, and of the key; granted and ignored audiences.
    let table: [(Texts, Texts, Texts, Texts, Texts); 7] = [
        (&[], &[], &[], &[], &[]),
        (&[], &[], &["x", "y"], &["x", "y"], &[]),
        (&[], &["x"], &["y", "x"], &["x"], &["y"]),
        (&["x"], &[], &["y", "x"], &["x"], &["y"]),
        (&["x"], &["y"], &["y", "x"], &["y"], &["x"]),
        (&["x"], &["y"], &[], &[], &[]),
        (&["x"], &[], &["y"], &[], &["y"]),
    ];
    for (parents, own, wanted, given, left_out) in table {
        let mut key = apikey(&["build"]);
        key.spec.token = Some(TokenSpec {
            audiences: texts(wanted),
            ..TokenSpec::default()
        });
        let acme = sub_of("root", "acme", |spec| spec.audiences = texts(own));
        let root = organization("root", |spec| spec.audiences = texts(parents));
        let case = Case {
            parent: Some(root),
            ..Case::of(key, acme)
        };
        let assessment = case.assess();
        assert_eq!(
            (assessment.audiences, assessment.unknown_audiences),
            (texts(given), texts(left_out))
        );
        let refused = given.is_empty() && !wanted.is_empty();
        let expected = if refused {
            reason::AUDIENCE_NOT_ALLOWED
        } else {
            ""
        };
        assert_eq!(case.reason(), expected, "{parents:?} {own:?} {wanted:?}");
    }
}

#[test]
fn a_refused_audience_is_told_with_the_field_the_value_and_the_fix() {
    let mut key = apikey(&["build"]);
    key.spec.token = Some(TokenSpec {
        audiences: vec!["https://kubernetes.default.svc".into()],
        ..TokenSpec::default()
    });
    let acme = organization("acme", |spec| spec.audiences = vec!["builds".into()]);
    let Verdict::Refused(denial) = Case::of(key, acme).assess().verdict else {
        panic!("not refused")
    };
    for part in [
        "`token.audiences`",
        "[https://kubernetes.default.svc]",
        "[builds]",
        "add it",
    ] {
        assert!(denial.message.contains(part), "{}", denial.message);
    }
}

proptest! {
    /// Outside its own organization, a key may act only in organizations that are listed, declared and
    /// directly below it, and only if its own organization is a declared root.
    #[test]
    fn authority_only_flows_down(
        own in prop::option::of(0..5_usize),
        parents in prop::collection::vec(0..5_usize, 4),
        declared in prop::collection::vec(any::<bool>(), 4),
        wanted in prop::sample::subsequence(vec![0_usize, 1, 2, 3], 0..=4),
    ) {
        const NAMES: [&str; 4] = ["acme", "root", "tr", "de"];
        let parent_of = |n: usize| NAMES.get(n).map(|name| (*name).to_owned());
        let all: Vec<_> = (0..4)
            .map(|n| organization(NAMES[n], |spec| spec.parent = parent_of(parents[n])))
            .collect();
        let there: Vec<_> = (0..4).filter(|n| declared[*n]).map(|n| all[n].clone()).collect();
        let names = wanted.iter().map(|n| listed(NAMES[*n], &[])).collect::<Vec<_>>();
        let case = Case {
            organization: own.map(|n| organization("acme", |spec| spec.parent = parent_of(n))),
            parent: Some(organization("parent", |_| {})),
            ..case(&["build"], &names, &there)
        };
        let assessment = case.assess();
        prop_assert_eq!(&assessment.verdict, &Verdict::Allowed);
        prop_assert_eq!(&assessment.grants[0].organization, "acme");
        let root = case.organization.as_ref().is_some_and(|o| o.spec.parent.is_none());
        for (n, entry) in wanted.into_iter().zip(&names) {
            let below = parent_of(parents[n]).as_deref() == Some("acme");
            let covered = root && below && declared[n];
            let granted = assessment.grants[1..].iter().any(|g| g.organization == entry.org);
            prop_assert_eq!(granted, covered);
            prop_assert_eq!(assessment.uncovered.contains(&entry.org), !covered);
        }
    }
}
