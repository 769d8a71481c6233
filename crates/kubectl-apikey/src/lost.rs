//! Writes whose answer is lost: the connection ended, there was no answer in time, or the server failed
//! after it may have made the write. Then it is looked up whether the write was made, and if not, it is
//! sent again: each is written so that making it twice is making it once.

use std::time::Duration;

use super::exit::{Exit, Failure};
use apikey_client::error::Error;

/// How often a write is sent.
pub(super) const TRIES: usize = 3;
/// Longest time in which it is looked up whether a write was made.
const DEADLINE: Duration = Duration::from_secs(20);
/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Whether the write may have been made, and nobody said so.
pub(super) fn may_be_made(error: &Error) -> bool {
    !error.is_refusal() && !error.is_unsent() && !error.is_unreadable()
}

/// Looks until there is an answer. The API server may be away for a moment.
pub(super) async fn look<T>(
    look: impl AsyncFn() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let mut last = Failure::timed_out("it is not known in time whether it was made");
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

/// Makes a write, and sends it again as long as its answer is lost and `made` does not find it. `refused`
/// says what an error means. A write that was made before it was sent again may be refused then.
///
/// # Errors
/// It is refused, or whether it was made stays unknown.
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

/// Whether a question to the API server may be answered a moment later.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.exit(), Exit::Failed | Exit::TimedOut)
}

/// The answer was lost, and so was that to the question whether the write was made.
fn unknown(lost: &Failure, why: &Failure) -> Failure {
    let message = format!(
        "{}. Whether it was done all the same is not known ({}): run this again",
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

    /// How often a write is sent, and how it ends, when these are its answers and it is never found.
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
        let said = ended.unwrap_err();
        for part in [
            "failed to write: no",
            "the server is away",
            "run this again",
        ] {
            assert!(said.message().contains(part), "{}", said.message());
        }
    }
}
