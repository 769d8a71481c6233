//! nginx with the example configuration asks the token server whether a request may pass.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use controlplane::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::support::{Answer, Login, Scope, TokenServer, eventually, form, free_address, send};

/// An upstream that answers with the head of each request, in lower case.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            echo(stream.unwrap());
        }
    });
    address
}

fn echo(mut stream: TcpStream) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let head: Vec<_> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let body = head.join("\n").to_lowercase();
    let length = body.len();
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes());
}

/// The example with these addresses.
fn example(listen: SocketAddr, token_server: SocketAddr, app: SocketAddr) -> String {
    let mut example = include_str!("../../../examples/gateways/nginx.conf").to_owned();
    for (there, here) in [
        ("listen 8080;", format!("listen {listen};")),
        (
            "apikey-operator-token.apikey-operator.svc:80",
            token_server.to_string(),
        ),
        ("app.default.svc:80", app.to_string()),
    ] {
        assert!(example.contains(there), "{there}");
        example = example.replace(there, &here);
    }
    example
}

/// Starts nginx with these servers.
fn nginx(folder: &Path, servers: &str) -> Process {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("servers.conf"), servers).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};"))
        .concat();
    let main = format!(
        "daemon off; pid pid; error_log stderr; worker_processes 1; events {{}} \
         http {{ access_log off; {temporary} include servers.conf; }}"
    );
    std::fs::write(folder.join("nginx.conf"), main).unwrap();
    let program = [
        "/usr/sbin/nginx",
        "/usr/local/bin/nginx",
        "/opt/homebrew/bin/nginx",
    ]
    .into_iter()
    .find(|path| Path::new(path).exists());
    let program = program.expect("nginx is missing: apt install nginx");
    let prefix = format!("{}/", folder.display());
    let (out, err) = (folder.join("out"), folder.join("err"));
    let arguments = ["-p", &*prefix, "-e", "stderr", "-c", "nginx.conf"];
    Process::start(Path::new(program), &arguments, &[], &out, &err).unwrap()
}

#[tokio::test]
#[ignore = "needs nginx; make consumers runs it"]
async fn the_example_for_nginx_lets_keys_through_and_names_them_to_the_upstream() {
    let scope = Scope::shared().await;
    let server = Scope::token_server().await;
    let key = scope.usable(server, "app", "roles: [a, b]").await;
    let secret = key.data("secret");
    let token = server.token_for(&key).await.access_token();
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let (listen, app) = (free_address(), upstream());
    let _nginx = nginx(&folder, &example(listen, server.address, app));
    eventually("nginx listens", async || TcpStream::connect(listen).ok()).await;

    let get = |headers: &[(&str, &str)]| send(listen, "GET", "/v1/builds?x=y", headers, b"");
    let bearers = [&secret, &token].map(|it| format!("Bearer {it}"));
    for (header, value) in [
        ("X-Api-Key", &secret),
        ("Authorization", &bearers[0]),
        ("Authorization", &bearers[1]),
    ] {
        let forged = [
            ("X-Apikey-Roles", "admin"),
            ("x-apikey-email", "root@example.com"),
            ("x_apikey_roles", "admin"),
        ];
        let answer = get(&[&[(header, value.as_str())], &forged[..]].concat());
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen: Vec<_> = answer.body.lines().collect();
        assert_eq!(seen[0], "get /v1/builds?x=y http/1.0");
        let email = &server.token_for(&key).await.claims()["email"];
        for line in [
            format!("x-apikey-id: {}", key.data("key-id")),
            "x-apikey-name: app".to_owned(),
            format!("x-apikey-namespace: {}", scope.namespace),
            format!("x-apikey-email: {}", email.as_str().unwrap()),
            format!("x-apikey-org: {}", scope.org()),
            format!("x-apikey-organization-id: {}", key.data("organization-id")),
            "x-apikey-roles: a,b".to_owned(),
        ] {
            assert!(seen.contains(&&*line), "{line}: {seen:?}");
        }
        let message = seen.iter().filter(|line| line.starts_with("x-apikey-"));
        assert_eq!(message.count(), 7, "{seen:?}");
        for gone in [
            "admin",
            "root@",
            "authorization",
            "x-api-key:",
            &secret.to_lowercase(),
        ] {
            assert!(!answer.body.contains(gone), "{gone}: {seen:?}");
        }
    }
    let post = send(
        listen,
        "POST",
        "/v1/builds",
        &[("X-Api-Key", &secret)],
        b"a body",
    );
    assert_eq!(post.status, 200);

    let nobody = get(&[]);
    assert_eq!(nobody.status, 401);
    assert!(nobody.headers["www-authenticate"].starts_with("Bearer realm="));
    assert_eq!(get(&[("X-Api-Key", "nonsense")]).status, 401);
    assert_eq!(
        send(listen, "GET", "/_apikey", &[("X-Api-Key", &secret)], b"").status,
        404
    );

    scope.kubectl(&["delete", "apikey", "app"]);
    eventually("nginx refuses the deleted key", async || {
        (get(&[("X-Api-Key", &secret)]).status == 401).then_some(())
    })
    .await;
}

/// The text that nginx adds to the header of its caller, by the path of the request.
const FORWARDED: [(&str, &str); 5] = [
    ("alone", "$proxy_add_x_forwarded_for"),
    ("port", "$proxy_add_x_forwarded_for:$remote_port"),
    (
        "quoted",
        "$http_x_forwarded_for, \\\"[::ffff:$remote_addr]:$remote_port\\\"",
    ),
    ("empty", "$proxy_add_x_forwarded_for, ,"),
    ("hidden", "$http_x_forwarded_for, unknown"),
];

/// An nginx that forwards requests to the token server, also through itself.
fn passing_on(listen: SocketAddr, token_server: SocketAddr) -> String {
    let location = |path: &str, header: &str, to: &str| {
        format!(
            "location /{path}/ {{ proxy_set_header X-Forwarded-For \"{header}\"; \
             proxy_pass http://{to}/; }} "
        )
    };
    let mut locations = String::new();
    for (path, header) in FORWARDED {
        locations += &location(path, header, &token_server.to_string());
        let again = format!("{listen}/{path}");
        let header = "$proxy_add_x_forwarded_for:$remote_port";
        locations += &location(&format!("twice/{path}"), header, &again);
    }
    format!("server {{ listen {listen}; {locations} }}")
}

/// Requests a token through nginx, from an address and with these headers. Returns the caller's address in
/// the audit line.
async fn seen(
    server: &TokenServer,
    key: &Login,
    (from, to): (Ipv4Addr, SocketAddr),
    path: &str,
    headers: &[u8],
) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let body = form(&[("name", &key.name), ("secret", &key.secret)]);
    let head = format!(
        "POST /{path}/auth/v1/api-key/token HTTP/1.0\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n",
        body.len()
    );
    let request = [head.as_bytes(), headers, b"\r\n", body.as_bytes()].concat();
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let jti = Answer::parse(&answer).claims()["jti"].clone();
    let line = eventually("the audit lines have the token", async || {
        let lines = server.process.audit();
        lines.into_iter().find(|line| line["jti"] == jti)
    })
    .await;
    line["remote"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs nginx; make consumers runs it"]
async fn the_caller_is_known_by_the_headers_of_nginx_and_not_by_its_own() {
    let scope = Scope::shared().await;
    let flags = ["--trusted-proxies=127.0.0.1"];
    let server = scope.cluster.token_server(&flags);
    server.ready().await;
    let key = Login::of(&scope.usable(&server, "app", "").await);
    let folder = scope.cluster.control_plane.dir().join(&scope.namespace);
    let listen = free_address();
    let _nginx = nginx(&folder, &passing_on(listen, server.address));
    eventually("nginx listens", async || TcpStream::connect(listen).ok()).await;
    let way = (Ipv4Addr::new(127, 0, 0, 2), listen);
    for headers in [
        &b""[..],
        b"X-Forwarded-For: 203.0.113.7\r\n",
        b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: \xff\r\n",
        b"X-Forwarded-For: 203.0.113.7, \"\r\n",
        b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: , ,\r\n",
        b"X-Forwarded-For: 203.0.113.7, 127.0.0.1\r\nForwarded: for=203.0.113.7\r\n",
    ] {
        for (path, _) in FORWARDED {
            for path in [path.to_owned(), format!("twice/{path}")] {
                let seen = seen(&server, &key, way, &path, headers).await;
                let known = path.ends_with("hidden").then_some("127.0.0.1");
                assert_eq!(seen, known.unwrap_or("127.0.0.2"), "{path} {headers:?}");
            }
        }
    }
}
