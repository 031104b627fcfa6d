//! What SystemTap's pass 2 prints: globals, functions, probes with their locals, each with its
//! type.

use std::fmt::Write;

use super::super::{GlobalData, LocalData, Program, Ty};

/// Summarises a program.
pub fn summary(program: &Program) -> String {
    let mut out = String::new();
    heading(&mut out, "# globals", program.globals.is_empty());
    for global in program.globals.values() {
        let _ = writeln!(out, "{}", of_global(global));
    }
    heading(&mut out, "# functions", program.functions.is_empty());
    for function in program.functions.values() {
        for body in &function.overloads {
            let params: Vec<String> = body
                .locals
                .values()
                .zip(&function.params)
                .map(|(local, ty)| format!("{}:{}", local.name, name_of(*ty)))
                .collect();
            let _ = writeln!(
                out,
                "{}:{} ({})",
                function.name,
                name_of(function.ret),
                params.join(", ")
            );
            locals(&mut out, body.locals.values().skip(function.params.len()));
        }
    }
    heading(&mut out, "# probes", program.probes.is_empty());
    for probe in &program.probes {
        for point in &probe.points {
            let _ = writeln!(out, "{} /* <- {} */", point.text, probe.name);
        }
        locals(&mut out, probe.locals.values());
    }
    out
}

fn heading(out: &mut String, text: &str, empty: bool) {
    if !empty {
        let _ = writeln!(out, "{text}");
    }
}

fn locals<'l>(out: &mut String, locals: impl Iterator<Item = &'l LocalData>) {
    let lines: Vec<String> = locals
        .map(|local| format!("  {}:{}\n", local.name, name_of(local.ty)))
        .collect();
    heading(out, "  # locals", lines.is_empty());
    out.push_str(&lines.concat());
}

fn of_global(global: &GlobalData) -> String {
    let value = name_of(global.value);
    if global.keys.is_empty() {
        return format!("{}:{value}", global.name);
    }
    let keys: Vec<&str> = global.keys.iter().map(|ty| name_of(*ty)).collect();
    let wrap = if global.wrap { "%" } else { "" };
    format!(
        "{}{wrap}[{}]:{value} [{}]",
        global.name,
        global.max_entries,
        keys.join(", ")
    )
}

fn name_of(ty: Ty) -> &'static str {
    match ty {
        Ty::Long => "long",
        Ty::Str => "string",
        Ty::Stat => "stats",
        Ty::Unknown | Ty::Void | Ty::Error => "unknown",
    }
}
