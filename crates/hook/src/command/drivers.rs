//! `hook drivers`: the tables of drivers, as a person or a program reads them.

use hook_core::driver::Driver;
use serde::Serialize;

use crate::{
    contract::DRIVERS,
    fault,
    output::{self, Output},
};

#[derive(Serialize)]
struct Row {
    name: &'static str,
    kind: &'static str,
    summary: &'static str,
    example: &'static str,
}

impl Row {
    fn of<T: ?Sized>(driver: &Driver<T>, kind: &'static str) -> Self {
        Self { name: driver.name, kind, summary: driver.summary, example: driver.example }
    }
}

pub(crate) fn run(name: Option<&str>, output: Output) -> anyhow::Result<()> {
    let rows = rows();
    let Some(name) = name else {
        return output.result(&rows, |rows| {
            let line = |row: &Row| vec![row.name.to_owned(), row.kind.to_owned(), row.summary.to_owned()];
            output::table(&["DRIVER", "KIND", "WHAT IT DOES"], rows.iter().map(line).collect())
        });
    };
    let Some(row) = rows.iter().find(|row| row.name == name) else {
        let valid: Vec<_> = rows.iter().map(|row| format!("`{}`", row.name)).collect();
        return Err(fault::usage(format!(
            "no driver is called `{name}`, expected one of {}",
            valid.join(", ")
        )));
    };
    output.result(row, |row| {
        format!("{} ({})\n{}\n\n{}", output::heading(row.name), row.kind, row.summary, row.example.trim())
    })
}

fn rows() -> Vec<Row> {
    let ingress = DRIVERS.ingress.iter().map(|driver| Row::of(driver, "ingress"));
    let egress = DRIVERS.egress.iter().map(|driver| Row::of(driver, "egress"));
    let plugins = DRIVERS.plugins.iter().map(|driver| Row::of(driver, "plugin"));
    ingress.chain(egress).chain(plugins).collect()
}
