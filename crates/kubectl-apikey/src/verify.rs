//! `verify`: checks a token with the public keys of its issuer.

mod check;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use reqwest::Url;
use serde_json::{Value, json};

use self::check::Wanted;
use super::exit::Failure;
use super::format::Machine;
use super::http::{self, Http, Trust};
use super::invocation::Invocation;
use super::jwt::{self, Jwt};
use super::terminal::{DIM, GOOD};
use super::text::styled;
use super::{input, table};
use apikey_api::endpoints;
use apikey_credential::jwt::Malformed;

/// Check an access token with the public keys of its issuer, and print its claims.
///
/// The token is sent nowhere: only the public keys are fetched. The checks cover the signature (ES256, RS256,
/// EdDSA), the type `at+jwt`, `exp`, `nbf`, `iat`, and, if given, `iss` and `aud`. They don't detect that the
/// key or its secret was revoked after the token was issued: use `/oauth2/introspect` for that.
/// `secret_revision` is the number of the secret that the token was issued with.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    /// The token. `-` reads standard input.
    #[arg(value_name = "JWT|-")]
    token: String,

    /// Issuer that the token must have. Its public keys are found by discovery. Default: the issuer that the
    /// token names, if that is an https address.
    #[arg(long, value_name = "URL", value_parser = http::address)]
    issuer: Option<Url>,

    /// Address of the token server, or of its key set, if it differs from the address of the issuer.
    #[arg(long, value_name = "URL", value_parser = http::address, conflicts_with = "jwks")]
    url: Option<Url>,

    /// File with the key set (JWKS), which is then not fetched. `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,

    /// Audience that the token must have. If repeated, one of them is enough.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,

    #[command(flatten)]
    trust: Trust,

    /// Output format for programs.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON with the header and the claims.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  A token of an issuer that can be reached by https:
    kubectl apikey token ci-upload | kubectl apikey verify - --issuer https://keys.example.com

  Through a forwarded port:
    kubectl apikey verify - --url http://127.0.0.1:8080 <token

  Without a network:
    curl https://keys.example.com/oauth2/jwks >jwks.json
    kubectl apikey verify - --jwks jwks.json --audience https://api.example.com <token";

pub(super) async fn run(flags: &Verify, call: &mut Invocation) -> Result<(), Failure> {
    let text = text(flags)?;
    let no_token = |error: Malformed| Failure::no(format!("not a token: {error}"));
    let token = Jwt::parse(text.trim()).map_err(no_token)?;
    let (jwks, source) = keys(flags, &token, call).await?;
    let wanted = Wanted {
        issuer: flags.issuer.as_ref().map(issuer_text),
        audiences: &flags.audience,
        now: call.clock.now(),
    };
    let kid = check::check(&token, &jwks, &wanted)
        .map_err(|reason| Failure::no(format!("the token is not valid: {reason}")))?;
    match flags.output {
        Some(Form::Json) => {
            let document = json!({"header": token.header, "claims": token.claims});
            call.terminal.exact(&Machine::Json.render(&document)?)
        }
        None => {
            let algorithm = token.header("alg").unwrap_or_default();
            let valid = styled(GOOD, "valid");
            let by = styled(DIM, format!("signed by {algorithm} key {kid} of {source}"));
            call.terminal.note(valid + ", " + by);
            let lines = token.lines(wanted.now).into_iter();
            let rows: Vec<_> = lines
                .map(|(name, value)| vec![name.into(), value.into()])
                .collect();
            call.terminal
                .print(table::render(&["CLAIM", "VALUE"], &rows))
        }
    }
}

fn text(flags: &Verify) -> Result<zeroize::Zeroizing<String>, Failure> {
    if flags.token == "-" {
        if flags.jwks.as_deref().is_some_and(input::is_standard_input) {
            return Err(Failure::usage(
                "token and key set can't both come from standard input",
            ));
        }
        return input::text("-".as_ref(), "the token");
    }
    jwt::refuse_secret(
        &flags.token,
        "To see what a secret is: kubectl apikey inspect -",
    )?;
    Ok(flags.token.clone().into())
}

/// The issuer as tokens contain it, without the trailing slash that `Url` adds.
fn issuer_text(issuer: &Url) -> String {
    issuer.to_string().trim_end_matches('/').to_owned()
}

/// Returns the key set and its source.
async fn keys(
    flags: &Verify,
    token: &Jwt,
    call: &mut Invocation,
) -> Result<(Value, String), Failure> {
    if let Some(path) = &flags.jwks {
        let text = input::text(path, "the key set")?;
        let set = serde_json::from_str(&text).map_err(|error| {
            Failure::usage(format!("{} is no key set: {error}", path.display()))
        })?;
        return Ok((set, path.display().to_string()));
    }
    let http = Http::new(&flags.trust)?;
    let url = match &flags.url {
        Some(url) if is_key_set(url) => url.clone(),
        Some(url) => http::under(url, endpoints::JWKS),
        None => discovered(&issuer(flags, token, call)?, &http).await?,
    };
    Ok((document(&http, &url).await?, url.to_string()))
}

fn is_key_set(url: &Url) -> bool {
    let last = url.path().rsplit('/').next().unwrap_or_default();
    last == "jwks" || last == "jwks.json"
}

/// Returns the issuer whose keys to fetch.
fn issuer(flags: &Verify, token: &Jwt, call: &mut Invocation) -> Result<Url, Failure> {
    if let Some(issuer) = &flags.issuer {
        return Ok(issuer.clone());
    }
    let named = token.claim("iss").unwrap_or_default();
    let Some(issuer) = http::address(named)
        .ok()
        .filter(|url| url.scheme() == "https")
    else {
        return Err(Failure::usage(
            "the token does not name an https address as its issuer, so its keys are not asked for \
             there: say where they are (--issuer, --url, or --jwks FILE)",
        ));
    };
    call.terminal.warn(format!(
        "the keys are those of the issuer that the token itself names, {issuer}: give --issuer to \
         accept no other"
    ));
    Ok(issuer)
}

/// Finds the address of the key set of an issuer (OpenID Connect Discovery 1.0).
async fn discovered(issuer: &Url, http: &Http) -> Result<Url, Failure> {
    let at = http::under(issuer, endpoints::OPENID_CONFIGURATION);
    let found = document(http, &at).await?;
    let field = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
    let named = field("issuer").trim_end_matches('/');
    if named != issuer_text(issuer) {
        return Err(Failure::no(format!(
            "{at} says that it is of another issuer, '{named}'"
        )));
    }
    key_set_address(issuer, &at, field("jwks_uri"))
}

/// The address of the key set that the metadata `at` names. Keys of an https issuer come by https.
fn key_set_address(issuer: &Url, at: &Url, jwks_uri: &str) -> Result<Url, Failure> {
    let keys = http::address(jwks_uri)
        .map_err(|_| Failure::failed(format!("{at} does not say where the keys are (jwks_uri)")))?;
    if issuer.scheme() == "https" && keys.scheme() != "https" {
        return Err(Failure::failed(format!(
            "{at} names keys at {keys}, which anybody on the way can replace: its `jwks_uri` must be an https: address"
        )));
    }
    Ok(keys)
}

async fn document(http: &Http, url: &Url) -> Result<Value, Failure> {
    let answer = http.get(url).await?;
    if answer.status != 200 {
        let (status, message) = (answer.status, answer.message());
        return Err(Failure::failed(format!(
            "{url} answers {status}: {message}"
        )));
    }
    serde_json::from_str(&answer.body)
        .map_err(|error| Failure::failed(format!("{url} answers with no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_https_issuer_come_by_https() {
        let url = |text: &str| Url::parse(text).unwrap();
        let keys = |issuer, uri| key_set_address(&url(issuer), &url(issuer), uri);
        assert!(keys("https://a.example", "https://b.example/jwks").is_ok());
        assert!(keys("http://127.0.0.1:1", "http://127.0.0.1:1/jwks").is_ok());
        let refused = keys("https://a.example", "http://a.example/jwks").unwrap_err();
        assert!(format!("{refused:?}").contains("must be an https: address"));
        assert!(keys("https://a.example", "").is_err());
    }
}
