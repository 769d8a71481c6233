//! External authorization for gateways: checks whether a caller presents a valid secret or access
//! token.
//!
//! It implements what Envoy (`ext_authz` over HTTP), Istio, Gateway API, nginx (`auth_request`) and
//! Traefik (`ForwardAuth`) have in common. 200 lets the request through, with headers that identify
//! the caller; the gateway returns any other response to the caller. The path after the prefix is
//! that of the original request. It has no influence on the decision, so that no path bypasses it.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;

use percent_encoding::percent_decode_str;

use super::App;
use crate::token_server::check_secret::Login;
use crate::token_server::index::{Credential, Standing};
use crate::token_server::refusal::{Refusal, Refused};
use crate::token_server::reply;
use crate::token_server::request::{self, Presented};
use crate::token_server::route_label::Route;
use crate::token_server::service::{Caller, Service};
use apikey_api::endpoints::{AUTHZ, AUTHZ_WITH};
use apikey_policy::Grant;
use std::sync::Arc;

const CHALLENGE: &str = "Bearer realm=\"apikey-operator\"";
/// The challenge for a caller whose access token is for another audience (RFC 6750 section 3.1).
const CHALLENGE_TOKEN: &str = "Bearer realm=\"apikey-operator\", error=\"invalid_token\", \
     error_description=\"the access token is for another audience\"";

/// Additional requirements of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The organization to act in.
    pub org: Option<String>,
    /// Roles that the key must hold there, all of them.
    pub roles: Vec<String>,
    /// Accepted audiences; one must match. If empty, tokens must be for an audience of the token
    /// server, and secrets have no such requirement.
    pub audiences: Vec<String>,
}

impl Requirement {
    /// The requirement in `/authz-with/{requirement}/...`. The rest of the path may be anything,
    /// even bytes that are not UTF-8.
    fn of_path(path: &str) -> Option<Self> {
        let text = path
            .strip_prefix(AUTHZ_WITH)?
            .strip_prefix('/')?
            .split('/')
            .next()?;
        Self::parse(&percent_decode_str(text).decode_utf8().ok()?)
    }

    /// Reads `org=acme,role=build-viewer,role=build-operator,aud=https://api.example.com`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut requirement = Self::default();
        for scope in text.split(',') {
            match scope.split_once('=')? {
                ("org", name) if is_name(name) && requirement.org.is_none() => {
                    requirement.org = Some(name.to_owned());
                }
                ("role", name) if is_name(name) => requirement.roles.push(name.to_owned()),
                ("aud", audience) if is_audience(audience) => {
                    requirement.audiences.push(audience.to_owned());
                }
                _ => return None,
            }
        }
        Some(requirement)
    }
}

/// Whether the text is a valid name of an organization or a role.
fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Whether the text is a valid audience according to the API.
fn is_audience(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// An identified caller.
struct Identity {
    credential: Arc<Credential>,
    organization: String,
    organization_id: String,
    roles: Vec<String>,
}

/// Check whether a request is allowed: 200 with headers that identify the key, or the refusal.
#[utoipa::path(
    get,
    path = "/authz/{original}",
    operation_id = "authz",
    params(("original" = String, Path, description = "Path of the original request; any method")),
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = 200, description = "Allowed; x-apikey-id, x-apikey-name, x-apikey-namespace, \
            x-apikey-email, x-apikey-org, x-apikey-organization-id and x-apikey-roles identify the key"),
        (status = 401, description = "The request has no usable API key or access token", body = reply::ErrorBody),
        (status = 403, description = "The query of /authz contains a requirement, which would have no effect there", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "Busy, or without updates from the API server", body = reply::ErrorBody),
    )
)]
pub async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let requirement = (!is_asked_in_query(request.uri())).then(Requirement::default);
    respond(&app, request, requirement).await
}

/// Whether the gateway put a requirement into the query of `/authz`, where it would be ignored. The
/// query after `/authz/` belongs to the original request and may contain anything.
fn is_asked_in_query(uri: &Uri) -> bool {
    let names = uri.query().unwrap_or_default().split('&');
    let mut names = names.filter_map(|pair| pair.split_once('='));
    uri.path() == AUTHZ && names.any(|(name, _)| ["org", "role", "aud"].contains(&name))
}

/// Check whether a request is allowed, with requirements: organization, roles and audience.
#[utoipa::path(
    get,
    path = "/authz-with/{requirement}/{original}",
    operation_id = "authzWith",
    params(
        ("requirement" = String, Path, description = "org=NAME, role=NAME and \
            aud=AUDIENCE, separated by commas; all roles, and one of the audiences. Without aud, access \
            tokens must be for the token server's own audience (--audience)",
            example = "org=acme,role=build-operator"),
        ("original" = String, Path, description = "Path of the original request; any method"),
    ),
    security(("bearer" = []), ("apiKey" = [])),
    responses(
        (status = 200, description = "Allowed; headers as for /authz"),
        (status = 401, description = "The request has no usable API key or access token", body = reply::ErrorBody),
        (status = 403, description = "The key does not cover the organization or the audience, it lacks a role, or the requirement is invalid", body = reply::ErrorBody),
        (status = 429, description = "Too many refused attempts", body = reply::ErrorBody),
        (status = 503, description = "Busy, or without updates from the API server", body = reply::ErrorBody),
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
        let requirement = requirement.ok_or(AuthzError::NoRequirement)?;
        let identity = identify(&app.service, caller, request.headers(), &requirement).await;
        identity
            .map(|identity| allow(&identity))
            .map_err(AuthzError::Refused)
    })
    .await
}

/// Why a request is not allowed.
enum AuthzError {
    /// The requirement is in the wrong place or can't be read.
    NoRequirement,
    Refused(Refused),
}

impl IntoResponse for AuthzError {
    fn into_response(self) -> Response<Body> {
        let refused = match self {
            Self::NoRequirement => {
                let message = "put a valid requirement into the path, for example \
                    /authz-with/org=acme,role=build-viewer,aud=https:%2F%2Fapi.example.com";
                return reply::plain_error(StatusCode::FORBIDDEN, message);
            }
            Self::Refused(refused) => refused,
        };
        let refusal = refused.refusal;
        let response = refused.into_response();
        match (response.status(), refusal) {
            (_, Refusal::WrongAudience) => {
                reply::with(response, header::WWW_AUTHENTICATE, CHALLENGE_TOKEN)
            }
            (StatusCode::UNAUTHORIZED, _) => {
                reply::with(response, header::WWW_AUTHENTICATE, CHALLENGE)
            }
            _ => response,
        }
    }
}

async fn identify(
    service: &Service,
    caller: Caller,
    headers: &HeaderMap,
    requirement: &Requirement,
) -> Result<Identity, Refused> {
    let identity = match request::presented(headers) {
        Some(Presented::Secret(secret)) => by_secret(service, caller, secret, requirement).await?,
        Some(Presented::Token(token)) => by_token(service, caller, token, requirement)?,
        None => {
            service.fresh(caller)?;
            return Err(service.refuse(caller, Refusal::InvalidToken, None));
        }
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
    // A secret has no audience of its own: a required one must be among those of the key's tokens.
    let audiences = service.issuer().audiences_of(credential.audiences());
    let wanted = &requirement.audiences;
    if !wanted.is_empty() && !audiences.iter().any(|audience| wanted.contains(audience)) {
        let refusal = Refusal::AudienceNotCovered;
        return Err(service.refuse(caller, refusal, Some(credential)));
    }
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
    let wanted = &requirement.audiences;
    let wanted = service.issuer().audiences_of(wanted);
    if !claims.aud.has_one_of(wanted) {
        return Err(service.refuse(caller, Refusal::WrongAudience, Some(credential)));
    }
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
        let audiences = Requirement::parse("aud=https://a/?b=c,aud=kube").unwrap();
        assert_eq!(audiences.audiences, ["https://a/?b=c", "kube"]);
        let path = "/authz-with/aud=https:%2F%2Fa%2F%3Fb=c,aud=kube/v1/x";
        assert_eq!(Requirement::of_path(path), Some(audiences));
        for wrong in [
            "",
            "org",
            "org=",
            "rol=x",
            "org=a,org=b",
            "role=a,",
            "role=a;org=b",
            "aud=",
            "aud=a b",
            "aud=\u{fc}",
        ] {
            assert_eq!(Requirement::parse(wrong), None, "{wrong}");
        }
        for path in ["", "/", "/x", "/%ff/role=c"] {
            let path = format!("/authz-with/org=acme%2Crole=a,role%3Db{path}");
            assert_eq!(Requirement::of_path(&path).as_ref(), Some(&read));
        }
        assert_eq!(Requirement::of_path("/authz-with/%ff/role=a"), None);
    }

    #[test]
    fn a_requirement_in_the_query_is_noticed_and_the_query_of_the_original_request_is_not_taken_for_one()
     {
        for (uri, misplaced) in [
            ("/authz?aud=app", true),
            ("/authz?x=1&role=a", true),
            ("/authz?audience=app", false),
            ("/authz", false),
            ("/authz/?aud=app", false),
            ("/authz/v1?role=a", false),
        ] {
            assert_eq!(is_asked_in_query(&uri.parse().unwrap()), misplaced, "{uri}");
        }
    }
}
