//! A one-line description of the machine.

use std::fs::read_to_string;
use std::process::Command;

use apikey_client::clock::Clock;

pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = field("/proc/meminfo", "MemTotal").unwrap();
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let load = read_to_string("/proc/loadavg").unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = Command::new(rustc)
        .arg("--version")
        .output()
        .unwrap()
        .stdout;
    format!(
        "{cores} cores ({cpu}), {} GiB, Linux {}, {}, load {} before, {} UTC",
        kib / 1024 / 1024,
        kernel.trim(),
        String::from_utf8(rustc).unwrap().trim(),
        load.split(' ').next().unwrap(),
        Clock::system().now().strftime("%F %H:%M"),
    )
}

/// Value of a `name: value` line of a file, if there is one.
pub(crate) fn field(path: &str, name: &str) -> Option<String> {
    read_to_string(path).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}
