//! Upper bounds: a server that does nothing, and signatures alone.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use apikey_client::clock::Clock;
use apikey_credential::signing::SigningRing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use crate::cpu;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    cache-control: no-store\r\ncontent-length: 42\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\n\r\n\
    {\"error\":\"invalid API key name or secret\"}";
/// About the size of the signed part of a token. Unit: bytes.
const SIGNED_BYTES: usize = 640;

/// Runs `work` while a trivial server on the server's core answers every read with the same bytes.
pub(crate) fn with_trivial_server<T>(work: impl FnOnce(SocketAddr) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let (stop, stopped) = oneshot::channel();
    let serve = || {
        cpu::pin_this_thread(cpu::SERVER);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::select! {
                () = answer_all(listener) => {}
                _ = stopped => {}
            }
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(serve);
        let result = work(address);
        stop.send(()).unwrap();
        result
    })
}

async fn answer_all(listener: tokio::net::TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                if stream.write_all(ANSWER).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The mean time of one signature by the current key of the ring, on the server's core.
pub(crate) fn signature(ring: &SigningRing, time: Duration) -> Duration {
    let key = ring.current(Clock::system().now()).expect("a key");
    let message = vec![b'x'; SIGNED_BYTES];
    cpu::on_core(cpu::SERVER, || {
        let begun = Instant::now();
        let mut count = 0;
        while begun.elapsed() < time {
            std::hint::black_box(key.sign(std::hint::black_box(&message)).unwrap());
            count += 1;
        }
        begun.elapsed() / count
    })
}
