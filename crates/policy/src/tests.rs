use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::namespaces::selects;
use super::*;
use apikey_api::SelectorOperator::{DoesNotExist, Exists, In, NotIn};
use apikey_api::conditions::reason;
use apikey_api::{
    ApiKey, ApiKeySpec, FromNamespaces, NamespaceSelector, Organization, OrganizationLimits,
    OrganizationSpec, Requirement, Role, SubOrganization, TokenSpec,
};

mod grants;
mod token_lifetime;

const CREATED: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn apikey(roles: &[&str]) -> ApiKey {
    let spec = ApiKeySpec {
        org: "acme".into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..ApiKeySpec::default()
    };
    let mut key = ApiKey::new("ci", spec);
    key.metadata.namespace = Some("team".into());
    key.metadata.creation_timestamp = Some(Time(at(CREATED)));
    key
}

fn organization(name: &str, change: impl FnOnce(&mut OrganizationSpec)) -> Organization {
    let mut spec = OrganizationSpec::default();
    change(&mut spec);
    Organization::new(name, spec)
}

fn roles(keys: &[&str]) -> Vec<Role> {
    keys.iter()
        .map(|key| Role {
            key: (*key).into(),
            description: None,
        })
        .collect()
}

fn limits(max_days: Option<i64>, default_days: Option<i64>) -> OrganizationLimits {
    OrganizationLimits {
        max_lifetime_days: max_days,
        default_lifetime_days: default_days,
        ..OrganizationLimits::default()
    }
}

struct Case {
    apikey: ApiKey,
    organization: Option<Organization>,
    parent: Option<Organization>,
    sub_organizations: Vec<Arc<Organization>>,
    labels: Option<BTreeMap<String, String>>,
    unreadable: Option<&'static str>,
    over_quota: Option<OverQuota>,
    fixed_expiry: Option<Timestamp>,
    require_organizations: bool,
}

impl Case {
    fn new(apikey: ApiKey) -> Self {
        Self {
            apikey,
            organization: None,
            parent: None,
            sub_organizations: Vec::new(),
            labels: Some(BTreeMap::new()),
            unreadable: None,
            over_quota: None,
            fixed_expiry: None,
            require_organizations: false,
        }
    }

    fn of(apikey: ApiKey, organization: Organization) -> Self {
        Self {
            organization: Some(organization),
            ..Self::new(apikey)
        }
    }

    fn assess(&self) -> Assessment {
        assess(&Input {
            subject: Subject::from(&self.apikey),
            organization: self.organization.as_ref(),
            parent: self.parent.as_ref(),
            sub_organizations: &self.sub_organizations,
            unreadable: self.unreadable,
            namespace_labels: self.labels.as_ref(),
            over_quota: self.over_quota.as_ref(),
            fixed_expiry: self.fixed_expiry,
            require_organizations: self.require_organizations,
        })
    }

    fn reason(&self) -> &'static str {
        match self.assess().verdict {
            Verdict::Allowed => "",
            Verdict::Waiting(denial) | Verdict::Refused(denial) => denial.reason,
        }
    }
}

#[test]
fn an_organization_that_can_t_be_read_is_not_undeclared_its_keys_wait_and_have_no_grant() {
    let case = Case {
        unreadable: Some("acme"),
        ..Case::new(apikey(&["anything"]))
    };
    assert_eq!(case.reason(), reason::ORGANIZATION_UNREADABLE);
    let assessment = case.assess();
    assert!(assessment.grants.is_empty() && assessment.expires_at.is_none());
}

#[test]
fn labels_that_are_not_known_match_no_selector_not_even_one_that_asks_for_absence() {
    for operator in [NotIn, DoesNotExist, Exists, In] {
        let requirement = Requirement {
            key: "quarantine".into(),
            operator,
            values: vec!["yes".into()],
        };
        let acme = organization("acme", |spec| {
            spec.allowed_namespaces.from = FromNamespaces::Selector;
            spec.allowed_namespaces.selector = Some(NamespaceSelector {
                match_labels: BTreeMap::new(),
                match_expressions: vec![requirement],
            });
        });
        let case = Case {
            labels: None,
            ..Case::of(apikey(&["reader"]), acme)
        };
        assert_eq!(case.reason(), reason::NAMESPACE_UNREADABLE, "{operator:?}");
    }
}

#[test]
fn an_undeclared_organization_allows_any_role_for_half_a_year() {
    let assessment = Case::new(apikey(&["anything"])).assess();
    assert_eq!(assessment.verdict, Verdict::Allowed);
    assert!(!assessment.declared);
    assert_eq!(assessment.expires_at, Some(at(CREATED + 180 * DAY)));
    assert_eq!(assessment.organization_id, default_organization_id("acme"));
}

#[test]
fn the_default_id_of_an_organization_is_the_same_everywhere() {
    assert_eq!(
        default_organization_id("acme").to_string(),
        "1bac893d-903b-59e2-8702-f34f28179fe2"
    );
}

#[test]
fn an_undeclared_organization_is_waited_for_when_organizations_are_required() {
    let case = Case {
        require_organizations: true,
        ..Case::new(apikey(&["r"]))
    };
    let assessment = case.assess();
    assert!(matches!(assessment.verdict, Verdict::Waiting(_)));
    assert_eq!(case.reason(), reason::ORGANIZATION_NOT_FOUND);
    assert_eq!(assessment.expires_at, None);
}

#[test]
fn a_role_outside_the_catalogue_is_dropped_and_a_key_left_with_none_is_refused() {
    let acme = organization("acme", |spec| spec.roles = roles(&["build"]));
    let both = Case::of(apikey(&["build", "deploy"]), acme.clone()).assess();
    assert_eq!(both.verdict, Verdict::Allowed);
    assert_eq!(
        (both.roles, both.unknown_roles),
        (vec!["build".into()], vec!["deploy".into()])
    );
    let none = Case::of(apikey(&["deploy"]), acme);
    assert_eq!(none.reason(), reason::UNKNOWN_ROLE);
    let Verdict::Refused(denial) = none.assess().verdict else {
        panic!("not refused")
    };
    assert!(denial.message.contains("[deploy]") && denial.message.contains("[build]"));
}

#[test]
fn a_sub_organization_without_a_catalogue_has_its_parents() {
    let sub = organization("acme", |spec| spec.parent = Some("root".into()));
    let root = organization("root", |spec| spec.roles = roles(&["build"]));
    let case = |role: &str, sub: &Organization| Case {
        parent: Some(root.clone()),
        ..Case::of(apikey(&[role]), sub.clone())
    };
    assert_eq!(case("build", &sub).reason(), "");
    assert_eq!(case("deploy", &sub).reason(), reason::UNKNOWN_ROLE);
    let own = organization("acme", |spec| {
        spec.parent = Some("root".into());
        spec.roles = roles(&["deploy"]);
    });
    assert_eq!(case("build", &own).reason(), reason::UNKNOWN_ROLE);
    assert_eq!(case("deploy", &own).reason(), "");
}

#[test]
fn a_parent_must_exist_and_have_no_parent() {
    let sub = organization("acme", |spec| spec.parent = Some("root".into()));
    let mut case = Case::of(apikey(&["r"]), sub);
    assert_eq!(case.reason(), reason::PARENT_NOT_FOUND);
    assert!(matches!(case.assess().verdict, Verdict::Waiting(_)));
    case.parent = Some(organization("root", |spec| {
        spec.parent = Some("top".into());
    }));
    assert_eq!(case.reason(), reason::PARENT_NOT_ROOT);
}

#[test]
fn only_allowed_namespaces_make_keys() {
    let named = |names: &[&str]| {
        organization("acme", |spec| {
            spec.allowed_namespaces.from = FromNamespaces::Names;
            spec.allowed_namespaces.names = names.iter().map(|n| (*n).into()).collect();
        })
    };
    assert_eq!(Case::of(apikey(&["r"]), named(&["team"])).reason(), "");
    let other = Case::of(apikey(&["r"]), named(&["other"]));
    assert_eq!(other.reason(), reason::NAMESPACE_NOT_ALLOWED);
}

#[test]
fn selectors_follow_metav1_label_selector() {
    let labels = BTreeMap::from([("tier".to_owned(), "prod".to_owned())]);
    let matches = |operator, key: &str, values: &[&str]| {
        let requirement = Requirement {
            key: key.into(),
            operator,
            values: values.iter().map(|v| (*v).into()).collect(),
        };
        let selector = NamespaceSelector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![requirement],
        };
        selects(&selector, &labels)
    };
    assert!(matches(In, "tier", &["dev", "prod"]));
    assert!(!matches(In, "tier", &["dev"]));
    assert!(!matches(In, "absent", &["dev"]));
    assert!(matches(NotIn, "tier", &["dev"]));
    assert!(matches(NotIn, "absent", &["dev"]));
    assert!(!matches(NotIn, "tier", &["prod"]));
    assert!(matches(Exists, "tier", &[]));
    assert!(!matches(Exists, "absent", &[]));
    assert!(matches(DoesNotExist, "absent", &[]));
    assert!(!matches(DoesNotExist, "tier", &[]));
}

#[test]
fn a_selector_demands_all_that_it_lists_and_a_list_without_values_has_none() {
    let text = |text: &str| text.to_owned();
    let labels = [("tier", "prod"), ("bare", "")];
    let labels = BTreeMap::from(labels.map(|(key, value)| (text(key), text(value))));
    let one = |operator, key: &str, values: &[&str]| Requirement {
        key: key.into(),
        operator,
        values: values.iter().map(|value| text(value)).collect(),
    };
    let matches = |wanted: &[(&str, &str)], requirements: &[Requirement]| {
        let wanted = wanted.iter().map(|(key, value)| (text(key), text(value)));
        let selector = NamespaceSelector {
            match_labels: wanted.collect(),
            match_expressions: requirements.to_vec(),
        };
        selects(&selector, &labels)
    };
    assert!(matches(&[], &[]));
    assert!(matches(&[("tier", "prod"), ("bare", "")], &[]));
    assert!(!matches(&[("tier", "prod"), ("absent", "")], &[]));
    assert!(!matches(
        &[("tier", "prod")],
        &[one(Exists, "tier", &[]), one(Exists, "absent", &[])]
    ));
    assert!(!matches(&[("tier", "dev")], &[one(In, "tier", &["prod"])]));
    for key in ["tier", "bare", "absent"] {
        assert!(!matches(&[], &[one(In, key, &[])]), "{key}");
        assert!(matches(&[], &[one(NotIn, key, &[])]), "{key}");
    }
    assert!(matches(&[], &[one(In, "bare", &[""])]));
    assert!(!matches(&[], &[one(In, "absent", &[""])]));
    assert!(!matches(&[], &[one(In, "tier", &["prod-eu", "Prod"])]));
}

#[test]
fn the_lifetime_is_bounded_by_the_organization_and_its_parent() {
    let key = |days: i64| {
        let mut key = apikey(&["r"]);
        key.spec.expiry = Some(at(CREATED + days * DAY).to_string());
        key
    };
    assert_eq!(Case::new(key(365)).reason(), "");
    assert_eq!(Case::new(key(366)).reason(), reason::LIFETIME_TOO_LONG);
    let sub = organization("acme", |spec| {
        spec.parent = Some("root".into());
        spec.limits = Some(limits(Some(100), None));
    });
    let root = organization("root", |spec| {
        spec.limits = Some(limits(Some(50), Some(10)));
    });
    let case = |days| Case {
        parent: Some(root.clone()),
        ..Case::of(key(days), sub.clone())
    };
    assert_eq!(case(50).reason(), "");
    assert_eq!(case(51).reason(), reason::LIFETIME_TOO_LONG);
    let inherited = Case {
        parent: Some(root),
        ..Case::of(apikey(&["r"]), sub)
    };
    assert_eq!(inherited.assess().expires_at, Some(at(CREATED + 10 * DAY)));
}

#[test]
fn the_default_lifetime_never_exceeds_the_longest() {
    let acme = organization("acme", |spec| spec.limits = Some(limits(Some(7), None)));
    let assessment = Case::of(apikey(&["r"]), acme).assess();
    assert_eq!(assessment.expires_at, Some(at(CREATED + 7 * DAY)));
    assert_eq!(assessment.verdict, Verdict::Allowed);
}

#[test]
fn an_expiry_fixed_at_the_first_mint_outlasts_a_new_default() {
    let acme = organization("acme", |spec| spec.limits = Some(limits(None, Some(3))));
    let case = Case {
        fixed_expiry: Some(at(CREATED + 9)),
        ..Case::of(apikey(&["r"]), acme)
    };
    assert_eq!(case.assess().expires_at, Some(at(CREATED + 9)));
}

#[test]
fn an_expiry_that_is_no_time_is_refused_with_the_value_and_the_fix() {
    let mut key = apikey(&["r"]);
    key.spec.expiry = Some("tomorrow".into());
    let case = Case::new(key);
    let Verdict::Refused(denial) = case.assess().verdict else {
        panic!("not refused")
    };
    assert_eq!(denial.reason, reason::INVALID_SPEC);
    assert!(denial.message.contains("'tomorrow'") && denial.message.contains("RFC 3339"));
}

#[test]
fn a_key_without_a_place_is_refused_by_the_organization_that_is_full() {
    let full = OverQuota {
        organization: "root".into(),
        max_keys: 10,
    };
    let case = Case {
        over_quota: Some(full),
        ..Case::new(apikey(&["r"]))
    };
    assert_eq!(case.reason(), reason::QUOTA_EXCEEDED);
}

#[test]
fn who_is_refused_is_told_whom_to_ask() {
    let owned = |name: &str, parent: Option<&str>, owners: &[&str]| {
        organization(name, |spec| {
            spec.parent = parent.map(Into::into);
            spec.roles = roles(&["build"]);
            spec.owners = owners.iter().map(|owner| (*owner).to_owned()).collect();
        })
    };
    let message = |case: &Case| match case.assess().verdict {
        Verdict::Allowed => String::new(),
        Verdict::Waiting(denial) | Verdict::Refused(denial) => denial.message,
    };
    let acme = owned("acme", None, &["security@acme.example", "#keys"]);
    let refused = Case::of(apikey(&["deploy"]), acme.clone());
    assert!(message(&refused).ends_with("; ask security@acme.example, #keys"));
    assert_eq!(message(&Case::of(apikey(&["build"]), acme)), "");
    let nobody = Case::of(apikey(&["deploy"]), owned("acme", None, &[]));
    assert!(!message(&nobody).contains("; ask"));

    let below = |owners: &[&str]| Case {
        parent: Some(owned("root", None, &["root@acme.example"])),
        ..Case::of(apikey(&["deploy"]), owned("acme", Some("root"), owners))
    };
    assert!(message(&below(&[])).ends_with("; ask root@acme.example"));
    let mut own = below(&["own@acme.example"]);
    assert!(message(&own).ends_with("; ask own@acme.example"));
    own.apikey = apikey(&["build"]);
    own.over_quota = Some(OverQuota {
        organization: "root".into(),
        max_keys: 10,
    });
    assert!(message(&own).ends_with("; ask root@acme.example"));
}
