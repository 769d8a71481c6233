//! Checks any document that is stored as a credential record.

use apikey_credential::hash::{self, MAX_STORED_ITERATIONS, MAX_STORED_MEMORY_KIB, Memory};
use apikey_credential::record::{CredentialRecord, Entry, MAX_PENDING};
use apikey_credential::{KeyId, Secret};
use k8s_openapi::jiff::Timestamp;

/// The greatest memory cost of hashes that are computed here. Unit: KiB.
const QUICK_MEMORY_KIB: u32 = 64;

/// Parsing refuses the document, or writing it gives what was read. Each step of the document keeps its invariants.
/// No hash in it takes more memory or time than is allowed.
pub fn check(bytes: &[u8]) {
    let Ok(document) = CredentialRecord::parse(bytes) else {
        return;
    };
    let written = document.to_json().expect("JSON");
    let read = CredentialRecord::parse(&written).expect("what was written");
    assert_eq!(read.to_json().expect("JSON"), written);
    let pending = document.pending.iter().map(|pending| &pending.entry);
    let entries: Vec<_> = [&document.current]
        .into_iter()
        .chain(&document.previous)
        .chain(pending)
        .collect();
    let next = document.next_revision();
    for entry in &entries {
        assert!(entry.revision < next || next == i64::MAX);
        assert_eq!(entry.digest().len(), 16);
        check_hash(entry);
    }
    for entry in &entries {
        check_steps(&document, entry.created_at.0);
    }
}

/// Checks the steps of a document at this time.
fn check_steps(document: &CredentialRecord, now: Timestamp) {
    if let Some((_, end)) = document.accepted_previous(now) {
        assert!(end > now);
    }
    let young = document.without_old_pending(now);
    assert!(young.pending_until().is_none_or(|until| until > now));
    if document.pending.len() < MAX_PENDING {
        assert_eq!(document.room_from(), None);
    }
    for pending in &document.pending {
        let digest = pending.entry.digest();
        let promoted = document.promoted(&digest, now).expect("a pending entry");
        assert_eq!(promoted.current.digest(), digest);
        assert_eq!(promoted.pending(&digest), None);
        assert_eq!(promoted.expires_at, document.expires_at);
        if pending.overlap_seconds > 0 {
            let end = promoted.previous.and_then(|previous| previous.valid_until);
            assert!(end.is_some_and(|end| end <= document.expires_at));
        }
    }
}

/// Checks that a hash with too high a cost is refused.
fn check_hash(entry: &Entry) {
    let parts = entry.hash.split(['$', ',']);
    let numbers = |name| {
        let values = parts
            .clone()
            .filter_map(move |part| part.strip_prefix(name));
        values
            .map(|value: &str| value.parse().unwrap_or(u32::MAX))
            .max()
            .unwrap_or(0)
    };
    let (memory_kib, iterations) = (numbers("m="), numbers("t="));
    let refused = memory_kib > MAX_STORED_MEMORY_KIB || iterations > MAX_STORED_ITERATIONS;
    if !refused && memory_kib > QUICK_MEMORY_KIB {
        return;
    }
    let secret = Secret::from_entropy(&KeyId::from_entropy([1; 10]), [2; 32]);
    let verdict = hash::verify(&secret, &entry.hash, &mut Memory::default());
    assert!(!refused || verdict.is_err());
}
