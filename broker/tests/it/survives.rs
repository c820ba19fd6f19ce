//! What a kill must not lose, on one node and on three.

use std::net::TcpStream;

use hook_broker::{Error, Jars, Kafka, Options};

use crate::tools::{OFFSETS, TOPICS, answer, ask, produce, stored};

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

#[test]
fn a_held_node_answers_when_it_may_go_on() {
    let kafka = Kafka::start(Options::single_node()).unwrap();
    kafka.pause(1).unwrap();
    let mut client = TcpStream::connect(kafka.bootstrap()).unwrap();
    ask(&mut client);
    assert_eq!(answer(&mut client), None);
    kafka.resume(1).unwrap();
    assert_eq!(answer(&mut client), Some(7));
    assert!(matches!(kafka.pause(2), Err(Error::NoNode { node: 2, nodes: 1 })));
}

#[test]
fn the_shared_broker_answers() {
    let mut client = TcpStream::connect(hook_broker::shared()).unwrap();
    ask(&mut client);
    assert_eq!(answer(&mut client), Some(7));
}
