//! Keys get their secrets even if nobody reads the audit lines. Lost lines are counted.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::OFlags;

use crate::support::{Cluster, Scope, eventually, run};

/// More keys than workers: the test fails if a worker waits forever.
const KEYS: usize = 24;

/// A named pipe, and an open end of it.
fn pipe(folder: &Path) -> (PathBuf, File) {
    let path = folder.join("stdout.pipe");
    run(Command::new("mkfifo").arg(&path));
    let mut options = OpenOptions::new();
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    // Open for reading and writing: otherwise each open waits for the other end.
    let end = options.read(true).write(true).custom_flags(nonblock);
    let end = end.open(&path).unwrap();
    (path, end)
}

async fn make_keys(scope: &Scope<'_>) {
    for n in 0..KEYS {
        scope.apply_key(&format!("key-{n}"), "");
    }
    for n in 0..KEYS {
        scope.ready(&format!("key-{n}")).await;
    }
}

#[tokio::test]
async fn with_the_reader_of_audit_lines_gone_keys_are_made_and_each_lost_line_is_counted() {
    let cluster = Cluster::start();
    let (path, end) = pipe(cluster.control_plane.dir());
    let operator = cluster.operator_writing_to(&path);
    operator.logged("Leading: reconciling").await;
    drop(end);
    let scope = cluster.scope().await;
    make_keys(&scope).await;
    let all = f64::from(u32::try_from(KEYS).unwrap());
    eventually("the metric counts every line", async || {
        let lost = operator.metric("apikey_audit_lines_lost_total")?;
        (lost >= all).then_some(())
    })
    .await;
    let lost = operator.metric("apikey_audit_lines_lost_total");
    assert_eq!(lost, Some(all));
    let log = operator.stderr();
    assert_eq!(log.matches("Audit lines can't be written").count(), 1);
}

#[tokio::test]
async fn with_the_reader_of_audit_lines_stuck_keys_are_made_and_the_operator_ends_in_time() {
    let cluster = Cluster::start();
    let (path, mut end) = pipe(cluster.control_plane.dir());
    let mut full = std::iter::repeat_with(|| end.write(&[b'\n'; 4096]));
    let full = full.find_map(Result::err).unwrap();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let operator = cluster.operator_writing_to(&path);
    let scope = cluster.scope().await;
    make_keys(&scope).await;
    operator.terminate().await;
    let log = operator.stderr();
    assert!(
        log.contains("Audit lines are lost because nothing reads standard output"),
        "{log}"
    );
    drop(end);
}
