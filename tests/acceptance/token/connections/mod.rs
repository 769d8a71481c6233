//! Callers that hold connections. Others are served, memory stays bounded, and a shutdown breaks no request.

mod attack;
mod drain;
mod limits;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// A small public document.
const SMALL: &str = "/oauth2/jwks";
/// The longest public document.
const LONG: &str = "/openapi.json";

/// An address of this machine. Each address counts as a separate source.
const fn source(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, n)
}

/// A connection from a source, with the smallest buffer for unread data.
async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// The request for a document, over HTTP/1.1.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// Requests a document on this connection and reads the answer: its head in lower case.
async fn request(stream: &mut BufReader<TcpStream>, path: &str) -> std::io::Result<String> {
    stream.get_mut().write_all(get(path).as_bytes()).await?;
    let mut head = String::new();
    loop {
        let from = head.len();
        if stream.read_line(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if &head[from..] == "\r\n" {
            break;
        }
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await?;
    Ok(head)
}

/// Waits until the other end has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// A pause that keeps a loop from being a flood.
async fn breathe() {
    let later = tokio::time::Instant::now() + Duration::from_millis(50);
    tokio::time::sleep_until(later).await;
}
