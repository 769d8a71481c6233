//! `token`: exchanges the secret of a key for a short-lived access token.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::delivered::{self, Value as Delivered};
use super::exit::{Exit, Failure};
use super::http::{self, Answer, Http, Trust};
use super::invocation::Invocation;
use super::{input, key, select, shell, text};
use apikey_api::ApiKey;
use apikey_api::conditions::reason;
use apikey_api::endpoints;
use apikey_client::error::request;
use apikey_client::object;
use apikey_credential::{Secret, sealed};

/// Exchange the secret of a key for an access token, and print the token.
///
/// The secret is read from the delivered Secret of the key, from a file or from standard input. It can't be
/// an argument, because every process of the machine can see arguments.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Token {
    /// Name of the ApiKey.
    #[arg(
        value_name = "NAME",
        conflicts_with = "login",
        required_unless_present = "login"
    )]
    key: Option<String>,

    /// Login name of a key, to use with --secret-file.
    #[arg(long = "name", value_name = "LOGIN", requires = "secret_file")]
    login: Option<String>,

    /// File with the secret. `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// File with the private key of age that decrypts an encrypted secret. `-` reads standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "secret_file")]
    identity: Option<PathBuf>,

    /// Address of the token server or of its token endpoint. Default: `$KUBECTL_APIKEY_URL`, then the address
    /// in the delivered Secret. For an encrypted secret, the address in the Secret is not used, because
    /// everybody who may change the Secret could have set it.
    #[arg(long, value_name = "URL", value_parser = http::address, env = URL_VARIABLE,
        hide_env_values = true)]
    url: Option<Url>,

    /// Organization to act in, by name or GUID. Default: the organization of the key.
    #[arg(long, value_name = "ORG|GUID")]
    organization: Option<String>,

    /// Some of the roles of the key, separated by spaces. Default: all roles.
    #[arg(long, value_name = "ROLES")]
    scope: Option<String>,

    #[command(flatten)]
    trust: Trust,

    /// Output format. Default: only the token.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The response of the server.
    Json,
    /// A line for a shell: `export API_TOKEN=...`.
    Export,
}

const EXAMPLES: &str = "\
Examples:
  Call a service with a token:
    curl -H \"Authorization: Bearer $(kubectl apikey token ci-upload)\" https://api.example.com

  Verify the token with the keys of its issuer:
    kubectl apikey token ci-upload | kubectl apikey verify -

  Without a cluster:
    kubectl apikey token --name ci-upload --secret-file ./secret --url https://keys.example.com

  For a sub-organization, with one role:
    kubectl apikey token ci-upload --organization acme-tr --scope build-viewer";

/// Environment variable with the address of the token server, used if the flag is not given.
const URL_VARIABLE: &str = "KUBECTL_APIKEY_URL";

/// The credentials and where to send them.
struct Login {
    name: String,
    secret: Zeroizing<String>,
    url: Option<Url>,
    /// Why the key would be refused, according to its status.
    refused_because: Option<String>,
}

pub(super) async fn run(flags: &Token, call: &mut Invocation) -> Result<(), Failure> {
    let login = match (&flags.key, &flags.login) {
        (Some(key), _) => of_key(flags, key, call).await?,
        (None, login) => Login {
            name: login.clone().unwrap_or_default(),
            secret: from_file(flags)?,
            url: None,
            refused_because: None,
        },
    };
    let organization_id = match &flags.organization {
        Some(text) => Some(organization(text, call).await?),
        None => None,
    };
    let given = flags.url.as_ref().or(login.url.as_ref()).cloned();
    let url = given.ok_or_else(|| {
        Failure::usage(
            "the address of the token server is not known: the Secret has no data key 'token-url', \
             because the operator runs without --issuer-url. Set --url https://...",
        )
    })?;
    let url = endpoint(&url, flags.scope.is_some());
    if http::is_open(&url) {
        let text =
            format!("{url} is not encrypted: the secret and the token can be read on the way");
        call.terminal.warn(text);
    }
    let form = form(&url, &login, organization_id, flags.scope.as_deref());
    let answer = Http::new(&flags.trust)?.post(&url, form).await?;
    let token = accepted(&url, &answer).map_err(|failure| match &login.refused_because {
        Some(why) if answer.status == 401 => {
            Failure::new(failure.exit(), format!("{}. {why}", failure.message()))
        }
        _ => failure,
    })?;
    let text = match flags.output {
        None => token,
        Some(Form::Export) => shell::exports(&[("API_TOKEN", token.as_str())]),
        Some(Form::Json) => Zeroizing::new(plain(&url, answer.body.trim_end())?.to_owned()),
    };
    call.terminal.exact(text.as_str())
}

/// Reads the login of a key from the cluster.
async fn of_key(flags: &Token, name: &str, call: &Invocation) -> Result<Login, Failure> {
    let cluster = call.cluster().await?;
    let key = select::one(&cluster, name).await?;
    let refused_because = refused_because(&key);
    if flags.secret_file.is_some() {
        return Ok(Login {
            name: key.login_name().to_owned(),
            secret: from_file(flags)?,
            url: None,
            refused_because,
        });
    }
    if key.reveals_once() {
        return Err(Failure::usage(format!(
            "the secret of '{name}' can be claimed only once (`{}`): claim it, and pass it with \
             --secret-file",
            key::call(&key, "reveal")
        )));
    }
    let found = delivered::read(&cluster, &key).await?;
    let secret = match (found.value, &flags.identity) {
        (Delivered::Clear(secret), _) => secret,
        (Delivered::Sealed(_), Some(_)) if flags.url.is_none() => {
            return Err(address_not_trusted(name, found.token_url.as_deref()));
        }
        (Delivered::Sealed(file), Some(path)) => {
            let identity = input::text(path, "the identity")?;
            sealed::open(&file, &identity).map_err(|error| Failure::no(error.to_string()))?
        }
        (Delivered::Sealed(_), None) => {
            return Err(Failure::usage(format!(
                "the secret of '{name}' is encrypted: give the private key of a recipient \
                 (--identity FILE)"
            )));
        }
    };
    let url = found.token_url.as_deref().map(http::address).transpose();
    Ok(Login {
        name: found.name,
        secret,
        url: url.map_err(|why| Failure::failed(format!("data key 'token-url': {why}")))?,
        refused_because,
    })
}

/// The failure for an encrypted secret without a trusted address. Only the owner of a private key may know
/// the secret, but more people may write the Secret, and with it the address.
fn address_not_trusted(name: &str, found: Option<&str>) -> Failure {
    let found = found.map_or_else(
        || "the Secret names none".to_owned(),
        |url| {
            format!("the Secret names {url}; if that is the address of the token server, give it")
        },
    );
    Failure::usage(format!(
        "the secret of '{name}' is encrypted, so it is sent only to an address that you give \
         (--url, or the environment variable {URL_VARIABLE}), and not to the address in the \
         Secret, which others may be able to change: {found}"
    ))
}

/// Why the key gets no tokens, according to its status.
fn refused_because(key: &ApiKey) -> Option<String> {
    let ready = key::ready(key)?;
    let refused = ready.status != "True" || ready.reason == reason::SUSPENDED;
    refused.then(|| format!("ApiKey '{}': {}", key::name(key), ready.message))
}

fn from_file(flags: &Token) -> Result<Zeroizing<String>, Failure> {
    let path = flags
        .secret_file
        .as_deref()
        .unwrap_or_else(|| Path::new("-"));
    let text = input::text(path, "the secret")?;
    let secret = Secret::parse(text.trim())
        .map_err(|error| Failure::usage(format!("the input is not a secret: {error}")))?;
    Ok(Zeroizing::new(secret.expose().to_owned()))
}

/// GUID of the organization with this name, or the GUID that was given.
async fn organization(text: &str, call: &Invocation) -> Result<Uuid, Failure> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(id);
    }
    let cluster = call.cluster().await?;
    let found = cluster.organizations();
    match request("read the Organization", found.get_opt(text)).await {
        Ok(Some(object::Answer(organization))) => Ok(apikey_policy::organization_id(&organization)),
        Ok(None) => Ok(apikey_policy::default_organization_id(text)),
        Err(error) => {
            let failure = Failure::from(error);
            let message = format!("{}; or give its GUID", failure.message());
            Err(Failure::new(failure.exit(), message))
        }
    }
}

/// The endpoint to call. With a scope, it is the OAuth endpoint.
fn endpoint(given: &Url, scoped: bool) -> Url {
    let ends = [endpoints::TOKEN, endpoints::OAUTH_TOKEN];
    let own = given.path();
    let base = ends.iter().find_map(|end| own.strip_suffix(end));
    let path = if scoped || own.ends_with(endpoints::OAUTH_TOKEN) {
        endpoints::OAUTH_TOKEN
    } else {
        endpoints::TOKEN
    };
    let mut url = given.clone();
    url.set_path(base.unwrap_or(own));
    http::under(&url, path)
}

fn form(
    url: &Url,
    login: &Login,
    organization_id: Option<Uuid>,
    scope: Option<&str>,
) -> Zeroizing<String> {
    let organization_id = organization_id.map(|id| id.to_string());
    let at_oauth = url.path().ends_with(endpoints::OAUTH_TOKEN);
    let (name_field, secret_field) = if at_oauth {
        ("client_id", "client_secret")
    } else {
        ("name", "secret")
    };
    let fields = [
        ("grant_type", at_oauth.then_some("client_credentials")),
        (name_field, Some(login.name.as_str())),
        (secret_field, Some(login.secret.as_str())),
        ("organizationId", organization_id.as_deref()),
        ("scope", scope),
    ];
    let mut form = Zeroizing::new(String::with_capacity(1024));
    for (field, value) in fields {
        let Some(value) = value else { continue };
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(field);
        form.push('=');
        form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    form
}

/// Returns the token in the response, or the server's explanation why there is none.
fn accepted(url: &Url, answer: &Answer) -> Result<Zeroizing<String>, Failure> {
    if answer.status == 200 {
        let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let token = json.get("access_token").and_then(Value::as_str);
        let token = token.filter(|token| text::is_visible_ascii(token));
        let token = token.map(|token| Zeroizing::new(token.to_owned()));
        return token.ok_or_else(|| {
            Failure::failed(format!(
                "{url} answers with no token: is it a token server?"
            ))
        });
    }
    let wait = answer
        .retry_after
        .as_deref()
        .map_or_else(String::new, |seconds| {
            format!(" (try again in {seconds} s)")
        });
    let status = answer.status;
    let why = match status {
        400 | 401 | 403 | 429 | 503 => answer.message(),
        300..400 => {
            "it redirects, and the secret is sent only to the given address: give the final \
             address"
                .into()
        }
        _ => format!("is it a token server? Its answer: {}", answer.message()),
    };
    let exit = match status {
        400 | 401 | 403 | 429 | 503 => Exit::No,
        _ => Exit::Failed,
    };
    Err(Failure::new(
        exit,
        format!("{url} answers {status}: {why}{wait}"),
    ))
}

/// Returns the response if it is safe to print.
fn plain<'a>(url: &Url, body: &'a str) -> Result<&'a str, Failure> {
    if text::is_plain(body) {
        return Ok(body);
    }
    Err(Failure::failed(format!(
        "{url} answers with control characters: is it a token server?"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_would_steer_the_terminal_is_no_token() {
        let url = http::address("https://x").unwrap();
        let answer = |token: &str| Answer {
            status: 200,
            retry_after: None,
            body: serde_json::json!({"access_token": token})
                .to_string()
                .into(),
        };
        let good = accepted(&url, &answer("eyJ.a-_.b")).unwrap();
        assert_eq!(*good, "eyJ.a-_.b");
        for bad in ["", "a b", "a\nb", "a\u{1b}[2J", "a\u{9b}", "ä", "\u{202e}"] {
            let refused = accepted(&url, &answer(bad)).unwrap_err();
            assert!(refused.message().contains("no token"), "{bad:?}");
        }
        assert!(plain(&url, "{\n\t\"a\": 1\n}").is_ok());
        for bad in ["{\r}", "{\"a\": \"\u{202e}\"}", "\u{9b}"] {
            assert!(plain(&url, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_of_the_server_or_of_either_endpoint_will_do() {
        let endpoint = |given: &str, scoped| {
            let url = http::address(given).unwrap();
            super::endpoint(&url, scoped).to_string()
        };
        for given in ["https://x", "https://x/", "https://x/auth/v1/api-key/token"] {
            assert_eq!(endpoint(given, false), "https://x/auth/v1/api-key/token");
            assert_eq!(endpoint(given, true), "https://x/oauth2/token");
        }
        assert_eq!(
            endpoint("https://x/b/oauth2/token", false),
            "https://x/b/oauth2/token"
        );
    }

    #[test]
    fn a_refusal_is_told_with_the_time_to_wait() {
        let url = http::address("https://x").unwrap();
        let answer = Answer {
            status: 429,
            retry_after: Some("7".into()),
            body: r#"{"error":"too many"}"#.to_owned().into(),
        };
        let refused = accepted(&url, &answer).unwrap_err();
        assert_eq!(refused.exit(), Exit::No);
        assert!(
            refused
                .message()
                .ends_with("429: too many (try again in 7 s)")
        );
    }
}
