//! A connection to the token server that is opened again after it broke.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::wire::{Answer, Wire};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Caller {
    server: SocketAddr,
    wire: Option<Wire<TcpStream>>,
}

impl Caller {
    pub(crate) const fn of(server: SocketAddr) -> Self {
        Self { server, wire: None }
    }

    /// Status and body of the answer to a request, if there is one in time.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        // Whatever ends this early, the connection is not used again.
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
