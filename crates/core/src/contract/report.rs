//! Findings: what is wrong with a contract, where, and what to do.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

/// Everything that one run found.
#[derive(Clone, Debug)]
pub struct Report {
    path: String,
    text: String,
    findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A name that stays the same across versions: `unknown_key`.
    pub code: &'static str,
    /// What is wrong.
    pub title: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The contract's file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes to blame.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Whether `validation_mode = "debug"` and `--force` make a warning of it.
    #[serde(skip)]
    pub relaxable: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The contract does not run.
    Error,
    /// It runs, and is likely not what was meant.
    Warning,
}

impl Report {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), findings: Vec::new() }
    }

    /// Adds an error.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        title: impl Into<String>,
    ) -> &mut Finding {
        self.add(Severity::Error, code, span, title.into())
    }

    /// Adds a warning.
    pub(super) fn warning(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        title: impl Into<String>,
    ) -> &mut Finding {
        self.add(Severity::Warning, code, span, title.into())
    }

    /// Adds an error that is no matter of security or integrity: something that
    /// runs, and is almost certainly not what was meant.
    pub(super) fn lint(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        title: impl Into<String>,
    ) -> &mut Finding {
        let finding = self.add(Severity::Error, code, span, title.into());
        finding.relaxable = true;
        finding
    }

    /// Turns every lint into a warning.
    pub(super) fn relax(&mut self) {
        for finding in self.findings.iter_mut().filter(|finding| finding.relaxable) {
            finding.severity = Severity::Warning;
        }
    }

    /// Whether the contract must not run.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings, in the order of the file.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn sort(&mut self) {
        self.findings.sort_by_key(|finding| finding.span.start);
    }

    /// The findings as a compiler shows them.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let texts: Vec<String> =
            self.findings.iter().map(|finding| self.render_one(finding, &renderer)).collect();
        texts.join("\n\n")
    }

    fn render_one(&self, finding: &Finding, renderer: &Renderer) -> String {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let snippet = Snippet::source(self.text.as_str())
            .path(self.path.as_str())
            .annotation(AnnotationKind::Primary.span(finding.span.clone()));
        let mut group = level.primary_title(finding.title.as_str()).id(finding.code).element(snippet);
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group]).to_string()
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        title: String,
    ) -> &mut Finding {
        let span = self.clamp(span);
        let before = &self.text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let finding = Finding {
            severity,
            code,
            title,
            help: None,
            file: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: self.text[line_start..span.start].chars().count() + 1,
            span,
            relaxable: false,
        };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// A span that lies within the text, on the borders of characters.
    fn clamp(&self, span: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let end = self.text.ceil_char_boundary(span.end.clamp(start, self.text.len()));
        start..end
    }
}

impl Finding {
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

/// `did you mean …?` for the nearest of the valid names, or the list of them.
pub(super) fn suggest<'a>(got: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let valid: Vec<&str> = valid.into_iter().collect();
    let near = valid.iter().map(|name| (strsim::jaro_winkler(got, name), name));
    let (likeness, nearest) = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    if likeness > 0.84 {
        return Some(format!("did you mean `{nearest}`?"));
    }
    let list = valid.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Some(format!("expected one of {list}"))
}
