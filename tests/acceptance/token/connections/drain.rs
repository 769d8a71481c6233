//! Busy callers while the server ends after SIGTERM.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::task::JoinSet;

use super::{SMALL, connect, request, source};
use crate::support::{Scope, eventually};

/// Callers of each version of HTTP.
const CALLERS: u8 = 8;

/// The result of a caller: the number of answered requests until the server ended the connection.
type Outcome = Result<usize, String>;

/// Sends requests on one connection until a response closes it.
async fn http_1(from: u8, address: SocketAddr, answered: Arc<AtomicUsize>) -> Outcome {
    let stream = connect(source(from), address).await;
    let mut stream = BufReader::new(stream.map_err(|error| error.to_string())?);
    for count in 1.. {
        let head = request(&mut stream, SMALL).await;
        let head = head.map_err(|error| format!("broken after {count} requests: {error}"))?;
        answered.fetch_add(1, Ordering::Relaxed);
        if head.contains("\r\nconnection: close\r\n") {
            return Ok(count);
        }
    }
    Ok(0)
}

/// Sends requests on one connection until a GOAWAY.
async fn http_2(from: u8, address: SocketAddr, answered: Arc<AtomicUsize>) -> Outcome {
    let stream = connect(source(from), address).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for count in 0.. {
        requests = match requests.ready().await {
            Ok(requests) => requests,
            Err(error) if error.is_go_away() => return Ok(count),
            Err(error) => return Err(format!("broken after {count} requests: {error}")),
        };
        let uri = format!("http://test{SMALL}");
        let request = axum::http::Request::get(uri).body(()).unwrap();
        let asked = requests.send_request(request, true);
        let answer = match asked {
            Ok((answer, _)) => answer.await,
            Err(error) => Err(error),
        };
        let mut body = match answer {
            Ok(answer) => answer.into_body(),
            // RFC 9113 section 6.8: a request after the last stream was not processed.
            Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                return Ok(count);
            }
            Err(error) => return Err(format!("broken after {count} requests: {error}")),
        };
        while let Some(bytes) = body.data().await {
            let bytes = bytes.map_err(|error| format!("an incomplete answer: {error}"))?;
            let _ = body.flow_control().release_capacity(bytes.len());
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_callers_see_no_broken_request_when_the_server_ends() {
    let scope = Scope::shared().await;
    let server = scope.cluster.token_server(&[]);
    server.ready().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let (address, count) = (server.address, Arc::clone(&answered));
        callers.spawn(http_1(20 + n, address, Arc::clone(&count)));
        callers.spawn(http_2(40 + n, address, count));
    }
    eventually("the callers have answers", async || {
        (answered.load(Ordering::Relaxed) > 500).then_some(())
    })
    .await;
    server.process.signal();
    let outcomes = callers.join_all().await;
    for outcome in &outcomes {
        assert!(outcome.is_ok(), "{outcomes:?}");
    }
    assert_eq!(server.process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_server_that_ends_waits_only_briefly_for_the_rest_of_a_head() {
    let scope = Scope::shared().await;
    let server = scope.cluster.token_server(&[]);
    server.ready().await;
    let mut stream = connect(source(2), server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    eventually("the server counts the connection", async || {
        let open = server.process.metric("apikey_connections{port=\"token\"}");
        (open == Some(1.0)).then_some(())
    })
    .await;
    server.process.signal();
    let begun = Instant::now();
    assert_eq!(server.process.exit_code().await, Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
