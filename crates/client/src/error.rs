//! Errors of requests to the Kubernetes API: what was attempted, and how to handle the failure.

use std::future::Future;
use std::time::Duration;

use crate::kubeconfig;
use apikey_api::conditions::reason;

/// Maximum time to wait for a response. kube has no limit of its own, and a half-open connection would hang
/// forever.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// How messages about admission webhooks begin. Webhooks run before anything is stored. Either a webhook
/// can't be called (`ErrCallingWebhook` in k8s.io/apiserver), or it denied the write with a status code of
/// its choice.
const OF_WEBHOOKS: [&str; 2] = [
    "Internal error occurred: failed calling webhook",
    "admission webhook \"",
];

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing}: {cause}")]
pub struct Error {
    doing: &'static str,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("no answer within {} s", .0.as_secs())]
    Deadline(Duration),
    #[error("{}", .0.message)]
    Refused(Box<kube::core::Status>),
    #[error("{}", chain(.0))]
    Client(Box<kube::Error>),
    #[error("{0}")]
    Internal(String),
    #[error("{0}")]
    HeldUp(&'static str),
}

/// The message of an error, with the causes that it does not mention, such as "Connection refused".
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(text) = kubeconfig::credentials_failure(error) {
        return text;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = inner.source();
    }
    text
}

/// How to handle a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Another client wrote first. Read again at once.
    Conflict,
    /// The failure may be temporary. Retry with backoff.
    Transient,
    /// The server asked to wait.
    Throttled(Duration),
    /// A permission is missing. Retry slowly, because somebody may grant it.
    Forbidden,
    /// The server refuses the object. Retry slowly, because the cause may go away.
    Rejected,
    /// A bug in this program. Retry slowly.
    Bug,
}

impl Class {
    /// The value of the metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Throttled(_) => "throttled",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::Bug => "bug",
        }
    }
}

impl Error {
    /// Creates an error for a failure inside this program.
    pub fn internal(doing: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            doing,
            cause: Cause::Internal(error.to_string()),
        }
    }

    /// Creates an error for an obstacle that sends no notification when it ends.
    #[must_use]
    pub const fn held_up(doing: &'static str, by: &'static str) -> Self {
        Self {
            doing,
            cause: Cause::HeldUp(by),
        }
    }

    fn client(doing: &'static str, error: kube::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "only an answer of the server differs"
        )]
        let cause = match error {
            kube::Error::Api(status) => Cause::Refused(status),
            other => Cause::Client(Box::new(other)),
        };
        Self { doing, cause }
    }

    /// How to handle the failure.
    #[must_use]
    pub fn class(&self) -> Class {
        match &self.cause {
            Cause::Deadline(_) => Class::Transient,
            Cause::Internal(_) => Class::Bug,
            Cause::HeldUp(_) => Class::Forbidden,
            Cause::Client(error) => {
                let ours = matches!(
                    **error,
                    kube::Error::SerdeError(_) | kube::Error::BuildRequest(_)
                );
                if ours { Class::Bug } else { Class::Transient }
            }
            Cause::Refused(status) => {
                let asked = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
                match status.code {
                    409 => Class::Conflict,
                    429 => Class::Throttled(Duration::from_secs(u64::from(asked.max(1)))),
                    403 if terminating(status) => Class::Rejected,
                    401 | 403 => Class::Forbidden,
                    400 | 413 | 422 => Class::Rejected,
                    _ if asked > 0 => Class::Throttled(Duration::from_secs(u64::from(asked))),
                    _ => Class::Transient,
                }
            }
        }
    }

    /// Whether the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(&self.cause, Cause::Refused(status) if status.code == 404)
    }

    /// Whether the request timed out.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(&self.cause, Cause::Deadline(_))
    }

    /// Whether the request was not sent, because there was no connection.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        let Cause::Client(error) = &self.cause else {
            return false;
        };
        let begin: &dyn std::error::Error = error;
        std::iter::successors(Some(begin), |error| error.source()).any(|error| {
            let of_client = error.downcast_ref::<hyper_util::client::legacy::Error>();
            of_client.is_some_and(hyper_util::client::legacy::Error::is_connect)
        })
    }

    /// Whether the server responded with an object that can't be decoded.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        let Cause::Client(error) = &self.cause else {
            return false;
        };
        matches!(**error, kube::Error::SerdeError(_))
    }

    /// The status that the server returned, if it responded.
    #[must_use]
    pub fn answer(&self) -> Option<&kube::core::Status> {
        match &self.cause {
            Cause::Refused(status) => Some(status),
            Cause::Deadline(_) | Cause::Client(_) | Cause::Internal(_) | Cause::HeldUp(_) => None,
        }
    }

    /// Whether the request certainly had no effect. For a status code of 500 or more, this is known only if
    /// the failure came before anything was stored.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match &self.cause {
            Cause::Refused(status) => {
                let of_webhook = |begin: &&str| status.message.starts_with(*begin);
                (400..500).contains(&status.code) || OF_WEBHOOKS.iter().any(of_webhook)
            }
            Cause::HeldUp(_) => true,
            Cause::Deadline(_) | Cause::Client(_) | Cause::Internal(_) => false,
        }
    }

    /// Whether the server refuses the object because of named fields, such as an immutable field or an object
    /// that is too large. Refusals by a policy name no fields.
    #[must_use]
    pub fn is_invalid_object(&self) -> bool {
        let Cause::Refused(status) = &self.cause else {
            return false;
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let mut fields = causes.map(|cause| &cause.field).peekable();
        status.code == 422 && fields.peek().is_some() && fields.all(|field| !field.is_empty())
    }

    /// The HTTP status code, if the server responded.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.answer().map(|status| status.code)
    }

    /// The reason to use in a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if self.is_invalid_object() {
            reason::INVALID_SPEC
        } else {
            reason::PROGRESSING_WITH_RETRY
        }
    }
}

/// Whether the namespace is being deleted. Nothing can be created in it then.
fn terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

/// Waits for the response to a request, at most [`REQUEST_DEADLINE`].
///
/// # Errors
/// Returns an [`Error`] that says that `doing` failed, and why.
pub async fn request<T>(
    doing: &'static str,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    request_within(REQUEST_DEADLINE, doing, answer).await
}

/// Waits for the response to a request, at most until another deadline.
///
/// # Errors
/// See [`request`].
pub async fn request_within<T>(
    deadline: Duration,
    doing: &'static str,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => answer.map_err(|error| Error::client(doing, error)),
        Err(_) => Err(Error {
            doing,
            cause: Cause::Deadline(deadline),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: serde_json::Value) -> Error {
        let status = serde_json::from_value(json).unwrap();
        Error::client("do it", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn every_answer_of_the_server_has_the_class_that_picks_the_right_retry() {
        let class = |code: u16| refused(serde_json::json!({"code": code})).class();
        assert_eq!(class(409), Class::Conflict);
        assert_eq!(class(429), Class::Throttled(Duration::from_secs(1)));
        assert_eq!(class(403), Class::Forbidden);
        assert_eq!(class(422), Class::Rejected);
        assert_eq!(class(500), Class::Transient);
        let wait = refused(serde_json::json!({"code": 503, "details": {"retryAfterSeconds": 7}}));
        assert_eq!(wait.class(), Class::Throttled(Duration::from_secs(7)));
        let ending = refused(serde_json::json!({
            "code": 403, "details": {"causes": [{"reason": "NamespaceTerminating"}]}
        }));
        assert_eq!(ending.class(), Class::Rejected);
    }

    #[test]
    fn a_field_that_must_not_change_is_told_from_a_policy() {
        let invalid = |causes: serde_json::Value| {
            let error = refused(serde_json::json!({"code": 422, "details": {"causes": causes}}));
            assert!(error.is_refusal());
            error.is_invalid_object()
        };
        let field = serde_json::json!({"reason": "FieldValueForbidden", "field": "data"});
        let policy = serde_json::json!({"message": "ValidatingAdmissionPolicy 'x' denied it"});
        assert!(invalid(serde_json::json!([field])));
        assert!(!invalid(serde_json::json!([policy])));
        assert!(!invalid(serde_json::json!([field, policy])));
        assert!(!invalid(serde_json::json!([])));
    }

    #[test]
    fn only_a_failure_before_anything_is_stored_is_a_refusal() {
        let refusal = |code: u16, message: &str| {
            refused(serde_json::json!({"code": code, "message": message})).is_refusal()
        };
        let webhook =
            "Internal error occurred: failed calling webhook \"a.b\": failed to call webhook";
        assert!(refusal(500, webhook));
        let denied = "admission webhook \"a.b\" denied the request: not today";
        assert!(refusal(500, denied));
        assert!(refusal(403, "exceeded quota"));
        assert!(!refusal(500, "etcdserver: request timed out"));
        assert!(!refusal(504, "Timeout: request did not complete"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_is_given_up() {
        let error = request::<()>("do it", std::future::pending())
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert_eq!(error.to_string(), "failed to do it: no answer within 10 s");
    }
}
