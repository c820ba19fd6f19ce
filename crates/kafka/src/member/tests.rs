//! A client that is made anew goes on where the old one was.

use std::collections::BTreeSet;

use hook_core::{
    contract::{self, Options},
    driver::Drivers,
    secret::Environment,
};
use hook_event::Clock;
use hook_log::Record;

use super::*;
use crate::{append::Appender, health::Health, place::Step, settings::Settings};

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(prefix: &str) -> Settings {
    let text = format!(
        "[app]\nid = \"a\"\nname = \"A\"\nversion = \"1.0.0\"\n\
         [policies]\nallow_no_output = true\nno_output_sink = \"discard\"\n\
         [profiles.default]\nlabel = \"A\"\n[log]\nbackend = \"kafka\"\n[log.kafka]\n\
         security_protocol = \"plaintext\"\nallow_plaintext = true\ntopic_prefix_core = \"{prefix}\"\n"
    );
    let drivers = Drivers { ingress: &[], egress: &[], plugins: &[] };
    let options = Options { force: true, ..Options::default() };
    let loaded = contract::load("c", &text, &options, &drivers)
        .unwrap_or_else(|report| panic!("{}", report.render(false)));
    let brokers = [("KAFKA_BROKERS".to_owned(), hook_broker::shared())];
    Settings::resolve(&loaded.plan.log, &Environment::new(brokers)).unwrap()
}

/// Reads until so many different records were seen, settling each.
async fn read(member: &Member, seen: &mut BTreeSet<(u32, u64)>, count: usize) {
    let reading = async {
        while seen.len() < count {
            let step = member.place().step(64);
            member.answered();
            match step {
                Some(Step::Entries(entries)) => {
                    for entry in entries {
                        member.place().settle(&entry.position);
                        seen.insert((entry.position.lane, entry.position.offset));
                    }
                }
                Some(Step::Revoked(_)) => {}
                Some(Step::Failed(error)) => panic!("{error}"),
                None => member.readable().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("records that never came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_made_anew_goes_on() {
    let begun = Clock::SYSTEM.now().as_microsecond();
    let prefix = format!("renewed{begun}");
    let (settings, health) = (settings(&prefix), Arc::new(Health::default()));
    let topic = Topic::new(&format!("{prefix}.events")).unwrap();
    let appender = Appender::new(&settings, &health).unwrap();
    let cluster = Arc::new(Cluster::new(settings, health).unwrap());
    cluster.ensure(&topic).await.unwrap();
    let append = async |count: u32| {
        let record = |number: u32| Record { key: number.to_string().into(), value: "v".into() };
        assert!(appender.append(&topic, (0..count).map(record).collect()).await.is_ok());
    };
    let member =
        Member::start(&format!("{prefix}.group"), TopicSet::one(topic.clone()), Settling::Commits, &cluster)
            .unwrap();
    let mut seen = BTreeSet::new();
    append(20).await;
    read(&member, &mut seen, 20).await;
    member.renew();
    append(20).await;
    read(&member, &mut seen, 40).await;
    let (received, _) = member.progress();
    assert!(received < 60, "everything was read again: {received} records for 40");
    member.close();
    let ended = Arc::clone(&member);
    assert!(tokio::task::spawn_blocking(move || ended.wait_for_end(PATIENCE)).await.unwrap());
}
