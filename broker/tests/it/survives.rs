//! What a kill must not lose, on one node and on three.

use hook_broker::{Error, Jars, Kafka, Options};

use crate::tools::{OFFSETS, TOPICS, produce, stored};

#[test]
fn what_is_acknowledged_survives_a_kill() {
    let kafka = Kafka::start(Options::single_node()).unwrap();
    let bootstrap = kafka.bootstrap();
    kafka.tool(TOPICS, &["--create", "--topic", "t", "--partitions", "2"], "").unwrap();
    produce(&kafka, &["a", "b", "c"]);

    kafka.kill(1).unwrap();
    assert!(matches!(kafka.is_ready(1), Err(Error::NotRunning(1))));
    kafka.restart(1).unwrap();
    kafka.wait_ready().unwrap();

    assert_eq!(kafka.bootstrap(), bootstrap);
    assert_eq!(stored(&kafka, 3), ["a", "b", "c"]);
    produce(&kafka, &["d"]);
    kafka.stop(1).unwrap();
    kafka.restart(1).unwrap();
    kafka.wait_ready().unwrap();
    assert_eq!(stored(&kafka, 4), ["a", "b", "c", "d"]);
}

#[test]
fn three_nodes_bear_the_loss_of_any() {
    let kafka = Kafka::start(Options::three_nodes()).unwrap();
    assert_eq!((kafka.nodes(), kafka.bootstrap().split(',').count()), (3, 3));
    kafka.tool(TOPICS, &["--create", "--topic", "t", "--partitions", "3"], "").unwrap();
    produce(&kafka, &["a"]);
    kafka.kill(2).unwrap();
    produce(&kafka, &["b"]);
    assert_eq!(stored(&kafka, 2), ["a", "b"]);

    kafka.restart(2).unwrap();
    kafka.wait_ready().unwrap();
    kafka.kill(1).unwrap();
    produce(&kafka, &["c"]);
    let offsets = kafka.tool(OFFSETS, &["--topic", "t"], "").unwrap();
    let sum: u64 = offsets.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u64>().ok()).sum();
    assert_eq!(sum, 3, "{offsets}");
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    let options = Options::single_node().property("num.io.threads", "none");
    let told = Kafka::start(options).err().unwrap().to_string();
    assert!(told.contains("num.io.threads"), "{told}");
    assert!(matches!(Jars::at(env!("CARGO_TARGET_TMPDIR")), Err(Error::NoJars(_))));
}
