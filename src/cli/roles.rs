//! `roles add|remove|set`: what a key may do, without a new secret.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Failure;
use super::invocation::Invocation;
use super::{gitops, key, organization, patch};

/// Change what a key may do. The secret stays; it takes effect with the next token.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Roles {
    #[command(subcommand)]
    change: Change,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Give the key roles that it has not.
    #[command(after_help = EXAMPLES)]
    Add(Named),
    /// Take roles from the key. The last one can't be taken: suspend or revoke the key instead.
    #[command(after_help = EXAMPLES)]
    Remove(Named),
    /// Give the key exactly these roles.
    #[command(after_help = EXAMPLES)]
    Set(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// Name of the key.
    #[arg(value_name = "NAME")]
    name: String,

    /// Roles, as the catalogue of the organization names them.
    #[arg(required = true, value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  Let it deploy as well:
    kubectl apikey roles add ci-upload deployer

  No longer:
    kubectl apikey roles remove ci-upload deployer

  Exactly two:
    kubectl apikey roles set ci-upload build-operator build-viewer";

pub(super) async fn run(flags: &Roles, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let (Change::Add(named) | Change::Remove(named) | Change::Set(named)) = &flags.change;
    let written = patch::recomputed(&cluster, &named.name, |key| {
        let roles = changed(&flags.change, &key.spec.roles, &call.program)?;
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
fn changed(change: &Change, now: &[String], program: &str) -> Result<Vec<String>, Failure> {
    let mut roles = match change {
        Change::Add(named) => [now, &named.roles].concat(),
        Change::Set(named) => named.roles.clone(),
        Change::Remove(named) => {
            let kept = now.iter().filter(|role| !named.roles.contains(role));
            let kept: Vec<_> = kept.cloned().collect();
            if kept.is_empty() {
                let name = &named.name;
                return Err(Failure::usage(format!(
                    "a key must have at least one role, and '{name}' has [{}]: suspend it \
                     (`{program} suspend {name}`), revoke it (`{program} revoke {name}`), or set \
                     other roles (`{program} roles set {name} ROLE`)",
                    now.join(", ")
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

    fn after(change: fn(Named) -> Change, roles: &[&str]) -> Result<Vec<String>, Failure> {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let now = ["a".to_owned(), "b".to_owned()];
        let name = "ci".to_owned();
        changed(&change(Named { name, roles }), &now, "kubectl apikey")
    }

    #[test]
    fn roles_are_a_set_in_their_order_and_never_empty() {
        assert_eq!(after(Change::Add, &["c", "a"]).unwrap(), ["a", "b", "c"]);
        assert_eq!(after(Change::Remove, &["a", "x"]).unwrap(), ["b"]);
        assert_eq!(after(Change::Set, &["c", "c"]).unwrap(), ["c"]);
        let refused = after(Change::Remove, &["a", "b"]).unwrap_err();
        assert!(refused.message().contains("kubectl apikey suspend ci"));
    }
}
