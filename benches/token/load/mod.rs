//! The load generator: a closed loop on one thread and one core. Connections and time are bounded, and it accepts
//! only local addresses.

pub(crate) mod tally;
pub(crate) mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use self::tally::{PhaseCounts, Window};
use crate::cpu::{self, Share, Use};
use crate::holder::Request;
use crate::wire::Wire;

/// The longest wait for responses after the measured time.
const LAST_ANSWERS: Duration = Duration::from_secs(15);
/// The number of failures after which a connection gives up.
const MAX_BROKEN: u64 = 1000;

/// The bytes of requests.
pub(crate) type Requests = Arc<[Request]>;

/// How connections are used.
#[derive(Clone)]
pub(crate) enum Mode {
    /// One connection for all requests.
    KeepAlive,
    /// A new connection for each request.
    Connect,
    /// A new connection with a TLS handshake for each request.
    Handshake(Arc<ClientConfig>),
}

/// A group of connections with the same behaviour.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) connections: usize,
    /// The requests. Each connection takes every n-th in turn, so that all are used.
    pub(crate) requests: Requests,
    pub(crate) mode: Mode,
    /// Whether each request is sent only once.
    pub(crate) once: bool,
}

impl Group {
    /// Connections that send these requests over and over, each on one connection.
    pub(crate) const fn new(connections: usize, requests: Requests) -> Self {
        Self {
            connections,
            requests,
            mode: Mode::KeepAlive,
            once: false,
        }
    }
}

/// What the generator sends, and for how long.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) groups: &'a [Group],
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The process id of the server, if it is a separate process.
    pub(crate) server: Option<&'a str>,
}

/// The result of a load.
pub(crate) struct Outcome {
    /// For each group.
    pub(crate) tallies: Vec<PhaseCounts>,
    /// The measured time.
    pub(crate) time: Duration,
    pub(crate) generator: Share,
    pub(crate) server: Share,
}

impl Outcome {
    /// Responses per second of a group with this status.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn rate(&self, group: usize, status: u16) -> f64 {
        self.tallies[group].count(status) as f64 / self.time.as_secs_f64()
    }
}

impl Load<'_> {
    /// Runs the load on the core of the load generator.
    pub(crate) fn run(&self) -> Outcome {
        assert!(
            self.address.ip().is_loopback(),
            "a load for this machine only"
        );
        cpu::on_core(cpu::CALLER, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(self.drive())
        })
    }

    async fn drive(&self) -> Outcome {
        let from = Instant::now() + self.warm_up;
        let until = from + self.time;
        let window = Window { from, until };
        let mut tasks = JoinSet::new();
        for (number, group) in self.groups.iter().enumerate() {
            for first in 0..group.connections {
                let caller = Caller {
                    address: self.address,
                    group: group.clone(),
                    next: first,
                    window,
                    tally: PhaseCounts::default(),
                };
                tasks.spawn(async move { (number, caller.run().await) });
            }
        }
        let mut tallies: Vec<_> = self.groups.iter().map(|_| PhaseCounts::default()).collect();
        let used = || {
            let server = self.server.map(Use::of_process).unwrap_or_default();
            (server, Use::of_this_thread())
        };
        take(&mut tasks, &mut tallies, from).await;
        let before = used();
        take(&mut tasks, &mut tallies, until).await;
        let time = from.elapsed();
        let after = used();
        take(&mut tasks, &mut tallies, until + LAST_ANSWERS).await;
        assert!(tasks.is_empty(), "answers are missing");
        Outcome {
            tallies,
            time,
            server: after.0.since(before.0, time),
            generator: after.1.since(before.1, time),
        }
    }
}

/// Collects the tallies of callers that end, until this time or until all have ended.
async fn take(
    tasks: &mut JoinSet<(usize, PhaseCounts)>,
    tallies: &mut [PhaseCounts],
    until: Instant,
) {
    while let Ok(Some(ended)) = timeout_at(until.into(), tasks.join_next()).await {
        let (number, tally) = ended.unwrap();
        tallies[number].add(&tally);
    }
}

struct Caller {
    address: SocketAddr,
    group: Group,
    next: usize,
    window: Window,
    tally: PhaseCounts,
}

impl Caller {
    async fn run(mut self) -> PhaseCounts {
        while Instant::now() < self.window.until && self.tally.broken < MAX_BROKEN {
            let ended = match self.group.mode.clone() {
                Mode::KeepAlive => self.keep_alive().await,
                Mode::Connect => self.connect().await,
                Mode::Handshake(client) => self.handshake(client.into()).await,
            };
            match ended {
                Ok(()) => break,
                Err(_) => self.tally.broken += 1,
            }
        }
        self.tally
    }

    /// The next request. `None` if all were sent or the time is over.
    fn next(&mut self) -> Option<usize> {
        let requests = self.group.requests.len();
        if Instant::now() >= self.window.until || (self.group.once && self.next >= requests) {
            return None;
        }
        let place = self.next % requests;
        self.next += self.group.connections;
        Some(place)
    }

    fn note(&mut self, status: u16, sent: Instant) {
        let answered = Instant::now();
        if self.window.holds(sent, answered) {
            let since = answered.duration_since(self.window.from);
            self.tally
                .note(status, answered.duration_since(sent), since);
        }
    }

    async fn keep_alive(&mut self) -> io::Result<()> {
        let mut wire = Wire::new(open(self.address).await?);
        while let Some(place) = self.next() {
            let sent = Instant::now();
            let status = wire.ask(&self.group.requests[place]).await?.status;
            self.note(status, sent);
        }
        Ok(())
    }

    async fn connect(&mut self) -> io::Result<()> {
        while let Some(place) = self.next() {
            let begun = Instant::now();
            let mut wire = Wire::new(open(self.address).await?);
            let status = wire.ask(&self.group.requests[place]).await?.status;
            self.note(status, begun);
        }
        Ok(())
    }

    async fn handshake(&mut self, connector: TlsConnector) -> io::Result<()> {
        let name = ServerName::IpAddress(self.address.ip().into());
        while let Some(place) = self.next() {
            let begun = Instant::now();
            let stream = open(self.address).await?;
            let mut wire = Wire::new(connector.connect(name.clone(), stream).await?);
            let status = wire.ask(&self.group.requests[place]).await?.status;
            self.note(status, begun);
        }
        Ok(())
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request and returns the status of the response.
pub(crate) async fn once(address: SocketAddr, request: &[u8]) -> io::Result<u16> {
    let mut wire = Wire::new(open(address).await?);
    Ok(wire.ask(request).await?.status)
}
