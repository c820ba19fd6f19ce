//! `hook check` and `hook config validate`: every finding of a contract, offline.

use serde::Serialize;

use crate::{cli::Global, contract, fault::Fault, output::Output};

#[derive(Serialize)]
struct Checked<'a> {
    contract: &'a str,
    valid: bool,
    profile: Option<&'a str>,
    findings: &'a [hook_core::contract::Finding],
}

pub(crate) fn run(global: &Global, output: Output) -> anyhow::Result<()> {
    let found = contract::find(global)?;
    let checked = contract::check(global, &found);
    let (report, plan) = match &checked {
        Ok(loaded) => (&loaded.warnings, Some(&loaded.plan)),
        Err(report) => (report, None),
    };
    if !output.json() {
        contract::show(report, output)?;
    }
    let result = Checked {
        contract: &found.label,
        valid: plan.is_some(),
        profile: plan.map(|plan| plan.profile.as_str()),
        findings: report.findings(),
    };
    let Some(plan) = plan else {
        if output.json() {
            output.result(&result, |_| String::new())?;
        }
        return Err(Fault::Reported(2).into());
    };
    output.result(&result, |_| {
        let (serves, smashes) = (plan.ingress.len(), plan.destinations.len());
        let (into, out) = (plural(serves, "ingress adapter"), plural(smashes, "destination"));
        format!("{} is valid: profile `{}`, {into}, {out}", found.label, plan.profile)
    })
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
