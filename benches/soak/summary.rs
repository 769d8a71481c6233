//! The report of a run.

use std::sync::Arc;

use crate::common::report::{Report, progress};
use crate::faults::{Fault, Incident};
use crate::hostile_object::Kind;
use crate::ledger::Ledger;
use crate::measured::{Measured, Measurements, show};
use crate::samples::{Sample, growth};
use crate::site::Site;
use crate::world::{IN_TIME, World};

pub(crate) const SHARED: &str =
    "API server, etcd, controller, token server and this program share it.";
const CONDITIONS: &str = "60 keys have no expiry, and as many come and go. Their owners make 4 changes a second. \
    8 consumers each ask every 20 ms at most. They use the newest secret of a key and, while it must be accepted, \
    the one that it replaced. The hashing cost is the least. Another tenant suspends and resumes its key. \
    A hostile tenant is admin of its own namespace. Nine times a second it changes an ApiKey with `managedFields` \
    that only the API server can read. In between it writes labelled Secrets with such `managedFields`, ApiKeys \
    with 1 MB of finalizers or 250 KB of annotations, and statuses with a time that does not exist. \
    Processes are killed only in the first half, so that the second half shows the memory of processes that \
    keep running.";
const RULES: &str = "A refusal is wrong if the secret was delivered, neither it nor its key has ended, and \
    a token was issued for the key before. \"Not yet known\" is a refusal of the first secret of a key before \
    the token server has the key. No answer and 503 are neither: they occur while the token server is killed \
    and starts again.";
/// The greatest growth of a process's memory in the second half. Unit: MiB.
const MAY_GROW_MIB: f64 = 8.0;

/// The result of a run.
pub(crate) struct Outcome {
    pub(crate) world: Arc<World>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) incidents: Vec<Incident>,
    /// The differences from the requested state at the end.
    pub(crate) left: Vec<String>,
}

/// Adds the measurements of a run.
pub(crate) fn measure(outcome: &Outcome, site: &Site, measured: &mut Measurements) {
    let tally = outcome.world.tally.lock();
    let ledger = outcome.world.ledger.lock();
    let counts = &tally.counts;
    let last = outcome.samples.last().expect("a sample");
    let seconds = last.after.as_secs_f64();
    for (what, count) in [
        ("Keys created", counts.created),
        ("Keys deleted", counts.deleted),
        ("New secrets asked for", counts.rotated),
        ("Changes of roles", counts.roles_changed),
    ] {
        measured.note(what, "", count.into());
    }
    for fault in Fault::ALL {
        let times = outcome
            .incidents
            .iter()
            .filter(|incident| incident.fault == fault);
        let count = u32::try_from(times.count()).unwrap();
        measured.note(format!("Times: {}", fault.name()), "", count.into());
    }
    for kind in Kind::ALL {
        let count = counts.hostile[kind as usize];
        let what = format!("Stored by the hostile tenant: {}", kind.name());
        measured.note(what, "", count.into());
        let what = format!("Nothing stored by it: {}", kind.name());
        measured.must_be_zero(what, u32::from(count == 0));
    }
    measured.note(
        "Suspensions of another tenant",
        "",
        counts.suspensions.into(),
    );
    measured.note("Tokens issued", "", counts.issued.into());
    measured.note(
        "Tokens issued per second",
        "",
        f64::from(last.counts.issued) / seconds,
    );
    measured.must_be_zero("Wrong refusals", counts.wrongly_refused);
    measured.must_be_zero("Tokens issued at or after an expiry", counts.late);
    let late = format!("Changes of `suspended` without an effect within {IN_TIME:#}");
    measured.must_be_zero(late, counts.suspensions_unseen);
    let late = format!("Tokens more than {IN_TIME:#} after a confirmed deletion");
    measured.must_be_zero(late, counts.deletions_unseen);
    measured.must_be_zero("Tokens that outlive their key", counts.outliving);
    measured.must_be_zero("Forged secrets accepted", counts.forged_accepted);
    measured.must_be_zero("Revisions of a secret with two values", ledger.doubles);
    measured.must_be_zero("Secrets that nobody asked for", unasked(&ledger));
    for left in &outcome.left {
        crate::common::report::progress(&format!("Not at rest: {left}"));
    }
    let unwritten = site.server.operator.metric("apikey_audit_lines_lost");
    measured.note(
        "Audit lines that found no room since the last start",
        "",
        unwritten,
    );
    let left = u32::try_from(outcome.left.len()).unwrap();
    measured.must_be_zero("What did not come to rest", left);
    let both = [
        ("controller", &site.controller),
        ("token server", &site.server.operator),
    ];
    for (process, (who, operator)) in both.into_iter().enumerate() {
        let memory = operator.memory().resident;
        measured.note(
            format!("Resident memory of the {who} at the end"),
            "MiB",
            memory,
        );
        let growth = growth(&outcome.samples, process);
        let slope = format!("Slope of the memory of the {who} in the second half");
        measured.note(slope, "MiB/h", growth.slope);
        let what = format!("Leaks of the {who} (more than {MAY_GROW_MIB} MiB in the second half)");
        measured.must_be_zero(what, u32::from(growth.grown > MAY_GROW_MIB));
    }
    let after = tally.longest_after_deletion.as_secs_f64();
    let suspended = tally.longest_to_suspension.as_secs_f64();
    for (what, unit, value) in [
        (
            "Refusals of an expired, replaced or deleted secret",
            "",
            counts.rightly_refused.into(),
        ),
        (
            "Refusals of a first secret: not yet known",
            "",
            counts.not_yet_known.into(),
        ),
        (
            "Answers 503 to holders of keys",
            "",
            counts.unavailable.into(),
        ),
        (
            "Questions of holders of keys without an answer",
            "",
            counts.unanswered.into(),
        ),
        ("Forged secrets refused", "", counts.forged_refused.into()),
        (
            "Forged secrets without an answer",
            "",
            counts.forged_unanswered.into(),
        ),
        (
            "Tokens for a deleted key",
            "",
            counts.issued_after_deletion.into(),
        ),
        (
            "Longest time from a confirmed deletion to a token",
            "s",
            after,
        ),
        (
            "Longest time from a confirmed change of `suspended` to its effect",
            "s",
            suspended,
        ),
    ] {
        measured.note(what, unit, value);
    }
}

/// The number of delivered values beyond the first of each key and one for each rotation request.
fn unasked(ledger: &Ledger) -> u32 {
    let mut beyond = 0;
    for (name, key) in &ledger.keys {
        let delivered = u32::try_from(key.delivered.len()).unwrap();
        let unasked = delivered.saturating_sub(1 + key.rotations);
        if unasked > 0 {
            let revisions: Vec<_> = key.delivered.keys().collect();
            let asked = key.rotations;
            progress(&format!(
                "{name}: {asked} new secrets asked for, revisions delivered: {revisions:?}"
            ));
        }
        beyond += unasked;
    }
    beyond
}

/// Fills the table, and adds the plots.
pub(crate) fn fill(measured: &Measurements, pictures: &[String], report: &mut Report) {
    for Measured {
        what,
        unit,
        value,
        must_be_zero,
    } in &measured.0
    {
        let must_be = if *must_be_zero { "0" } else { "" };
        report.add(vec![what.clone(), show(*value, unit), must_be.to_owned()]);
    }
    report.note(CONDITIONS.to_owned());
    report.note(RULES.to_owned());
    let pictures: Vec<_> = pictures.iter().map(|file| format!("![]({file})")).collect();
    report.note(pictures.join("\n\n"));
}
