//! Writes whose response is lost: the connection ended, the response timed out, or the server failed after it
//! may have made the write. The caller then looks up whether the write was made, and otherwise sends it
//! again. All such writes are idempotent.

use std::time::Duration;

use super::exit::{Exit, Failure};
use apikey_client::error::Error;

/// Maximum number of times that a write is sent.
pub(super) const TRIES: usize = 3;
/// Maximum time to look up whether a write was made.
const DEADLINE: Duration = Duration::from_secs(20);
/// Time between two lookups.
const EVERY: Duration = Duration::from_millis(500);

/// Whether the write may have been made although it failed.
pub(super) fn may_be_made(error: &Error) -> bool {
    !error.is_refusal() && !error.is_unsent() && !error.is_unreadable()
}

/// Repeats a lookup until it succeeds. The API server may be unavailable for a moment.
pub(super) async fn look<T>(
    look: impl AsyncFn() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let mut last = Failure::timed_out(
        "it could not be found out in time whether the change was \
                                       made",
    );
    let looking = async {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(failure) if may_pass(&failure) => last = failure,
                Err(failure) => return Err(failure),
            }
        }
    };
    match tokio::time::timeout(DEADLINE, looking).await {
        Ok(answer) => answer,
        Err(_) => Err(last),
    }
}

/// Makes a write. Sends it again as long as its response is lost and `made` does not find the write.
/// `refused` converts an error. A repeated write may be refused because the first one was made.
///
/// # Errors
/// The write is refused, or it is unknown whether it was made.
pub(super) async fn certain<T>(
    write: impl AsyncFn() -> Result<T, Error>,
    made: impl AsyncFn() -> Result<Option<T>, Failure>,
    refused: impl AsyncFn(Error) -> Failure,
) -> Result<T, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match write().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_lost = may_be_made(&error);
        if !is_lost && tries == 1 {
            return Err(refused(error).await);
        }
        match look(async || made().await.map(Some)).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if is_lost && tries < TRIES => {}
            Ok(None) => return Err(refused(error).await),
            Err(failure) if may_pass(&failure) => {
                return Err(unknown(&refused(error).await, &failure));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the API server may answer the same question a moment later.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.exit(), Exit::Failed | Exit::TimedOut)
}

/// The failure if both the response of the write and the answer to the lookup are lost.
fn unknown(lost: &Failure, why: &Failure) -> Failure {
    let message = format!(
        "{}. Whether it was done anyway is not known ({}): run this again",
        lost.message(),
        why.message()
    );
    Failure::new(lost.exit(), message)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use apikey_client::error::request;

    async fn answer(code: Option<u16>) -> Result<(), Error> {
        let error = match code {
            None => return Ok(()),
            Some(0) => kube::Error::LinesCodecMaxLineLengthExceeded,
            Some(code) => {
                let status = serde_json::json!({"code": code, "message": "no"});
                kube::Error::Api(serde_json::from_value(status).unwrap())
            }
        };
        request("write", async { Err(error) }).await
    }

    async fn plain(error: Error) -> Failure {
        error.into()
    }

    /// Counts how often a write is sent, and how it ends, if it gets these answers and is never found.
    async fn sent(answers: &[Option<u16>]) -> (usize, bool) {
        let count = Cell::new(0);
        let write = async || {
            let n = count.replace(count.get() + 1);
            answer(answers[n.min(answers.len() - 1)]).await
        };
        let ended = certain(write, async || Ok(None), plain).await;
        (count.get(), ended.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_sent_again_only_if_its_answer_was_lost_and_it_was_not_made() {
        assert_eq!(sent(&[None]).await, (1, true));
        for refused in [400, 403, 404, 409, 422, 429] {
            assert_eq!(sent(&[Some(refused)]).await, (1, false), "{refused}");
        }
        for lost in [0, 500, 502, 503, 504] {
            assert_eq!(sent(&[Some(lost), None]).await, (2, true), "{lost}");
            assert_eq!(sent(&[Some(lost)]).await, (TRIES, false), "{lost}");
        }
        let lost = async || answer(Some(504)).await;
        let made = certain(lost, async || Ok(Some(())), plain).await;
        assert!(made.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_unknown_is_said_with_both_reasons() {
        let away = async || Err(Failure::failed("the server is away"));
        let ended = certain(async || answer(Some(504)).await, away, plain).await;
        let failure = ended.unwrap_err();
        for part in [
            "failed to write: no",
            "the server is away",
            "run this again",
        ] {
            assert!(failure.message().contains(part), "{}", failure.message());
        }
    }
}
