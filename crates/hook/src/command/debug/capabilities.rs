//! `hook debug capabilities`: what this build has, and what this machine allows.

use hook_core::{driver::Driver, source::PRESETS};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::disk::{self, Disk};
use crate::{
    backend,
    cli::Global,
    contract::DRIVERS,
    output::{self, Output},
};

/// The cargo features that decide what a build can do.
const FEATURES: &[(&str, bool)] =
    &[("kafka", cfg!(feature = "kafka")), ("kafka-vendored", cfg!(feature = "kafka-vendored"))];

#[derive(Serialize)]
struct Capabilities {
    version: &'static str,
    features: Vec<Feature>,
    log_backends: Vec<&'static str>,
    librdkafka: Option<String>,
    ingress_drivers: Vec<&'static str>,
    egress_drivers: Vec<&'static str>,
    plugins: Vec<&'static str>,
    presets: Vec<&'static str>,
    platform: Platform,
    /// What the disk under `--data` can do, where that is given.
    data: Option<Disk>,
}

#[derive(Serialize)]
struct Feature {
    name: &'static str,
    on: bool,
}

#[derive(Serialize)]
struct Platform {
    os: &'static str,
    architecture: &'static str,
    kernel: String,
    cpus: usize,
    /// How many files and connections may be open at once; none is unlimited.
    open_files: Option<u64>,
}

pub(crate) fn run(global: &Global, output: Output) -> anyhow::Result<()> {
    let librdkafka = backend::librdkafka();
    let backends = [("embedded", true), ("kafka", librdkafka.is_some())];
    let capabilities = Capabilities {
        version: env!("CARGO_PKG_VERSION"),
        features: FEATURES.iter().map(|&(name, on)| Feature { name, on }).collect(),
        log_backends: backends.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect(),
        librdkafka,
        ingress_drivers: names(DRIVERS.ingress),
        egress_drivers: names(DRIVERS.egress),
        plugins: names(DRIVERS.plugins),
        presets: PRESETS.iter().map(|preset| preset.name).collect(),
        platform: platform(),
        data: global.data.as_deref().map(disk::probe).transpose()?,
    };
    output.result(&capabilities, text)
}

fn names<T: ?Sized>(drivers: &[Driver<T>]) -> Vec<&'static str> {
    drivers.iter().map(|driver| driver.name).collect()
}

fn platform() -> Platform {
    Platform {
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        open_files: getrlimit(Resource::Nofile).current,
    }
}

fn text(all: &Capabilities) -> String {
    let Platform { os, architecture, kernel, cpus, open_files } = &all.platform;
    let on = all.features.iter().filter(|feature| feature.on).map(|feature| feature.name);
    let open_files = open_files.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let mut rows = vec![
        ("version", all.version.to_owned()),
        ("features", on.collect::<Vec<_>>().join(", ")),
        ("log backends", all.log_backends.join(", ")),
        ("librdkafka", all.librdkafka.clone().unwrap_or_else(|| "not in this build".to_owned())),
        ("ingress drivers", all.ingress_drivers.join(", ")),
        ("egress drivers", all.egress_drivers.join(", ")),
        ("plugins", all.plugins.join(", ")),
        ("presets", all.presets.join(", ")),
        ("platform", format!("{os} {kernel}, {architecture}, {cpus} CPUs")),
        ("open files", open_files),
    ];
    rows.extend(all.data.iter().flat_map(Disk::rows));
    let rows = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
    output::table(&["WHAT", "HERE"], rows)
}
