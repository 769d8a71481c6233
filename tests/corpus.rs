//! Replays the corpus of the fuzzer, without a fuzzer.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails at the first unexpected result"
)]

use std::path::Path;

#[expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "it is a library for the fuzzer"
)]
#[path = "../fuzz/src/lib.rs"]
mod checks;

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = std::fs::read_dir(folder.join(target)).unwrap();
    let mut replayed = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        eprintln!("{}", path.display());
        check(&bytes);
        replayed += 1;
    }
    assert!(replayed > 10, "only {replayed} files for {target}");
}

#[test]
fn whatever_is_stored_has_one_plan_that_can_be_carried_out() {
    replay("plan", checks::plan::check);
}

#[test]
fn any_object_is_read_or_known_by_its_identity() {
    replay("object", checks::object::check);
}

#[test]
fn any_line_of_a_watch_is_read_or_refused() {
    replay("line", checks::line::check);
}

#[test]
fn any_document_is_a_record_or_refused() {
    replay("record", checks::record::check);
}

#[test]
fn any_bytes_are_a_request_or_refused() {
    replay("request", checks::request);
}

#[test]
fn any_text_is_a_secret_or_refused() {
    replay("secret", checks::secret);
}

#[test]
fn no_text_is_a_token_that_was_not_signed() {
    replay("token", checks::token);
}
