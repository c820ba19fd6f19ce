//! Nothing outlives its owner, however the owner ends.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
};

use hook_broker::LIBS;

/// The owner: a process that holds a broker while its input is open.
fn owner() -> (Child, SocketAddr) {
    let libs = hook_broker::Jars::of_tests().unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_hook-broker"))
        .arg(libs.folder())
        .arg("1")
        .env_remove(LIBS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (_version, bootstrap) = line.trim().split_once(' ').unwrap();
    (owner, bootstrap.parse().unwrap())
}

/// Whether nobody listens there any more; the system closes the port a moment
/// after the owner's end.
fn is_gone(broker: SocketAddr) -> bool {
    (0..100).any(|_| {
        std::thread::park_timeout(std::time::Duration::from_millis(50));
        TcpStream::connect(broker).is_err()
    })
}

#[test]
fn a_killed_owner_takes_its_broker_along() {
    let (mut owner, broker) = owner();
    assert!(TcpStream::connect(broker).is_ok());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(is_gone(broker));
}

#[test]
fn an_owner_without_input_ends_by_itself() {
    let (mut owner, broker) = owner();
    drop(owner.stdin.take());
    assert!(owner.wait().unwrap().success());
    assert!(is_gone(broker));
}
