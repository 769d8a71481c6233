//! The real helm, which has kstatus built in, waits for keys.

use std::path::Path;

use crate::support::Scope;

/// Installs a chart with one key with the real helm. Returns whether it succeeded, and the error output.
fn install(scope: &Scope<'_>, folder: &Path, name: &str, more: &str) -> (bool, String) {
    let chart = folder.join(name);
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    let about = format!("{{apiVersion: v2, name: {name}, version: 1.0.0}}\n");
    std::fs::write(chart.join("Chart.yaml"), about).unwrap();
    let key = scope.key_yaml(name, more);
    std::fs::write(chart.join("templates/key.yaml"), key).unwrap();
    let mut helm = scope.cluster.control_plane.helm();
    let output = helm
        .args([
            "install",
            name,
            "--wait",
            "--timeout=20s",
            "-n",
            &scope.namespace,
        ])
        .arg(&chart)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), printed)
}

#[tokio::test]
async fn helm_waits_for_a_usable_key_and_gives_up_at_once_on_a_refused_one() {
    let scope = Scope::shared().await;
    scope.declare(
        scope.org(),
        "{allowedNamespaces: {from: All}, roles: [{key: viewer}]}",
    );
    let folder = tempfile::tempdir().unwrap();
    let install = |name, more| {
        let begun = std::time::Instant::now();
        let (done, printed) = install(&scope, folder.path(), name, more);
        (done, begun.elapsed().as_secs() < 15, printed)
    };
    for (name, more) in [("usable", ""), ("suspended", "suspended: true")] {
        let (done, _, printed) = install(name, more);
        assert!(done, "{name}: {printed}");
    }
    let expired = "expiry: '2020-01-01T00:00:00Z'";
    for (name, more) in [("refused", "roles: [nobody]"), ("expired", expired)] {
        let (done, soon, printed) = install(name, more);
        assert!(!done && soon, "{name}: done {done}, soon {soon}: {printed}");
    }
}
