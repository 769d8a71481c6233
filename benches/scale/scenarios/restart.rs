//! Measures a restart of both processes with all keys.

use std::time::Duration;

use super::{CHEAP, IDLE, Processes, Setting, idle};

/// No other controller runs, and the lease of the killed predecessor has not expired yet. The benchmark reads
/// the metrics often, so metrics of each key would distort the result.
pub(crate) const ALONE: [&str; 2] = ["--leader-elect=false", "--per-key-metrics=false"];
const LOOK: Duration = Duration::from_millis(50);

/// Kills both processes and starts new ones. Returns the new ones.
pub(super) async fn measure(setting: &mut Setting, killed: Processes) -> Processes {
    drop(killed);
    let controller = setting.cluster.start_operator(&[CHEAP, ALONE].concat());
    controller.ready().await;
    let ready = controller.begun.elapsed();
    controller.reconciled(setting.keys, LOOK).await;
    let reconciled = controller.begun.elapsed();
    let server = setting.servers.start(&[]);
    server.ready().await;
    let up_again = server.operator.begun.elapsed();
    for (what, took) in [
        ("From a restart of the controller to ready", ready),
        (
            "From a restart of the controller to all keys reconciled",
            reconciled,
        ),
        ("From a restart of the token server to ready", up_again),
    ] {
        setting.measured.note(what, "s", took.as_secs_f64());
    }
    let processes = Processes { controller, server };
    idle(IDLE).await;
    setting.note_memory(&processes, "after a restart");
    setting.note_memory_per_key(&processes, "after a restart");
    processes
}
