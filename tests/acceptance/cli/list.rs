//! `kubectl apikey list`.

use crate::support::{Scope, ahead};

#[tokio::test]
async fn list_is_a_table_with_expiry_in_words() {
    let scope = Scope::shared().await;
    scope.apply_key("ci", &format!("expiry: '{}'", ahead(12 * 86_400 + 60)));
    scope.apply_key("paused", "suspended: true");
    scope.ready("ci").await;
    let table = scope.plugin(&["list"]).done();
    let mut lines = table.lines();
    let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "NAME",
            "ORG",
            "STATUS",
            "EXPIRES",
            "LAST-USED",
            "READY",
            "AGE"
        ]
    );
    let ci = lines.next().unwrap();
    assert!(
        ci.contains("Active") && ci.contains("in 12d") && ci.contains("True"),
        "{ci}"
    );
    assert!(lines.next().unwrap().contains("Suspended"));
    let wide = scope.plugin(&["list", "-o", "wide"]).done();
    assert!(wide.contains("REASON") && wide.contains("viewer"), "{wide}");
    let everywhere = scope.plugin(&["list", "-A", "--org", scope.org()]).done();
    assert!(everywhere.starts_with("NAMESPACE"), "{everywhere}");
    assert_eq!(everywhere.lines().count(), 3, "{everywhere}");
    let colourful = scope.plugin(&["list", "--color", "always"]).done();
    assert!(colourful.contains("\u{1b}[32mActive"), "{colourful:?}");
    assert!(!table.contains('\u{1b}'), "{table:?}");
}

#[tokio::test]
async fn list_finds_what_expires_soon_and_what_nobody_uses() {
    let scope = Scope::shared().await;
    scope.apply_key("soon", &format!("expiry: '{}'", ahead(3 * 86_400)));
    scope.apply_key("later", &format!("expiry: '{}'", ahead(60 * 86_400)));
    scope.apply_key("past", "expiry: '2020-01-01T00:00:00Z'");
    scope.ready("soon").await;
    scope.ready("later").await;
    scope.refused("past", "Expired").await;
    let names = |more: &[&str]| {
        let names = scope
            .plugin(&[&["list", "-o", "name"], more].concat())
            .done();
        names.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--expiring", "30d"]), ["apikey/soon"]);
    let by_expiry = names(&["--sort-by", "expires"]);
    assert_eq!(by_expiry, ["apikey/past", "apikey/soon", "apikey/later"]);
    assert_eq!(names(&["--unused", "0s"]).len(), 3);
    assert_eq!(names(&["--unused", "30d"]).len(), 0);
    let json = scope
        .plugin(&["list", "-o", "json", "--expiring", "30d"])
        .json();
    assert_eq!(json["kind"], "List");
    assert_eq!(json["items"][0]["kind"], "ApiKey");
    assert_eq!(json["items"][0]["metadata"]["name"], "soon");
}

#[tokio::test]
async fn an_empty_list_is_reported_on_standard_error() {
    let scope = Scope::shared().await;
    let outcome = scope.plugin(&["list"]);
    assert!(
        outcome.stderr.contains("No resources found in"),
        "{outcome:?}"
    );
    assert_eq!(outcome.done(), "");
    let wrong = scope.plugin(&["list", "--expiring", "soon"]).failed(2);
    assert!(wrong.contains("90d"), "{wrong}");
}

#[tokio::test]
async fn a_missing_permission_is_named_and_has_its_own_code() {
    let scope = Scope::shared().await;
    let message = scope.plugin(&["list", "--as", "nobody"]).failed(4);
    for part in ["nobody", "list", "apikeys", scope.namespace.as_str()] {
        assert!(message.contains(part), "{part}: {message}");
    }
}
