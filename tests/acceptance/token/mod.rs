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

/// How often a key is tried while its expiry passes.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Tries a key until a second after its expiry. Whatever was asked at the expiry or later must be
/// refused, and whatever was answered before it must not be. A request that was under way at that
/// moment may end either way, but a token of it was made before, and ends at the expiry too. Clocks
/// are compared, not the `Date` header: that one is written after the decision.
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
            assert!(sent < expiry, "a token {sent}, after {expiry}");
            assert!(claims["iat"].as_i64().unwrap() < expiry.as_second());
            assert!(claims["exp"].as_i64().unwrap() <= expiry.as_second());
            tokens += 1;
        } else {
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(received >= expiry, "refused {received}, before {expiry}");
            refusals += 1;
        }
    }
    assert!(
        tokens > 0 && refusals > 0,
        "{tokens} tokens, {refusals} refusals"
    );
}
