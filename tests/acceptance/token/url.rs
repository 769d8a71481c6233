//! Delivered Secrets have the URL of the token endpoint.

use crate::support::{Cluster, eventually};

#[tokio::test]
async fn the_token_endpoint_stands_in_delivered_secrets_and_changes_without_a_new_value() {
    let cluster = Cluster::start();
    let scope = cluster.scope().await;
    let mut secret = None;
    for issuer in ["https://keys.example.com", "https://keys.example.org", ""] {
        let flag = format!("--issuer-url={issuer}");
        let flags = if issuer.is_empty() {
            vec![]
        } else {
            vec![flag.as_str()]
        };
        let operator = cluster.operator(&[&flags[..], &["--leader-elect=false"]].concat());
        scope.apply_key("key", "");
        let key = scope.ready("key").await;
        let expected = (!issuer.is_empty()).then(|| format!("{issuer}/auth/v1/api-key/token"));
        let credential = eventually("token-url follows the flag", async || {
            let credential = scope.credential(&key).await;
            let data = credential.delivered.data.as_ref().unwrap();
            let url = data
                .get("token-url")
                .map(|url| String::from_utf8(url.0.clone()).unwrap());
            (url == expected).then_some(credential)
        })
        .await;
        let value = credential.data("secret");
        assert_eq!(secret.get_or_insert_with(|| value.clone()), &value);
        operator.terminate().await;
    }
}
