//! The part of HTTP/1.1 that the measurements need: prebuilt requests, and responses with `content-length`.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest response. Unit: bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
const LENGTH: &[u8] = b"\r\ncontent-length: ";

/// A connection.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: Box<[u8]>,
}

/// A response.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; MAX_ANSWER_BYTES].into(),
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut filled = 0;
        loop {
            let free = &mut self.buffer[filled..];
            filled += match self.stream.read(free).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => n,
            };
            let read = &self.buffer[..filled];
            let Some(head) = find(read, b"\r\n\r\n").map(|at| at + 4) else {
                continue;
            };
            let end = head + number_after(&read[..head], LENGTH)?;
            if filled < end {
                continue;
            }
            if filled > end {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let status = number_after(&read[..head], b"HTTP/1.1 ")?;
            return Ok(Answer {
                status: u16::try_from(status).map_err(io::Error::other)?,
                body: &self.buffer[head..end],
            });
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The number after the first occurrence of `what`.
fn number_after(text: &[u8], what: &[u8]) -> io::Result<usize> {
    let at = find(text, what).ok_or(io::ErrorKind::InvalidData)? + what.len();
    let digits = text[at..].iter().take_while(|b| b.is_ascii_digit());
    Ok(digits.fold(0, |n, digit| n * 10 + usize::from(digit - b'0')))
}
