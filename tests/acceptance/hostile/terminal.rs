//! The plugin shows text from the API server, a token server, a token or a file without terminal control characters,
//! and never as a separate line.
//!
//! The API server of these tests has the same hostile text in every field, even where a real one refuses it.

mod world;

use std::net::SocketAddr;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rexpect::session::spawn_command;
use serde_json::{Value, json};

use self::world::{Mode, World, key, organization, poison};
use crate::support::{ENTER, Outcome, plugin_file, press};

/// The escape sequences of the plugin's own styles.
const STYLES: [&str; 6] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
];
/// The start of a hostile text that forges a line of its own.
const FORGED: &str = "FORGED";
/// Hostile texts: one with every control character, and one like an attacker's.
fn corpus() -> [String; 2] {
    let codes = (1..0x20).chain(0x7f..0xa0).chain([0x200e, 0x200f]);
    let codes = codes.chain(0x202a..=0x202e).chain(0x2066..=0x2069);
    let every = codes.filter_map(char::from_u32).flat_map(|c| [c, 'x']);
    let attack = format!(
        "\u{1b}[35mX\u{1b}]0;title\u{7}\u{9b}2J\u{202e}\r\n{FORGED}\r{FORGED}\u{85}{FORGED}"
    );
    [every.collect(), attack]
}

#[test]
fn text_of_others_never_steers_the_terminal_of_any_verb() {
    for hostile in corpus() {
        for mode in [
            Mode::All,
            Mode::Linked,
            Mode::Refusing(403),
            Mode::Refusing(422),
        ] {
            let world = World::start(mode, &hostile);
            let mut shown = Vec::new();
            for arguments in verbs(world.address) {
                let result = world.call(&arguments, "");
                if harmless(&result, &format!("{mode:?} {arguments:?}")) == 1 {
                    shown.push(arguments.join(" "));
                }
            }
            let least = if mode == Mode::Linked { 20 } else { 10 };
            assert!(shown.len() >= least, "{mode:?}: shown by {shown:#?}");
        }
    }
}

#[test]
fn a_file_of_others_never_steers_the_terminal_of_lint() {
    for hostile in corpus() {
        let world = World::start(Mode::Linked, &hostile);
        let mut objects = vec![
            key("ci"),
            organization("acme", None),
            json!({
                "apiVersion": "apikey-operator.dev/v1alpha1", "kind": "ApiKey",
                "metadata": {"name": "other", "namespace": "team-a"},
                "spec": {"org": "acme", "roles": ["viewer", "unknown"], "subOrgs": [{"org": "nowhere"}]},
            }),
        ];
        objects.push(objects[0].clone());
        let poisoned = objects.iter().map(|object| {
            let mut object = object.clone();
            poison(&mut object, &hostile, false);
            object["spec"][&hostile] = hostile.as_str().into();
            object["metadata"]["labels"][&hostile] = 1.into();
            object
        });
        let poisoned: Vec<_> = poisoned.collect();
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": ([poisoned, objects].concat())});
        for more in [&[][..], &["--server"]] {
            let arguments = [&["lint", "-f", "-"], more].concat();
            let result = world.call(&arguments, &list.to_string());
            assert!(harmless(&result, "lint") == 1, "{result:?}");
            assert!(
                result.stdout.contains("lint") || result.code == 5,
                "{result:?}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let name: String = hostile.chars().filter(|c| *c != '/').collect();
        std::fs::write(folder.path().join(format!("{name}.yaml")), "a: [").unwrap();
        let folder = folder.path().to_str().unwrap();
        let result = world.call(&["lint", "-f", folder], "");
        assert!(
            harmless(&result, "lint of a file with a name") == 1,
            "{result:?}"
        );
    }
}

#[test]
fn a_token_of_others_never_steers_the_terminal() {
    for hostile in corpus() {
        let world = World::start(Mode::Linked, &hostile);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": hostile, "sub": hostile, "aud": [hostile, "b"], "exp": 99_999_999_999_u64,
            "client_id": hostile, (hostile.as_str()): {"a": hostile}});
        let header = json!({"typ": hostile, "alg": hostile, "kid": hostile});
        let token = format!("{}.{}.c2ln", part(&header), part(&claims));
        harmless(&world.call(&["inspect", "-"], &token), "inspect");
        let kid = format!("{}.{}.c2ln", part(&header), part(&claims));
        let folder = tempfile::tempdir().unwrap();
        let jwks = folder.path().join("jwks.json");
        for key in [
            json!({"kid": hostile, "kty": hostile}),
            json!({"kid": "other"}),
        ] {
            std::fs::write(&jwks, json!({"keys": [key]}).to_string()).unwrap();
            let jwks = jwks.to_str().unwrap();
            let result = world.call(&["verify", "-", "--jwks", jwks], &kid);
            assert_eq!(harmless(&result, "verify"), 1, "{result:?}");
        }
        let url = format!("http://{}", world.address);
        let result = world.call(&["verify", "-", "--url", &url], &kid);
        harmless(&result, "verify --url");
        let age = format!(
            "age-encryption.org/v1\n-> {}x d\n--- mac\n",
            hostile.replace(['\n', ' '], "")
        );
        let result = world.call(&["inspect", "-"], &age);
        assert_eq!(harmless(&result, "inspect of an age file"), 1, "{result:?}");
    }
}

#[test]
fn a_dialogue_and_what_turns_on_a_terminal_show_no_text_of_others_as_it_is() {
    let hostile = "\u{1b}[35mX\u{1b}]0;title\u{7}\u{9b}2J\u{202e}";
    let world = World::start(Mode::All, hostile);
    let create = create(&["--timeout", "2s"]);
    let dialogue = ["create", "new"];
    for (arguments, answers) in [
        (&["revoke", "ci"][..], &["n"][..]),
        (&["discard-previous", "ci"], &["n"]),
        (&create, &[]),
        (&dialogue, &["", "", " "]),
    ] {
        let mut command = Command::new(plugin_file());
        command
            .args(arguments)
            .env("KUBECONFIG", world.kubeconfig())
            .env("TERM", "xterm-256color");
        let mut session = spawn_command(command, Some(20_000)).unwrap();
        for answer in answers {
            press(&mut session, &[answer, ENTER]);
        }
        // Esc ends an open dialogue.
        press(&mut session, &["\u{1b}"]);
        let result = session.exp_eof().unwrap();
        assert!(result.contains("\\u{202e}"), "{arguments:?}: {result:?}");
        for part in ["\u{1b}[35m", "\u{1b}]0;", "\u{9b}", "\u{202e}"] {
            assert!(!result.contains(part), "{arguments:?}: {result:?}");
        }
    }
}

/// A call that creates a key without questions, with more arguments.
fn create(more: &[&'static str]) -> Vec<&'static str> {
    [
        &["create", "new", "--org", "acme", "--role", "viewer"],
        more,
    ]
    .concat()
}

/// Every verb that shows data of the cluster or of a token server.
fn verbs(server: SocketAddr) -> Vec<Vec<&'static str>> {
    let url: &'static str = format!("http://{server}").leak();
    let calls = [
        &["status", "ci"][..],
        &["status", "once"],
        &["list"],
        &["list", "-A", "-o", "wide"],
        &["list", "-l", "a=b"],
        &["check"],
        &["check", "--url", url],
        &["check", "--wait", "1s"],
        &["version"],
        &["suspend", "ci", "nothing"],
        &["suspend", "--all"],
        &["suspend", "--all", "--org", "acme"],
        &["resume", "--all"],
        &["roles", "add", "ci", "other"],
        &["roles", "set", "ci", "viewer"],
        &["roles", "remove", "ci", "viewer"],
        &["rotate", "ci", "--timeout", "1s"],
        &["rotate", "ci", "--dry-run=server"],
        &["discard-previous", "ci", "--yes", "--timeout", "1s"],
        &["revoke", "--all"],
        &["revoke", "--all", "--yes"],
        &create(&["--timeout", "1s"]),
        &create(&["--wait=false"]),
        &["reveal", "ci"],
        &["reveal", "ci", "-o", "age"],
        &["reveal", "once", "--yes"],
        &["token", "ci"],
        &["token", "ci", "--url", url],
        &["token", "ci", "--url", url, "-o", "json"],
        &["token", "ci", "--url", url, "-o", "export"],
        &["token", "ci", "--url", url, "--organization", "acme"],
        &["token", "ci", "--url", url, "--scope", "refused"],
        &["__complete", "status", ""],
        &["__complete", "list", "--org", ""],
    ];
    calls.map(<[_]>::to_vec).to_vec()
}

/// Panics if the call wrote control characters or a forged line. Returns 1 if it showed hostile text.
fn harmless(result: &Outcome, call: &str) -> usize {
    let all = format!("{}\n{}", result.stdout, result.stderr);
    let plain = STYLES
        .iter()
        .fold(all, |text, style| text.replace(style, ""));
    for line in plain.lines() {
        assert!(!line.trim_start().starts_with(FORGED), "{call}: {result:?}");
    }
    // A completion has a tab between a word and its description.
    let may_stand = |character: char| match character {
        '\n' => true,
        '\t' => call.contains("__complete"),
        other => {
            !other.is_control()
                && !matches!(other, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        }
    };
    let bad: Vec<_> = plain.chars().filter(|c| !may_stand(*c)).collect();
    assert!(bad.is_empty(), "{call} writes {bad:?}: {result:?}");
    usize::from(plain.contains("\\u{"))
}
