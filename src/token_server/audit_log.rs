//! The audit log of tokens: one entry for each token that is issued or refused.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::index::{Credential, Standing};
use super::refusal::Refusal;
use super::route_label::Route;
use crate::audit::log;

/// The component that writes the entries.
const SOURCE: &str = "token-server";
/// Action of a refusal.
const REFUSE: &str = "Refuse";

/// The audit entry of one request.
#[derive(Debug)]
pub struct Entry {
    /// Time of the entry.
    pub at: Timestamp,
    /// The requested route.
    pub route: Route,
    /// Address of the caller.
    pub remote: IpAddr,
    /// The key, if it is known.
    pub credential: Option<Arc<Credential>>,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a request.
#[derive(Debug)]
pub enum Outcome {
    /// A token was issued.
    Issued {
        /// Id of the token.
        jti: String,
        /// When the token expires. Unit: seconds since 1970.
        exp: i64,
        /// The organization that the key acts in.
        organization_id: Uuid,
        /// Number of the presented secret.
        revision: i64,
    },
    /// The request was refused.
    Refused(Refusal),
}

/// One line of the audit log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: Time,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<IpAddr>,
    source: &'static str,
}

impl<'a> Line<'a> {
    const fn new(at: Timestamp, action: &'static str) -> Self {
        Self {
            time: Time(at),
            action,
            actor: None,
            key_id: None,
            namespace: None,
            name: None,
            org: None,
            roles: None,
            revision: None,
            expires_at: None,
            jti: None,
            reason: None,
            route: None,
            remote: None,
            source: SOURCE,
        }
    }

    fn of(entry: &'a Entry) -> Self {
        let action = match entry.outcome {
            Outcome::Issued { .. } => "IssueToken",
            Outcome::Refused(_) => REFUSE,
        };
        let mut line = Self::new(entry.at, action);
        line.route = Some(entry.route.as_str());
        line.remote = Some(entry.remote);
        if let Some(credential) = entry.credential.as_deref() {
            line.actor = Some(credential.email());
            line.key_id = Some(credential.key_id().as_str());
            line.namespace = Some(&credential.key.namespace);
            line.name = Some(&credential.key.name);
            line.org = Some(&credential.org);
        }
        match &entry.outcome {
            Outcome::Refused(refusal) => line.reason = Some(refusal.as_str()),
            Outcome::Issued {
                jti,
                exp,
                organization_id,
                revision,
            } => {
                line.jti = Some(jti);
                line.revision = Some(*revision);
                line.expires_at = Timestamp::from_second(*exp).ok().map(Time);
                let standing = entry.credential.as_deref().map(|c| &c.standing);
                if let Some(Standing::Usable { grants, .. }) = standing {
                    let mut grants = grants.iter();
                    let grant = grants.find(|g| g.organization_id == *organization_id);
                    line.org = grant.map(|grant| grant.organization.as_str());
                    line.roles = grant.map(|grant| grant.roles.as_slice());
                }
            }
        }
        line
    }
}

impl log::Entry for Entry {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn flood(&self) -> Option<(&'static str, &'static str)> {
        match &self.outcome {
            Outcome::Issued { .. } => None,
            Outcome::Refused(refusal) => Some((REFUSE, refusal.as_str())),
        }
    }

    fn append_to(&self, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(line, &Line::of(self))
    }
}
