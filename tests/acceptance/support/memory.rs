//! Searches the memory of a process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// The size of one read.
const CHUNK_BYTES: usize = 1 << 20;
const MASK: u8 = 0xa5;

/// Bytes to search for. They are stored masked, so that the search does not find its own copy.
pub(crate) struct Needle {
    what: &'static str,
    masked: Vec<u8>,
}

impl Needle {
    pub(crate) fn new(what: &'static str, bytes: &[u8]) -> Self {
        assert!(
            bytes.len() >= 16,
            "{what} is too short: the search could find it by chance"
        );
        let masked = bytes.iter().map(|byte| byte ^ MASK).collect();
        Self { what, masked }
    }

    /// The needles for a secret: its text, its base64 form, and its random number. The number lacks its start,
    /// because an allocator overwrites the first bytes of freed memory.
    pub(crate) fn of_secret(secret: &str) -> [Self; 3] {
        let text = &secret.as_bytes()[36..];
        let encoded = Zeroizing::new(BASE64.encode(text));
        let number = random_number(secret);
        [
            Self::new("secret", text),
            Self::new("secret in base 64", encoded.as_bytes()),
            Self::new("random number of a secret", &number[8..24]),
        ]
    }

    fn is_at(&self, bytes: &[u8]) -> bool {
        let pairs = self.masked.iter().zip(bytes);
        bytes.len() >= self.masked.len() && pairs.into_iter().all(|(m, b)| m ^ MASK == *b)
    }
}

/// Finds the needles in the writable memory of the process. A needle is listed once for each occurrence.
///
/// # Errors
/// The user who runs the test may not read the memory of that process.
pub(crate) fn found(pid: &str, needles: &[Needle]) -> io::Result<Vec<&'static str>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let longest = needles.iter().map(|needle| needle.masked.len()).max();
    let overlap = longest.unwrap_or_default() - 1;
    let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
    let mut found = Vec::new();
    for (start, end) in maps.lines().filter_map(writable) {
        let mut at = start;
        loop {
            let wanted = CHUNK_BYTES.min(end - at);
            // The process may have unmapped this part since.
            let Ok(read) = memory.read_at(&mut chunk[..wanted], at as u64) else {
                break;
            };
            look(&chunk[..read], needles, &mut found);
            if read <= overlap || at + read >= end {
                break;
            }
            // Keep the end of this chunk, so that a match across two chunks is found.
            at += read - overlap;
        }
    }
    Ok(found)
}

/// Decodes the base 62 number of a secret.
fn random_number(secret: &str) -> Zeroizing<[u8; 32]> {
    let mut number = Zeroizing::new([0_u8; 32]);
    for digit in secret.bytes().skip(20).take(43) {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            _ => digit - b'a' + 36,
        };
        let mut carry = u16::from(value);
        for byte in number.iter_mut().rev() {
            carry += u16::from(*byte) * 62;
            *byte = carry.to_be_bytes()[1];
            carry >>= 8;
        }
    }
    number
}

fn look(bytes: &[u8], needles: &[Needle], found: &mut Vec<&'static str>) {
    for needle in needles {
        let first = needle.masked[0] ^ MASK;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == first && needle.is_at(&bytes[at..]) {
                found.push(needle.what);
            }
        }
    }
}

/// Start and end of a part that is readable and writable.
fn writable(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    rest.starts_with("rw")
        .then_some((address(start)?, address(end)?))
}
