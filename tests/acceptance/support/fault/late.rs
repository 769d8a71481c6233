//! Answers that arrive late.

use std::time::Duration;

use apikey_operator::error::REQUEST_DEADLINE;
use axum::body::{Body, to_bytes};
use axum::http::Response;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tower::BoxError;

use super::{Act, Faults, Meeting, Until, Verb};

/// Longest wait for what the watch tells: well within the deadline of a request.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the process to take in what it was told.
const TAKEN_IN: Duration = Duration::from_millis(100);
/// By how much the deadline of a request is missed.
const OVERDUE: Duration = Duration::from_secs(1);

/// What a watch told: a version of an object, or that the one of this uid is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Passed {
    Version(String),
    Gone(String),
}

/// Holds an answer back.
pub(super) async fn hold(
    faults: &Faults,
    meeting: &Meeting,
    until: Until,
    answer: Response<Body>,
) -> Result<Response<Body>, BoxError> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await?;
    if until == Until::Overdue {
        faults.meet(&meeting.key);
        sleep_until(Instant::now() + REQUEST_DEADLINE + OVERDUE).await;
    } else {
        let answer: Value = serde_json::from_slice(&body)?;
        let removes = meeting.sort.verb == Verb::Remove;
        let awaited = if removes || until == Until::Gone {
            Passed::Gone(uid(&answer).to_owned())
        } else {
            let version = answer["metadata"]["resourceVersion"].as_str();
            Passed::Version(version.unwrap_or_default().to_owned())
        };
        if until == Until::Gone && !removes {
            let (object, key) = (meeting.sort.object, &meeting.key);
            faults.ask(key, object, key, Act::Remove);
        }
        if timeout(PATIENCE, faults.until_passed(&awaited))
            .await
            .is_ok()
        {
            sleep_until(Instant::now() + TAKEN_IN).await;
            faults.meet(&meeting.key);
        }
    }
    Ok(Response::from_parts(head, body.into()))
}

/// uid of the object of an answer, or of the one that was removed.
fn uid(answer: &Value) -> &str {
    let own = answer["metadata"]["uid"].as_str();
    let removed = answer["details"]["uid"].as_str();
    own.or(removed).unwrap_or_default()
}
