//! Starting, stopping, and what stands in the way of either.

use std::{os::unix::fs::PermissionsExt, process::Stdio, time::Duration};

use crate::support::{Hook, Receiver, Sender, contract, eventually, pause};

const BODY: &[u8] = br#"{"action":"opened","repository":{"full_name":"acme/api"}}"#;

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_nothing_comes_twice() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    let sender = Sender::new();
    receiver.hold();
    let id = sender.accepted(hook.address, "push", "1", BODY).await;
    receiver.wait_for(1).await;
    hook.terminate();
    pause(Duration::from_millis(300)).await;
    receiver.release();
    assert_eq!(hook.ended().await.code(), Some(0), "{}", hook.stderr());

    hook.start().await;
    let other = sender.accepted(hook.address, "push", "2", BODY).await;
    let taken = receiver.wait_for(2).await;
    let ids: Vec<&str> = taken.iter().map(|delivery| delivery.id()).collect();
    assert_eq!(ids, [id, other]);
}

#[tokio::test]
async fn every_half_stops_by_either_signal_and_loses_nothing() {
    let mut receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::new(move |bind| contract(bind, &[("out", address, "")]));
    receiver.die().await;
    let mut ids = Vec::new();
    for (role, signal) in [("run", "-INT"), ("serve", "-INT"), ("serve", "-TERM"), ("run", "-TERM")] {
        hook.spawn(role);
        assert!(hook.ready().await, "{}", hook.stderr());
        for number in 0..5 {
            let delivery = format!("{role} {signal} {number}");
            ids.push(Sender::new().accepted(hook.address, "push", &delivery, BODY).await);
        }
        hook.signal(signal);
        assert_eq!(hook.ended().await.code(), Some(0), "{role} {signal}: {}", hook.stderr());
    }
    receiver.revive().await;
    hook.spawn("smash");
    let taken = receiver.wait_for(ids.len()).await;
    assert_eq!(taken.iter().map(|delivery| delivery.id()).collect::<Vec<_>>(), ids);
    hook.signal("-INT");
    assert_eq!(hook.ended().await.code(), Some(0), "{}", hook.stderr());
}

#[tokio::test]
async fn while_stopping_nothing_new_is_taken() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    let sender = Sender::new();
    receiver.hold();
    sender.accepted(hook.address, "push", "1", BODY).await;
    receiver.wait_for(1).await;
    hook.terminate();
    pause(Duration::from_millis(300)).await;
    let fresh = Sender::new().github(hook.address, "push", "2", BODY).send().await;
    assert!(fresh.is_err(), "it still takes connections");
    receiver.release();
    assert_eq!(hook.ended().await.code(), Some(0), "{}", hook.stderr());
}

#[tokio::test]
async fn a_script_can_ask_whether_it_is_ready() {
    let mut hook = Hook::new(|bind| contract(bind, &[]));
    let none = hook.run(&["status", "--ready"]);
    assert_eq!(none.code, Some(3), "{none:?}");
    hook.start().await;
    let ready = hook.run(&["status", "--ready"]);
    assert_eq!((ready.code, ready.stdout.as_str()), (Some(0), "ready\n"), "{ready:?}");
    hook.stop().await;
    hook.spawn("smash");
    eventually("it to be ready", async || (hook.run(&["status", "--ready"]).code == Some(0)).then_some(()))
        .await;
}

#[tokio::test]
async fn a_missing_secret_is_refused_before_anything_starts() {
    let mut hook = Hook::new(|bind| contract(bind, &[]));
    hook.unset_variable("GITHUB_SECRET");
    for value in [None, Some("")] {
        if let Some(value) = value {
            hook.set_variable("GITHUB_SECRET", value);
        }
        let done = hook.run(&["run"]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains("GITHUB_SECRET") && done.stderr.contains("github"), "{}", done.stderr);
    }
    assert!(!hook.data().exists(), "the data directory was made");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let hook = Hook::new(move |_| contract(taken, &[]));
    let done = hook.run(&["run"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains(&taken.to_string()), "{}", done.stderr);
    assert!(done.stderr.to_lowercase().contains("in use"), "{}", done.stderr);
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_told_who_has_it() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    let done = hook.run(&["run"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    for part in [&format!("process {}", hook.pid()), "hook run", "hint:"] {
        assert!(done.stderr.contains(part), "`{part}` is not in: {}", done.stderr);
    }
    Sender::new().accepted(hook.address, "push", "1", BODY).await;
}

#[tokio::test]
async fn a_second_role_on_the_same_data_is_told_what_to_do() {
    for (first, second) in [("serve", "smash"), ("smash", "serve"), ("serve", "serve"), ("run", "smash")] {
        let mut hook = Hook::new(|bind| contract(bind, &[]));
        hook.spawn(first);
        eventually("the directory to be taken", async || {
            hook.data().join("hook.sock").exists().then_some(())
        })
        .await;
        let done = hook.run(&[second]);
        assert_eq!(done.code, Some(2), "{first}, {second}: {done:?}");
        let owner = format!("`hook {first}` (process {})", hook.pid());
        for part in [owner.as_str(), "`hook run`, which is both halves", "`backend = \"kafka\"`"] {
            assert!(done.stderr.contains(part), "{first}, {second}: `{part}` is not in {}", done.stderr);
        }
        assert_eq!(hook.json(&["status"])["role"], first, "the first goes on");
    }
}

#[tokio::test]
async fn a_full_disk_is_503_and_the_senders_retry_is_welcome() {
    let full = |bind| contract(bind, &[]) + "\n[log]\nmin_free_bytes = \"900TiB\"\n";
    let mut hook = Hook::new(full);
    hook.start().await;
    let sender = Sender::new();
    let sent = sender.send(hook.address, "push", "1", BODY).await;
    assert_eq!((sent.status, sent.body["code"].as_str()), (503, Some("unavailable")), "{sent:?}");
    assert!(
        sent.retry_after.as_deref().is_some_and(|after| after.parse::<u64>().is_ok_and(|after| after > 0))
    );
    let status = hook.run(&["status", "--ready"]);
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.stdout.starts_with("not ready: "), "{status:?}");
    hook.stop().await;

    hook.set_contract(|bind| contract(bind, &[]));
    hook.start().await;
    sender.accepted(hook.address, "push", "1", BODY).await;
}

#[tokio::test]
async fn the_halves_run_one_after_the_other() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::new(move |bind| contract(bind, &[("out", address, "")]));
    hook.spawn("serve");
    assert!(hook.ready().await, "{}", hook.stderr());
    let id = Sender::new().accepted(hook.address, "push", "1", BODY).await;
    hook.stop().await;
    assert!(receiver.taken().is_empty(), "`hook serve` delivered");

    hook.spawn("smash");
    assert_eq!(receiver.wait_for(1).await[0].id(), id);
    hook.stop().await;
}

#[tokio::test]
async fn an_open_tail_does_not_hold_up_a_stop() {
    let mut hook = Hook::running(|bind| contract(bind, &[])).await;
    let tail =
        hook.command(&["events", "tail"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    pause(Duration::from_millis(300)).await;
    hook.terminate();
    assert_eq!(hook.ended().await.code(), Some(0), "{}", hook.stderr());
    assert_eq!(tail.wait_with_output().unwrap().status.code(), Some(0));
}

#[tokio::test]
async fn only_the_owner_may_look_at_what_is_stored() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    Sender::new().accepted(hook.address, "push", "1", BODY).await;
    for path in ["", "hook.sock", "ledger.db", "topics"] {
        let mode = std::fs::metadata(hook.data().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "`{path}` is {mode:o}");
    }
}

/// A process that does not come up must not have delivered anything.
#[tokio::test]
async fn nothing_is_delivered_before_everything_stands() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    receiver.answer(503);
    Sender::new().accepted(hook.address, "push", "1", BODY).await;
    hook.stop().await;
    receiver.answer(204);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    hook.set_contract(move |_| contract(bind, &[("out", address, "")]));
    let before = receiver.taken().len();
    assert_eq!(hook.run(&["run"]).code, Some(1));
    assert_eq!(receiver.taken().len(), before, "it delivered although its port was taken");
}
