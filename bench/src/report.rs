//! The one table that is printed, and the same as JSON.

/// What was measured.
#[derive(Default)]
pub(crate) struct Report {
    machine: Vec<(String, String)>,
    rows: Vec<Row>,
}

/// One line: a figure, what it stands beside, what was aimed at.
struct Row {
    case: &'static str,
    what: String,
    measured: String,
    beside: String,
    target: &'static str,
    met: Option<bool>,
}

impl Report {
    pub(crate) fn machine(&mut self, what: &str, value: impl Into<String>) {
        self.machine.push((what.to_owned(), value.into()));
    }

    /// A figure for which there is no target.
    pub(crate) fn note(&mut self, case: &'static str, what: impl Into<String>, measured: impl Into<String>) {
        self.push(case, what.into(), measured.into(), String::new(), "", None);
    }

    /// The same beside another.
    pub(crate) fn note_beside(
        &mut self,
        case: &'static str,
        what: impl Into<String>,
        measured: impl Into<String>,
        beside: impl Into<String>,
    ) {
        self.push(case, what.into(), measured.into(), beside.into(), "", None);
    }

    /// A figure beside another, and whether it is what was aimed at.
    pub(crate) fn row(
        &mut self,
        case: &'static str,
        what: impl Into<String>,
        (measured, beside): (String, String),
        (target, met): (&'static str, bool),
    ) {
        self.push(case, what.into(), measured, beside, target, Some(met));
    }

    fn push(
        &mut self,
        case: &'static str,
        what: String,
        measured: String,
        beside: String,
        target: &'static str,
        met: Option<bool>,
    ) {
        eprintln!("{case}: {what}: {measured} {beside}");
        self.rows.push(Row { case, what, measured, beside, target, met });
    }

    /// A Markdown table, as it stands in docs/performance.md.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (what, value) in &self.machine {
            text += &format!("- {what}: {value}\n");
        }
        text += "\n| case | what | measured | beside | target | |\n|---|---|---|---|---|---|\n";
        for Row { case, what, measured, beside, target, met } in &self.rows {
            let met = met.map_or("", |met| if met { "met" } else { "**missed**" });
            text += &format!("| {case} | {what} | {measured} | {beside} | {target} | {met} |\n");
        }
        text
    }

    pub(crate) fn json(&self) -> String {
        let machine: serde_json::Map<_, _> =
            self.machine.iter().map(|(what, value)| (what.clone(), value.clone().into())).collect();
        let row = |row: &Row| {
            serde_json::json!({
                "case": row.case, "what": row.what, "measured": row.measured,
                "beside": row.beside, "target": row.target, "met": row.met,
            })
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        format!("{:#}", serde_json::json!({ "machine": machine, "rows": rows }))
    }
}
