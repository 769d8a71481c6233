//! The command `controlplane`: the control plane of the library for scripts and people.
#![expect(
    clippy::doc_markdown,
    reason = "clap prints these texts, and it knows no backticks"
)]

mod exec;
mod signals;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::{Parser, Subcommand};
use controlplane::{Binaries, ControlPlane, Error, for_service_account, write_private};

const EXIT_CODES: &str = "\
Exit codes:
  0    success; `up` ended by Ctrl-C, TERM or HUP
  1    failure; standard error has the cause
  2    wrong arguments
  exec has the exit code of CMD (128+N when signal N ended it), except
  125  the control plane did not start
  126  CMD cannot be run
  127  CMD was not found

Environment:
  APIKEY_OPERATOR_CONTROLPLANE_DIR  a folder with etcd, kube-apiserver,
                                    kube-controller-manager and kubectl, and with
                                    etcdctl, helm, age and age-keygen if CMD needs them;
                                    default: the folder of `make controlplane`
  APIKEY_OPERATOR_KEEP=1            keep the temporary folder (logs, kubeconfigs, data)

Examples:
  controlplane exec kubectl get namespaces
  controlplane exec -- sh -c 'kubectl create sa robot && helm list -A'
  controlplane up
  controlplane service-account-kubeconfig default robot --out robot.kubeconfig";

/// A real Kubernetes control plane without nodes, ready in about three seconds.
///
/// Starts etcd, kube-apiserver and kube-controller-manager on 127.0.0.1, on a port and in a
/// temporary folder of their own. Any number of them can run at once. They end when this command
/// ends, in any way, and leave nothing behind.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start a control plane, run a command against it, and end it
    ///
    /// CMD finds KUBECONFIG (an administrator's), kubectl and helm first on the PATH,
    /// CONTROLPLANE_DIR (the temporary folder) and CONTROLPLANE_AUDIT_LOG (JSON lines). This command
    /// forwards TERM and HUP to CMD. Ctrl-C reaches CMD through the terminal.
    Exec {
        /// The command and its arguments
        #[arg(
            value_name = "CMD",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        command: Vec<std::ffi::OsString>,
    },

    /// Start a control plane and keep it until Ctrl-C
    ///
    /// When it is ready, prints lines for another shell to paste: `export KUBECONFIG=…` and more.
    Up,

    /// Make a kubeconfig for a ServiceAccount of the cluster of $KUBECONFIG
    ///
    /// Works with any cluster. Server and CA are those of the current context, and the token is new
    /// (`kubectl create token`). Prints the path of the file, which only you can read.
    ServiceAccountKubeconfig {
        /// The namespace of the ServiceAccount and of the context
        namespace: String,
        /// The name of the ServiceAccount
        name: String,
        /// The file to write [default: NAMESPACE_NAME.kubeconfig in the current folder]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The requested life of the token; the cluster may grant less
        #[arg(long, default_value = "24h")]
        duration: String,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Exec { command } => exec::run(&command),
        Action::Up => report(up()),
        Action::ServiceAccountKubeconfig {
            namespace,
            name,
            out,
            duration,
        } => {
            let out =
                out.unwrap_or_else(|| PathBuf::from(format!("{namespace}_{name}.kubeconfig")));
            report(service_account(&namespace, &name, &out, &duration))
        }
    }
}

fn report(outcome: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "controlplane: {message}");
}

fn up() -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let plane = ControlPlane::start()?;
    let mut signals = signals::Signals::catch()?;
    let seconds = started.elapsed().as_secs_f32();
    let tools = Binaries::locate()?;
    let exports = [
        ("KUBECONFIG", quoted(plane.admin_kubeconfig())),
        ("ETCDCTL_ENDPOINTS", quoted(Path::new(plane.etcd_url()))),
        ("PATH", format!("{}:\"$PATH\"", quoted(tools.dir()))),
        ("CONTROLPLANE_DIR", quoted(plane.dir())),
        ("CONTROLPLANE_AUDIT_LOG", quoted(&plane.audit_log())),
    ];
    let exports = exports.map(|(name, value)| format!("export {name}={value}\n"));
    // One write, because a reader may stop after the first line.
    io::stdout().write_all(exports.concat().as_bytes())?;
    let _ = writeln!(
        io::stderr(),
        "ready after {seconds:.1} s at {}; Ctrl-C ends it",
        plane.server_url()
    );
    signals.wait();
    Ok(())
}

fn service_account(
    namespace: &str,
    name: &str,
    out: &Path,
    duration: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let kubectl = match Binaries::locate() {
        Ok(binaries) => binaries.path("kubectl"),
        Err(Error::MissingBinary(_) | Error::NoCacheFolder) => PathBuf::from("kubectl"),
        Err(error) => return Err(error.into()),
    };
    let content = for_service_account(|| Command::new(&kubectl), namespace, name, duration)?;
    write_private(out, &content)?;
    writeln!(io::stdout(), "{}", out.display())?;
    Ok(())
}

/// Quotes a path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
