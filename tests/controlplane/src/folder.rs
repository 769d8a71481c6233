//! The temporary folder of one control plane, and the guard that removes it.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{self, PipeWriter};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{IoContext, Result};

/// Removes the folder `$1` after all writers of the pipe on standard input are gone: the owner and
/// all component guards, and so also the servers. A file `keep` in the folder keeps it.
const SCRIPT: &str = r#"
while read -r _; do :; done
[ -e "$1/keep" ] || rm -rf -- "$1"
"#;

const PREFIX: &str = "apikey-operator-controlplane-";

/// A Unix socket's path has at most about 100 bytes, and the sockets of etcd are in the folder.
const LONGEST_PARENT: usize = 50;

/// A folder with keys and tokens that only the owner can read.
pub(crate) struct Folder {
    path: PathBuf,
    logs: PathBuf,
    lifeline: Option<PipeWriter>,
    guard: Child,
}

impl Folder {
    pub(crate) fn create() -> Result<Self> {
        let parent = parent();
        let temporary = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)
            .context("create a folder in", &parent)?;
        let path = temporary.path().to_path_buf();
        let logs = path.join("logs");
        DirBuilder::new()
            .mode(0o700)
            .create(&logs)
            .context("create", &logs)?;
        let (reader, writer) = io::pipe().context("make a pipe for", &path)?;
        let guard = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "controlplane-guard"])
            .arg(&path)
            .current_dir("/")
            .process_group(0)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("run", Path::new("/bin/sh"))?;
        // From now on the guard removes the folder.
        let _ = temporary.keep();
        Ok(Self {
            path,
            logs,
            lifeline: Some(writer),
            guard,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Another writer of the pipe. The folder stays while the process with this writer lives.
    pub(crate) fn lifeline(&self) -> Result<Stdio> {
        match &self.lifeline {
            Some(writer) => Ok(writer
                .try_clone()
                .context("share the pipe of", &self.path)?
                .into()),
            None => Ok(Stdio::null()),
        }
    }

    /// Keeps the whole folder after the end.
    pub(crate) fn keep(&self) -> Result<()> {
        let marker = self.file("keep");
        File::create(&marker).map(drop).context("write", &marker)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.file("keep").exists()
    }

    /// Moves the logs out of the folder, so that they stay. Running servers continue to write to them.
    pub(crate) fn rescue_logs(&mut self) -> &Path {
        let mut name = self.path.clone().into_os_string();
        name.push("-logs");
        let rescued = PathBuf::from(name);
        if !self.is_kept() && fs::rename(&self.logs, &rescued).is_ok() {
            self.logs = rescued;
        }
        &self.logs
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.guard.wait();
    }
}

fn parent() -> PathBuf {
    let usual = env::temp_dir();
    if usual.as_os_str().len() > LONGEST_PARENT {
        PathBuf::from("/tmp")
    } else {
        usual
    }
}

/// Makes `to` a copy of `from`.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).context("remove", to)?;
    }
    let mut copy = Command::new("cp");
    let copied = copy
        .arg("-R")
        .args([from, to])
        .status()
        .context("copy", from)?;
    if copied.success() {
        return Ok(());
    }
    Err(io::Error::other("cp failed")).context("copy", from)
}
