//! The contract: text → as written → checked → plan.
//!
//! A stage is a type and nothing goes backwards: `parse` reads every table
//! strictly, `resolve` picks a profile and follows every reference, `lint` looks
//! for what runs and is not what was meant. No stage does any I/O, so a contract
//! can be checked anywhere, offline, exactly as it will run.

mod addresses;
mod kafka;
mod lint;
mod parse;
mod quantity;
mod read;
mod relay;
mod report;
mod resolve;
mod resolved;
mod schema;
mod sections;
#[cfg(test)]
mod tests;
mod written;

use std::path::PathBuf;

pub use report::{Finding, Report, Severity};
pub use resolved::resolved;
pub use schema::schema;

use crate::{
    driver::Drivers,
    plan::{Plan, ValidationMode},
    secret::SecretRef,
};

/// The contract that runs when none is found: GitHub and Linear to an agent gateway
/// on this machine.
pub const DEFAULT: &str = include_str!("default.toml");

/// What the command line says about a contract.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The profile to run.
    pub profile: Option<String>,
    /// Instead of the contract's own mode.
    pub validation_mode: Option<ValidationMode>,
    /// Go on in spite of findings that are not about security.
    pub force: bool,
    /// Instead of the contract's `[log] path`.
    pub data_dir: Option<PathBuf>,
}

/// A contract that may run.
pub struct Loaded {
    /// What runs.
    pub plan: Plan,
    /// What is likely not what was meant.
    pub warnings: Report,
}

/// Reads, checks and resolves a contract. `path` is only what findings call it.
///
/// # Errors
/// The report, when anything in it is an error.
pub fn load(path: &str, text: &str, options: &Options, drivers: &Drivers) -> Result<Loaded, Report> {
    let mut report = Report::new(path, text);
    let contract = parse::parse(text, drivers, &mut report);
    let plan = resolve::resolve(&contract, options, drivers, &mut report);
    if let Some(plan) = plan.as_ref().filter(|_| !report.has_errors()) {
        lint::lint(&contract, plan, &mut report);
        addresses::lint(&contract, plan, &mut report);
        if options.force || plan.validation_mode == ValidationMode::Debug {
            report.relax();
        }
    }
    report.sort();
    match plan {
        Some(plan) if !report.has_errors() => Ok(Loaded { plan, warnings: report }),
        _ => Err(report),
    }
}

/// Who needs a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretUser {
    /// A source, to verify.
    Source(String),
    /// An ingress adapter.
    Ingress(String),
    /// An egress adapter.
    Egress(String),
}

/// Every secret that a plan needs, and who needs it.
pub fn secrets(plan: &Plan) -> Vec<(SecretRef, SecretUser)> {
    let sources = plan.sources.iter().flat_map(|(name, source)| {
        source.secrets.iter().map(|secret| (secret.clone(), SecretUser::Source(name.clone())))
    });
    let ingress = plan.ingress.iter().flat_map(|adapter| {
        let user = SecretUser::Ingress(adapter.id.to_string());
        adapter.config.secrets().into_iter().map(move |secret| (secret, user.clone()))
    });
    let egress = plan.destinations.iter().flat_map(|adapter| {
        let user = SecretUser::Egress(adapter.id.to_string());
        adapter.config.secrets().into_iter().map(move |secret| (secret, user.clone()))
    });
    sources.chain(ingress).chain(egress).collect()
}

impl std::fmt::Display for SecretUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(name) => write!(f, "the source `{name}`"),
            Self::Ingress(id) => write!(f, "the ingress adapter `{id}`"),
            Self::Egress(id) => write!(f, "the egress adapter `{id}`"),
        }
    }
}
