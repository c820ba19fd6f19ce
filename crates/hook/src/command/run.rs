//! `hook run`, `serve`, `smash`: the process itself.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::{
    app::Running, cli::Global, command::plan_and_environment, contract, env, output::Output, roles::Roles,
    signal, telemetry,
};

pub(crate) async fn run(global: &Global, output: Output, roles: Roles) -> anyhow::Result<()> {
    let started = Instant::now();
    let (plan, environment) = plan_and_environment(global, output)?;
    contract::require_secrets(&plan, &environment, roles)?;
    telemetry::start(output.json(), env::log_filter().as_deref());
    let stop = CancellationToken::new();
    signal::stop_on_signal(stop.clone())?;

    let running = Running::start(plan, environment, roles).await?;
    for endpoint in running.endpoints() {
        tracing::info!(ingress_adapter = %endpoint.adapter, at = %endpoint.at, "listening");
    }
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(role = roles.name(), start_ms = millis, "ready");
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    running.until(stop).await
}
