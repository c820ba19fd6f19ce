//! Finding, reading and checking the contract that the global flags name.

use std::path::{Path, PathBuf};

use hook_core::{
    contract::{self, Loaded, Options, Report},
    driver::{Drivers, EgressDriver, IngressDriver},
    plan::{Plan, ValidationMode},
    plugin::PLUGINS,
    secret::Environment,
};

use crate::{
    cli::{Global, Mode},
    fault::{self, Fault},
    output::Output,
    roles::Roles,
};

#[cfg(feature = "kafka")]
const INGRESS: &[IngressDriver] = {
    use hook_core::driver::merged;
    use {hook_adapters::INGRESS as ONE, hook_kafka::INGRESS as OTHER};
    &merged::<_, { ONE.len() + OTHER.len() }>(ONE, OTHER)
};
#[cfg(feature = "kafka")]
const EGRESS: &[EgressDriver] = {
    use hook_core::driver::merged;
    use {hook_adapters::EGRESS as ONE, hook_kafka::EGRESS as OTHER};
    &merged::<_, { ONE.len() + OTHER.len() }>(ONE, OTHER)
};
#[cfg(not(feature = "kafka"))]
const INGRESS: &[IngressDriver] = hook_adapters::INGRESS;
#[cfg(not(feature = "kafka"))]
const EGRESS: &[EgressDriver] = hook_adapters::EGRESS;

/// Every driver of this build.
pub(crate) const DRIVERS: Drivers = Drivers { ingress: INGRESS, egress: EGRESS, plugins: PLUGINS };

/// A contract's text and what to call it.
pub(crate) struct Found {
    pub(crate) label: String,
    pub(crate) text: String,
}

/// `--contract`, then `--app`, then `./contract.toml`, then the built-in default.
pub(crate) fn find(global: &Global) -> anyhow::Result<Found> {
    let path = match (&global.contract, &global.app) {
        (Some(path), _) => path.clone(),
        (None, Some(app)) => PathBuf::from("apps").join(app).join("contract.toml"),
        (None, None) if Path::new("contract.toml").exists() => PathBuf::from("contract.toml"),
        (None, None) => {
            return Ok(Found { label: "built-in default".into(), text: contract::DEFAULT.into() });
        }
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| fault::usage(format!("cannot read the contract {}: {error}", path.display())))?;
    Ok(Found { label: path.display().to_string(), text })
}

/// Checks a contract without touching anything but the file.
pub(crate) fn check(global: &Global, found: &Found) -> Result<Loaded, Report> {
    let options = Options {
        profile: global.profile.clone(),
        validation_mode: global.validation_mode.map(|mode| match mode {
            Mode::Strict => ValidationMode::Strict,
            Mode::Debug => ValidationMode::Debug,
        }),
        force: global.force,
        data_dir: global.data.clone(),
    };
    contract::load(&found.label, &found.text, &options, &DRIVERS)
}

/// The plan to run; findings are printed, errors end with exit code 2.
pub(crate) fn plan(global: &Global, output: Output) -> anyhow::Result<Plan> {
    let found = find(global)?;
    match check(global, &found) {
        Ok(loaded) => {
            show(&loaded.warnings, output)?;
            Ok(loaded.plan)
        }
        Err(report) => {
            show(&report, output)?;
            Err(Fault::Reported(2).into())
        }
    }
}

/// Every secret that the plan names must be readable before anything starts.
pub(crate) fn require_secrets(plan: &Plan, environment: &Environment, roles: Roles) -> anyhow::Result<()> {
    let missing: Vec<String> = contract::secrets(plan)
        .iter()
        .filter(|(_, user)| roles.needs(user))
        .filter_map(|(secret, user)| environment.secret(secret).err().map(|error| format!("{user}: {error}")))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(fault::usage(format!("a secret is missing\n  {}", missing.join("\n  ")))),
    }
}

/// Prints findings on standard error.
pub(crate) fn show(report: &Report, output: Output) -> anyhow::Result<()> {
    if report.findings().is_empty() {
        return Ok(());
    }
    match output.json() {
        true => anstream::eprintln!(
            "{}",
            serde_json::to_string(&serde_json::json!({ "findings": report.findings() }))?
        ),
        false => anstream::eprintln!("{}", report.render(true)),
    }
    Ok(())
}
