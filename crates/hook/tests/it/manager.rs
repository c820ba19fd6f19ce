//! A service manager's side: what it is told, and the sockets that it hands over.

use std::{net::TcpListener, os::unix::net::UnixDatagram, time::Duration};

use crate::support::{Hook, PATIENCE, Receiver, SECRET, Sender, contract, free_address, pause};

const BODY: &[u8] = br#"{"action":"opened","repository":{"full_name":"acme/api"}}"#;

/// Everything told until `last` comes.
fn told(socket: &UnixDatagram, last: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    while !lines.iter().any(|line| line == last) {
        let mut buffer = [0; 4096];
        let length =
            socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no `{last}` after {lines:?}: {error}"));
        lines.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
    }
    lines
}

#[tokio::test]
async fn it_is_told_of_readiness_life_and_stopping() {
    let mut hook = Hook::new(|bind| contract(bind, &[]));
    let path = hook.folder().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    hook.set_variable("NOTIFY_SOCKET", path.to_str().unwrap());
    hook.set_variable("WATCHDOG_USEC", "200000");
    for role in ["run", "serve", "smash"] {
        hook.spawn(role);
        let lines = told(&socket, "READY=1");
        assert_eq!(lines[0], "READY=1", "nothing comes before it: {lines:?}");
        let status = match role {
            "smash" => "STATUS=hook smash runs".to_owned(),
            _ => format!("STATUS=hook {role} listens on {}", hook.address),
        };
        assert!(lines.contains(&status), "{lines:?}");
        for _ in 0..3 {
            told(&socket, "WATCHDOG=1");
        }
        hook.terminate();
        told(&socket, "STOPPING=1");
        assert_eq!(hook.ended().await.code(), Some(0), "{}", hook.stderr());
        drain(&socket);
    }
}

/// What was said between the last line that a test waited for and the end.
fn drain(socket: &UnixDatagram) {
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 4096]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
}

#[tokio::test]
async fn a_socket_is_taken_by_its_name_or_its_address() {
    for name in ["in", "hook-serve.socket"] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let elsewhere = free_address();
        let by_name = name == "in";
        let mut hook = Hook::new(move |bind| contract(if by_name { elsewhere } else { bind }, &[]));
        hook.inherit(socket, name);
        hook.spawn("serve");
        assert!(hook.ready().await, "{name}: {}", hook.stderr());
        Sender::new().accepted(hook.address, "push", "1", BODY).await;
        hook.stop().await;
    }
}

#[tokio::test]
async fn a_socket_that_nothing_listens_on_is_refused() {
    let elsewhere = free_address();
    for role in ["serve", "smash"] {
        let mut hook = Hook::new(move |_| contract(elsewhere, &[]));
        hook.inherit(TcpListener::bind("127.0.0.1:0").unwrap(), "typo");
        hook.spawn(role);
        assert_eq!(hook.ended().await.code(), Some(2), "{}", hook.stderr());
        let said = hook.stderr();
        for part in ["typo", &hook.address.to_string(), "FileDescriptorName="] {
            assert!(said.contains(part), "`{part}` is not in {said}");
        }
    }
}

/// Each request on a connection of its own, from several senders at once, while the
/// process behind the socket is stopped and started again.
#[tokio::test]
async fn a_restart_behind_a_kept_socket_loses_no_connection() {
    const SENDERS: usize = 4;
    const RESTARTS: usize = 3;
    let receiver = Receiver::start().await;
    let destination = receiver.address;
    let mut hook = Hook::new(move |bind| contract(bind, &[("out", destination, "")]));
    hook.inherit(TcpListener::bind("127.0.0.1:0").unwrap(), "in");
    hook.spawn("run");
    assert!(hook.ready().await, "{}", hook.stderr());

    let address = hook.address;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let send = |sender: usize| {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            while !*stopped.borrow() {
                let delivery = format!("{sender}-{}", ids.len());
                ids.push(Sender::new().accepted(address, "push", &delivery, BODY).await);
            }
            ids
        })
    };
    let senders: Vec<_> = (0..SENDERS).map(send).collect();
    for _ in 0..RESTARTS {
        pause(Duration::from_millis(300)).await;
        hook.stop().await;
        hook.spawn("run");
        assert!(hook.ready().await, "{}", hook.stderr());
    }
    stop.send(true).unwrap();
    let mut ids = Vec::new();
    for sender in senders {
        let sent = tokio::time::timeout(PATIENCE, sender).await.expect("each is answered").unwrap();
        assert!(!sent.is_empty());
        ids.extend(sent);
    }
    receiver.wait_for(ids.len()).await;
    let taken = receiver.by_id();
    assert!(ids.iter().all(|id| taken.contains_key(id)));
    assert!(!hook.stderr().contains("cut off"), "{}", hook.stderr());
}

#[tokio::test]
async fn a_secret_may_come_as_a_credential() {
    let mut hook = Hook::new(|bind| contract(bind, &[]));
    let folder = hook.folder().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    hook.unset_variable("GITHUB_SECRET");
    hook.set_variable("CREDENTIALS_DIRECTORY", folder.to_str().unwrap());
    let missing = hook.run(&["run"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    std::fs::write(folder.join("GITHUB_SECRET"), format!("{SECRET}\n")).unwrap();
    hook.start().await;
    Sender::new().accepted(hook.address, "push", "1", BODY).await;
}
