//! Bodies of responses, read with bounded memory.

use std::pin::Pin;

use futures::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::error::Error;

/// Longest line of a watch. The API server stores objects of at most 1.5 MiB, and JSON can make
/// them six times as long. Unit: bytes.
pub(super) const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// A streamed body.
pub(super) struct Body {
    reader: Pin<Box<dyn AsyncBufRead + Send>>,
    /// The part of an incomplete line that was read.
    piece: Vec<u8>,
}

impl Body {
    pub(super) fn new(reader: impl AsyncBufRead + Send + 'static) -> Self {
        Self {
            reader: Box::pin(reader),
            piece: Vec::new(),
        }
    }

    /// The next line, without its end; `None` after the last. Cancel safe: nothing is lost if this
    /// future is dropped.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let read = self.reader.fill_buf().await.map_err(Error::Broken)?;
            if read.is_empty() {
                let is_whole = self.piece.is_empty();
                return if is_whole {
                    Ok(None)
                } else {
                    Err(Error::CutOff)
                };
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(read.len());
            if self.piece.len() + taken > MAX_LINE_BYTES {
                return Err(Error::TooLong);
            }
            self.piece.extend_from_slice(&read[..taken]);
            self.reader
                .as_mut()
                .consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.piece)));
            }
        }
    }

    /// The whole body, if it has at most this many bytes.
    pub(super) async fn whole(mut self, max_bytes: usize) -> Result<Vec<u8>, Error> {
        loop {
            let read = self.reader.fill_buf().await.map_err(Error::Broken)?;
            let taken = read.len();
            if taken == 0 {
                return Ok(self.piece);
            }
            if self.piece.len() + taken > max_bytes {
                return Err(Error::TooLong);
            }
            self.piece.extend_from_slice(read);
            self.reader.as_mut().consume(taken);
        }
    }
}
