//! Which programs `build.sh` takes from the machine, and which it would build. The programs here are scripts
//! that print a version; nothing is built.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error>>;

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/build.sh");
const TRIO: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// A home without caches, which contains folders of programs.
struct Machine {
    home: TempDir,
    /// The minor version of Kubernetes that go.mod names.
    pinned: u32,
}

impl Machine {
    fn new() -> Result<Self, Box<dyn Error>> {
        let go_mod = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/go.mod"))?;
        let pinned = go_mod
            .lines()
            .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v1."))
            .and_then(|rest| rest.split('.').next())
            .ok_or("no version of Kubernetes")?
            .parse()?;
        let home = tempfile::tempdir()?;
        Ok(Self { home, pinned })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The folder in which setup-envtest stores that release on this platform.
    fn envtest(&self, version: &str) -> PathBuf {
        let (os, store) = if cfg!(target_os = "macos") {
            (
                "darwin",
                "Library/Application Support/io.kubebuilder.envtest",
            )
        } else {
            ("linux", ".local/share/kubebuilder-envtest")
        };
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        self.folder(store)
            .join(format!("k8s/{version}-{os}-{arch}"))
    }

    fn run(&self, assets: Option<&Path>, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new("bash");
        command
            .arg(BUILD)
            .args(arguments)
            .env("HOME", self.home.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("KUBEBUILDER_ASSETS");
        if let Some(assets) = assets {
            command.env("KUBEBUILDER_ASSETS", assets);
        }
        command.output()
    }

    /// The plan for each tool, without versions and files.
    fn plan(&self, assets: Option<&Path>, tools: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
        let output = self.run(assets, &[&["--plan"], tools].concat())?;
        if !output.status.success() {
            return Err(format!("{output:?}").into());
        }
        Ok(String::from_utf8(output.stdout)?
            .lines()
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect())
    }

    /// The message if the folder can't be used. Checks the exit code 2.
    fn refusal(&self, assets: &Path, tools: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = self.run(Some(assets), &[&["--plan"], tools].concat())?;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }
}

/// Puts these programs into the folder, all of the same version of Kubernetes.
fn programs(folder: &Path, version: &str, tools: &[&str]) -> Outcome {
    for tool in tools {
        let line = match *tool {
            "etcd" => "etcd Version: 3.6.4".to_owned(),
            "etcdctl" => "etcdctl version: 3.6.4".to_owned(),
            "kubectl" => format!("Client Version: v{version}"),
            "helm" => "v4.1.0+g1234567".to_owned(),
            "age" | "age-keygen" => "v1.2.0".to_owned(),
            _ => format!("Kubernetes v{version}"),
        };
        program(folder, tool, &format!("echo '{line}'"))?;
    }
    Ok(())
}

fn program(folder: &Path, name: &str, script: &str) -> Outcome {
    fs::create_dir_all(folder)?;
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn without_anything_all_is_built() -> Outcome {
    let machine = Machine::new()?;
    let plan = machine.plan(None, &[])?;
    assert_eq!(plan.len(), 8);
    assert!(plan.iter().all(|line| line.ends_with(" build")), "{plan:?}");
    Ok(())
}

#[test]
fn kubebuilder_assets_are_taken_and_what_they_lack_is_built() -> Outcome {
    let machine = Machine::new()?;
    let assets = machine.folder("assets");
    programs(&assets, &format!("1.{}.0", machine.pinned), &TRIO)?;
    let tools = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
        "helm",
    ];
    assert_eq!(
        machine.plan(Some(&assets), &tools)?,
        [
            "etcd prebuilt",
            "kube-apiserver prebuilt",
            "kube-controller-manager build",
            "kubectl prebuilt",
            "helm build",
        ]
    );
    // The script checks only the requested programs.
    program(&assets, "age", "exit 1")?;
    assert_eq!(machine.plan(Some(&assets), &["etcd"])?, ["etcd prebuilt"]);
    Ok(())
}

#[test]
fn a_complete_folder_needs_no_go_and_is_linked() -> Outcome {
    let machine = Machine::new()?;
    let assets = machine.folder("assets");
    let minor = machine.pinned - 1;
    let all = [
        "etcd",
        "etcdctl",
        "kube-apiserver",
        "kubectl",
        "helm",
        "age",
        "age-keygen",
    ];
    programs(&assets, &format!("1.{minor}.3"), &all)?;
    programs(
        &assets,
        &format!("1.{}.0", minor - 1),
        &["kube-controller-manager"],
    )?;
    for _ in 0..2 {
        let output = machine.run(Some(&assets), &[])?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("etcd 3.6.4"), "{text}");
        assert!(
            text.contains(&format!("Kubernetes is 1.{minor}.3 here")),
            "{text}"
        );
    }
    let dir = machine.run(Some(&assets), &["--print-dir"])?.stdout;
    let dir = PathBuf::from(String::from_utf8(dir)?.trim());
    assert_eq!(
        fs::read_link(dir.join("etcd"))?,
        fs::canonicalize(&assets)?.join("etcd")
    );
    assert!(controlplane::Binaries::in_folder(&dir).is_ok());

    // The script runs a changed program again.
    program(&assets, "etcd", "echo etcd Version: 3.4.30")?;
    let text = machine.refusal(&assets, &["etcd"])?;
    assert!(text.contains("etcd is 3.4.30"), "{text}");
    Ok(())
}

#[test]
fn a_version_that_does_not_fit_is_refused() -> Outcome {
    let machine = Machine::new()?;
    let assets = machine.folder("old");
    programs(&assets, "1.32.9", &TRIO)?;
    let text = machine.refusal(&assets, &[])?;
    assert!(
        text.contains("kube-apiserver is 1.32.9, and this project supports Kubernetes 1.33"),
        "{text}"
    );

    // The controller manager of a build would be newer than the apiserver.
    let assets = machine.folder("without-controller-manager");
    programs(&assets, &format!("1.{}.0", machine.pinned - 1), &TRIO)?;
    let text = machine.refusal(&assets, &[])?;
    assert!(
        text.contains("and never newer") && text.contains("put kube-controller-manager"),
        "{text}"
    );
    // The folder is valid if no controller manager is requested.
    assert_eq!(
        machine.plan(Some(&assets), &["kubectl"])?,
        ["kubectl prebuilt"]
    );

    let assets = machine.folder("two-apart");
    programs(&assets, &format!("1.{}.0", machine.pinned), &TRIO)?;
    programs(
        &assets,
        &format!("1.{}.0", machine.pinned - 2),
        &["kube-controller-manager"],
    )?;
    let text = machine.refusal(&assets, &[])?;
    assert!(text.contains("one minor version older"), "{text}");

    let assets = machine.folder("helm");
    program(&assets, "helm", "echo v3.18.0+g1234567")?;
    let text = machine.refusal(&assets, &["helm"])?;
    assert!(text.contains("helm is 3.18.0"), "{text}");
    Ok(())
}

#[test]
fn a_newer_apiserver_goes_with_a_controller_manager_one_minor_older() -> Outcome {
    let machine = Machine::new()?;
    let assets = machine.folder("assets");
    programs(&assets, &format!("1.{}.0", machine.pinned + 1), &TRIO)?;
    let tools = ["kube-apiserver", "kube-controller-manager"];
    assert_eq!(
        machine.plan(Some(&assets), &tools)?,
        ["kube-apiserver prebuilt", "kube-controller-manager build"]
    );
    programs(&assets, &format!("1.{}.0", machine.pinned + 2), &TRIO)?;
    assert!(
        machine
            .refusal(&assets, &tools)?
            .contains("one minor version older")
    );
    Ok(())
}

#[test]
fn a_program_that_does_not_run_is_named() -> Outcome {
    let machine = Machine::new()?;
    let assets = machine.folder("assets");
    program(&assets, "etcd", "echo out of order >&2; exit 3")?;
    let text = machine.refusal(&assets, &["etcd"])?;
    assert!(
        text.contains("does not run") && text.contains("says: out of order"),
        "{text}"
    );

    // The header of an executable for an unknown machine.
    let mut foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    foreign.extend([0xff, 0xfe]);
    foreign.resize(4096, 0);
    fs::write(assets.join("etcd"), foreign)?;
    let text = machine.refusal(&assets, &["etcd"])?;
    assert!(
        text.contains("a program for another architecture"),
        "{text}"
    );

    fs::set_permissions(assets.join("etcd"), fs::Permissions::from_mode(0o644))?;
    let text = machine.refusal(&assets, &["etcd"])?;
    assert!(
        text.contains("is not executable") && text.contains("chmod +x"),
        "{text}"
    );

    program(&assets, "kubectl", "echo hello")?;
    let text = machine.refusal(&assets, &["kubectl"])?;
    assert!(text.contains("prints no version"), "{text}");
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_or_holds_nothing_is_refused() -> Outcome {
    let machine = Machine::new()?;
    let text = machine.refusal(&machine.folder("nowhere"), &[])?;
    assert!(text.contains("names no folder"), "{text}");
    let empty = machine.folder("empty");
    fs::create_dir(&empty)?;
    let text = machine.refusal(&empty, &[])?;
    assert!(text.contains("has none of etcd"), "{text}");
    Ok(())
}

#[test]
fn setup_envtest_is_taken_at_the_pinned_minor_and_never_an_obstacle() -> Outcome {
    let machine = Machine::new()?;
    let pinned = machine.pinned;
    programs(&machine.envtest("1.33.0"), "1.33.0", &TRIO)?;
    assert_eq!(machine.plan(None, &["etcd"])?, ["etcd build"]);

    for patch in ["2", "10"] {
        let version = format!("1.{pinned}.{patch}");
        programs(&machine.envtest(&version), &version, &TRIO)?;
    }
    let output = machine.run(
        None,
        &["--plan", "kube-apiserver", "kube-controller-manager"],
    )?;
    let text = String::from_utf8(output.stdout)?;
    assert!(
        text.starts_with(&format!("kube-apiserver prebuilt 1.{pinned}.10 ")),
        "{text}"
    );
    assert!(text.contains("\nkube-controller-manager build "), "{text}");

    // An empty variable requests a build.
    assert_eq!(
        machine.plan(Some(Path::new("")), &["etcd"])?,
        ["etcd build"]
    );

    program(
        &machine.envtest(&format!("1.{pinned}.10")),
        "etcd",
        "exit 1",
    )?;
    let output = machine.run(None, &["--plan", "etcd", "kubectl"])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(
        text.starts_with("etcd build ") && text.contains("\nkubectl build "),
        "{text}"
    );
    let message = String::from_utf8(output.stderr)?;
    assert!(
        message.contains("is not taken: ") && message.contains("does not run"),
        "{message}"
    );
    Ok(())
}
