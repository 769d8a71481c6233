//! Reads secrets, tokens and keys from files or standard input. They are never arguments.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::exit::Failure;

/// Maximum size of the input, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a text from a file, or from standard input for `-`. The text is wiped when it is dropped.
pub(super) fn text(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    let bytes = bytes(path, what)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::failed(format!("{what} in {} is not text", shown(path))))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads bytes from a file, or from standard input for `-`. The bytes are wiped when they are dropped.
pub(super) fn bytes(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = if is_standard_input(path) {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Failure::usage(format!(
                "{what} is read from standard input, which is a terminal: name a file, or use a \
                 pipe"
            )));
        }
        all(stdin.lock())
    } else {
        File::open(path).and_then(all)
    };
    let bytes =
        read.map_err(|error| Failure::failed(format!("{what} in {}: {error}", shown(path))))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::failed(format!(
            "{what} in {} is longer than {MAX_BYTES} bytes",
            shown(path)
        )));
    }
    Ok(bytes)
}

/// Whether the path means standard input.
pub(super) fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn all(reader: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Reserve enough for the usual input, because a buffer that grows leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    if is_standard_input(path) {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}
