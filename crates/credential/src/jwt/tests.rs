use serde_json::json;

use super::*;
use crate::signing::SigningKey;

const MAX: usize = 4096;
const CLAIMS: &str = r#"{"sub":"ours","exp":101}"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm, at(0), at(0)).unwrap()
}

/// A token of this key with these texts as header and claims, whatever they are.
fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let signature = BASE64URL.encode(key.sign(message.as_bytes()).unwrap());
    format!("{message}.{signature}")
}

/// The usual header of this key, with these members in front.
fn header(key: &SigningKey, more: &str) -> String {
    let (alg, kid) = (key.algorithm(), key.kid());
    format!(r#"{{{more}"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#)
}

/// Claims of known names.
#[derive(Debug, serde::Deserialize)]
struct Subject {
    sub: String,
}

/// What became of a token.
#[derive(Debug, PartialEq)]
enum Outcome {
    Malformed(Malformed),
    Refused(Refused),
    Accepted,
}

fn outcome(token: &str, key: &SigningKey) -> Outcome {
    let token = match Token::parse(token, MAX) {
        Ok(token) => token,
        Err(malformed) => return Outcome::Malformed(malformed),
    };
    match token.verify_access_token::<Members>(key.public()) {
        Ok(signed) => {
            assert_eq!(signed.at_any_time().text("sub"), Some("ours"));
            Outcome::Accepted
        }
        Err(refused) => Outcome::Refused(refused),
    }
}

fn no_header() -> Outcome {
    Outcome::Malformed(Malformed::Part("header"))
}

#[test]
fn each_algorithm_verifies_its_own_tokens_and_no_others() {
    let keys = Algorithm::ALL.map(key);
    for signer in &keys {
        let token = signed(signer, &header(signer, ""), CLAIMS);
        for reader in &keys {
            let is_same = reader.kid() == signer.kid();
            assert_eq!(outcome(&token, reader) == Outcome::Accepted, is_same);
        }
    }
}

#[test]
fn a_header_can_not_choose_how_a_token_is_checked() {
    for algorithm in Algorithm::ALL {
        let (ours, other) = (key(algorithm), key(algorithm));
        let names = [
            "none", "None", "HS256", "HS384", "HS512", "ES384", "ES512", "ES256K", "RS384",
            "RS512", "PS256", "Ed448", "Ed25519", "es256", "eddsa", "",
        ];
        for found in names {
            let header = format!(r#"{{"alg":"{found}","typ":"at+jwt","kid":"x"}}"#);
            let refused = Refused::Algorithm {
                found: found.to_owned(),
                key: algorithm,
            };
            let full = signed(&ours, &header, CLAIMS);
            let (message, _) = full.rsplit_once('.').unwrap();
            for token in [&full, &format!("{message}.")] {
                let outcome = outcome(token, &ours);
                assert_eq!(outcome, Outcome::Refused(refused.clone()), "{found:?}");
            }
        }
        // A key in the header is that of whoever wrote the header.
        let jwk = other.jwk();
        for more in [
            format!(r#""jwk":{jwk},"#),
            r#""x5c":["MIIB"],"x5u":"https://evil.test","jku":"https://evil.test","#.to_owned(),
        ] {
            let forged = signed(&other, &header(&ours, &more), CLAIMS);
            assert_eq!(
                outcome(&forged, &ours),
                Outcome::Refused(Refused::Signature)
            );
        }
    }
}

#[test]
fn headers_that_another_reader_could_take_otherwise_are_refused_even_if_signed() {
    let ours = key(Algorithm::EdDsa);
    let extension = || Outcome::Refused(Refused::Extension);
    let typ = |typ: &str| Outcome::Refused(Refused::Type(typ.to_owned()));
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let usual = header(&ours, "");
    let cases = [
        (header(&ours, r#""crit":["exp"],"#), extension()),
        (header(&ours, r#""crit":[],"#), extension()),
        (header(&ours, r#""crit":null,"#), extension()),
        (header(&ours, r#""crit":["b64"],"b64":false,"#), extension()),
        (header(&ours, r#""b64":false,"#), extension()),
        (header(&ours, r#""alg":"none","#), no_header()),
        (header(&ours, r#""kid":"x","#), no_header()),
        (header(&ours, r#""typ":"JWT","#), no_header()),
        (header(&ours, r#""crit":[],"crit":[],"#), no_header()),
        (header(&ours, r#""x":1,"x":1,"#), no_header()),
        (usual.replace("\"EdDSA\"", "7"), no_header()),
        (usual.replace("\"EdDSA\"", "null"), no_header()),
        (usual.replace("\"EdDSA\"", "[\"EdDSA\"]"), no_header()),
        (
            usual.replace(&format!("\"{}\"", ours.kid()), "7"),
            no_header(),
        ),
        (
            usual.replace(&format!("\"{}\"", ours.kid()), "null"),
            no_header(),
        ),
        (
            usual.replace(&format!("\"{}\"", ours.kid()), "{}"),
            no_header(),
        ),
        (
            format!(r#"["EdDSA","at+jwt","{}"]"#, ours.kid()),
            no_header(),
        ),
        (format!("{usual}{{}}"), no_header()),
        (format!("{usual}\0"), no_header()),
        (format!("\u{feff}{usual}"), no_header()),
        (usual.replace('"', "'"), no_header()),
        (usual.replace('}', ""), no_header()),
        (String::new(), no_header()),
        ("null".to_owned(), no_header()),
        (header(&ours, &format!(r#""x":{deep},"#)), no_header()),
        (
            header(&ours, &format!(r#""x":"{}","#, "x".repeat(MAX))),
            Outcome::Malformed(Malformed::Length(MAX)),
        ),
        (usual.replace("at+jwt", "JWT"), typ("jwt")),
        (usual.replace("at+jwt", "text/at+jwt"), typ("text/at+jwt")),
        (usual.replace(r#""typ":"at+jwt","#, ""), typ("")),
        (
            usual.replace("at+jwt", "Application/AT+JWT"),
            Outcome::Accepted,
        ),
        (usual, Outcome::Accepted),
    ];
    for (header, expected) in cases {
        let token = signed(&ours, &header, CLAIMS);
        assert_eq!(outcome(&token, &ours), expected, "{header}");
    }
}

#[test]
fn a_token_has_one_form_only() {
    for algorithm in Algorithm::ALL {
        let ours = key(algorithm);
        let token = signed(&ours, &header(&ours, ""), CLAIMS);
        let parts: Vec<_> = token.split('.').collect();
        let [head, claims, signature] = parts[..] else {
            panic!("{token}");
        };
        let join = |head: &str, claims: &str, signature: &str| [head, claims, signature].join(".");
        // The unused bits of the last character.
        let last = signature.chars().last().unwrap();
        let twin = char::from(u8::try_from(last).unwrap() + 1);
        let twin = format!("{}{twin}", &signature[..signature.len() - 1]);
        let decoded = BASE64URL.decode(signature).unwrap();
        let reencoded = |bytes: &[u8]| BASE64URL.encode(bytes);
        let refused = || Outcome::Refused(Refused::Signature);
        for (what, other) in [
            ("no signature", join(head, claims, "")),
            ("padding", format!("{token}=")),
            ("two of padding", format!("{token}==")),
            ("unused bits", join(head, claims, &twin)),
            ("a space after it", format!("{token} ")),
            ("a line end after it", format!("{token}\n")),
            ("a character more", format!("{token}A")),
            (
                "a byte more",
                join(head, claims, &reencoded(&[&decoded[..], &[0]].concat())),
            ),
            ("a byte less", join(head, claims, &reencoded(&decoded[1..]))),
            (
                "zeros",
                join(head, claims, &reencoded(&vec![0; decoded.len()])),
            ),
            (
                "the standard alphabet",
                join(head, claims, &format!("+/{}", &signature[2..])),
            ),
            (
                "claims with padding",
                join(head, &format!("{claims}="), signature),
            ),
        ] {
            assert_eq!(outcome(&other, &ours), refused(), "{algorithm}, {what}");
        }
        for (other, count) in [
            (String::new(), 1),
            (head.to_owned(), 1),
            (format!("{head}.{claims}"), 2),
            (format!("{token}."), 4),
            (format!("{token}.x.x"), 5),
        ] {
            let malformed = Outcome::Malformed(Malformed::Parts(count));
            assert_eq!(outcome(&other, &ours), malformed);
        }
        for other in [
            join(&format!("{head}="), claims, signature),
            join(&format!(" {head}"), claims, signature),
            join("", claims, signature),
        ] {
            assert_eq!(outcome(&other, &ours), no_header());
        }
    }
}

/// The form that X.509 has, where RFC 7518 section 3.4 demands r and s with 32 bytes each.
#[test]
fn a_der_signature_is_refused() {
    let ours = key(Algorithm::Es256);
    let token = signed(&ours, &header(&ours, ""), CLAIMS);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let raw = BASE64URL.decode(signature).unwrap();
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let number = &number[zeros..];
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        let length = u8::try_from(sign.len() + number.len()).unwrap();
        [&[2, length], sign, number].concat()
    };
    let integers = [integer(&raw[..32]), integer(&raw[32..])].concat();
    let length = u8::try_from(integers.len()).unwrap();
    let der = BASE64URL.encode([&[0x30, length], &integers[..]].concat());
    let refused = outcome(&format!("{message}.{der}"), &ours);
    assert_eq!(refused, Outcome::Refused(Refused::Signature));
}

#[test]
fn claims_are_one_object_without_repeated_members() {
    let ours = key(Algorithm::Es256);
    for claims in [
        "",
        "null",
        "[]",
        r#""text""#,
        r#"{"sub":"ours"}{}"#,
        r#"{"sub":"ours","exp":1,"exp":9}"#,
        r#"{"sub":"theirs","sub":"ours"}"#,
        r#"{"sub":"ours""#,
    ] {
        let token = signed(&ours, &header(&ours, ""), claims);
        let refused = Outcome::Refused(Refused::Claims);
        assert_eq!(outcome(&token, &ours), refused, "{claims}");
    }
    let read = |claims: &str| {
        let text = signed(&ours, &header(&ours, ""), claims);
        let token = Token::parse(&text, MAX).unwrap();
        let signed = token.verify_access_token::<Subject>(ours.public());
        signed.map(|signed| signed.at_any_time().sub)
    };
    assert_eq!(read(CLAIMS).unwrap(), "ours");
    assert_eq!(read(r#"["ours"]"#), Err(Refused::Claims));
}

#[test]
fn times_are_those_of_the_caller() {
    let ours = key(Algorithm::EdDsa);
    let at_100 = |claims: &Value| {
        let text = signed(&ours, &header(&ours, ""), &claims.to_string());
        let token = Token::parse(&text, MAX).unwrap();
        let signed = token.verify_access_token::<Members>(ours.public());
        let leeway = SignedDuration::from_secs(10);
        signed.unwrap().at(at(100), leeway).map(|_| ())
    };
    for (claims, expected) in [
        (json!({}), Err(Untimely::NoExpiry)),
        (json!({"exp": "101"}), Err(Untimely::NoExpiry)),
        (json!({"exp": 1e18}), Err(Untimely::NoExpiry)),
        (json!({"exp": -1}), Err(Untimely::Expired(at(-1)))),
        (json!({"exp": 100}), Err(Untimely::Expired(at(100)))),
        (json!({"exp": 101}), Ok(())),
        (json!({"exp": 101, "nbf": 110, "iat": 110.9}), Ok(())),
        (
            json!({"exp": 101, "nbf": 111}),
            Err(Untimely::NotYet(at(111))),
        ),
        (
            json!({"exp": 101, "iat": 111}),
            Err(Untimely::NotYet(at(111))),
        ),
        (
            json!({"exp": 101, "nbf": "0"}),
            Err(Untimely::NoTime("nbf")),
        ),
        (
            json!({"exp": 101, "nbf": 1e18}),
            Err(Untimely::NoTime("nbf")),
        ),
        (
            json!({"exp": 101, "iat": null}),
            Err(Untimely::NoTime("iat")),
        ),
    ] {
        assert_eq!(at_100(&claims), expected, "{claims}");
    }
}
