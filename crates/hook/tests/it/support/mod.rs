//! What the tests share: the process, the sender, the receiver, the waiting.

pub(crate) mod kafka;
mod process;
mod receiver;
mod sender;

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

pub(crate) use process::{Done, Hook};
pub(crate) use receiver::{Delivery, Receiver};
pub(crate) use sender::{SECRET, Sender, Sent, github_signature};

/// Nothing that a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A contract that takes GitHub's webhooks at `bind` and delivers to these, each a
/// table of `http_output` keys beside `id` and `url`.
pub(crate) fn contract(bind: SocketAddr, destinations: &[(&str, SocketAddr, &str)]) -> String {
    let mut text = format!(
        r#"[app]
id = "black-box"
name = "Black box"
version = "1.0.0"

[policies]
allow_no_output = true
no_output_sink = "discard"

[sources.github]
preset = "github"
secrets_env = ["GITHUB_SECRET"]

[[serve.ingress_adapters]]
id = "in"
driver = "http_webhook_ingress"
bind = "{bind}"

[[serve.routes]]
id = "all"
source_match = "github"
event_type_pattern = "*"
target_topic = "webhooks.core"
"#
    );
    let mut names = Vec::new();
    let mut claims = Vec::new();
    for (name, address, keys) in destinations {
        text += &format!(
            "\n[[smash.egress_adapters]]\nid = \"{name}\"\ndriver = \"http_output\"\nurl = \"http://{address}/in\"\n\
             allow_networks = [\"127.0.0.0/8\"]\nbackoff_base_ms = 20\nbackoff_max_ms = 200\n{keys}\n"
        );
        names.push(*name);
        claims.push(format!("{{ adapter_id = \"{name}\" }}"));
    }
    if !names.is_empty() {
        text += &format!(
            "\n[[smash.routes]]\nid = \"out\"\nsource_topic_pattern = \"webhooks.core\"\ndestinations = [{}]\n",
            claims.join(", ")
        );
    }
    let routes = if names.is_empty() { "[]" } else { "[\"out\"]" };
    text + &format!(
        "\n[profiles.default]\nlabel = \"Black box\"\nserve_adapters = [\"in\"]\nserve_routes = [\"all\"]\n\
         smash_adapters = {names:?}\nsmash_routes = {routes}\n"
    )
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Asks again and again until there is an answer; panics when there is none.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(since.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        pause(Duration::from_millis(20)).await;
    }
}

/// Real time passes: the other side is a process that tells nothing.
#[expect(clippy::disallowed_methods, reason = "waits for another process")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A figure for whoever reads the test's output; the harness captures only `print!`.
pub(crate) fn figure(text: &str) {
    let mut output = std::io::stderr().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.write_all(b"\n")).unwrap();
}
