//! External authorization for gateways: is this caller one of our keys, or does it hold one of our
//! tokens?
//!
//! Speaks what Envoy (`ext_authz` over HTTP), Istio, Gateway API, nginx (`auth_request`) and Traefik
//! (`ForwardAuth`) have in common: 200 lets the request through, with headers that say who it is; any
//! other answer goes to the caller. The path behind the prefix is that of the original request and
//! decides nothing, so that nobody can talk itself through by its path.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};

use percent_encoding::percent_decode_str;

use super::App;
use crate::policy::Grant;
use crate::token::index::{Credential, Standing};
use crate::token::refusal::Refusal;
use crate::token::reply;
use crate::token::request;
use crate::token::route::Route;
use crate::token::service::{Caller, Refused, Service};
use crate::token::verify::Login;
use std::sync::Arc;

const CHALLENGE: &str = "Bearer realm=\"apikey-operator\"";
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What a secret begins with and a JWT can't.
const SECRET_PREFIX: &str = "ak_";

/// What a gateway asks of callers beside being a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The organization to act in.
    pub org: Option<String>,
    /// Roles to hold there, all of them.
    pub roles: Vec<String>,
}

impl Requirement {
    /// The requirement in `/authz-with/{requirement}/...`. What follows it may be anything, even
    /// what is no UTF-8.
    fn of_path(path: &str) -> Option<Self> {
        let text = path.strip_prefix("/authz-with/")?.split('/').next()?;
        Self::parse(&percent_decode_str(text).decode_utf8().ok()?)
    }

    /// Reads `org=acme,role=build-viewer,role=build-operator`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut requirement = Self::default();
        for part in text.split(',') {
            let (kind, value) = part.split_once('=')?;
            if !is_name(value) {
                return None;
            }
            match kind {
                "org" if requirement.org.is_none() => requirement.org = Some(value.to_owned()),
                "role" => requirement.roles.push(value.to_owned()),
                _ => return None,
            }
        }
        Some(requirement)
    }
}

/// Whether the text can be the name of an organization or a role.
fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Who a caller is.
struct Identity {
    credential: Arc<Credential>,
    organization: String,
    organization_id: String,
    roles: Vec<String>,
}

/// Ask whether a request may pass: 200 with headers that name the key, or the refusal for its caller.
#[utoipa::path(
    get,
    path = "/authz/{original}",
    operation_id = "authz",
    params(("original" = String, Path, description = "Path of the original request; any method")),
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = 200, description = "It may; x-apikey-id, x-apikey-name, x-apikey-namespace, \
            x-apikey-email, x-apikey-org, x-apikey-organization-id and x-apikey-roles say who it is"),
        (status = 401, description = "No API key, and no access token of one, that may be used", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "Busy, or out of touch with the API server", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    respond(&app, request, Some(Requirement::default())).await
}

/// The same with requirements: an organization to act in, and roles to hold there.
#[utoipa::path(
    get,
    path = "/authz-with/{requirement}/{original}",
    operation_id = "authzWith",
    params(
        ("requirement" = String, Path, description = "org=NAME and role=NAME, separated by commas",
            example = "org=acme,role=build-operator"),
        ("original" = String, Path, description = "Path of the original request; any method"),
    ),
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = 200, description = "It may; headers as for /authz"),
        (status = 401, description = "No API key, and no access token of one, that may be used", body = reply::ErrorBody),
        (status = 403, description = "The organization is not covered, a role is not held, or the requirement can't be read", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "Busy, or out of touch with the API server", body = reply::ErrorBody),
    )
)]
pub async fn handle_with(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let requirement = Requirement::of_path(request.uri().path());
    respond(&app, request, requirement).await
}

async fn respond(
    app: &App,
    request: Request<Body>,
    requirement: Option<Requirement>,
) -> Response<Body> {
    app.answer(Route::Authz, request, async |caller, request| {
        let Some(requirement) = requirement else {
            let say = "the requirement in the path must be like org=acme,role=build-viewer";
            return reply::bad_request(StatusCode::FORBIDDEN, say);
        };
        match identify(&app.service, caller, request.headers(), &requirement).await {
            Ok(identity) => allow(&identity),
            Err(refused) => {
                let response = reply::refused(&refused);
                if response.status() == StatusCode::UNAUTHORIZED {
                    reply::with(response, header::WWW_AUTHENTICATE, CHALLENGE)
                } else {
                    response
                }
            }
        }
    })
    .await
}

async fn identify(
    service: &Service,
    caller: Caller,
    headers: &HeaderMap,
    requirement: &Requirement,
) -> Result<Identity, Refused> {
    let api_key = headers.get(API_KEY).and_then(|value| value.to_str().ok());
    let presented = api_key.or_else(|| request::bearer(headers));
    let presented = presented.map(str::trim);
    let identity = match presented {
        Some(secret) if api_key.is_some() || secret.starts_with(SECRET_PREFIX) => {
            by_secret(service, caller, secret, requirement).await?
        }
        token => by_token(service, caller, token.unwrap_or_default(), requirement)?,
    };
    let lacking = requirement
        .roles
        .iter()
        .any(|role| !identity.roles.contains(role));
    if lacking {
        let credential = Some(identity.credential);
        return Err(service.refuse(caller, Refusal::RoleNotHeld, credential));
    }
    Ok(identity)
}

async fn by_secret(
    service: &Service,
    caller: Caller,
    secret: &str,
    requirement: &Requirement,
) -> Result<Identity, Refused> {
    let credential = service
        .authenticate(caller, secret, Login::Implied)
        .await?
        .credential;
    let grants: &[Grant] = match &credential.standing {
        Standing::Usable { grants, .. } => grants,
        Standing::Suspended | Standing::Deleted | Standing::NotAllowed => &[],
    };
    let wanted = requirement.org.as_deref();
    let mut grants = grants.iter();
    let grant = grants.find(|grant| wanted.is_none_or(|org| org == grant.organization));
    match grant.cloned() {
        Some(grant) => Ok(Identity {
            credential,
            organization: grant.organization,
            organization_id: grant.organization_id.to_string(),
            roles: grant.roles,
        }),
        None => Err(service.refuse(caller, Refusal::OrganizationNotCovered, Some(credential))),
    }
}

fn by_token(
    service: &Service,
    caller: Caller,
    token: &str,
    requirement: &Requirement,
) -> Result<Identity, Refused> {
    service.fresh(caller)?;
    let Some((claims, credential)) = service.inspect(token) else {
        return Err(service.refuse(caller, Refusal::InvalidToken, None));
    };
    if requirement
        .org
        .as_deref()
        .is_some_and(|org| org != claims.org)
    {
        let refusal = Refusal::OrganizationNotCovered;
        return Err(service.refuse(caller, refusal, Some(credential)));
    }
    service.last_used.note(&credential);
    Ok(Identity {
        credential,
        organization: claims.org.into(),
        organization_id: claims.current_organization_id.to_string(),
        roles: claims.roles.into_iter().map(Into::into).collect(),
    })
}

fn allow(identity: &Identity) -> Response<Body> {
    let credential = &identity.credential;
    let roles = identity.roles.join(",");
    [
        ("x-apikey-id", credential.key_id().as_str()),
        ("x-apikey-name", &credential.login_name),
        ("x-apikey-namespace", &credential.key.namespace),
        ("x-apikey-email", credential.email()),
        ("x-apikey-org", &identity.organization),
        ("x-apikey-organization-id", &identity.organization_id),
        ("x-apikey-roles", &roles),
    ]
    .into_iter()
    .fold(
        reply::json(StatusCode::OK, "{}"),
        |response, (name, value)| reply::with(response, HeaderName::from_static(name), value),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_read_whole_or_not_at_all() {
        let read = Requirement::parse("org=acme,role=a,role=b").unwrap();
        assert_eq!((read.org.as_deref(), read.roles.len()), (Some("acme"), 2));
        for wrong in [
            "",
            "org",
            "org=",
            "rol=x",
            "org=a,org=b",
            "role=a,",
            "role=a;org=b",
        ] {
            assert_eq!(Requirement::parse(wrong), None, "{wrong}");
        }
        for path in ["", "/", "/x", "/%ff/role=c"] {
            let path = format!("/authz-with/org=acme%2Crole=a,role%3Db{path}");
            assert_eq!(Requirement::of_path(&path).as_ref(), Some(&read));
        }
        assert_eq!(Requirement::of_path("/authz-with/%ff/role=a"), None);
    }
}
