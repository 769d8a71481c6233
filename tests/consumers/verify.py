"""Checks a live token server with PyJWT and Authlib.

Prints a line per check, `ok TEXT` or `not ok TEXT`; hack/consumers.sh starts it.
"""

import datetime
import os
import sys
from pathlib import Path
from unittest import mock

import jwt
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

ISSUER = os.environ["ISSUER"]
ALGORITHM = os.environ["ALGORITHM"]
KEY_ID = os.environ["KEY_ID"]
SECRET = Path(os.environ["SECRET_FILE"]).read_text()
ROLES = ["build-viewer", "build-operator"]

failures = 0


def check(text, holds):
    global failures
    try:
        result = holds()
    except Exception as error:  # any exception of a client is a failed check
        result, text = False, f"{text} ({type(error).__name__}: {error})"
    failures += not result
    print("ok" if result else "not ok", f"{ALGORITHM}: {text}", flush=True)


def raises(kind, act):
    try:
        act()
    except kind:
        return True
    return False


document = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()


def session(method):
    return OAuth2Session(KEY_ID, SECRET, token_endpoint_auth_method=method)


def token(method="client_secret_basic", **more):
    grant = {"grant_type": "client_credentials", **more}
    return session(method).fetch_token(document["token_endpoint"], **grant)


for method in document["token_endpoint_auth_methods_supported"]:
    check(
        f"Authlib gets a token by {method}",
        lambda: token(method)["token_type"] == "Bearer",
    )
access_token = token()["access_token"]
check(
    "Authlib gets fewer roles by scope",
    lambda: token(scope="build-viewer")["scope"] == "build-viewer",
)
client = jwt.PyJWKClient(document["jwks_uri"])


def decode(text, **more):
    key = client.get_signing_key_from_jwt(text)
    wanted = {"algorithms": [ALGORITHM], "audience": ISSUER, "issuer": ISSUER, **more}
    required = ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"]
    return jwt.decode(text, key.key, options={"require": required}, **wanted)


check("PyJWT verifies the token", lambda: decode(access_token)["roles"] == ROLES)
head, _, signature = access_token.split(".")
_, other_claims, _ = token(scope="build-viewer")["access_token"].split(".")
check(
    "PyJWT refuses the token with other claims",
    lambda: raises(
        jwt.InvalidSignatureError,
        lambda: decode(".".join([head, other_claims, signature])),
    ),
)
check(
    "PyJWT refuses the token for another audience",
    lambda: raises(
        jwt.InvalidAudienceError, lambda: decode(access_token, audience="other")
    ),
)
check(
    "PyJWT refuses the token as one of another algorithm",
    lambda: raises(
        jwt.InvalidAlgorithmError, lambda: decode(access_token, algorithms=["HS256"])
    ),
)



def decode_behind(text, seconds, **more):
    """Decodes with a clock that is this many seconds before the token's creation."""
    made = jwt.decode(text, options={"verify_signature": False})["iat"]
    with mock.patch("jwt.api_jwt.datetime", wraps=datetime.datetime) as clock:
        clock.now.return_value = datetime.datetime.fromtimestamp(
            made - seconds, datetime.timezone.utc
        )
        return decode(text, **more)


check(
    "PyJWT without leeway refuses the token with a clock 1 s behind, as for any issuer",
    lambda: raises(jwt.ImmatureSignatureError, lambda: decode_behind(access_token, 1)),
)
check(
    "PyJWT with a leeway accepts the token with a clock 4 s behind",
    lambda: decode_behind(access_token, 4, leeway=10)["roles"] == ROLES,
)

jwks = requests.get(document["jwks_uri"], timeout=10).json()
keys = KeySet.import_key_set(jwks)
check(
    "joserfc verifies the token",
    lambda: joserfc_jwt.decode(access_token, keys, algorithms=[ALGORITHM]).claims["iss"]
    == ISSUER,
)
check("the signing key names its algorithm", lambda: jwks["keys"][0]["alg"] == ALGORITHM)


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return jwks


def rfc_9068():
    validator = Validator(issuer=ISSUER, resource_server=ISSUER)
    found = validator.authenticate_token(access_token)
    validator.validate_token(found, [], None, roles=ROLES[:1])
    return True


if ALGORITHM != "EdDSA":  # this part of Authlib does not support EdDSA
    check("Authlib accepts the token as an access token of RFC 9068", rfc_9068)


def introspect(text):
    endpoint = document["introspection_endpoint"]
    return session("client_secret_basic").introspect_token(endpoint, token=text).json()


check(
    "Authlib introspects the token",
    lambda: introspect(access_token)["scope"] == " ".join(ROLES),
)
check(
    "Authlib introspects nonsense as inactive",
    lambda: introspect("nonsense") == {"active": False},
)
sys.exit(failures > 0)
