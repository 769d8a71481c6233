//! Rotation of secrets, on schedule and on request.

#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each type for validation, as `pub`"
)]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ApiKey;
use crate::{names, schema};

/// How long a replaced secret stays accepted by default, in seconds.
pub const DEFAULT_OVERLAP_SECONDS: u32 = 3600;
/// Maximum overlap in seconds (90 days).
pub const MAX_OVERLAP_SECONDS: u32 = 7_776_000;
/// Beginning of the message of `Ready` while a rotation waits for the end of an overlap. A time follows it.
/// Plugins of other versions match it.
pub const ROTATION_WAITS: &str = "The rotation that is asked for waits until";
/// Maximum length of the annotation that requests a rotation, in characters.
const MAX_REQUEST_CHARS: usize = 253;

/// When the operator rotates the secret. Name, public id, e-mail address, roles and expiry stay the same.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.everyDays) || !has(self.overlapSeconds) || \
         self.overlapSeconds <= self.everyDays * 86400"
    ).message(
        "`overlapSeconds` must not exceed `everyDays`, because the overlap must end before the \
         next rotation"
    )
)]
pub struct RotationSpec {
    /// Days between scheduled rotations, from 1 to 3650. To spread the load, the operator rotates up to a
    /// tenth of that time (at most a day) earlier. Not allowed with `secret.delivery: RevealOnce`. Defaults
    /// to rotation on request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::rotation_days")]
    pub every_days: Option<i32>,

    /// How long the replaced secret stays accepted after the new one is delivered, in seconds: at most
    /// 7776000 (90 days), and never beyond the expiry. With 0, the replaced secret is refused at once; after
    /// a requested rotation, it is refused within 10 seconds even if the new secret can't be delivered.
    /// Default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::overlap_seconds")]
    pub overlap_seconds: Option<u32>,
}

/// A rotation that the annotations of a key request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateRequest {
    /// Value of the annotation. Each value is handled once.
    pub token: String,
    /// How long the replaced secret stays accepted.
    pub overlap_seconds: u32,
}

/// An annotation has an invalid value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// The value of `rotate-requested-at` is too long.
    #[error(
        "annotation '{}' has {chars} characters: use at most {MAX_REQUEST_CHARS}, for example the \
         current time",
        names::ANNOTATION_ROTATE_REQUESTED_AT
    )]
    Token {
        /// Length of the value.
        chars: usize,
    },
    /// The overlap is not a number within the bounds.
    #[error(
        "annotation '{}' is '{value}': use a number of seconds from 0 to {MAX_OVERLAP_SECONDS}, or \
         remove it",
        names::ANNOTATION_ROTATE_OVERLAP_SECONDS
    )]
    Overlap {
        /// Beginning of the value.
        value: String,
    },
}

impl ApiKey {
    fn annotation(&self, name: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(name).map(String::as_str)
    }

    /// How long a replaced secret stays accepted according to the spec, in seconds.
    #[must_use]
    pub fn overlap_seconds(&self) -> u32 {
        let rotation = self.spec.rotation.as_ref();
        rotation
            .and_then(|rotation| rotation.overlap_seconds)
            .unwrap_or(DEFAULT_OVERLAP_SECONDS)
    }

    /// Returns the rotation that the annotations request, whether or not it was handled.
    ///
    /// # Errors
    /// An annotation has an invalid value.
    pub fn rotate_request(&self) -> Result<Option<RotateRequest>, BadRequest> {
        let token = self.annotation(names::ANNOTATION_ROTATE_REQUESTED_AT);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let chars = token.chars().count();
        if chars > MAX_REQUEST_CHARS {
            return Err(BadRequest::Token { chars });
        }
        let bound_to = self.annotation(names::ANNOTATION_ROTATE_OVERLAP_FOR);
        let overlap = self
            .annotation(names::ANNOTATION_ROTATE_OVERLAP_SECONDS)
            .filter(|_| bound_to.is_none_or(|request| request == token));
        let overlap_seconds = match overlap {
            None => self.overlap_seconds(),
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds| *seconds <= MAX_OVERLAP_SECONDS)
                .ok_or_else(|| BadRequest::Overlap {
                    value: text.chars().take(32).collect(),
                })?,
        };
        Ok(Some(RotateRequest {
            token: token.to_owned(),
            overlap_seconds,
        }))
    }

    /// Number of the replaced secret that the annotations discard.
    #[must_use]
    pub fn discarded_revision(&self) -> Option<i64> {
        let revision = self.annotation(names::ANNOTATION_DISCARD_PREVIOUS)?;
        revision.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiKeySpec;

    fn annotated(annotations: &[(&str, &str)]) -> ApiKey {
        let mut apikey = ApiKey::new("ci", ApiKeySpec::default());
        let annotations = annotations.iter();
        apikey.metadata.annotations = Some(
            annotations
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        );
        apikey
    }

    #[test]
    fn a_request_has_the_overlap_of_its_annotation_or_that_of_the_spec() {
        let at = (names::ANNOTATION_ROTATE_REQUESTED_AT, "2026-11-24");
        let overlap = |key: &ApiKey| key.rotate_request().unwrap().unwrap().overlap_seconds;
        let mut key = annotated(&[at]);
        assert_eq!(overlap(&key), 3600);
        key.spec.rotation = Some(RotationSpec {
            overlap_seconds: Some(7),
            ..RotationSpec::default()
        });
        assert_eq!(overlap(&key), 7);
        let key = annotated(&[at, (names::ANNOTATION_ROTATE_OVERLAP_SECONDS, "0")]);
        assert_eq!(overlap(&key), 0);
        assert_eq!(annotated(&[]).rotate_request(), Ok(None));
    }

    #[test]
    fn an_overlap_for_one_request_counts_for_no_other() {
        let overlap = |token, bound_to, seconds| {
            let key = annotated(&[
                (names::ANNOTATION_ROTATE_REQUESTED_AT, token),
                (names::ANNOTATION_ROTATE_OVERLAP_FOR, bound_to),
                (names::ANNOTATION_ROTATE_OVERLAP_SECONDS, seconds),
            ]);
            key.rotate_request().unwrap().unwrap().overlap_seconds
        };
        assert_eq!(overlap("leaked", "leaked", "0"), 0);
        assert_eq!(overlap("weekly", "leaked", "0"), 3600);
        assert_eq!(overlap("weekly", "leaked", "soon"), 3600);
    }

    #[test]
    fn a_request_that_cannot_be_understood_is_named_with_the_fix() {
        let at = (names::ANNOTATION_ROTATE_REQUESTED_AT, "now");
        for bad in ["-1", "soon", "7776001", ""] {
            let key = annotated(&[at, (names::ANNOTATION_ROTATE_OVERLAP_SECONDS, bad)]);
            let message = key.rotate_request().unwrap_err().to_string();
            assert!(message.contains("use a number of seconds"), "{message}");
        }
        let long = "x".repeat(254);
        let key = annotated(&[(names::ANNOTATION_ROTATE_REQUESTED_AT, &long)]);
        assert_eq!(key.rotate_request(), Err(BadRequest::Token { chars: 254 }));
    }

    #[test]
    fn only_a_number_names_a_revision_to_discard() {
        let revision =
            |text| annotated(&[(names::ANNOTATION_DISCARD_PREVIOUS, text)]).discarded_revision();
        assert_eq!(revision("3"), Some(3));
        assert_eq!(revision("all"), None);
    }
}
