//! `hook run`, `serve`, `smash`: the process itself.

use std::time::Instant;

use hook_core::inherited::Inherited;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Endpoint, Running},
    cli::Global,
    command::plan_and_environment,
    contract, env, manager,
    output::Output,
    roles::Roles,
    signal, telemetry,
};

pub(crate) async fn run(
    global: &Global,
    output: Output,
    roles: Roles,
    inherited: Inherited,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let (plan, environment) = plan_and_environment(global, output)?;
    contract::require_secrets(&plan, &environment, roles)?;
    telemetry::start(output.json(), env::log_filter().as_deref());
    let stop = CancellationToken::new();
    signal::stop_on_signal(stop.clone())?;

    let running = Running::start(plan, environment, roles, inherited).await?;
    for endpoint in running.endpoints() {
        tracing::info!(ingress_adapter = %endpoint.adapter, at = %endpoint.at, "listening");
    }
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(role = roles.name(), start_ms = millis, "ready");
    manager::ready(&status(roles, running.endpoints()));
    running.until(stop).await
}

/// For `systemctl status`.
fn status(roles: Roles, endpoints: &[Endpoint]) -> String {
    let listening: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.at.as_str()).collect();
    match listening.is_empty() {
        true => format!("hook {} runs", roles.name()),
        false => format!("hook {} listens on {}", roles.name(), listening.join(", ")),
    }
}
