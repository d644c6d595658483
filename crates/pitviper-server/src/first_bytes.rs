//! Connections whose first bytes do not come in time.
//!
//! Which version of HTTP a client speaks is known from its first bytes. Until they are there neither version's own
//! bounds on time hold, and whoever connects and says nothing would keep a connection for good.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that is given up when its first bytes do not come in time.
pub(crate) struct FirstBytes<S> {
    stream: S,
    /// How much of the preface has come.
    seen: usize,
    /// None once it is known what the client speaks.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether the server has yet to answer: to what came last, or to anything.
    unanswered: Arc<AtomicBool>,
}

impl<S> FirstBytes<S> {
    /// The connection, and what says whether the server has yet to answer on it.
    pub(crate) fn of(stream: S, within: Duration) -> (Self, Arc<AtomicBool>) {
        let unanswered = Arc::new(AtomicBool::new(true));
        let deadline = Some(Box::pin(tokio::time::sleep(within)));
        (Self { stream, seen: 0, deadline, unanswered: Arc::clone(&unanswered) }, unanswered)
    }

    fn note(&mut self, bytes: &[u8]) {
        let rest = &PREFACE[self.seen..];
        self.seen += bytes.len().min(rest.len());
        if !rest.starts_with(&bytes[..bytes.len().min(rest.len())]) || self.seen == PREFACE.len() {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            // Whatever was said unasked.
            self.unanswered.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was asked for in time")));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        let came = &into.filled()[before..];
        if !came.is_empty() {
            self.unanswered.store(true, Ordering::Relaxed);
        }
        if self.deadline.is_some() {
            self.note(came);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unanswered.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unanswered.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
