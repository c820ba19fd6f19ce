//! A cluster and what a test does to it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    Error, Jars, Options, Result, jars,
    node::Node,
    process,
    properties::{self, Ports},
    slot::Slot,
};

/// For all nodes together, on a machine that is also building.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Any will do: each cluster has its own ports.
const CLUSTER: &str = "aG9vay1icm9rZXItdGVzdA";

/// A running Kafka; dropping it kills its nodes and removes what they stored.
///
/// Nodes are counted from 1. Every method takes `&self`, so that one task can kill
/// while others send.
pub struct Kafka {
    // Before the slot: the processes end first, then their folder goes.
    nodes: Vec<Mutex<Node>>,
    ports: Vec<Ports>,
    jars: Jars,
    java: Vec<String>,
    _slot: Slot,
}

impl Kafka {
    /// Starts a cluster with the jars that `cargo xtask test` fetched, and waits
    /// until every node serves clients.
    ///
    /// # Errors
    ///
    /// When a node does not start; the error shows the end of its output.
    ///
    /// # Panics
    ///
    /// When the tests run without `cargo xtask test`.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_with(Jars::of_tests()?, options)
    }

    /// The same with these jars.
    ///
    /// # Errors
    ///
    /// When a node does not start; the error shows the end of its output.
    pub fn start_with(jars: Jars, options: Options) -> Result<Self> {
        let slot = Slot::take()?;
        let ports: Vec<Ports> = (0..options.nodes)
            .map(|index| Ports {
                client: slot.port(index),
                internal: slot.port(index + 3),
                controller: slot.port(index + 6),
            })
            .collect();
        let nodes = prepare(&options, &ports, slot.folder())?;
        format(&jars, &options, slot.folder())?;
        let nodes = nodes.into_iter().map(Mutex::new).collect();
        let kafka = Self { nodes, ports, jars, java: options.java, _slot: slot };
        for node in 1..=kafka.nodes.len() {
            kafka.restart(node)?;
        }
        kafka.wait_ready()?;
        Ok(kafka)
    }

    /// For `bootstrap.servers`: every node, secured as asked for.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        addresses(self.ports.iter().map(|ports| ports.client))
    }

    /// The same nodes, always plaintext: for tools, and for looking behind a secured
    /// listener.
    #[must_use]
    pub fn internal(&self) -> String {
        addresses(self.ports.iter().map(|ports| ports.internal))
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Ends a node as a crash does (SIGKILL). One that does not run is left so.
    ///
    /// # Errors
    ///
    /// When there is no such node, or the system refuses.
    pub fn kill(&self, node: usize) -> Result<()> {
        self.node(node)?.kill()
    }

    /// Ends a node as an operator does (SIGTERM), and waits for it. The only node of
    /// a cluster ends at once.
    ///
    /// # Errors
    ///
    /// When it does not run, or does not end.
    pub fn stop(&self, node: usize) -> Result<()> {
        self.node(node)?.stop()
    }

    /// Holds a node (SIGSTOP): its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause(&self, node: usize) -> Result<()> {
        self.node(node)?.signal(Signal::STOP)
    }

    /// Lets a held node go on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume(&self, node: usize) -> Result<()> {
        self.node(node)?.signal(Signal::CONT)
    }

    /// Starts a node again on its ports and its directory, after killing it if it
    /// still runs. Returns at once: [`Kafka::wait_ready`] waits.
    ///
    /// # Errors
    ///
    /// When there is no such node, or Java cannot be run.
    pub fn restart(&self, node: usize) -> Result<()> {
        let mut node = self.node(node)?;
        node.kill()?;
        node.start(&self.jars, &self.java)
    }

    /// Whether a node serves clients. Waits for nothing.
    ///
    /// # Errors
    ///
    /// When it does not run, or ended by itself; the error shows the end of its output.
    pub fn is_ready(&self, node: usize) -> Result<bool> {
        self.node(node)?.is_ready()
    }

    /// Waits until every node that runs serves clients.
    ///
    /// # Errors
    ///
    /// When one ended by itself, or is not ready in time.
    pub fn wait_ready(&self) -> Result<()> {
        for number in 1..=self.nodes.len() {
            if !self.node(number)?.runs() {
                continue;
            }
            let ready = process::poll(READY_WITHIN, || Ok(self.is_ready(number)?.then_some(())))?;
            if ready.is_none() {
                let output = self.node(number)?.last_lines();
                return Err(Error::NotReady { node: number, after: READY_WITHIN, output });
            }
        }
        Ok(())
    }

    /// All that a node printed since it was last started.
    ///
    /// # Errors
    ///
    /// When there is no such node.
    pub fn output(&self, node: usize) -> Result<String> {
        Ok(self.node(node)?.output())
    }

    /// The process id of a node, for measuring it.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn process_id(&self, node: usize) -> Result<u32> {
        self.node(node)?.id()
    }

    /// Runs one of Kafka's own tools against the plaintext listener, with `input` to
    /// read: `tool("org.apache.kafka.tools.TopicCommand", &["--list"], "")`. Each
    /// takes a second or more.
    ///
    /// # Errors
    ///
    /// When the tool says that it failed.
    pub fn tool(&self, class: &str, args: &[&str], input: &str) -> Result<String> {
        let internal = self.internal();
        let args: Vec<&str> =
            ["--bootstrap-server", &internal].into_iter().chain(args.iter().copied()).collect();
        self.jars.run(class, &args, input)
    }

    fn node(&self, number: usize) -> Result<MutexGuard<'_, Node>> {
        let node = number.checked_sub(1).and_then(|index| self.nodes.get(index));
        let node = node.ok_or(Error::NoNode { node: number, nodes: self.nodes.len() })?;
        Ok(node.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn addresses(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// Each node's folder, with its properties and certificates.
fn prepare(options: &Options, ports: &[Ports], folder: &Path) -> Result<Vec<Node>> {
    let write = |path: PathBuf, text: String| {
        std::fs::write(&path, text).map_err(|source| Error::File { path, source })
    };
    let mut nodes = Vec::new();
    for (ports_of_node, number) in ports.iter().zip(1..) {
        let folder = node_folder(folder, number);
        std::fs::create_dir(&folder).map_err(|source| Error::File { path: folder.clone(), source })?;
        for (name, text) in options.security.tls().into_iter().flat_map(properties::stores) {
            write(folder.join(name), text)?;
        }
        write(folder.join("server.properties"), properties::server(options, ports, number, &folder))?;
        nodes.push(Node::new(number, *ports_of_node, folder));
    }
    Ok(nodes)
}

/// Formats the nodes' storage, all at once.
fn format(jars: &Jars, options: &Options, folder: &Path) -> Result<()> {
    const CLASS: &str = "kafka.tools.StorageTool";
    let mut running = Vec::new();
    for number in 1..=options.nodes {
        let mut command = jars.command(CLASS, &[], "error");
        command.args(["format", "--cluster-id", CLUSTER, "--config"]);
        command.arg(node_folder(folder, number).join("server.properties"));
        command.args(properties::scram_user(options).iter().flat_map(|user| ["--add-scram", user]));
        command.stdin(Stdio::null());
        running.push(jars::start(command)?);
    }
    running.into_iter().try_for_each(|tool| jars::finish(CLASS, tool).map(drop))
}

fn node_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("node-{number}"))
}
