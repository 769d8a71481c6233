//! Proxies of the environment. Local addresses are reached without one, as in kubectl.

use std::path::Path;

use crate::support::{Cluster, Outcome, Proxy, Scope, outcome};

/// The environment variables that can name a proxy.
const VARIABLES: [&str; 5] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
];

/// Runs the plugin with a proxy in all of these variables.
fn plugin(scope: &Scope<'_>, proxy: &Proxy, call: &[&str]) -> Outcome {
    let url = proxy.url();
    let mut plugin = scope.plugin_command();
    let plugin = plugin.args(call).envs(VARIABLES.map(|name| (name, &url)));
    outcome(plugin.env_remove("NO_PROXY").env_remove("no_proxy"), "")
}

#[tokio::test]
async fn a_secret_for_this_machine_passes_no_proxy() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.usable(server, "ci", "").await;
    let port = server.address.port();
    let proxy = Proxy::start();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}");
        let got = plugin(&scope, &proxy, &["token", "ci", "--url", &url]);
        assert!(got.stdout.starts_with("ey"), "{host}: {}", got.stderr);
        let checked = plugin(
            &scope,
            &proxy,
            &["verify", got.stdout.trim_end(), "--url", &url],
        );
        checked.done();
        let checks = plugin(&scope, &proxy, &["check", "--url", &url, "-o", "json"]);
        assert!(
            checks.stdout.contains(&format!("{url} answers")),
            "{checks:?}"
        );
    }
    assert_eq!(proxy.asked(), [""; 0]);

    // Requests to any other address still go to the proxy.
    let call = ["token", "ci", "--url", "http://keys.invalid"];
    plugin(&scope, &proxy, &call).failed(1);
    let asked = proxy.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        asked[0].starts_with("POST http://keys.invalid/"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_proxy_that_is_neither_http_nor_https_is_named_and_gets_nothing() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    scope.usable(server, "ci", "").await;
    let proxy = Proxy::start();
    let socks = proxy.url().replace("http://", "socks5://");
    let mut plugin = scope.plugin_command();
    let call = ["token", "ci", "--url", "http://keys.invalid"];
    let plugin = plugin.args(call).env("HTTP_PROXY", socks);
    let got = outcome(plugin.env_remove("NO_PROXY").env_remove("no_proxy"), "");
    let message = "only http: and https: proxies are supported";
    assert!(got.stderr.contains(message), "{got:?}");
    got.failed(1);
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn an_api_server_on_this_machine_is_reached_without_the_proxy_of_the_environment() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let proxy = Proxy::start();
    let url = proxy.url();
    let mut kubectl = cluster.control_plane.kubectl();
    let kubectl = kubectl.args(["get", "apikeys"]).env("HTTPS_PROXY", &url);
    outcome(kubectl, "").done();
    plugin(&scope, &proxy, &["list"]).done();
    let file = cluster.control_plane.admin_kubeconfig();
    let file = file.to_str().unwrap();
    plugin(&scope, &proxy, &["list", "--kubeconfig", file]).done();
    let environment = [("HTTPS_PROXY", url.as_str())];
    let operator = cluster.operator_in(&environment, &["--leader-elect=false"]);
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    drop(operator);
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_the_kubeconfig_names_is_asked() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let proxy = Proxy::start();
    let through = |file: &Path, name: &str| {
        let copy = file.with_file_name(name);
        std::fs::copy(file, &copy).unwrap();
        let read = kube::config::Kubeconfig::read_from(&copy).unwrap();
        let mut kubectl = cluster.control_plane.kubectl();
        let set = [
            "config",
            "set-cluster",
            &read.clusters[0].name,
            "--proxy-url",
        ];
        let kubectl = kubectl.args(set).arg(proxy.url());
        outcome(kubectl.arg("--kubeconfig").arg(&copy), "").done();
        copy
    };
    let admin = through(cluster.control_plane.admin_kubeconfig(), "admin-by-proxy");
    let asked = |what: &str, seen: &mut usize| {
        let asked = proxy.asked();
        assert!(asked.len() > *seen, "{what} did not ask the proxy");
        assert!(
            asked
                .iter()
                .all(|line| line.starts_with("CONNECT 127.0.0.1:"))
        );
        *seen = asked.len();
    };
    let mut seen = 0;
    // NO_PROXY does not apply to the address of the proxy.
    let mut kubectl = cluster.control_plane.kubectl();
    let kubectl = kubectl.args(["get", "apikeys"]).env("KUBECONFIG", &admin);
    outcome(kubectl.env("NO_PROXY", "127.0.0.1,localhost"), "").done();
    asked("kubectl", &mut seen);
    let mut plugin = scope.plugin_command();
    let plugin = plugin.arg("list").env("KUBECONFIG", &admin);
    outcome(plugin.env("NO_PROXY", "127.0.0.1,localhost"), "").done();
    asked("the plugin", &mut seen);
    let account = through(cluster.service_account(), "account-by-proxy");
    let operator = cluster.operator_of(&account, &["--leader-elect=false"]);
    scope.apply_key("ci", "");
    scope.ready("ci").await;
    drop(operator);
    asked("the operator", &mut seen);
}
