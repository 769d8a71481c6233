//! Ports that are chosen ahead of the process that listens on them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{IoContext, Result};

/// The range ends below the ports that Linux and macOS give to outgoing connections and to listeners on
/// port 0, so none of these takes a port between the choice and the start of the process.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// The number of ports between the first choices of two processes that start one after the other.
const STRIDE: u32 = 401;

/// A free port of the loopback interface. This process chooses each port once until the range is used up,
/// and never chooses a port from the system's range.
///
/// # Errors
/// [`crate::Error::Io`] if the loopback interface can't be used.
pub fn free_port() -> Result<u16> {
    static CHOSEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let chosen = CHOSEN.fetch_add(1, Ordering::Relaxed);
        let port = port_at(process::id(), chosen);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).context("listen on", Path::new("127.0.0.1")),
        }
    }
}

fn port_at(pid: u32, chosen: u32) -> u16 {
    let place = pid.wrapping_mul(STRIDE).wrapping_add(chosen) % u32::from(COUNT);
    // The remainder is below COUNT.
    FIRST + u16::try_from(place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;

    use super::*;

    #[test]
    fn no_port_is_chosen_twice_or_could_be_chosen_by_the_system() {
        const EACH: usize = 500;
        let choose = || {
            let ports = (0..EACH).map(|_| free_port().expect("a port"));
            ports.collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(choose)).collect();
        let chosen: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("ports"))
            .collect();
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let first = range.map_or(49_152, |range| {
            let first = range.split_whitespace().next().map(str::parse);
            first.expect("a range").expect("a number")
        });
        assert!(chosen.iter().all(|&port| port < first), "below {first}");
        let different: BTreeSet<_> = chosen.iter().collect();
        assert_eq!(different.len(), chosen.len());
    }

    #[test]
    fn processes_that_start_together_begin_far_from_each_other() {
        for other in 1..=8 {
            let (one, two) = (port_at(1000, 0), port_at(1000 + other, 0));
            assert!(one.abs_diff(two) >= 400, "{one} {two}");
        }
    }
}
