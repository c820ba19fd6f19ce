//! Crashes at any moment, on a disk that tears, reorders and forgets: what was
//! acknowledged is there, in order, nothing else is, and no position comes twice.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hook_log::{EmbeddedLog, Log, Options, Retention, Start, TopicSet, sim::SimDisk};
use proptest::{collection::vec, prelude::*};

use crate::support::{Time, open, options, position, record, scan, text, topic};

/// The last is removed from by retention.
const TOPICS: [&str; 3] = ["one", "two", "brief"];

#[derive(Clone, Debug)]
enum Step {
    /// Appends that wait together, each of some records of a size.
    Append(Vec<(usize, usize, usize)>),
    /// The same, and the power fails meanwhile.
    AppendAndCrash(Vec<(usize, usize, usize)>, usize),
    Retain,
    Read(usize),
    Crash,
    Kill,
    Close,
    FailSync,
    Space(Option<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = || vec((0..TOPICS.len(), 1..4_usize, 0..900_usize), 1..8);
    let step = prop_oneof![
        8 => append().prop_map(Step::Append),
        3 => (append(), 0..12_usize).prop_map(|(appends, polls)| Step::AppendAndCrash(appends, polls)),
        1 => Just(Step::Retain),
        2 => (1..20_usize).prop_map(Step::Read),
        2 => Just(Step::Crash),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        1 => Just(Step::FailSync),
        1 => (0..6_000_u64).prop_map(|bytes| Step::Space(Some(bytes))),
        1 => Just(Step::Space(None)),
    ];
    vec(step, 1..25)
}

/// What must and what may be there.
#[derive(Default)]
struct Expected {
    stored: BTreeMap<u64, String>,
    unsure: BTreeSet<String>,
}

struct World {
    disk: SimDisk,
    options: Options,
    log: Option<Arc<EmbeddedLog>>,
    expected: HashMap<&'static str, Expected>,
    /// What the group had settled at the last undisturbed close.
    settled: u64,
    /// Whether a fault since the last opening may have kept cursors from the disk.
    disturbed: bool,
    counter: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut options = options(&Time::default());
        let brief = Retention { max_age: None, max_bytes: Some(6_000) };
        options.retention_by_topic.insert(topic("brief"), brief);
        let disk = SimDisk::new(seed);
        let log = Some(Arc::new(open(&disk, options.clone())));
        Self { disk, options, log, expected: HashMap::new(), settled: 0, disturbed: false, counter: 0 }
    }

    fn log(&self) -> Arc<EmbeddedLog> {
        Arc::clone(self.log.as_ref().unwrap())
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(appends) => self.append(appends, None).await,
            Step::AppendAndCrash(appends, polls) => self.append(appends, Some(polls)).await,
            Step::Retain => self.log().retain().await,
            Step::Read(count) => self.read(count).await,
            Step::Crash => self.reopen(SimDisk::crash).await,
            Step::Kill => self.reopen(SimDisk::kill).await,
            Step::Close => {
                if !self.disturbed {
                    self.settled = self.committed().await;
                }
                self.log().close();
                self.reopen(|_| {}).await;
            }
            Step::FailSync => {
                self.disturbed = true;
                self.disk.fail_syncs(1);
            }
            Step::Space(None) => self.disk.set_capacity(u64::MAX),
            Step::Space(Some(bytes)) => {
                self.disturbed = true;
                self.disk.set_capacity(self.disk.used() + bytes);
            }
        }
    }

    async fn append(&mut self, appends: Vec<(usize, usize, usize)>, crash: Option<usize>) {
        let mut waiting = Vec::new();
        for (name, count, size) in appends {
            let values: Vec<_> = (0..count).map(|_| self.value(size)).collect();
            let (log, name, sent) = (self.log(), TOPICS[name], values.clone());
            let records = sent.into_iter().map(record).collect();
            let append = tokio::spawn(async move { log.append(&topic(name), records).await });
            waiting.push((name, values, append));
        }
        if let Some(polls) = crash {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            self.disk.crash();
        }
        for (name, values, append) in waiting {
            let outcome = append.await.unwrap();
            let expected = self.expected.entry(name).or_default();
            let Ok(positions) = outcome else {
                expected.unsure.extend(values);
                continue;
            };
            for (position, value) in positions.into_iter().zip(values) {
                let before = expected.stored.insert(position.offset, value);
                assert!(before.is_none(), "{position} was used before");
            }
        }
        if crash.is_some() {
            self.reopen(|_| {}).await;
        }
    }

    /// A value that no other record has.
    fn value(&mut self, size: usize) -> String {
        self.counter += 1;
        format!("{}:{}", self.counter, "x".repeat(size))
    }

    async fn read(&mut self, count: usize) {
        let log = self.log();
        let Ok(mut group) = log.subscribe("group", TopicSet::one(topic("one")), Start::Beginning).await
        else {
            return;
        };
        let waiting = self.expected.get("one").map_or(0, |expected| expected.stored.len());
        let settled = self.committed().await;
        let mut next = settled;
        while usize::try_from(next - settled).unwrap() < count && usize::try_from(next).unwrap() < waiting {
            for entry in group.next(count).await.unwrap().entries() {
                assert_eq!(entry.position.offset, next, "a group missed a record");
                next += 1;
            }
        }
        if next > settled {
            group.commit(&position("one", next - 1)).await.unwrap();
        }
    }

    /// The first offset that the group has not settled.
    async fn committed(&self) -> u64 {
        let committed = self.log().committed("group").await.unwrap();
        committed.first().map_or(0, |position| position.offset + 1)
    }

    async fn reopen(&mut self, end: impl Fn(&SimDisk)) {
        let log = self.log.take().unwrap();
        end(&self.disk);
        drop(log);
        self.disk.fail_syncs(0);
        let capacity = self.disk.used();
        self.disk.set_capacity(capacity.max(1 << 20));
        self.log = Some(Arc::new(open(&self.disk, self.options.clone())));
        self.disturbed = false;
        assert!(self.committed().await >= self.settled, "commits that were saved are gone");
        self.check().await;
    }

    async fn check(&mut self) {
        let log = self.log();
        // The pass that follows every opening shall not run while this looks.
        log.retain().await;
        let lanes = log.topics().await.unwrap();
        for name in TOPICS {
            let expected = self.expected.entry(name).or_default();
            let Some(lane) = lanes.iter().find(|info| info.topic == topic(name)) else {
                assert!(expected.stored.is_empty(), "topic `{name}` is gone");
                continue;
            };
            let first = lane.lanes[0].first;
            assert!(first == 0 || name == "brief", "`{name}` lost what nothing removes");
            let found: BTreeMap<_, _> = scan(&log, name)
                .await
                .unwrap()
                .iter()
                .map(|entry| (entry.position.offset, text(entry)))
                .collect();
            for (offset, value) in expected.stored.range(first..) {
                assert_eq!(found.get(offset), Some(value), "`{name}` at {offset}");
            }
            for (offset, value) in found {
                if !expected.stored.contains_key(&offset) {
                    assert!(expected.unsure.remove(&value), "`{name}` at {offset} was never appended");
                    expected.stored.insert(offset, value);
                }
            }
        }
    }
}

fn run(seed: u64, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        for step in steps {
            world.step(step).await;
        }
        world.reopen(SimDisk::crash).await;
        world.reopen(SimDisk::crash).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost(seed in any::<u64>(), steps in steps()) {
        run(seed, steps);
    }
}
