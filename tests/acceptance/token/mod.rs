//! Promises of the token server.

mod audit;
mod authz;
mod away;
mod canary;
mod connections;
mod discovery;
mod errors;
mod expiry;
mod greatest;
mod introspect;
mod issuer_path;
mod kubernetes;
mod last_used;
mod leaked;
mod metrics;
mod nginx;
mod oauth;
mod overload;
mod rbac;
mod rings;
mod run;
mod script;
mod stale;
mod tls;
mod url;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::support::{Login, TokenServer, now};

/// The time between two requests around the expiry of a key.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Requests tokens until a second after the expiry of the key. The server must refuse every request at the
/// expiry or later, and must accept every request that it answers before. A request in flight at that moment may
/// end either way. Its token is from before the expiry, and ends at the expiry too. The test compares clocks and
/// not the `Date` header, because the server writes that header after the decision.
async fn assert_ends_at(expiry: Timestamp, server: &TokenServer, key: &Login) {
    let (mut tokens, mut refusals) = (0, 0);
    let mut tick = tokio::time::interval(TRY_EVERY);
    while now().as_second() <= expiry.as_second() {
        tick.tick().await;
        let sent = now();
        let answer = server.token_of(key);
        let received = now();
        if answer.status == 200 {
            let claims = answer.claims();
            assert!(
                sent < expiry,
                "a token at {sent}, after the expiry at {expiry}"
            );
            assert!(claims["iat"].as_i64().unwrap() < expiry.as_second());
            assert!(claims["exp"].as_i64().unwrap() <= expiry.as_second());
            tokens += 1;
        } else {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(
                received >= expiry,
                "refused at {received}, before the expiry at {expiry}"
            );
            refusals += 1;
        }
    }
    assert!(
        tokens > 0 && refusals > 0,
        "{tokens} tokens, {refusals} refusals"
    );
}
