//! Three judges of the health of an object: kstatus, Flux with its expressions, and Argo CD with the scripts of this
//! repository.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use kube_cel::cel::{self, Context, Program};
use serde_json::Value;

use super::file;
use crate::support::outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    InProgress,
    Current,
    Failed,
    Terminating,
}

fn is_true(object: &Value, type_: &str) -> bool {
    status_of(object, type_) == Some("True")
}

fn status_of<'a>(object: &'a Value, type_: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|c| c["type"] == type_)?;
    found["status"].as_str()
}

fn is_seen(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// The rules of kstatus for unknown kinds. `helm --wait` and Flux use them.
pub(super) fn kstatus(object: &Value) -> Verdict {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Verdict::Terminating;
    }
    if !is_seen(object) || is_true(object, "Reconciling") {
        return Verdict::InProgress;
    }
    if is_true(object, "Stalled") {
        return Verdict::Failed;
    }
    match status_of(object, "Ready") {
        Some("True") | None => Verdict::Current,
        Some(_) => Verdict::InProgress,
    }
}

/// The verdict by `healthCheckExprs`: Flux compares the generations first, and evaluates in this order.
pub(super) fn flux(expressions: &Value, object: &Value) -> Verdict {
    if !is_seen(object) {
        return Verdict::InProgress;
    }
    let asked = [
        ("inProgress", Verdict::InProgress),
        ("failed", Verdict::Failed),
        ("current", Verdict::Current),
    ];
    let verdict = asked.into_iter().find(|(name, _)| {
        let text = expressions[name].as_str().expect("an expression");
        holds(text, object)
    });
    verdict.map_or(Verdict::InProgress, |(_, verdict)| verdict)
}

fn holds(expression: &str, object: &Value) -> bool {
    let program = Program::compile(expression).unwrap();
    let mut context = Context::default();
    for (name, value) in object.as_object().unwrap() {
        context.add_variable(name.as_str(), value).unwrap();
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(holds)) => holds,
        other => panic!("{expression}: {other:?}"),
    }
}

/// The interpreter of Lua, if there is one.
static LUA: LazyLock<Option<String>> = LazyLock::new(|| {
    let named = std::env::var("LUA").ok();
    let known = ["lua5.1", "luajit", "lua", "lua5.4", "lua5.3"].map(str::to_owned);
    let runs = |name: &String| Command::new(name).arg("-v").output().is_ok();
    let found = named.into_iter().chain(known).find(runs);
    if found.is_none() {
        assert!(std::env::var_os("NEED_LUA").is_none(), "Lua is needed");
        println!("LEFT OUT: scripts of Argo CD, because this machine lacks Lua");
    }
    found
});

/// The result of a script of `gitops/argocd` for an object. It runs as in Argo CD. `None` without Lua.
pub(super) fn argocd(script: &Path, object: &Value) -> Option<Value> {
    let mut lua = Command::new(LUA.as_ref()?);
    lua.arg(file("hack/argocd.lua")).arg(script);
    let result = outcome(&mut lua, &object.to_string());
    assert_eq!(result.code, 0, "{}: {}", script.display(), result.stderr);
    Some(result.json())
}
