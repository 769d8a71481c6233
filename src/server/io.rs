//! A stream that tracks since when its caller has bytes to receive.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::service::Shared;

/// A stream that tracks since when its caller has bytes to receive: from the first write that had
/// to wait, until the kernel has all bytes. Receiving some of them occasionally does not reset the
/// time.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    connection: Shared,
    unsent: bool,
}

impl<S> Watched<S> {
    pub(super) const fn new(stream: S, connection: Shared) -> Self {
        Self {
            stream,
            connection,
            unsent: false,
        }
    }

    /// Records the result of a write or a flush.
    fn note<T>(&mut self, result: &Poll<T>, flushed: bool) {
        let unsent = result.is_pending() || self.unsent && !flushed;
        if unsent != self.unsent {
            self.unsent = unsent;
            self.connection.unsent(unsent);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&result, false);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&result, false);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(&result, true);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(&result, true);
        result
    }
}
