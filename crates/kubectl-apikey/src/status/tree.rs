//! Draws the tree of a key. Pure.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::PartialObjectMeta;

use super::View;
use crate::organization::{Found, Seen, uncovered};
use crate::pages::Listed;
use crate::terminal::{BAD, BOLD, DIM, GOOD, WARN};
use crate::text::{Text, styled};
use crate::{key, time};
use apikey_api::{ApiKey, ApiKeyStatus, Organization, SubOrganization, conditions, names};

/// Maximum number of events in the tree.
const EVENTS: usize = 8;

/// Conditions that are shown as bad if they are true.
const BAD_NEWS: [&str; 2] = [conditions::STALLED, conditions::EXPIRED];
/// Conditions that are shown as a warning if they are true.
const NEWS: [&str; 3] = [
    conditions::RECONCILING,
    conditions::EXPIRING_SOON,
    conditions::SUSPENDED,
];

/// A title and the lines below it.
type Branch = (Text, Vec<Text>);

pub(super) fn render(view: &View, now: Timestamp) -> Text {
    let key = &view.key;
    let (phase, style) = key::phase(key);
    let name = format!("{}/{}", key::namespace(key), key::name(key));
    let title = styled(BOLD, "ApiKey") + " " + styled(BOLD, name) + "  " + styled(style, phase);
    let lines = identity(view, now).into_iter();
    let branches = lines.map(|line| (line, Vec::new()));
    let branches = branches.chain([organization(view)]);
    let branches = branches.chain(sub_organizations(view)).chain([
        secret(key, &view.secret),
        revisions(key, now),
        all_conditions(view, now),
        events(&view.events, now),
    ]);
    Text::tree(title, branches)
}

fn identity(view: &View, now: Timestamp) -> Vec<Text> {
    let key = &view.key;
    let status = key.status.clone().unwrap_or_default();
    let when = |time: Timestamp| format!("{time} ({})", time::relative(time, now));
    let expires = key::expires_at(key).map_or_else(|| "not known yet".to_owned(), when);
    let used = key::last_used(key).map_or_else(|| "never".to_owned(), when);
    let mut lines: Vec<Text> = vec![format!("login name: {}", key.login_name()).into()];
    if let (Some(id), Some(email)) = (&status.key_id, &status.email) {
        lines.push(format!("key id: {id}, e-mail: {email}").into());
    }
    lines.push(Text::from("roles: ") + roles(view, &status));
    lines.push(format!("expires: {expires}").into());
    lines.push(format!("last used: {used}").into());
    if let Some(text) = &key.spec.description {
        lines.push(format!("description: {text}").into());
    }
    lines
}

fn roles(view: &View, status: &ApiKeyStatus) -> Text {
    let wanted = &view.key.spec.roles;
    if status.phase.is_none() {
        return wanted.join(", ").into();
    }
    // Without the Organization, there is no catalogue to compare with.
    let missing = view.organizations.missing(&view.key);
    if missing.is_some() || waits_for_organization(&view.key) {
        let missing = missing.unwrap_or(&view.key.spec.org);
        let note = if missing == view.key.spec.org {
            "(none is in effect until the Organization exists)".to_owned()
        } else {
            format!("(none is in effect until Organization '{missing}' exists)")
        };
        return Text::from(wanted.join(", ")) + " " + styled(WARN, note);
    }
    let (held, dropped): (Vec<_>, Vec<_>) = wanted
        .iter()
        .cloned()
        .partition(|role| status.roles.contains(role));
    if dropped.is_empty() {
        return held.join(", ").into();
    }
    let note = format!("(not in the catalogue: {})", dropped.join(", "));
    let dropped = styled(WARN, note);
    if held.is_empty() {
        return dropped;
    }
    Text::from(held.join(", ")) + " " + dropped
}

fn organization(view: &View) -> Branch {
    let org = &view.key.spec.org;
    let title = styled(BOLD, "Organization") + format!(" {org}");
    match &view.organizations.own {
        Err(why) => (title + format!(": {why}"), Vec::new()),
        Ok(None) => {
            let id = apikey_policy::default_organization_id(org);
            let rules = if waits_for_organization(&view.key) {
                "the key waits until it exists: kubectl explain organization.spec".to_owned()
            } else {
                format!(
                    "default rules: any role, {} days by default, {} at most",
                    apikey_policy::DEFAULT_LIFETIME_DAYS,
                    apikey_policy::DEFAULT_MAX_LIFETIME_DAYS
                )
            };
            let leaves = vec![format!("id: {id}").into(), rules.into()];
            (title + "  " + styled(WARN, "not declared"), leaves)
        }
        Ok(Some(organization)) => {
            let id = apikey_policy::organization_id(organization);
            let mut leaves: Vec<Text> = vec![format!("id: {id}").into()];
            leaves.push(format!("catalogue: {}", catalogue(organization, view)).into());
            if !organization.spec.owners.is_empty() {
                let owners = organization.spec.owners.join(", ");
                leaves.push(format!("owners: {owners}").into());
            }
            if let Some(parent) = &organization.spec.parent {
                leaves.push(parent_line(parent, &view.organizations.parent));
            }
            (title + "  " + styled(GOOD, "declared"), leaves)
        }
    }
}

fn catalogue(organization: &Organization, view: &View) -> String {
    let roles = |o: &Organization| {
        let keys: Vec<_> = o.spec.roles.iter().map(|role| role.key.clone()).collect();
        keys.join(", ")
    };
    if !organization.spec.roles.is_empty() {
        return roles(organization);
    }
    match &view.organizations.parent {
        Ok(Some(parent)) if !parent.spec.roles.is_empty() => {
            format!("{} (the parent's)", roles(parent))
        }
        Ok(_) => "any role".to_owned(),
        Err(_) => "that of the parent".to_owned(),
    }
}

fn parent_line(name: &str, parent: &Found) -> Text {
    let line = Text::from("parent: ") + name;
    match parent {
        Ok(Some(parent)) => line + format!(", id: {}", apikey_policy::organization_id(parent)),
        Ok(None) => line + " " + styled(BAD, "(does not exist)"),
        Err(why) => line + format!(": {why}"),
    }
}

/// The sub-organizations in which the key may act, with its roles there.
fn sub_organizations(view: &View) -> Option<Branch> {
    let (key, around) = (&view.key, &view.organizations);
    let granted = around.sub_grants(key);
    let line = |(sub, found): (&SubOrganization, &Found)| {
        let name = Text::from(&sub.org);
        if let Some(grant) = granted.iter().find(|grant| grant.organization == sub.org) {
            return name + format!(": {}", grant.roles.join(", "));
        }
        match (found, &around.own) {
            (Err(why), _) | (Ok(_), Err(why)) => name + format!(": {why}"),
            (Ok(None), Ok(_)) => name + " " + styled(BAD, "(does not exist, left out)"),
            (Ok(Some(_)), Ok(_)) => {
                let why = uncovered(&key.spec.org, &sub.org, found).unwrap_or_default();
                name + " " + styled(WARN, format!("(left out: {why})"))
            }
        }
    };
    let subs = key.spec.sub_orgs.iter().zip(&around.subs);
    let lines: Vec<_> = subs.map(line).collect();
    (!lines.is_empty()).then(|| (styled(BOLD, "Sub-organizations"), lines))
}

fn waits_for_organization(key: &ApiKey) -> bool {
    let status = key.status.as_ref();
    let ready = status.and_then(|s| conditions::find(&s.conditions, conditions::READY));
    ready.is_some_and(|ready| ready.reason == conditions::reason::ORGANIZATION_NOT_FOUND)
}

fn secret(key: &ApiKey, secret: &Seen<Option<PartialObjectMeta<Secret>>>) -> Branch {
    let title = styled(BOLD, "Secret") + format!(" {}", key.secret_name());
    match secret {
        Err(why) => (title + format!(": {why}"), Vec::new()),
        Ok(None) => {
            let status = key.status.as_ref();
            let claimed = status.is_some_and(|status| status.revealed_at.is_some());
            let why = if claimed {
                styled(DIM, "removed after it was claimed")
            } else {
                styled(BAD, "does not exist")
            };
            (title + "  " + why, Vec::new())
        }
        Ok(Some(found)) => {
            let problems = mismatches(key, found);
            let verdict = if problems.is_empty() {
                styled(GOOD, "exists, matches the status")
            } else {
                styled(BAD, "exists, does not match the status")
            };
            let annotation = |name| annotation(found, name).unwrap_or("none");
            let facts = format!(
                "revision {}, entry {} of the credential record",
                annotation(names::ANNOTATION_REVISION),
                annotation(names::ANNOTATION_VERIFIER)
            );
            let leaves = std::iter::once(facts).chain(problems).map(Text::from);
            (title + "  " + verdict, leaves.collect())
        }
    }
}

fn annotation<'a>(secret: &'a PartialObjectMeta<Secret>, name: &str) -> Option<&'a str> {
    let annotations = secret.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

/// Contradictions between the metadata of the Secret and the key.
fn mismatches(key: &ApiKey, secret: &PartialObjectMeta<Secret>) -> Vec<String> {
    let status = key.status.clone().unwrap_or_default();
    let owners = secret.metadata.owner_references.iter().flatten();
    let ours = owners
        .into_iter()
        .any(|owner| Some(&owner.uid) == key.metadata.uid.as_ref());
    if !ours {
        return vec![
            "it has another owner: delete the Secret, or create the ApiKey again with another \
             `secret.name`"
                .to_owned(),
        ];
    }
    let labels = secret.metadata.labels.as_ref();
    let id = labels.and_then(|labels| labels.get(names::LABEL_KEY_ID));
    let revision = annotation(secret, names::ANNOTATION_REVISION);
    let entry = annotation(secret, names::ANNOTATION_VERIFIER).unwrap_or_default();
    let expected = status.revision.map(|revision| revision.to_string());
    let mut problems = Vec::new();
    if id != status.key_id.as_ref() {
        problems.push(format!(
            "its key id is {}, that of the key {}",
            id.map_or("none", String::as_str),
            status.key_id.as_deref().unwrap_or("none")
        ));
    }
    if revision != expected.as_deref() {
        problems.push(format!(
            "its revision is {}, the status says {}",
            revision.unwrap_or("none"),
            expected.as_deref().unwrap_or("none")
        ));
    }
    if entry.len() != 16 || !entry.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        problems.push(format!(
            "its annotation '{}' is '{}', which is no entry of a credential record",
            names::ANNOTATION_VERIFIER,
            entry
        ));
    }
    problems
}

fn revisions(key: &ApiKey, now: Timestamp) -> Branch {
    let status = key.status.clone().unwrap_or_default();
    let mut leaves: Vec<Text> = Vec::new();
    if let Some(revision) = status.revision {
        let since = status.rotated_at.map_or_else(String::new, |time| {
            format!(", since {}", time::relative(time.0, now))
        });
        leaves.push(if key::is_refused(key) {
            styled(
                BAD,
                format!("{revision}: refused, and the next one is not delivered"),
            )
        } else {
            format!("{revision}: current{since}").into()
        });
    }
    if let Some(previous) = status.previous_secret {
        let end = previous.valid_until.0;
        let when = time::relative(end, now);
        let previous = previous.revision;
        leaves.push(format!("{previous}: previous, accepted until {end} ({when})").into());
    }
    if let Some(next) = status.next_rotation_at {
        let when = time::relative(next.0, now);
        leaves.push(format!("next rotation: {} ({when})", next.0).into());
    }
    if leaves.is_empty() {
        leaves.push("none yet".into());
    }
    (styled(BOLD, "Revisions"), leaves)
}

fn all_conditions(view: &View, now: Timestamp) -> Branch {
    let title = styled(BOLD, "Conditions");
    let all = key::conditions_of(&view.key);
    if all.is_empty() {
        let check = format!("{} check", view.program);
        let hint = format!("none yet: has a controller seen the key? See `{check}`");
        return (title, vec![hint.into()]);
    }
    let lines = all.iter().map(|condition| {
        let type_ = condition.type_.as_str();
        let style = if BAD_NEWS.contains(&type_) {
            BAD
        } else if NEWS.contains(&type_) {
            WARN
        } else {
            key::truth(&condition.status)
        };
        let age = time::age(condition.last_transition_time.0, now);
        Text::from(type_)
            + " "
            + styled(style, &condition.status)
            + format!(" {} ", condition.reason)
            + styled(DIM, age)
            + format!(": {}", condition.message)
    });
    (title, lines.collect())
}

fn events(events: &Seen<Listed<Event>>, now: Timestamp) -> Branch {
    let title = styled(BOLD, "Events");
    let listed = match events {
        Err(why) => return (title + format!(": {why}"), Vec::new()),
        Ok(listed) if listed.objects.is_empty() && listed.unreadable.is_empty() => {
            return (title + ": none", Vec::new());
        }
        Ok(listed) => listed,
    };
    let unread = listed.unreadable.len();
    let unread = (unread > 0).then(|| styled(WARN, format!("{unread} can't be read")));
    let mut events: Vec<_> = listed
        .objects
        .iter()
        .map(|event| (last_seen(event), event))
        .collect();
    events.sort_by_key(|(time, _)| *time);
    let older = events.len().saturating_sub(EVENTS);
    let lines = events.into_iter().skip(older).map(|(time, event)| {
        let age = time.map_or_else(|| "?".to_owned(), |time| time::age(time, now));
        let type_ = event.type_.as_deref().unwrap_or_default();
        let style = if type_ == "Warning" { WARN } else { DIM };
        let reason = event.reason.as_deref().unwrap_or_default();
        let note = event.note.as_deref().unwrap_or_default();
        styled(DIM, age) + " " + styled(style, type_) + format!(" {reason}: {note}")
    });
    (title, lines.chain(unread).collect())
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let repeated = event
        .series
        .as_ref()
        .map(|series| series.last_observed_time.0);
    let once = event.event_time.as_ref().map(|time| time.0);
    let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    repeated.or(once).or(old)
}
