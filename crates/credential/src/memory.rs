//! Protects the memory of the process from other processes.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Disables core dumps permanently. On Linux, only root can then read the memory of this process or trace it,
/// and no core dump handler receives it.
///
/// # Errors
/// The system refuses.
pub fn turn_core_dumps_off() -> io::Result<()> {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, nothing)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn the_kernel_knows_that_this_process_is_not_to_be_dumped() {
        turn_core_dumps_off().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
