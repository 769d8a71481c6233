//! `rotate`: replaces secrets now. The replaced secrets stay accepted for the overlap.

use clap::Args;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::dialogue::Change;
use super::exit::Failure;
use super::invocation::{Cluster, Invocation};
use super::revoke::DryRun;
use super::select::Selection;
use super::text::Text;
use super::{bulk, follow, key, patch, time};
use apikey_api::{ApiKey, MAX_OVERLAP_SECONDS, ROTATION_WAITS, names};
use apikey_client::clock::Clock;

/// Replace the secrets of keys now.
///
/// Name, key id, roles and expiry stay the same. The replaced secret stays accepted for the overlap, by
/// default the overlap of the key (`spec.rotation.overlapSeconds`, or one hour). While a replaced secret is
/// still accepted, another rotation waits until its overlap ends, except with --overlap 0. To rotate without
/// waiting, discard the replaced secret (`kubectl apikey discard-previous`).
///
/// A secret that leaked needs --overlap 0: it is refused within 10 seconds, even if the new one can't be
/// delivered. A secret that an earlier rotation replaced stays accepted, so discard it too. A service that
/// checks only the signature accepts tokens that were issued with the leaked secret until they expire.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Rotate {
    #[command(flatten)]
    selection: Selection,

    /// How long the replaced secret stays accepted, for example 24h or 30m, at most 90d. 0: it is refused at
    /// once, which a leaked secret needs. Default: the overlap of the key.
    #[arg(long, value_name = "DURATION", value_parser = overlap)]
    overlap: Option<SignedDuration>,

    #[command(flatten)]
    wait: Wait,

    /// Don't ask for confirmation before rotating more than one key.
    #[arg(short, long)]
    yes: bool,

    /// Only show what would be rotated.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true,
        default_missing_value = "client")]
    dry_run: Option<DryRun>,
}

/// Whether to wait for the operator.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub(super) struct Wait {
    /// Wait until the operator has made the change. `--wait=false` does not wait.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub(super) wait: bool,

    /// Maximum time to wait for each key.
    #[arg(long, value_name = "DURATION", default_value = follow::DEFAULT_TIMEOUT,
        value_parser = time::duration)]
    pub(super) timeout: SignedDuration,
}

const EXAMPLES: &str = "\
Examples:
  Rotate one key, with a day to distribute the new secret:
    kubectl apikey rotate ci-upload --overlap 24h

  Rotate a leaked secret, and refuse the secret that it replaced:
    kubectl apikey rotate ci-upload --overlap 0
    kubectl apikey discard-previous ci-upload --yes

  Rotate all keys of an organization in this namespace, after a dry run:
    kubectl apikey rotate --all --org acme --dry-run
    kubectl apikey rotate --all --org acme --yes";

/// Parses an overlap in whole seconds within the bounds.
fn overlap(text: &str) -> Result<SignedDuration, String> {
    let duration = if text == "0" {
        SignedDuration::ZERO
    } else {
        time::duration(text)?
    };
    if duration.as_secs() > i64::from(MAX_OVERLAP_SECONDS) {
        return Err("at most 90d".to_owned());
    }
    Ok(duration)
}

pub(super) async fn run(flags: &Rotate, call: &mut Invocation) -> Result<(), Failure> {
    let cluster = call.cluster().await?;
    let asks = flags.dry_run.is_none() && !flags.yes;
    let selected = bulk::confirmed(call, &cluster, &flags.selection, asks, question).await?;
    let clock = call.clock.clone();
    bulk::each(call, selected, "Rotating", async |key| {
        rotate(&cluster, key, flags, &clock).await
    })
    .await
}

/// The question before more than one key is rotated.
fn question(keys: &[ApiKey], _: Timestamp) -> Option<Change<'static>> {
    let count = keys.len();
    let names: Vec<_> = keys.iter().map(key::name).collect();
    (count > 1).then(|| Change {
        would: format!("rotate {count} keys"),
        shown: Text::lines(names),
        question: format!("Rotate these {count} keys?"),
        otherwise: "nothing was rotated",
    })
}

async fn rotate(
    cluster: &Cluster,
    key: &ApiKey,
    flags: &Rotate,
    clock: &Clock,
) -> Result<String, Failure> {
    let now = clock.now();
    refuse_expired(key, now)?;
    let request = Request::new(key, flags.overlap, now);
    match flags.dry_run {
        Some(DryRun::Client) => return Ok("rotated (dry run)".to_owned()),
        Some(DryRun::Server) => {
            patch::annotations(cluster, key, &request.annotations(), true).await?;
            return Ok("rotated (server dry run)".to_owned());
        }
        None => patch::annotations(cluster, key, &request.annotations(), false).await?,
    };
    if !flags.wait.wait {
        return Ok("rotation requested".to_owned());
    }
    let what = "the request remains, and the new secret was not delivered";
    follow::until(cluster, key::name(key), flags.wait.timeout, what, |seen| {
        request.outcome(seen, clock.now())
    })
    .await
}

fn refuse_expired(key: &ApiKey, now: Timestamp) -> Result<(), Failure> {
    match key::expires_at(key).filter(|at| *at <= now) {
        Some(at) => Err(Failure::no(format!(
            "it expired at {at}, and a rotation does not extend the lifetime: create another key"
        ))),
        None => Ok(()),
    }
}

/// A request for one new secret.
struct Request {
    /// Unique value of the annotation.
    token: String,
    /// The overlap, if it differs from that of the key.
    overlap: Option<SignedDuration>,
    /// Whether the operator may delay the rotation until an earlier overlap ends.
    may_wait: bool,
}

impl Request {
    fn new(key: &ApiKey, overlap: Option<SignedDuration>, now: Timestamp) -> Self {
        let seconds = overlap.map_or_else(|| key.overlap_seconds().into(), |d| d.as_secs());
        Self {
            token: now.to_string(),
            overlap,
            may_wait: seconds > 0,
        }
    }

    fn annotations(&self) -> Value {
        let overlap = self.overlap.map(|overlap| overlap.as_secs().to_string());
        json!({
            (names::ANNOTATION_ROTATE_REQUESTED_AT): self.token,
            (names::ANNOTATION_ROTATE_OVERLAP_FOR): overlap.as_ref().map(|_| &self.token),
            (names::ANNOTATION_ROTATE_OVERLAP_SECONDS): overlap,
        })
    }

    /// Returns the outcome of the request when there is one.
    fn outcome(&self, key: &ApiKey, now: Timestamp) -> Result<Option<String>, Failure> {
        let status = key.status.as_ref();
        let handled = status.and_then(|status| status.handled_rotate_request.as_deref());
        // Another request may have replaced ours. Its new secret satisfies ours too.
        let annotations = key.metadata.annotations.as_ref();
        let asked = annotations.and_then(|all| all.get(names::ANNOTATION_ROTATE_REQUESTED_AT));
        let asked = asked.map_or(self.token.as_str(), String::as_str);
        if handled == Some(&self.token) || handled == Some(asked) {
            return Ok(Some(self.done(key, now)));
        }
        refuse_expired(key, now)?;
        let message = key::ready(key).map_or("", |ready| ready.message.as_str());
        if self.may_wait && message.contains(ROTATION_WAITS) {
            return Err(waits(key, now));
        }
        Ok(None)
    }

    fn done(&self, key: &ApiKey, now: Timestamp) -> String {
        let status = key.status.clone().unwrap_or_default();
        let accepted = status.previous_secret.map(|previous| {
            let (revision, end) = (previous.revision, previous.valid_until.0);
            let when = time::relative(end, now);
            format!("revision {revision} is accepted until {end} ({when})")
        });
        let old = match (accepted, self.may_wait) {
            (Some(accepted), true) => accepted,
            // An earlier rotation replaced this secret, and it keeps the overlap that it was given then.
            (Some(accepted), false) => format!(
                "the replaced secret is refused, and {accepted}; to end that: {}",
                key::call(key, "discard-previous")
            ),
            (None, _) => "the replaced secret is refused".to_owned(),
        };
        let claim = if key.reveals_once() {
            format!("; claim the new secret: {}", key::call(key, "reveal"))
        } else {
            String::new()
        };
        let revision = status.revision.unwrap_or_default();
        format!("rotated to revision {revision}; {old}{claim}")
    }
}

fn waits(key: &ApiKey, now: Timestamp) -> Failure {
    let status = key.status.as_ref();
    let previous = status.and_then(|status| status.previous_secret.as_ref());
    let until = previous.map_or_else(String::new, |previous| {
        let end = previous.valid_until.0;
        format!(
            " until {end} ({}), because revision {} of the secret is accepted until then",
            time::relative(end, now),
            previous.revision
        )
    });
    Failure::no(format!(
        "the request remains, and waits{until}; to rotate now: {}",
        key::call(key, "discard-previous")
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use apikey_api::{ApiKeySpec, ApiKeyStatus, PreviousSecret};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seen(status: ApiKeyStatus) -> ApiKey {
        let mut key = ApiKey::new("ci", ApiKeySpec::default());
        key.status = Some(status);
        key
    }

    #[test]
    fn an_overlap_is_a_duration_of_at_most_90_days_or_a_bare_zero() {
        assert_eq!(overlap("24h").map(|d| d.as_secs()), Ok(86_400));
        assert_eq!(overlap("0").map(|d| d.as_secs()), Ok(0));
        for bad in ["91d", "24", "-1h"] {
            assert!(overlap(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_removes_the_overlap_of_the_one_before_unless_it_has_its_own() {
        let key = seen(ApiKeyStatus::default());
        let asked_with = |overlap| {
            let asked = Request::new(&key, overlap, at(0)).annotations();
            [
                names::ANNOTATION_ROTATE_OVERLAP_SECONDS,
                names::ANNOTATION_ROTATE_OVERLAP_FOR,
            ]
            .map(|name| asked[name].clone())
        };
        assert_eq!(asked_with(None), [Value::Null, Value::Null]);
        let hour = asked_with(Some(SignedDuration::from_hours(1)));
        assert_eq!(hour, ["3600", "1970-01-01T00:00:00Z"]);
    }

    #[test]
    fn it_is_done_when_the_operator_echoes_this_request_or_a_later_one() {
        let request = Request::new(&seen(ApiKeyStatus::default()), None, at(0));
        let handled = |token: &str| ApiKeyStatus {
            handled_rotate_request: Some(token.to_owned()),
            revision: Some(3),
            previous_secret: Some(PreviousSecret {
                revision: 2,
                valid_until: Time(at(3600)),
            }),
            ..ApiKeyStatus::default()
        };
        let outcome = |key: &ApiKey| request.outcome(key, at(0)).unwrap();
        assert_eq!(outcome(&seen(handled("earlier"))), None);
        let done =
            "rotated to revision 3; revision 2 is accepted until 1970-01-01T01:00:00Z (in 60m)";
        assert_eq!(outcome(&seen(handled(&request.token))).unwrap(), done);
        let mut later = seen(handled("later"));
        let asked = (names::ANNOTATION_ROTATE_REQUESTED_AT.into(), "later".into());
        later.metadata.annotations = Some([asked].into());
        assert!(outcome(&later).is_some());
    }

    #[test]
    fn an_expired_key_is_refused() {
        let status = ApiKeyStatus {
            expires_at: Some(Time(at(10))),
            ..ApiKeyStatus::default()
        };
        assert!(refuse_expired(&seen(status.clone()), at(9)).is_ok());
        let refused = refuse_expired(&seen(status), at(10)).unwrap_err();
        assert!(refused.message().contains("does not extend the lifetime"));
    }
}
