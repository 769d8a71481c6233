//! A proxy to the API server that loses answers to writes after the API server made the writes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Cluster;

/// What the client gets instead of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// The connection ends.
    Cut,
    /// Nothing arrives, and the connection stays open.
    Silence,
    /// A response of this status, like that of a server that timed out.
    Status(u16),
}

/// A kubeconfig for the proxy. `kubectl proxy` adds TLS and the credentials.
pub(crate) struct Lossy {
    proxy: Child,
    folder: tempfile::TempDir,
    lost: Arc<AtomicUsize>,
}

impl Cluster {
    /// Starts a proxy that loses the answers to the first `times` requests of this method.
    pub(crate) fn lossy(&self, method: &'static str, loss: Loss, times: usize) -> Lossy {
        let mut kubectl = self.control_plane.kubectl();
        let mut proxy = kubectl
            .args(["proxy", "--port=0", "--reject-methods=^$"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut message = String::new();
        let mut lines = BufReader::new(proxy.stdout.take().unwrap());
        lines.read_line(&mut message).unwrap();
        let upstream = message.trim_end().rsplit(' ').next().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let way = Way {
            method,
            loss,
            times,
            lost: Arc::clone(&count),
        };
        let address = way.open(upstream.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let content = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, \
             clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], \
             users: [{{name: u, user: {{}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
        );
        std::fs::write(folder.path().join("kubeconfig"), content).unwrap();
        Lossy {
            proxy,
            folder,
            lost: count,
        }
    }
}

impl Lossy {
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        Path::join(self.folder.path(), "kubeconfig")
    }

    /// Number of answers that were lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

#[derive(Clone)]
struct Way {
    method: &'static str,
    loss: Loss,
    times: usize,
    lost: Arc<AtomicUsize>,
}

impl Way {
    fn open(self, upstream: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(upstream).unwrap());
                let meant = Arc::new(AtomicBool::new(false));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (there, back) = (self.clone(), self.clone());
                let seen = Arc::clone(&meant);
                std::thread::spawn(move || there.forward(from, to, &seen));
                std::thread::spawn(move || back.answer(server, client, &meant));
            }
        });
        address
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream, meant: &AtomicBool) {
        let begin = format!("{} /", self.method);
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            meant.fetch_or(
                bytes[..count].starts_with(begin.as_bytes()),
                Ordering::SeqCst,
            );
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    fn answer(&self, mut from: TcpStream, mut to: TcpStream, meant: &AtomicBool) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if meant.swap(false, Ordering::SeqCst)
                && self.lost.fetch_add(1, Ordering::SeqCst) < self.times
            {
                match self.loss {
                    Loss::Cut => {}
                    Loss::Silence => {
                        let _ = to.read(&mut bytes);
                    }
                    Loss::Status(code) => {
                        let body = format!(
                            "{{\"kind\": \"Status\", \"apiVersion\": \"v1\", \"status\": \"Failure\", \
                             \"message\": \"it took too long\", \"code\": {code}}}"
                        );
                        let length = body.len();
                        let _ = write!(
                            to,
                            "HTTP/1.1 {code} Lost\r\ncontent-type: application/json\r\n\
                             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                        );
                    }
                }
                break;
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
