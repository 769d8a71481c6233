//! `apikey-operator run`: both parts in one process, and a clean end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{Cluster, Login, form};

#[tokio::test]
async fn one_process_mints_a_key_serves_a_token_and_ends_after_the_last_answer() {
    let cluster = Cluster::start();
    let both = cluster.both(&["--argon2-memory-kib=8", "--argon2-iterations=1"]);
    let scope = cluster.scope().await;
    scope.apply_key("ci", "roles: [build]");
    let credential = scope.credential(&scope.ready("ci").await).await;
    both.ready().await;
    let claims = both.token_for(&credential).await.claims();
    assert_eq!(claims["roles"], serde_json::json!(["build"]));

    let key = Login::of(&credential);
    let body = form(&[("name", &key.name), ("secret", &key.secret)]);
    let (first, rest) = body.split_at(10);
    let mut running = TcpStream::connect(both.address).unwrap();
    let head = format!(
        "POST /auth/v1/api-key/token HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
        body.len()
    );
    running.write_all(head.as_bytes()).unwrap();
    // The server has read the head and waits for the body.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    running.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    running.write_all(first.as_bytes()).unwrap();
    both.process.signal();
    both.process.logged("Shutting down").await;
    running.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("access_token"), "{answer}");

    both.process.logged("Stopped").await;
    let audit = both.process.audit();
    let message = |action: &str| audit.iter().filter(|line| line["action"] == action).count();
    assert_eq!((message("Create"), message("IssueToken")), (1, 2));
    TcpStream::connect(both.address).expect_err("the port is still open");
    assert_eq!(both.process.exit_code().await, Some(0));
}
