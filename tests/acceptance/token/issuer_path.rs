//! An issuer with a path: clients find its metadata by the path, and nothing else is served beside it.

use serde_json::Value;

use crate::support::{Cluster, Login, Scope, TokenServer, form};

const HOST: &str = "http://keys.example.com";
const PATH: &str = "/realms/keys";

/// The documents that clients look for, by the issuer.
const DISCOVERY: [&str; 4] = [
    // OpenID Connect Discovery 1.0 section 4.1.
    "/realms/keys/.well-known/openid-configuration",
    // RFC 8414 section 3.1.
    "/.well-known/oauth-authorization-server/realms/keys",
    // By RFC 8414 section 5, clients also try these.
    "/.well-known/openid-configuration/realms/keys",
    "/realms/keys/.well-known/oauth-authorization-server",
];

async fn server(cluster: &Cluster) -> TokenServer {
    let server = cluster.token_server(&[&format!("--issuer-url={HOST}{PATH}")]);
    server.ready().await;
    server
}

/// The path of an address that the server published.
fn path_of<'a>(document: &'a Value, field: &str) -> &'a str {
    let address = document[field].as_str().unwrap();
    address.strip_prefix(HOST).unwrap()
}

/// The number of counted requests to a route with a status code.
fn counted(server: &TokenServer, route: &str, code: u16) -> Option<f64> {
    let series = format!("apikey_http_requests_total{{route=\"{route}\",code=\"{code}\"}}");
    server.process.metric(&series)
}

#[tokio::test]
async fn every_address_that_is_published_is_answered() {
    let scope = Scope::shared().await;
    let server = server(scope.cluster).await;
    let key = scope.usable(&server, "app", "roles: [a]").await;
    let login = Login::of(&key);
    let client = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &login.name),
        ("client_secret", &login.secret),
    ]);
    server.token_for(&key).await;
    let root = server.get("/.well-known/openid-configuration", &[]).json();
    for at in DISCOVERY {
        let answer = server.get(at, &[]);
        assert_eq!(answer.status, 200, "{at}");
        let document = answer.json();
        assert_eq!(document, root, "{at}");
        assert_eq!(document["issuer"], format!("{HOST}{PATH}"));
    }
    let keys = server.get(path_of(&root, "jwks_uri"), &[]);
    assert_eq!(keys.json(), server.get("/oauth2/jwks", &[]).json());

    let before = counted(&server, "oauth2-token", 200).unwrap_or_default();
    let token = server.post(path_of(&root, "token_endpoint"), &[], &client);
    assert_eq!(token.status, 200, "{token:?}");
    assert_eq!(token.claims()["iss"], format!("{HOST}{PATH}"));
    assert_eq!(server.post("/oauth2/token", &[], &client).status, 200);
    let after = counted(&server, "oauth2-token", 200);
    assert_eq!(
        after,
        Some(before + 2.0),
        "the metric has both paths as one route"
    );

    let ask = [client.as_str(), &form(&[("token", &token.access_token())])].join("&");
    let ask = ask.replace("grant_type=client%5Fcredentials&", "");
    let at = path_of(&root, "introspection_endpoint");
    assert_eq!(server.post(at, &[], &ask).json()["active"], true);

    // The path that `token-url` of a delivered Secret names, and the paths in the documentation.
    let fields = form(&[("name", &login.name), ("secret", &login.secret)]);
    let at = format!("{PATH}/auth/v1/api-key/token");
    assert_eq!(server.post(&at, &[], &fields).status, 200);
    let described = server.get(&format!("{PATH}/openapi.json"), &[]).json();
    assert_eq!(described["servers"][0]["url"], PATH);
    let secret = ("X-Api-Key", login.secret.as_str());
    for (at, by_key, by_nobody) in [
        ("/authz", 200, 401),
        ("/authz/", 200, 401),
        ("/authz/v1/builds?role=b", 200, 401),
        ("/authz-with/role=a/v1/builds", 200, 401),
        ("/authz-with/role=b/v1/builds", 403, 401),
        ("/authz?role=b", 403, 403),
    ] {
        for under in ["", PATH] {
            let at = format!("{under}{at}");
            assert_eq!(server.get(&at, &[secret]).status, by_key, "{at}");
            assert_eq!(server.get(&at, &[]).status, by_nobody, "{at}");
        }
    }
    for under in ["", PATH] {
        let wrong = server.get(&format!("{under}/oauth2/token"), &[]);
        assert_eq!((wrong.status, &*wrong.headers["allow"]), (405, "POST"));
    }
}

#[tokio::test]
async fn what_is_not_exactly_below_the_path_is_not_there() {
    let scope = Scope::shared().await;
    let server = server(scope.cluster).await;
    let paths = [
        "/realms",
        "/realms/",
        "/realms/keys",
        "/realms/keys/",
        "/realms/oauth2/jwks",
        "/keys/oauth2/jwks",
        "/realms/keys/realms/keys/oauth2/jwks",
        "/realms/keysoauth2/jwks",
        "/REALMS/keys/oauth2/jwks",
        "/realms/keys/oauth2/jwks/",
        "/realms/keys//oauth2/jwks",
        "//realms/keys/oauth2/jwks",
        "/realms//keys/oauth2/jwks",
        "/realms%2fkeys/oauth2/jwks",
        "/realms/keys%2foauth2/jwks",
        "/realms/keys/oauth2%2Fjwks",
        "/%72ealms/keys/oauth2/jwks",
        "/realms/keys/../keys/oauth2/jwks",
        "/realms/keys/../../oauth2/jwks",
        "/realms/keys/./oauth2/jwks",
        "/realms/keys/x/..%2f../oauth2/jwks",
        "/realms/keys/%2e%2e/oauth2/jwks",
        "/realms/keys\\oauth2\\jwks",
        "/realms/keys;x/oauth2/jwks",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/realms",
        "/.well-known/oauth-authorization-server/realms/keys/",
        "/.well-known/oauth-authorization-server//realms/keys",
        "/.well-known/oauth-authorization-server/realms%2Fkeys",
        "/.well-known/oauth-authorization-server/other",
        "/realms/keys/.well-known/oauth-authorization-server/realms/keys",
        "/realms/keys/livez",
        "/realms/keys/metrics",
    ];
    let before = counted(&server, "unknown", 404).unwrap_or_default();
    for path in paths {
        assert_eq!(server.get(path, &[]).status, 404, "{path}");
    }
    let asked = f64::from(u32::try_from(paths.len()).unwrap());
    assert_eq!(counted(&server, "unknown", 404), Some(before + asked));

    // If a gateway asks about a request to one of our own paths, the server only decides about it.
    for original in [
        &DISCOVERY[..],
        &["/oauth2/jwks", "/realms/keys/oauth2/jwks"],
    ]
    .concat()
    {
        for ask in ["/authz", "/authz-with/role=a", "/realms/keys/authz"] {
            let path = format!("{ask}{original}");
            assert_eq!(server.get(&path, &[]).status, 401, "{path}");
        }
    }
}
