//! TLS, with certificates that change while the server runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Authority, SOON, Scope, TlsFiles, TokenServer, eventually};

/// A server with a certificate of the authority, and the certificate files.
async fn start(scope: &Scope<'_>, folder: &Path, authority: &Authority) -> (TokenServer, TlsFiles) {
    let files = TlsFiles::new(folder);
    files.put(&authority.server());
    let flags = files.flags();
    let server = scope.cluster.token_server(&[&flags[0], &flags[1]]);
    server.ready().await;
    (server, files)
}

/// The certificate of the authority in a file.
fn trusted(folder: &Path, name: &str, authority: &Authority) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, authority.pem()).unwrap();
    path
}

/// The HTTP version and status of an answer over TLS; `None` without an answer.
fn curl(server: &TokenServer, ca: &Path, more: &[&str]) -> Option<String> {
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--max-time", "20"])
        .args(["--write-out", "%{http_version} %{http_code}", "--cacert"])
        .arg(ca)
        .args(more)
        .arg(format!("https://{}/oauth2/jwks", server.address))
        .output()
        .expect("curl");
    let message = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(message)
}

#[tokio::test]
async fn http_1_and_2_are_spoken_over_tls_and_nothing_else() {
    let scope = Scope::shared().await;
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let authority = Authority::new();
    let (server, _files) = start(&scope, &folder, &authority).await;
    let ca = trusted(&folder, "ca", &authority);
    let message = |more: &[&str]| curl(&server, &ca, more);
    assert_eq!(message(&["--http2"]).as_deref(), Some("2 200"));
    assert_eq!(message(&["--http1.1"]).as_deref(), Some("1.1 200"));
    assert_eq!(message(&["--no-alpn"]).as_deref(), Some("1.1 200"));
    let tls_1_2 = ["--tlsv1.2", "--tls-max", "1.2"];
    assert_eq!(message(&tls_1_2).as_deref(), Some("2 200"));
    assert_eq!(
        message(&["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]),
        None
    );
    let stranger = trusted(&folder, "stranger", &Authority::new());
    assert_eq!(curl(&server, &stranger, &[]), None);
}

#[tokio::test]
async fn a_new_certificate_is_taken_in_and_a_broken_one_is_not() {
    let scope = Scope::shared().await;
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let (first, second, third) = (Authority::new(), Authority::new(), Authority::new());
    let (server, files) = start(&scope, &folder, &first).await;
    let ca = [("ca-1", &first), ("ca-2", &second), ("ca-3", &third)];
    let [ca_1, ca_2, ca_3] = ca.map(|(name, authority)| trusted(&folder, name, authority));
    assert!(curl(&server, &ca_1, &[]).is_some());

    files.put(&second.server());
    eventually("the server uses the new certificate", async || {
        curl(&server, &ca_2, &[])
    })
    .await;
    assert_eq!(
        curl(&server, &ca_1, &[]),
        None,
        "the server still uses the old certificate"
    );

    let (certificate, key) = third.server();
    let half = certificate[..certificate.len() / 2].to_owned();
    let (_, key_of_another) = third.server();
    for (n, broken) in [(half, key.clone()), (certificate.clone(), key_of_another)]
        .iter()
        .enumerate()
    {
        files.put(broken);
        eventually(
            "the server logs that it can't use the certificate",
            async || {
                let log = server.process.stderr();
                (log.matches("Keeping the certificate in use").count() > n).then_some(())
            },
        )
        .await;
        assert!(curl(&server, &ca_2, &[]).is_some());
    }
    assert!(!server.process.stderr().contains("PRIVATE"));

    files.put(&(certificate, key));
    eventually("the server uses the repaired certificate", async || {
        curl(&server, &ca_3, &[])
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_cut() {
    use std::io::{Read as _, Write as _};
    let scope = Scope::shared().await;
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let (server, _files) = start(&scope, &folder, &Authority::new()).await;
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    // The start of a TLS record of 512 bytes, as in a ClientHello.
    stream.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let series = "apikey_connections_closed_total{port=\"token\",reason=\"NoRequest\"}";
    eventually("the server counts the closed connection", async || {
        (server.process.metric(series)? >= 1.0).then_some(())
    })
    .await;
}
