//! How a control plane ends, and the command that owns one. These tests run the real thing:
//! `make controlplane` first.

mod common;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{COMMAND, Outcome, address, run, within};
use controlplane::ControlPlane;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn nothing_is_left_after_a_drop() -> Outcome {
    let cluster = ControlPlane::start()?;
    let (dir, url) = (cluster.dir().to_path_buf(), cluster.server_url().to_owned());
    assert!(servers_in(&dir)? >= 3);
    drop(cluster);
    assert!(!dir.exists());
    assert!(TcpStream::connect(address(&url)).is_err());
    assert_eq!(servers_in(&dir)?, 0);
    Ok(())
}

#[test]
fn a_panic_leaves_the_logs_if_that_was_asked_for_and_nothing_else() -> Outcome {
    let cluster = ControlPlane::builder().keep_logs_on_failure(true).start()?;
    let dir = cluster.dir().to_path_buf();
    let ended = thread::spawn(move || {
        let _owned = cluster;
        std::panic::resume_unwind(Box::new("without a message"));
    });
    assert!(ended.join().is_err());
    assert!(!dir.exists());
    assert_eq!(servers_in(&dir)?, 0);
    let logs = PathBuf::from(format!("{}-logs", dir.display()));
    assert!(logs.join("kube-apiserver.log").exists() && logs.join("audit.log").exists());
    fs::remove_dir_all(logs)?;
    Ok(())
}

#[test]
fn nothing_is_left_after_the_owner_is_killed() -> Outcome {
    let (mut owner, dir, url) = owner()?;
    owner.kill()?;
    owner.wait()?;
    gone_soon(&dir, &url)
}

#[test]
fn nothing_is_left_after_an_interrupt() -> Outcome {
    let (mut owner, dir, url) = owner()?;
    signal(&owner, Signal::INT)?;
    assert_eq!(owner.wait()?.code(), Some(0));
    assert!(!dir.exists(), "`up` ended before it had cleaned up");
    gone_soon(&dir, &url)
}

#[test]
fn exec_gives_the_command_its_environment_and_has_its_exit_code() -> Outcome {
    let script = r#"kubectl get serviceaccount default -o name && helm list &&
        head -c 1 "$CONTROLPLANE_AUDIT_LOG" && echo && echo "$CONTROLPLANE_DIR" && exit 7"#;
    let output = Command::new(COMMAND)
        .args(["exec", "--", "sh", "-c", script])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(
        text.contains("serviceaccount/default\n") && text.contains("{\n"),
        "{text}"
    );
    let dir = text.lines().last().ok_or("no output")?;
    assert!(!Path::new(dir).exists(), "{dir} still exists");
    Ok(())
}

#[test]
fn exec_passes_a_termination_on_and_cleans_up() -> Outcome {
    let script = r#"trap 'exit 9' TERM; echo "$CONTROLPLANE_DIR"; while :; do sleep 0.1; done"#;
    let mut exec = Command::new(COMMAND)
        .args(["exec", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(exec.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    signal(&exec, Signal::TERM)?;
    assert_eq!(exec.wait()?.code(), Some(9));
    assert!(!Path::new(line.trim()).exists());
    Ok(())
}

#[test]
fn exec_distinguishes_its_own_failures_from_those_of_the_command() -> Outcome {
    let code = |command: &mut Command| {
        command
            .stderr(Stdio::null())
            .status()
            .map(|status| status.code())
    };
    assert_eq!(
        code(Command::new(COMMAND).args(["exec", "no-such-command-here"]))?,
        Some(127)
    );
    let empty = tempfile::tempdir()?;
    let unbuilt = code(
        Command::new(COMMAND)
            .args(["exec", "true"])
            .env(controlplane::DIR_VARIABLE, empty.path()),
    )?;
    assert_eq!(unbuilt, Some(125));
    assert_eq!(code(Command::new(COMMAND).arg("exec"))?, Some(2));
    Ok(())
}

/// A ready `controlplane up` with its folder and its URL.
fn owner() -> Result<(Child, PathBuf, String), Box<dyn Error>> {
    let mut owner = Command::new(COMMAND)
        .arg("up")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let lines = BufReader::new(owner.stdout.take().ok_or("no output")?).lines();
    for line in lines {
        let line = line?;
        if let Some(dir) = line.strip_prefix("export CONTROLPLANE_DIR='") {
            let dir = PathBuf::from(dir.trim_end_matches('\''));
            let config: serde_json::Value =
                serde_json::from_slice(&fs::read(dir.join("admin.kubeconfig"))?)?;
            let url = config["clusters"][0]["cluster"]["server"]
                .as_str()
                .ok_or("no server")?
                .to_owned();
            assert!(TcpStream::connect(address(&url)).is_ok());
            return Ok((owner, dir, url));
        }
    }
    Err("`up` printed no CONTROLPLANE_DIR".into())
}

fn gone_soon(dir: &Path, url: &str) -> Outcome {
    assert!(
        within(Duration::from_secs(5), || !dir.exists()),
        "{} stays",
        dir.display()
    );
    assert!(
        TcpStream::connect(address(url)).is_err(),
        "{url} still answers"
    );
    assert_eq!(servers_in(dir)?, 0);
    Ok(())
}

fn signal(child: &Child, signal: Signal) -> Outcome {
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or("no process id")?;
    Ok(kill_process(pid, signal)?)
}

/// The number of processes with the folder in their command line, including the guards.
fn servers_in(dir: &Path) -> Result<usize, Box<dyn Error>> {
    let processes = run(Command::new("ps").args(["-A", "-ww", "-o", "args"]))?;
    let dir = dir.to_string_lossy();
    Ok(processes
        .lines()
        .filter(|line| line.contains(&*dir))
        .count())
}
