//! What a running control plane does. These tests run the real thing: `make controlplane` first.

mod common;

use std::error::Error;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{COMMAND, Outcome, address, run, within};
use controlplane::{Binaries, ControlPlane};

#[test]
fn two_at_once_become_ready_and_share_nothing() -> Outcome {
    let other = thread::spawn(ControlPlane::start);
    let one = ControlPlane::start()?;
    let two = other.join().map_err(|_| "the other start panicked")??;
    assert_ne!(one.server_url(), two.server_url());
    assert_ne!(one.dir(), two.dir());
    assert_ne!(one.ca_pem(), two.ca_pem());

    run(one.kubectl().args(["create", "namespace", "only-here"]))?;
    assert_eq!(
        run(one
            .kubectl()
            .args(["get", "namespace", "only-here", "-o", "name"]))?,
        "namespace/only-here"
    );
    assert!(
        !two.kubectl()
            .args(["get", "namespace", "only-here"])
            .output()?
            .status
            .success()
    );

    // The client of one does not accept the server of two, because it checks certificates.
    let server = format!("--server={}", two.server_url());
    let refused = one
        .kubectl()
        .args([&server, "get", "namespaces"])
        .output()?;
    assert!(!refused.status.success());
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("x509"),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn a_fresh_service_account_may_do_nothing_until_it_is_allowed_to() -> Outcome {
    let cluster = ControlPlane::start()?;
    run(cluster.kubectl().args(["create", "namespace", "robots"]))?;
    run(cluster
        .kubectl()
        .args(["create", "serviceaccount", "robot", "-n", "robots"]))?;
    let kubeconfig = cluster.service_account_kubeconfig("robots", "robot")?;
    assert_eq!(
        fs::metadata(&kubeconfig)?.permissions().mode() & 0o777,
        0o600
    );

    let get = || {
        let mut command = cluster.kubectl();
        command
            .env("KUBECONFIG", &kubeconfig)
            .args(["get", "secrets", "-o", "name"]);
        command
    };
    let denied = get().output()?;
    let words = String::from_utf8_lossy(&denied.stderr).into_owned();
    assert!(!denied.status.success());
    assert!(
        words.contains(r#""system:serviceaccount:robots:robot" cannot list"#),
        "{words}"
    );
    assert!(words.contains(r#"in the namespace "robots""#), "{words}");

    let binding = [
        "create",
        "rolebinding",
        "r",
        "-n",
        "robots",
        "--clusterrole=admin",
        "--serviceaccount=robots:robot",
    ];
    run(cluster.kubectl().args(binding))?;
    run(&mut get())?;

    let audit = fs::read_to_string(cluster.audit_log())?;
    let denials: Vec<serde_json::Value> = audit
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<serde_json::Value>, _>>()?
        .into_iter()
        .filter(|event| event["user"]["username"] == "system:serviceaccount:robots:robot")
        .filter(|event| event["responseStatus"]["code"] == 403)
        .collect();
    assert_eq!(denials.len(), 1, "{denials:#?}");
    assert_eq!(denials[0]["objectRef"]["resource"], "secrets");
    Ok(())
}

#[test]
fn the_controllers_collect_garbage_and_finish_namespaces() -> Outcome {
    let cluster = ControlPlane::start()?;
    run(cluster.kubectl().args(["create", "namespace", "brief"]))?;
    run(cluster.kubectl().args([
        "create",
        "deployment",
        "web",
        "--image=example/web",
        "-n",
        "brief",
    ]))?;
    let pods = || {
        run(cluster
            .kubectl()
            .args(["get", "pods", "-n", "brief", "-o", "name"]))
        .is_ok_and(|names| names.starts_with("pod/web-"))
    };
    assert!(
        within(Duration::from_secs(10), pods),
        "the Deployment has no Pod"
    );
    run(cluster
        .kubectl()
        .args(["delete", "deployment", "web", "-n", "brief"]))?;
    let none = || {
        run(cluster
            .kubectl()
            .args(["get", "replicasets,pods", "-n", "brief", "-o", "name"]))
        .is_ok_and(|names| names.is_empty())
    };
    assert!(
        within(Duration::from_secs(20), none),
        "the ReplicaSet or its Pod still exists"
    );
    run(cluster
        .kubectl()
        .args(["delete", "namespace", "brief", "--timeout=20s"]))?;
    Ok(())
}

#[test]
fn helm_creates_and_installs_a_chart() -> Outcome {
    let cluster = ControlPlane::start()?;
    let chart = cluster.dir().join("chart");
    run(cluster
        .helm()
        .args(["create", "chart"])
        .current_dir(cluster.dir()))?;
    run(cluster.helm().args(["install", "first"]).arg(&chart))?;
    assert!(run(cluster.helm().args(["list", "--short"]))?.contains("first"));
    assert!(run(cluster.kubectl().args(["get", "deployments", "-o", "name"]))?.contains("first"));
    Ok(())
}

#[test]
fn etcdctl_sees_the_value_of_a_secret_in_clear_for_as_long_as_the_secret_exists() -> Outcome {
    const VALUE: &str = "only-this-secret-has-it";
    let mut cluster = ControlPlane::start()?;
    assert!(!is_stored(&cluster, VALUE)?);
    let literal = format!("--from-literal=a={VALUE}");
    run(cluster
        .kubectl()
        .args(["create", "secret", "generic", "found", &literal]))?;
    assert!(is_stored(&cluster, VALUE)?);
    // Other commands also get this environment, independent of the user's environment.
    let key = "/registry/secrets/default/found";
    let script = "etcdctl get --keys-only \"$1\"";
    let keys = run(cluster.command("sh").args(["-c", script, "sh", key]))?;
    assert_eq!(keys, key);

    cluster.stop_apiserver();
    assert!(is_stored(&cluster, VALUE)?);
    cluster.restart_apiserver()?;
    run(cluster.kubectl().args(["delete", "secret", "found"]))?;
    assert!(!is_stored(&cluster, VALUE)?);
    Ok(())
}

#[test]
fn age_opens_what_it_closed_with_the_right_key_only() -> Outcome {
    let binaries = Binaries::locate()?;
    let tool = |name| Command::new(binaries.path(name));
    let folder = tempfile::tempdir()?;
    let file = |name| folder.path().join(name);
    for name in ["key", "other"] {
        run(tool("age-keygen").arg("-o").arg(file(name)))?;
    }
    let recipient = run(tool("age-keygen").arg("-y").arg(file("key")))?;
    assert!(recipient.starts_with("age1"), "{recipient}");

    fs::write(file("plain"), "what is to be kept")?;
    run(tool("age")
        .args(["-r", &recipient, "-o"])
        .args([file("closed"), file("plain")]))?;
    let closed = fs::read(file("closed"))?;
    assert!(closed.starts_with(b"age-encryption.org/v1\n"));
    assert!(!contains(&closed, "what is to be kept"));

    let open = |key| {
        let mut command = tool("age");
        command.args(["-d", "-i"]).args([file(key), file("closed")]);
        command
    };
    assert_eq!(run(&mut open("key"))?, "what is to be kept");
    let refused = open("other").output()?;
    assert!(!refused.status.success() && refused.stdout.is_empty());
    Ok(())
}

#[test]
fn the_apiserver_comes_back_on_the_same_port_with_its_data() -> Outcome {
    let mut cluster = ControlPlane::start()?;
    let url = cluster.server_url().to_owned();
    run(cluster
        .kubectl()
        .args(["create", "configmap", "kept", "--from-literal=a=b"]))?;
    run(cluster
        .kubectl()
        .args(["create", "serviceaccount", "robot"]))?;
    let robot = cluster.service_account_kubeconfig("default", "robot")?;

    cluster.stop_apiserver();
    assert!(
        TcpStream::connect(address(&url)).is_err(),
        "the port is still open"
    );
    assert!(
        !cluster
            .kubectl()
            .args(["get", "configmap", "kept"])
            .output()?
            .status
            .success()
    );

    cluster.restart_apiserver()?;
    assert_eq!(cluster.server_url(), url);
    let value =
        run(cluster
            .kubectl()
            .args(["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]))?;
    assert_eq!(value, "b");
    let who = run(cluster
        .kubectl()
        .env("KUBECONFIG", robot)
        .args(["auth", "whoami", "-o", "name"]));
    assert!(
        who.is_ok(),
        "tokens from before are no longer valid: {who:?}"
    );

    // The controllers run again: a new namespace gets its ServiceAccount.
    run(cluster.kubectl().args(["create", "namespace", "after"]))?;
    let account = || {
        run(cluster
            .kubectl()
            .args(["get", "serviceaccount", "default", "-n", "after"]))
        .is_ok()
    };
    assert!(
        within(Duration::from_secs(20), account),
        "the controller manager did not come back"
    );
    Ok(())
}

#[test]
fn a_start_that_fails_shows_the_log_of_the_component_and_keeps_all_logs() -> Outcome {
    let before = Instant::now();
    let Err(error) = ControlPlane::builder()
        .apiserver_arg("--no-such-flag=1")
        .start()
    else {
        return Err("it started".into());
    };
    assert!(
        before.elapsed() < Duration::from_secs(20),
        "the start did not notice the end of the apiserver"
    );
    let message = error.to_string();
    assert!(
        message.starts_with("kube-apiserver ended before it was ready"),
        "{message}"
    );
    assert!(
        message.contains("unknown flag: --no-such-flag"),
        "{message}"
    );
    let controlplane::Error::NotReady { logs, .. } = error else {
        return Err(message.into());
    };
    assert!(logs.join("etcd.log").exists());
    let folder = logs.to_string_lossy().trim_end_matches("-logs").to_owned();
    assert!(!Path::new(&folder).exists(), "{folder} still exists");
    fs::remove_dir_all(logs)?;
    Ok(())
}

#[test]
fn a_script_gets_a_kubeconfig_for_a_service_account() -> Outcome {
    let cluster = ControlPlane::start()?;
    run(cluster
        .kubectl()
        .args(["create", "serviceaccount", "robot"]))?;
    let out = cluster.dir().join("robot.kubeconfig");
    let path = run(cluster
        .command(COMMAND)
        .args([
            "service-account-kubeconfig",
            "default",
            "robot",
            "--duration=10m",
            "--out",
        ])
        .arg(&out))?;
    assert_eq!(Path::new(&path), out);
    let who = run(cluster.kubectl().env("KUBECONFIG", &out).args([
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ]))?;
    assert_eq!(who, "system:serviceaccount:default:robot");
    Ok(())
}

/// Whether any object in etcd has the text.
fn is_stored(cluster: &ControlPlane, text: &str) -> Result<bool, Box<dyn Error>> {
    let output = cluster.etcdctl().args(["get", "--prefix", ""]).output()?;
    if !output.status.success() || !contains(&output.stdout, "/registry/namespaces/default") {
        return Err(format!(
            "the dump of etcd is incomplete: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(contains(&output.stdout, text))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
