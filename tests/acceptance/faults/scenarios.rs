//! The scenarios: what users do to a key, and the expected end.

use apikey_api::{ApiKey, Organization, Phase, names};
use apikey_credential::record::Claim;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::history::HistoryRecorder;
use super::key_state::KeyState;
use crate::support::{Scope, ahead, eventually, ready_reason};

/// Seconds by which the clock moves when the faults begin.
pub(super) const MOVED_SECONDS: i64 = 900;
/// The life of a key in seconds, except in scenarios about the expiry.
pub(super) const LIFE_SECONDS: i64 = 6 * 3600;
/// The rest of that life when the last tokens are requested. It is less than the life of a token.
pub(super) const LEFT_SECONDS: i64 = 1800;
/// Seconds after which a failed attempt is forgotten.
pub(super) const FORGOTTEN_SECONDS: i64 = 660;
/// The request for a new secret, and one from before the faults begin.
const ASKED: &str = "asked";
const ASKED_BEFORE: &str = "before";

/// What happens to a key when the faults begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    Create,
    CreateOnce,
    Rotate,
    RotateAtOnce,
    RotateOnce,
    Replace,
    Discard,
    Reveal,
    Withdraw,
    ChangeRoles,
    Suspend,
    Relabel,
    Expire,
    Delete,
    ChangeOrganization,
    Restore,
}

pub(super) const SCENARIOS: [Scenario; 16] = [
    Scenario::Create,
    Scenario::CreateOnce,
    Scenario::Rotate,
    Scenario::RotateAtOnce,
    Scenario::RotateOnce,
    Scenario::Replace,
    Scenario::Discard,
    Scenario::Reveal,
    Scenario::Withdraw,
    Scenario::ChangeRoles,
    Scenario::Suspend,
    Scenario::Relabel,
    Scenario::Expire,
    Scenario::Delete,
    Scenario::ChangeOrganization,
    Scenario::Restore,
];

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only exceptional scenarios are named"
)]
impl Scenario {
    /// Whether the controller adopts keys from a backup.
    pub(super) fn restores(self) -> bool {
        self == Self::Restore
    }

    /// Whether the key is made before the faults begin.
    pub(super) fn is_prepared(self) -> bool {
        !matches!(self, Self::Create | Self::CreateOnce)
    }

    /// Whether the organization is declared. It has the name of the key.
    fn is_declared(self) -> bool {
        self == Self::ChangeOrganization
    }

    fn key(self, scope: &Scope<'_>, name: &str) -> ApiKey {
        let seconds = match self {
            Self::Expire => MOVED_SECONDS / 2,
            _ => LIFE_SECONDS,
        };
        let more = match self {
            Self::Withdraw => "secret: {delivery: RevealOnce, revealWithinSeconds: 600}".to_owned(),
            Self::CreateOnce | Self::RotateOnce | Self::Reveal => {
                "secret: {delivery: RevealOnce}".to_owned()
            }
            Self::RotateAtOnce => "rotation: {overlapSeconds: 0}".to_owned(),
            Self::ChangeOrganization => format!("org: {name}, roles: [viewer, editor]"),
            _ => String::new(),
        };
        let expiry = ahead(seconds);
        parse(&scope.key_yaml(name, &format!("expiry: '{expiry}', {more}")))
    }

    async fn create(self, scope: &Scope<'_>, name: &str) {
        let params = PostParams::default();
        if self.is_declared() {
            let organizations = Api::all(scope.client.clone());
            let organization = organization(name);
            organizations.create(&params, &organization).await.unwrap();
        }
        let key = self.key(scope, name);
        scope.keys().create(&params, &key).await.unwrap();
    }

    /// Brings the key to its initial state, with a controller without faults.
    pub(super) async fn prepare(self, scope: &Scope<'_>, name: &str) {
        if !self.is_prepared() {
            return;
        }
        self.create(scope, name).await;
        if self == Self::Discard {
            scope.ready(name).await;
            scope.rotate(name, ASKED_BEFORE).await;
        }
        if self.is_declared() {
            // Keys are counted every few seconds.
            let organizations: Api<Organization> = Api::all(scope.client.clone());
            eventually("the organization counts the key", async || {
                let organization = organizations.get(name).await.unwrap();
                (organization.status?.active_keys == Some(1)).then_some(())
            })
            .await;
        }
    }

    /// What happens without a controller, before the faults begin.
    pub(super) async fn forget(self, scope: &Scope<'_>, history: &HistoryRecorder, name: &str) {
        if self != Self::Restore {
            return;
        }
        // Restored objects have no owner.
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
        let params = PatchParams::default();
        let secrets = scope.secrets();
        secrets.patch(name, &params, &patch).await.unwrap();
        let old = history.key(name);
        let params = DeleteParams::default();
        scope.keys().delete(name, &params).await.unwrap();
        // It is the same key, with the same expiry.
        let mut new = ApiKey::new(name, old.unwrap().spec);
        new.metadata.namespace = Some(scope.namespace.clone());
        let params = PostParams::default();
        scope.keys().create(&params, &new).await.unwrap();
    }

    /// Does what the scenario is about.
    pub(super) async fn begin(self, scope: &Scope<'_>, name: &str) {
        let delete = DeleteParams::default();
        match self {
            Self::Create | Self::CreateOnce => self.create(scope, name).await,
            Self::Rotate | Self::RotateAtOnce | Self::RotateOnce => {
                let request = (names::ANNOTATION_ROTATE_REQUESTED_AT, ASKED);
                scope.annotate(name, &[request]).await;
            }
            Self::Replace => {
                scope.secrets().delete(name, &delete).await.unwrap();
            }
            Self::Discard => {
                let discard = (names::ANNOTATION_DISCARD_PREVIOUS, "1");
                scope.annotate(name, &[discard]).await;
            }
            Self::Reveal => {
                scope
                    .claim(name)
                    .await
                    .expect("the secret was claimed already");
            }
            Self::ChangeRoles => patch(&scope.keys(), name, &json!({"roles": ["editor"]})).await,
            Self::Suspend => patch(&scope.keys(), name, &json!({"suspended": true})).await,
            Self::Relabel => {
                let template = json!({"secret": {"template": {"labels": {"team": "a"}}}});
                patch(&scope.keys(), name, &template).await;
            }
            Self::Delete => {
                scope.keys().delete(name, &delete).await.unwrap();
            }
            Self::ChangeOrganization => {
                let organizations: Api<Organization> = Api::all(scope.client.clone());
                let roles = json!({"roles": [{"key": "viewer"}]});
                patch(&organizations, name, &roles).await;
            }
            // The time has come, or the objects exist again.
            Self::Withdraw | Self::Expire | Self::Restore => {}
        }
    }

    /// Whether the scenario has come to its end.
    pub(super) fn is_over(self, state: &KeyState) -> bool {
        if self == Self::Delete {
            return state.is_gone();
        }
        let Some(key) = state.key.as_ref().filter(|key| is_observed(key)) else {
            return false;
        };
        let status = key.status.clone().unwrap_or_default();
        let (ready, reason) = ready_reason(key);
        let is_issued = (ready.as_str(), reason.as_str()) == ("True", "Issued");
        match self {
            Self::Create | Self::CreateOnce | Self::Restore => is_issued,
            Self::Rotate | Self::RotateAtOnce | Self::RotateOnce => {
                is_issued && status.handled_rotate_request.as_deref() == Some(ASKED)
            }
            Self::Replace => is_issued && status.revision >= Some(2),
            Self::Discard => is_issued && status.previous_secret.is_none(),
            Self::Reveal => status.revealed_at.is_some() && state.secret.is_none(),
            Self::Withdraw => reason == "ClaimExpired" && state.secret.is_none(),
            Self::ChangeRoles => is_issued && status.roles == ["editor"],
            Self::ChangeOrganization => is_issued && status.roles == ["viewer"],
            Self::Suspend => reason == "Suspended",
            Self::Relabel => is_issued && state.label("team") == Some("a"),
            Self::Expire => status.phase == Some(Phase::Expired),
            Self::Delete => false,
        }
    }

    /// The greatest number of status writes without faults. The end of an overlap needs its own write, and so does a
    /// restored key whose Secret is not back yet.
    pub(super) fn most_status_writes(self) -> usize {
        match self {
            Self::RotateAtOnce | Self::Restore => 2,
            _ => 1,
        }
    }

    /// Number of the secret at the end, if nothing went wrong.
    pub(super) fn revision(self) -> i64 {
        match self {
            Self::Rotate
            | Self::RotateAtOnce
            | Self::RotateOnce
            | Self::Replace
            | Self::Discard => 2,
            _ => 1,
        }
    }

    /// Whether the claim has its expected state at the end.
    pub(super) fn is_handed_over(self, claim: &Claim) -> bool {
        match self {
            Self::Reveal => matches!(claim, Claim::Revealed { .. }),
            Self::Withdraw => *claim == Claim::Unclaimed,
            Self::CreateOnce | Self::RotateOnce => *claim == Claim::Delivered,
            _ => *claim == Claim::Unrecorded,
        }
    }

    /// Whether a Secret is delivered at the end.
    pub(super) fn is_delivered(self) -> bool {
        !matches!(self, Self::Reveal | Self::Withdraw | Self::Delete)
    }

    /// Whether the last secret gets a token at the end.
    pub(super) fn is_usable(self) -> bool {
        !matches!(self, Self::Delete | Self::Suspend | Self::Expire)
    }

    /// The request that was answered last.
    pub(super) fn handled_request(self) -> Option<&'static str> {
        match self {
            Self::Rotate | Self::RotateAtOnce | Self::RotateOnce => Some(ASKED),
            Self::Discard => Some(ASKED_BEFORE),
            _ => None,
        }
    }
}

fn is_observed(key: &ApiKey) -> bool {
    let observed = key.status.as_ref().map(|status| status.observed_generation);
    observed == key.metadata.generation
}

fn parse<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).unwrap()
}

fn organization(name: &str) -> Organization {
    parse(&format!(
        "{{apiVersion: apikey-operator.dev/v1alpha1, kind: Organization, metadata: {{name: {name}}}, \
         spec: {{allowedNamespaces: {{from: All}}, roles: [{{key: viewer}}, {{key: editor}}]}}}}"
    ))
}

async fn patch<K>(api: &Api<K>, name: &str, spec: &Value)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({"spec": spec}));
    api.patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}
