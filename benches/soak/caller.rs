//! A connection to the token server that opens again after a failure.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::wire::{Answer, Wire};

/// The longest wait for a response.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Caller {
    server: SocketAddr,
    wire: Option<Wire<TcpStream>>,
}

impl Caller {
    pub(crate) const fn of(server: SocketAddr) -> Self {
        Self { server, wire: None }
    }

    /// Sends a request. Returns status and body, or an error if the response does not come in time.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        // If this future is dropped or fails, the connection is not used again.
        let wire = self.wire.take();
        let asking = async {
            let mut wire = match wire {
                Some(wire) => wire,
                None => Wire::new(TcpStream::connect(self.server).await?),
            };
            let Answer { status, body } = wire.ask(request).await?;
            let body = body.to_vec();
            io::Result::Ok((wire, status, body))
        };
        let (wire, status, body) = tokio::time::timeout(DEADLINE, asking).await??;
        self.wire = Some(wire);
        Ok((status, body))
    }
}
