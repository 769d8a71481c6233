//! The lifetime of a token.

use super::grants::{case, listed, sub_of};
use super::*;

fn token_limit(seconds: Option<i64>) -> OrganizationLimits {
    OrganizationLimits {
        max_token_ttl_seconds: seconds,
        ..OrganizationLimits::default()
    }
}

#[test]
fn the_life_of_a_token_is_bounded_by_where_the_key_acts() {
    // Requested lifetime; limits of the root and of the sub-organization; resulting lifetime in each.
    let table = [
        (None, None, None, 3600, 3600),
        (Some(86_400), None, None, 3600, 3600),
        (Some(60), None, None, 60, 60),
        (Some(7200), Some(7200), None, 7200, 7200),
        (None, Some(7200), Some(7200), 3600, 3600),
        (Some(7200), Some(7200), Some(600), 7200, 600),
        (Some(7200), Some(600), Some(7200), 600, 600),
        (Some(7200), None, Some(7200), 3600, 7200),
        (None, Some(600), Some(300), 600, 300),
    ];
    for (wanted, roots, subs, in_root, in_sub) in table {
        let tr = sub_of("acme", "tr", |spec| spec.limits = Some(token_limit(subs)));
        let mut case = Case {
            organization: Some(organization("acme", |spec| {
                spec.limits = Some(token_limit(roots));
            })),
            ..case(&["build"], &[listed("tr", &[])], std::slice::from_ref(&tr))
        };
        case.apikey.spec.token = Some(TokenSpec {
            ttl_seconds: wanted,
            ..TokenSpec::default()
        });
        let lives = |case: &Case| -> Vec<i64> {
            let grants = case.assess().grants;
            grants.iter().map(|grant| grant.token_ttl_seconds).collect()
        };
        assert_eq!(
            lives(&case),
            [in_root, in_sub],
            "{wanted:?} {roots:?} {subs:?}"
        );
        let of_the_sub = Case {
            parent: case.organization.take(),
            organization: Some(tr),
            ..case
        };
        assert_eq!(
            lives(&of_the_sub),
            [in_sub],
            "{wanted:?} {roots:?} {subs:?}"
        );
    }
}
