//! Adds the owners of an organization to its refusals. Pure.

use super::grants::own_or_parents;
use super::input::Input;
use super::verdict::{Denial, Verdict};
use apikey_api::Organization;

/// Adds to the message of a verdict the owners of the organization that refuses, as the people to ask.
pub(super) fn named_in(verdict: Verdict, input: &Input<'_>) -> Verdict {
    let owners = of(input).join(", ");
    let ask = |denial: Denial| {
        let message = format!("{}; ask {owners}", denial.message);
        Denial { message, ..denial }
    };
    match verdict {
        verdict if owners.is_empty() => verdict,
        Verdict::Allowed => Verdict::Allowed,
        Verdict::Waiting(denial) => Verdict::Waiting(ask(denial)),
        Verdict::Refused(denial) => Verdict::Refused(ask(denial)),
    }
}

fn of<'a>(input: &Input<'a>) -> Vec<&'a str> {
    let owners: fn(&'a Organization) -> Vec<&'a str> =
        |o| o.spec.owners.iter().map(String::as_str).collect();
    let full = input.over_quota.map(|quota| quota.organization.as_str());
    match input.parent {
        Some(parent) if full.is_some() && parent.metadata.name.as_deref() == full => owners(parent),
        _ => own_or_parents(input.organization, input.parent, owners),
    }
}
