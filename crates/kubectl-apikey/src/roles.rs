//! `roles add|remove|set`: changes the roles of a key without a new secret.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Failure;
use super::invocation::Invocation;
use super::{gitops, key, organization, patch};
use apikey_api::ApiKey;

/// Change the roles of a key. The secret stays the same, and the change takes effect with the next token.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Roles {
    #[command(subcommand)]
    change: Change,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Add roles to the key.
    #[command(after_help = EXAMPLES)]
    Add(Named),
    /// Remove roles from the key. The last role can't be removed: suspend or revoke the key instead.
    #[command(after_help = EXAMPLES)]
    Remove(Named),
    /// Replace the roles of the key.
    #[command(after_help = EXAMPLES)]
    Set(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// Name of the key.
    #[arg(value_name = "NAME")]
    name: String,

    /// Roles from the catalogue of the organization.
    #[arg(required = true, value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  Add a role:
    kubectl apikey roles add ci-upload deployer

  Remove a role:
    kubectl apikey roles remove ci-upload deployer

  Set exactly two roles:
    kubectl apikey roles set ci-upload build-operator build-viewer";

pub(super) async fn run(flags: &Roles, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let (Change::Add(named) | Change::Remove(named) | Change::Set(named)) = &flags.change;
    let written = patch::recomputed(&cluster, &named.name, |key| {
        let roles = changed(&flags.change, key)?;
        Ok((roles != key.spec.roles).then(|| json!({"roles": roles})))
    });
    let (key, is_changed) = written.await?;
    let name = key::name(&key);
    if let Some(tool) = gitops::keeper(&key.metadata).filter(|_| is_changed) {
        call.terminal.warn(gitops::warning(name, tool));
    }
    for text in organization::around(&cluster, &key).await.left_out(&key) {
        call.terminal.warn(text);
    }
    let what = if is_changed { "changed" } else { "unchanged" };
    call.terminal
        .note(format!("roles: {}", key.spec.roles.join(", ")));
    call.terminal.print(format!("apikey/{name} {what}"))
}

/// The roles after the change.
fn changed(change: &Change, key: &ApiKey) -> Result<Vec<String>, Failure> {
    let now = &key.spec.roles;
    let mut roles = match change {
        Change::Add(named) => [now.as_slice(), &named.roles].concat(),
        Change::Set(named) => named.roles.clone(),
        Change::Remove(named) => {
            let kept = now.iter().filter(|role| !named.roles.contains(role));
            let kept: Vec<_> = kept.cloned().collect();
            if kept.is_empty() {
                let call = |verb| key::call(key, verb);
                return Err(Failure::usage(format!(
                    "a key must have at least one role, and '{}' has [{}]: suspend it (`{}`), revoke it \
                     (`{}`), or set other roles (`{} ROLE`)",
                    key::name(key),
                    now.join(", "),
                    call("suspend"),
                    call("revoke"),
                    call("roles set")
                )));
            }
            kept
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    roles.retain(|role| seen.insert(role.clone()));
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_api::ApiKeySpec;

    fn after(change: fn(Named) -> Change, roles: &[&str]) -> Result<Vec<String>, Failure> {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let name = "ci".to_owned();
        let mut key = ApiKey::new(&name, ApiKeySpec::default());
        key.spec.roles = vec!["a".to_owned(), "b".to_owned()];
        key.metadata.namespace = Some("team-a".to_owned());
        changed(&change(Named { name, roles }), &key)
    }

    #[test]
    fn roles_are_a_set_in_their_order_and_never_empty() {
        assert_eq!(after(Change::Add, &["c", "a"]).unwrap(), ["a", "b", "c"]);
        assert_eq!(after(Change::Remove, &["a", "x"]).unwrap(), ["b"]);
        assert_eq!(after(Change::Set, &["c", "c"]).unwrap(), ["c"]);
        let refused = after(Change::Remove, &["a", "b"]).unwrap_err();
        for hint in [
            "kubectl apikey suspend ci -n team-a",
            "kubectl apikey revoke ci -n team-a",
            "kubectl apikey roles set ci -n team-a ROLE",
        ] {
            assert!(refused.message().contains(hint), "{}", refused.message());
        }
    }
}
