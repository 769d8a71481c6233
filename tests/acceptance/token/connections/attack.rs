//! Attacks that hold every connection that they get, from more sources than the server has places.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apikey_operator::server::connection::MAKES_ROOM_AFTER;
use axum::body::Bytes;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::task::JoinSet;

use super::{LONG, SMALL, breathe, closed, connect, get, request, source};
use crate::support::{SOON, Scope, TokenServer};

/// A small limit in place of the default of 4096.
const MAX_CONNECTIONS: &str = "--max-connections=40";
/// The number of connections that each attacking source tries to hold.
const PER_SOURCE: usize = 12;
/// The number of other callers during an attack, one after the other.
const OTHERS: usize = 30;
/// Longest time for another caller while one source attacks, connection included, on an idle machine.
const SERVED_WITHIN: Duration = Duration::from_secs(1);
/// The same limit while the attacking sources together hold all connections.
const SERVED_AMONG_MANY_WITHIN: Duration = Duration::from_secs(5);
/// The same limit on a busy machine, as a multiple of the slowest caller without an attack.
const BUSY: u32 = 20;
const WINDOW_0_CONNECTIONS: usize = 250;
const WINDOW_0_REQUESTS: usize = 64;
/// The metric of requests that were refused because other requests use all of the allowed memory.
const SHED: &str = "apikey_requests_shed_total{port=\"token\"}";
/// The number of open requests that an HTTP/2 connection allows.
const UNFINISHED_REQUESTS: usize = 60;

/// What a caller does with its connections.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Requests long documents and reads nothing.
    ReadSlowly,
    /// Sends one request and waits.
    AskRarely,
    /// Answers the PINGs of HTTP/2.
    AnswerPings,
    /// Sends as many requests as HTTP/2 allows, with a window of 0.
    Window0,
    /// Sends half of a head.
    HalfHead,
    /// Sends a body without its last byte.
    HalfBody,
    /// Sends nothing.
    Silence,
}

const ATTACKS: [Attack; 7] = [
    Attack::ReadSlowly,
    Attack::AskRarely,
    Attack::AnswerPings,
    Attack::Window0,
    Attack::HalfHead,
    Attack::HalfBody,
    Attack::Silence,
];

impl Attack {
    /// Holds one connection until the server closes it.
    async fn hold(
        self,
        from: Ipv4Addr,
        to: SocketAddr,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut stream = connect(from, to).await?;
        match self {
            Self::ReadSlowly => while stream.write_all(get(LONG).as_bytes()).await.is_ok() {},
            Self::AskRarely => {
                let mut stream = BufReader::new(stream);
                request(&mut stream, SMALL).await?;
                closed(stream.get_mut()).await;
            }
            Self::AnswerPings => {
                let (_requests, connection) = h2::client::handshake(stream).await?;
                connection.await?;
            }
            Self::Window0 => window_0(stream).await?,
            Self::HalfHead => {
                stream.write_all(b"GET / HTTP/1.1\r\nHo").await?;
                closed(&mut stream).await;
            }
            Self::HalfBody => {
                let head = "POST /auth/v1/api-key/token HTTP/1.1\r\nHost: test\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\nn";
                stream.write_all(head.as_bytes()).await?;
                closed(&mut stream).await;
            }
            Self::Silence => closed(&mut stream).await,
        }
        Ok(())
    }
}

/// Requests the longest document many times with a window of 0, until the server closes the connection.
async fn window_0(
    stream: tokio::net::TcpStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (requests, connection) = builder.handshake::<_, &[u8]>(stream).await?;
    let asking = async {
        let mut answers = Vec::new();
        for _ in 0..WINDOW_0_REQUESTS {
            let mut requests = requests.clone().ready().await?;
            let uri = format!("http://test{LONG}");
            let request = axum::http::Request::get(uri).body(())?;
            let (answer, _) = requests.send_request(request, true)?;
            answers.push(answer.await?);
        }
        std::future::pending::<()>().await;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    tokio::select! {
        result = connection => Ok(result?),
        result = asking => result,
    }
}

/// The time of the slowest of several other callers, one after the other.
async fn slowest(server: &TokenServer) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..OTHERS {
        let begun = Instant::now();
        let serving = async {
            loop {
                let mut stream = BufReader::new(connect(source(2), server.address).await?);
                let connected = Instant::now();
                let answer = request(&mut stream, SMALL).await;
                // On a busy machine a request may be slower than the time after which the server closes its connection.
                if answer.is_ok() || connected.elapsed() < MAKES_ROOM_AFTER {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), serving).await;
        let took = begun.elapsed();
        let answer = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        answer.unwrap_or_else(|error| panic!("not served after {took:?}: {error}"));
        slowest = slowest.max(took);
        breathe().await;
    }
    slowest
}

async fn assert_others_are_served(sources: std::ops::Range<u8>, within: Duration) {
    let scope = Scope::shared().await;
    for attack in ATTACKS {
        let server = scope.cluster.token_server(&[MAX_CONNECTIONS]);
        server.ready().await;
        let before = slowest(&server).await;
        let mut attackers = JoinSet::new();
        for n in sources.clone() {
            for _ in 0..PER_SOURCE {
                let address = server.address;
                attackers.spawn(async move {
                    loop {
                        let _ = attack.hold(source(n), address).await.is_ok();
                        breathe().await;
                    }
                });
            }
        }
        let took = slowest(&server).await;
        let open = server.process.metric("apikey_connections{port=\"token\"}");
        assert!(open.unwrap() <= 40.0, "{open:?}");
        attackers.shutdown().await;
        let alone = before.max(slowest(&server).await);
        println!(
            "{attack:?} from {sources:?}: the slowest caller waited {took:?}, without an attack {alone:?}"
        );
        assert!(
            took < within + alone * BUSY,
            "{attack:?}: the slowest caller waited {took:?}, without an attack {alone:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_that_holds_connections_keeps_nobody_else_out() {
    assert_others_are_served(10..11, SERVED_WITHIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sources_that_hold_all_connections_keep_nobody_else_out() {
    assert_others_are_served(10..15, SERVED_AMONG_MANY_WITHIN).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_when_250_connections_ask_for_much_with_a_window_of_0() {
    let scope = Scope::shared().await;
    let server = scope.cluster.token_server(&[]);
    server.ready().await;
    assert_eq!(server.get(LONG, &[]).status, 200);
    let before = resident_mib(&server);
    let mut attackers = JoinSet::new();
    for _ in 0..WINDOW_0_CONNECTIONS {
        let address = server.address;
        attackers.spawn(async move {
            let _ = Attack::Window0.hold(source(10), address).await.is_ok();
        });
    }
    let asked = "apikey_http_requests_total{route=\"openapi\",code=\"200\"}";
    let all = f64::from(u32::try_from(WINDOW_0_CONNECTIONS * WINDOW_0_REQUESTS).unwrap());
    let mut taken = 0.0;
    let most = most_mib_until(&server, &mut attackers, || {
        let counted = [asked, SHED].map(|series| server.process.metric(series).unwrap_or(0.0));
        taken = counted.iter().sum();
        taken >= all
    })
    .await;
    println!("{before} MiB before, {most} MiB at most, {taken} requests");
    assert!(
        most <= before + 64,
        "{before} MiB before, {most} MiB at most"
    );
    assert_eq!(server.get(SMALL, &[]).status, 200);
    attackers.shutdown().await;
}

/// The content of requests that are never finished.
#[derive(Clone, Copy, Debug)]
enum Unfinished {
    /// As many fields as a head may have. All are equal, so each is one byte on the wire (RFC 7541).
    Fields,
    /// A body without its last byte.
    Body,
}

impl Unfinished {
    /// Sends as many requests as one HTTP/2 connection allows, increments `sent`, and keeps them open.
    async fn hold(
        self,
        to: SocketAddr,
        sent: &AtomicUsize,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = connect(source(10), to).await?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        let asking = async {
            let mut held = Vec::new();
            for _ in 0..UNFINISHED_REQUESTS {
                let mut requests = requests.clone().ready().await?;
                let mut request = axum::http::Request::post("http://test/auth/v1/api-key/token");
                let fields = if matches!(self, Self::Fields) { 900 } else { 0 };
                for _ in 0..fields {
                    request = request.header("a", "b");
                }
                let (answer, mut body) = requests.send_request(request.body(())?, false)?;
                if matches!(self, Self::Body) {
                    body.send_data(Bytes::from_static(&[b'a'; 16 * 1024 - 1]), false)?;
                }
                held.push((answer, body));
            }
            sent.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        tokio::select! {
            result = connection => Ok(result?),
            result = asking => result,
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_when_many_connections_send_requests_that_they_never_finish() {
    let scope = Scope::shared().await;
    // Without limits, these would take 60 MiB and 240 MiB.
    for (unfinished, connections) in [(Unfinished::Fields, 15), (Unfinished::Body, 250)] {
        let server = scope.cluster.token_server(&[]);
        server.ready().await;
        let (before, sent) = (resident_mib(&server), Arc::new(AtomicUsize::new(0)));
        let mut attackers = JoinSet::new();
        for _ in 0..connections {
            let (address, sent) = (server.address, Arc::clone(&sent));
            attackers.spawn(async move {
                let _ = unfinished.hold(address, &sent).await.is_ok();
            });
        }
        let most = most_mib_until(&server, &mut attackers, || {
            let shed = server.process.metric(SHED).unwrap_or_default();
            sent.load(Ordering::Relaxed) >= connections && shed > 0.0
        })
        .await;
        println!("{unfinished:?}: {before} MiB before, {most} MiB at most");
        assert!(
            most <= before + 40,
            "{unfinished:?}: {before} MiB before, {most} MiB at most"
        );
        assert!(server.process.metric(SHED).unwrap() > 0.0);
        let mut other = BufReader::new(connect(source(2), server.address).await.unwrap());
        request(&mut other, SMALL).await.unwrap();
        attackers.shutdown().await;
    }
}

/// The peak resident memory of the server until the attack is done or all attackers are disconnected.
/// Unit: MiB.
#[cfg(target_os = "linux")]
async fn most_mib_until(
    server: &TokenServer,
    attackers: &mut JoinSet<()>,
    mut done: impl FnMut() -> bool,
) -> u64 {
    let (mut most, deadline) = (0, Instant::now() + SOON);
    while !done() && !attackers.is_empty() {
        assert!(Instant::now() < deadline, "{most} MiB");
        most = most.max(resident_mib(server));
        while attackers.try_join_next().is_some() {}
        breathe().await;
    }
    most.max(resident_mib(server))
}

/// The resident memory of the server. Unit: MiB.
#[cfg(target_os = "linux")]
fn resident_mib(server: &TokenServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() / 1024
}
