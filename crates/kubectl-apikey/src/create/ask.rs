//! The dialogue: asks for missing values, and offers the objects of the cluster.

use std::fmt;

use inquire::Text;
use inquire::validator::Validation;
use k8s_openapi::jiff::SignedDuration;
use kube::api::ListParams;

use super::Create;
use super::values::{self, Expiry};
use crate::dialogue::{answered, confirm, one_of, some_of};
use crate::exit::Failure;
use crate::invocation::{Cluster, Invocation};
use crate::nearest::question;
use crate::pages::{self, Unread};
use crate::terminal::DIM;
use crate::text::styled;
use apikey_api::Organization;

/// Lifetimes that the dialogue offers, in days.
const DAYS: [i64; 3] = [30, 90, 180];

pub(super) async fn complete(mut flags: Create, call: &mut Invocation) -> Result<Create, Failure> {
    let known = if flags.dry_run == Some(crate::revoke::DryRun::Client) {
        Known::default()
    } else {
        let cluster = call.cluster().await?;
        organizations(&cluster, call).await
    };
    if flags.name.is_none() {
        flags.name = Some(name()?);
    }
    if flags.expires.is_none() {
        flags.expires = expiry()?;
    }
    let org = match flags.org.take() {
        Some(org) => org,
        None => organization(&known)?,
    };
    let missing = known.missing(&org);
    if let Some(why) = &missing {
        call.terminal.warn(why);
    }
    if flags.roles.is_empty() {
        flags.roles = roles(&org, &known)?;
    }
    flags.org = Some(org);
    let namespace = call.target().namespace.as_deref();
    let command = command(&flags, namespace, &call.program);
    call.terminal
        .note(styled(DIM, format!("Without questions: {command}")));
    let question = if missing.is_some() {
        "Create it anyway?"
    } else {
        "Create it?"
    };
    if confirm(question, missing.is_none())? {
        Ok(flags)
    } else {
        Err(Failure::failed("stopped; nothing was created"))
    }
}

/// What is known about the Organizations of the cluster.
#[derive(Default)]
struct Known {
    /// Organizations that can be read.
    declared: Vec<Organization>,
    /// Names of the Organizations that can't be read.
    unreadable: Vec<String>,
    /// Whether the list is complete.
    is_complete: bool,
}

impl Known {
    fn has(&self, org: &str) -> bool {
        let mut names = self.declared.iter().map(|o| o.metadata.name.as_deref());
        names.any(|name| name == Some(org))
    }

    /// Returns a message if the Organization is known not to exist.
    fn missing(&self, org: &str) -> Option<String> {
        let declared = self.declared.iter();
        let names = declared.filter_map(|o| o.metadata.name.as_deref());
        let names = names.chain(self.unreadable.iter().map(String::as_str));
        let names: Vec<_> = names.collect();
        if !self.is_complete || names.contains(&org) {
            return None;
        }
        let meant = question(org, names);
        Some(format!(
            "Organization '{org}' does not exist{meant}: the key would wait, without a secret, until a \
             cluster administrator creates it"
        ))
    }
}

/// Lists the Organizations of the cluster if the user may list them.
async fn organizations(cluster: &Cluster, call: &mut Invocation) -> Known {
    let api = cluster.organizations();
    let listed = pages::list(api, "list Organizations", ListParams::default()).await;
    match listed {
        Ok(listed) => {
            for Unread { identity, why } in &listed.unreadable {
                let name = &identity.name;
                call.terminal.note(format!(
                    "Organization '{name}' can't be read, so its roles are not offered: {why}"
                ));
            }
            let unreadable = listed.unreadable.into_iter();
            Known {
                declared: listed.objects,
                unreadable: unreadable.map(|one| one.identity.name.into()).collect(),
                is_complete: true,
            }
        }
        Err(failure) => {
            let message = failure.message();
            call.terminal
                .note(format!("Organizations can't be offered: {message}"));
            Known::default()
        }
    }
}

fn name() -> Result<String, Failure> {
    let ask = Text::new("Name of the key")
        .with_help_message("lower-case letters, digits, '-' and '.', for example ci-upload")
        .with_validator(|text: &str| {
            Ok(valid(is_name(text), "use lower-case letters, digits, '-'"))
        });
    answered(ask.prompt())
}

fn is_name(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    bytes.len() <= 55 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

fn valid(is_valid: bool, fix: &str) -> Validation {
    if is_valid {
        Validation::Valid
    } else {
        Validation::Invalid(fix.into())
    }
}

/// When the key expires.
enum End {
    Days(i64),
    Default,
    Own,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days} days"),
            Self::Default => write!(f, "the organization's default"),
            Self::Own => write!(f, "another time"),
        }
    }
}

fn expiry() -> Result<Option<Expiry>, Failure> {
    let mut ends: Vec<_> = DAYS.into_iter().map(End::Days).collect();
    ends.extend([End::Default, End::Own]);
    let help = "fixed for the lifetime of the key; the default is usually 180 days";
    match one_of("It expires after", ends, help)? {
        End::Default => Ok(None),
        End::Days(days) => Ok(Some(Expiry::In(SignedDuration::from_hours(24 * days)))),
        End::Own => {
            let ask = Text::new("When")
                .with_help_message("a duration (45d) or a time (2027-05-24T00:00:00Z)")
                .with_validator(|text: &str| {
                    Ok(valid(
                        values::expiry(text).is_ok(),
                        "45d, or 2027-05-24T00:00:00Z",
                    ))
                });
            let text = answered(ask.prompt())?;
            values::expiry(&text).map(Some).map_err(Failure::usage)
        }
    }
}

fn organization(known: &Known) -> Result<String, Failure> {
    const ANOTHER: &str = "another one: the key waits until a cluster administrator creates it";
    let names = known
        .declared
        .iter()
        .filter_map(|o| o.metadata.name.clone());
    let mut names: Vec<_> = names.collect();
    if !names.is_empty() {
        names.push(ANOTHER.to_owned());
        let chosen = one_of("Organization", names, "typing filters")?;
        if chosen != ANOTHER {
            return Ok(chosen);
        }
    }
    let ask = Text::new("Organization")
        .with_help_message("its name; a key waits until its Organization exists")
        .with_validator(|text: &str| {
            Ok(valid(is_name(text), "use lower-case letters, digits, '-'"))
        });
    answered(ask.prompt())
}

fn roles(org: &str, known: &Known) -> Result<Vec<String>, Failure> {
    let choices = catalogue(org, &known.declared);
    if choices.is_empty() {
        let split = |text: &str| -> Vec<String> {
            let roles = text.split([',', ' ']).filter(|role| !role.is_empty());
            roles.map(str::to_owned).collect()
        };
        let ask = Text::new("Roles")
            .with_help_message(if known.has(org) {
                "separated by commas; the organization has no catalogue, so every role is allowed"
            } else {
                "separated by commas; the catalogue of the organization is not known"
            })
            .with_validator(move |text: &str| Ok(valid(!split(text).is_empty(), "name a role")));
        return Ok(split(&answered(ask.prompt())?));
    }
    let help = "Space selects, Enter finishes, typing filters";
    let chosen = some_of("Roles", choices, help)?;
    Ok(chosen.into_iter().map(|choice| choice.role).collect())
}

/// A role with its description.
struct Choice {
    role: String,
    description: Option<String>,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.description {
            Some(text) => write!(f, "{}  ({text})", self.role),
            None => write!(f, "{}", self.role),
        }
    }
}

/// The roles of an organization, or of its parent if it has none.
fn catalogue(org: &str, declared: &[Organization]) -> Vec<Choice> {
    let find = |name: &str| {
        declared
            .iter()
            .find(|o| o.metadata.name.as_deref() == Some(name))
    };
    let own = find(org);
    let parent = own.and_then(|o| find(o.spec.parent.as_deref()?));
    let with_roles = [own, parent].into_iter().flatten();
    let mut with_roles = with_roles.filter(|o| !o.spec.roles.is_empty());
    let roles = with_roles.next().map(|o| o.spec.roles.as_slice());
    let roles = roles.unwrap_or_default().iter().cloned();
    roles
        .map(|role| Choice {
            role: role.key,
            description: role.description,
        })
        .collect()
}

/// The equivalent command without a dialogue. It does not repeat flags that the dialogue does not ask for.
fn command(flags: &Create, namespace: Option<&str>, program: &str) -> String {
    let mut words = vec![format!("{program} create")];
    words.extend(flags.name.clone());
    words.extend(flags.org.as_ref().map(|org| format!("--org {org}")));
    words.push(format!("--role {}", flags.roles.join(",")));
    words.extend(flags.expires.as_ref().map(|end| match end {
        Expiry::At(time) => format!("--expires {time}"),
        Expiry::In(duration) => format!("--expires {}h", duration.as_hours()),
    }));
    words.extend(namespace.map(|name| format!("-n {name}")));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_api::{OrganizationSpec, Role};

    fn organization(name: &str, parent: Option<&str>, roles: &[&str]) -> Organization {
        let roles = roles.iter().map(|role| Role {
            key: (*role).to_owned(),
            description: None,
        });
        let spec = OrganizationSpec {
            parent: parent.map(str::to_owned),
            roles: roles.collect(),
            ..OrganizationSpec::default()
        };
        Organization::new(name, spec)
    }

    #[test]
    fn roles_are_those_of_the_parent_if_there_are_none() {
        let all = [
            organization("root", None, &["a", "b"]),
            organization("sub", Some("root"), &[]),
            organization("own", Some("root"), &["c"]),
        ];
        let roles = |org| {
            let roles = catalogue(org, &all).into_iter().map(|choice| choice.role);
            roles.collect::<Vec<_>>()
        };
        assert_eq!(roles("sub"), ["a", "b"]);
        assert_eq!(roles("own"), ["c"]);
        assert!(roles("unknown").is_empty());
    }

    #[test]
    fn only_where_all_are_known_an_organization_is_said_to_be_missing() {
        let mut known = Known {
            declared: vec![organization("acme", None, &[])],
            unreadable: vec!["newer".to_owned()],
            is_complete: true,
        };
        assert!(known.missing("acme").is_none() && known.missing("newer").is_none());
        let missing = known.missing("acmee").unwrap();
        assert!(missing.contains("do you mean 'acme'?"), "{missing}");
        known.is_complete = false;
        assert!(known.missing("acmee").is_none());
    }

    #[test]
    fn names_are_checked_before_they_are_sent() {
        for good in ["ci", "ci-upload", "a.b", "7"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "CI", "-ci", "ci-", "a b", &"x".repeat(56)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
