//! Kubeconfig files. They are written as JSON, which is YAML too.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::error::{Error, IoContext, Result};

/// A kubeconfig of one cluster, one user with a bearer token and one context.
pub(crate) fn with_token(cluster: &Value, user: &str, token: &str, namespace: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "controlplane", "cluster": cluster }],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{
            "name": user,
            "context": { "cluster": "controlplane", "user": user, "namespace": namespace },
        }],
        "current-context": user,
    });
    format!("{config:#}\n")
}

/// The text of a kubeconfig for a `ServiceAccount` of the cluster that `kubectl` talks to.
///
/// `kubectl` creates a new `kubectl` command at each call. The kubeconfig has the cluster of its
/// current context, CA included, and a new token from the `TokenRequest` API. `duration` is the
/// requested life of the token in the format of kubectl ("1h", "24h"); a cluster may grant less.
/// The context's namespace is `namespace`.
///
/// # Errors
/// [`Error::Command`] with kubectl's message, for example if the `ServiceAccount` does not exist;
/// [`Error::Kubeconfig`] without a current context; [`Error::Io`] if kubectl does not run.
pub fn for_service_account(
    kubectl: impl Fn() -> Command,
    namespace: &str,
    name: &str,
    duration: &str,
) -> Result<String> {
    let view = output(kubectl().args([
        "config",
        "view",
        "--raw",
        "--minify",
        "--flatten",
        "--output=json",
    ]))?;
    let view: Value =
        serde_json::from_str(&view).map_err(|_| Error::Kubeconfig("is not readable"))?;
    let cluster = view
        .pointer("/clusters/0/cluster")
        .ok_or(Error::Kubeconfig("names no cluster"))?;
    let token = output(kubectl().args([
        "create",
        "token",
        name,
        &format!("--namespace={namespace}"),
        &format!("--duration={duration}"),
    ]))?;
    let user = format!("system:serviceaccount:{namespace}:{name}");
    Ok(with_token(cluster, &user, token.trim(), namespace))
}

/// Writes `content` to `path` so that only the user can read it (mode 0600), even if the file
/// existed with a wider mode.
///
/// # Errors
/// [`Error::Io`] if the file can't be written.
pub fn write_private(path: &Path, content: &str) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(PermissionsExt::from_mode(0o600))?;
        file.write_all(content.as_bytes())
    };
    write().context("write", path)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .context("run", Path::new(command.get_program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words: Vec<_> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    Err(Error::Command {
        command: words.join(" "),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::write_private;

    #[test]
    fn a_private_file_is_private_even_if_it_was_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kubeconfig");
        fs::write(&file, "old and longer").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&file, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
