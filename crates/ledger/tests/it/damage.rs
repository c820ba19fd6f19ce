//! The file may be lost, broken, old, or about another log: the log makes it again.

use std::sync::Arc;

use hook_core::ports::{Claims, Reservation};
use hook_event::{Entropy, EventId};
use hook_ledger::Ledger;
use hook_log::MemoryLog;

use crate::fixture::{Fixture, event, follow_until, now, options};

/// Breaks the file with `damage` while nothing runs, and expects the next start to know everything.
async fn check(name: &str, moved_aside: bool, damage: impl FnOnce(&std::path::Path)) {
    let fixture = Fixture::new();
    let stored = event("d1", "push", 1);
    fixture.store(&stored).await;
    drop(fixture.start().await);
    damage(&fixture.path());

    let ledger = fixture.start().await;
    let id = EventId::new(now(), Entropy::SYSTEM);
    assert_eq!(ledger.reserve("github:d1", id, now()).unwrap(), Reservation::Duplicate(stored.id), "{name}");
    assert!(ledger.event(stored.id).unwrap().is_some(), "{name}");
    let aside = fixture.path().with_extension("sqlite.damaged");
    assert_eq!(aside.exists(), moved_aside, "{name}");
}

#[tokio::test]
async fn whatever_happened_to_the_file_it_is_made_again() {
    check("untouched", false, |_| {}).await;
    check("deleted", false, |path| std::fs::remove_file(path).unwrap()).await;
    check("emptied", false, |path| std::fs::write(path, "").unwrap()).await;
    check("not a database", true, |path| std::fs::write(path, "x".repeat(9000)).unwrap()).await;
    check("cut short", true, |path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..5000]).unwrap();
    })
    .await;
    check("overwritten behind the header", true, |path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[4096..].fill(0x5a);
        std::fs::write(path, bytes).unwrap();
    })
    .await;
    check("of another version", false, |path| {
        rusqlite::Connection::open(path).unwrap().execute_batch("pragma user_version = 77").unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_that_breaks_while_it_is_used_is_made_again() {
    let fixture = Fixture::new();
    let events: Vec<_> = (0..3000).map(|n| event(&format!("d{n}"), "push", 1)).collect();
    for event in &events {
        fixture.store(event).await;
    }
    drop(fixture.start().await);
    let ledger = fixture.start().await;
    break_in_place(&fixture);

    fixture.store(&event("late", "push", 1)).await;
    // Both readers begin anew, whichever of them met the damage.
    let (one, other) =
        tokio::join!(ledger.catch_up(&fixture.log, |_| {}), ledger.catch_up(&fixture.log, |_| {}));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    let id = EventId::new(now(), Entropy::SYSTEM);
    let again = ledger.reserve("github:d7", id, now()).unwrap();
    assert_eq!(again, Reservation::Duplicate(events[7].id));
    assert_eq!(ledger.totals().unwrap().events, 3001);
    assert!(fixture.path().with_extension("sqlite.damaged").exists());
}

#[tokio::test]
async fn damage_that_only_a_look_up_meets_is_repaired_too() {
    let fixture = Fixture::new();
    let events: Vec<_> = (0..3000).map(|n| event(&format!("d{n}"), "push", 1)).collect();
    for event in &events {
        fixture.store(event).await;
    }
    drop(fixture.start().await);
    let ledger = Arc::new(fixture.start().await);
    break_in_place(&fixture);
    let reserve = |ledger: &Ledger| ledger.reserve("github:d7", EventId::new(now(), Entropy::SYSTEM), now());
    assert!(reserve(&ledger).is_err());
    follow_until(&ledger, &fixture.shared_log(), async |ledger: &Ledger| reserve(ledger).is_ok()).await;
    assert_eq!(reserve(&ledger).unwrap(), Reservation::Duplicate(events[7].id));
}

/// Overwrites all but the header under the hands of whoever has the file open.
fn break_in_place(fixture: &Fixture) {
    let mut bytes = std::fs::read(fixture.path()).unwrap();
    bytes[4096..].fill(0x5a);
    let file = std::fs::OpenOptions::new().write(true).open(fixture.path()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
}

#[tokio::test]
async fn a_ledger_of_another_log_is_not_believed() {
    let mut fixture = Fixture::new();
    fixture.store(&event("d1", "push", 1)).await;
    drop(fixture.start().await);
    fixture.log = MemoryLog::new();
    let ledger = fixture.start().await;
    let id = EventId::new(now(), Entropy::SYSTEM);
    assert_eq!(ledger.reserve("github:d1", id, now()).unwrap(), Reservation::New);
    assert_eq!(ledger.totals().unwrap().events, 0);
}

#[tokio::test]
async fn rebuilding_on_purpose_gives_the_same_rows() {
    let fixture = Fixture::new();
    let stored = event("d1", "push", 1);
    fixture.store(&stored).await;
    let before = fixture.start().await.event(stored.id).unwrap();
    let ledger = Ledger::rebuild(&fixture.path(), options(), &fixture.log, |_| {}).await.unwrap();
    assert_eq!(ledger.event(stored.id).unwrap(), before);
}
