//! `hook log`: the log's files, checked at any time, mended while nothing runs.

use std::{path::Path, sync::Arc};

use hook_log::embedded::{self, Progress, Report, disk::Disk};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::{
    backend,
    cli::{Global, Log},
    contract,
    fault::{self, Fault},
    output::{self, Output},
    roles::Roles,
};

/// The report as it is printed.
#[derive(Serialize)]
struct Printed {
    sound: bool,
    topics: Vec<TopicLine>,
    problems: Vec<ProblemLine>,
}

#[derive(Serialize)]
struct TopicLine {
    topic: String,
    segments: u64,
    records: u64,
    bytes: u64,
    first: u64,
    next: u64,
}

#[derive(Serialize)]
struct ProblemLine {
    file: String,
    byte: u64,
    bytes: u64,
    records_lost: u64,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_in: Option<String>,
}

pub(crate) fn run(command: &Log, global: &Global, output: Output) -> anyhow::Result<()> {
    let plan = contract::plan(global, output)?;
    if plan.log.backend != hook_core::plan::Backend::Embedded {
        return Err(fault::usage("this log is in Kafka, whose own tools verify and repair it"));
    }
    let directory = &plan.log.path;
    if !directory.join("topics").exists() {
        return Err(fault::usage(format!("there is no log at {}", directory.display())));
    }
    let disk: Arc<dyn Disk> = Arc::new(hook_log::RealDisk);
    match command {
        Log::Verify => verify(directory, &disk, output),
        Log::Repair { yes: true } => repair(directory, &disk, output),
        Log::Repair { yes: false } => Err(fault::usage(
            "this cuts damaged records out of the log (kept beside it in `*.cut` files); repeat it with `--yes`",
        )),
    }
}

fn verify(directory: &Path, disk: &Arc<dyn Disk>, output: Output) -> anyhow::Result<()> {
    let bar = output.progress(Some(0), "verifying");
    let report = embedded::verify(directory, disk, &mut |progress| show_progress(&bar, progress))?;
    bar.finish_and_clear();
    let sound = report.problems.is_empty();
    output.result(&printed(report), |printed| {
        text(printed, "hint: stop the process, then run `hook log repair`")
    })?;
    if sound { Ok(()) } else { Err(Fault::Reported(1).into()) }
}

fn repair(directory: &Path, disk: &Arc<dyn Disk>, output: Output) -> anyhow::Result<()> {
    let bar = output.progress(Some(0), "repairing");
    let report =
        embedded::repair(directory, &backend::label(Roles::NONE), &backend::now(), disk, &mut |progress| {
            show_progress(&bar, progress);
        })?;
    bar.finish_and_clear();
    output.result(&printed(report), |printed| text(printed, "the log is whole again"))
}

fn show_progress(bar: &ProgressBar, progress: Progress<'_>) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

fn printed(report: Report) -> Printed {
    let topic = |topic: hook_log::embedded::TopicReport| TopicLine {
        topic: topic.topic.to_string(),
        segments: topic.segments,
        records: topic.records,
        bytes: topic.bytes,
        first: topic.first,
        next: topic.next,
    };
    let problem = |problem: hook_log::embedded::Problem| ProblemLine {
        file: problem.file.display().to_string(),
        byte: problem.byte,
        bytes: problem.bytes,
        records_lost: problem.records,
        reason: problem.reason,
        kept_in: problem.kept_in.map(|path| path.display().to_string()),
    };
    Printed {
        sound: report.problems.is_empty(),
        topics: report.topics.into_iter().map(topic).collect(),
        problems: report.problems.into_iter().map(problem).collect(),
    }
}

fn text(printed: &Printed, advice: &str) -> String {
    let row = |topic: &TopicLine| {
        vec![
            topic.topic.clone(),
            topic.segments.to_string(),
            topic.records.to_string(),
            output::human_bytes(topic.bytes),
            topic.first.to_string(),
            topic.next.to_string(),
        ]
    };
    let head = ["TOPIC", "SEGMENTS", "RECORDS", "SIZE", "OLDEST", "NEXT"];
    let mut text = output::table(&head, printed.topics.iter().map(row).collect());
    for problem in &printed.problems {
        text.push_str(&format!(
            "\n\n{} is damaged at byte {}: {}",
            problem.file, problem.byte, problem.reason
        ));
        text.push_str(&format!("\n  {} bytes, {} records lost", problem.bytes, problem.records_lost));
        if let Some(kept) = &problem.kept_in {
            text.push_str(&format!(", kept in {kept}"));
        }
    }
    let verdict = if printed.sound { "every record is sound" } else { advice };
    format!("{text}\n\n{verdict}")
}
