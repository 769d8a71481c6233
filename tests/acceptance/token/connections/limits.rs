//! The deadlines of connections.

use std::time::Instant;

use tokio::io::BufReader;

use super::{SMALL, breathe, closed, connect, request, source};
use crate::support::{SOON, Scope, eventually};

#[tokio::test]
async fn an_idle_connection_and_an_old_one_end_and_metrics_have_the_reason() {
    let scope = Scope::shared().await;
    let flags = ["--idle-timeout=2s", "--max-connection-age=5s"];
    let server = scope.cluster.token_server(&flags);
    server.ready().await;
    let closed_for = |reason: &str| {
        let series =
            format!("apikey_connections_closed_total{{port=\"token\",reason=\"{reason}\"}}");
        server.process.metric(&series)
    };
    assert_eq!(closed_for("Idle"), Some(0.0));

    let stream = connect(source(2), server.address).await.unwrap();
    let mut idle = BufReader::new(stream);
    request(&mut idle, SMALL).await.unwrap();
    closed(idle.get_mut()).await;
    eventually("the server counts the closed connection", async || {
        (closed_for("Idle")? >= 1.0).then_some(())
    })
    .await;

    let stream = connect(source(2), server.address).await.unwrap();
    let mut old = BufReader::new(stream);
    let deadline = Instant::now() + SOON;
    loop {
        let head = request(&mut old, SMALL).await.unwrap();
        if head.contains("\r\nconnection: close\r\n") {
            break;
        }
        assert!(Instant::now() < deadline, "{head}");
        breathe().await;
    }
    closed(old.get_mut()).await;
    eventually("the server counts the closed connection", async || {
        (closed_for("MaxAge")? >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_never_becomes_a_request_is_cut() {
    let scope = Scope::shared().await;
    let server = scope.cluster.token_server(&[]);
    server.ready().await;
    let mut silent = connect(source(2), server.address).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(30), closed(&mut silent))
        .await
        .expect("the server did not close the connection");
    let series = "apikey_connections_closed_total{port=\"token\",reason=\"NoRequest\"}";
    eventually("the server counts the closed connection", async || {
        (server.process.metric(series)? >= 1.0).then_some(())
    })
    .await;
}
