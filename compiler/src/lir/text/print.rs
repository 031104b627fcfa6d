//! Modules and functions as text.

use std::fmt::{Display, Write};

use rtap_grammar::source::Span;

use super::names::{CHANNEL, CONV, CORE, ERROR, FLAG, word};
use super::points;
use super::print_op::{list, op};
use crate::lir::*;

/// The text of a module.
pub(super) fn module(module: &Module, spans: bool) -> String {
    let mut out = String::new();
    limits(&mut out, &module.limits);
    for (id, data) in &module.globals {
        global(&mut out, id, data);
    }
    for (id, text) in &module.strings {
        let _ = writeln!(out, "{id} = {}", quote(text));
    }
    for (id, data) in &module.formats {
        format(&mut out, id, data);
    }
    for (id, site) in &module.sites {
        let near = quote(site.near.as_bytes());
        let position = quote(site.position.as_bytes());
        let kind = match site.kind {
            ErrorKind::ArrayOverflow {
                max_entries,
                declared,
            } => {
                let default = if declared { "" } else { " default" };
                format!("array_overflow {max_entries}{default}")
            }
            kind => word(ERROR, &kind).to_owned(),
        };
        let _ = write!(out, "{id} = {kind} near {near} at {position}");
        if let Some(caller) = site.caller {
            let _ = write!(out, " from {caller}");
        }
        out.push('\n');
    }
    for (id, core) in &module.core {
        let kind = word(CORE, &core.kind);
        let name = quote(core.type_name.as_bytes());
        let _ = write!(out, "{id} = {kind} {name} {}", core.type_id);
        if let Some(module) = &core.module {
            let _ = write!(out, " module {}", quote(module.as_bytes()));
        }
        let access = quote(core.access.as_bytes());
        let _ = writeln!(out, " {access} = {}", core.value);
    }
    for (id, text) in &module.regexes {
        let _ = writeln!(out, "{id} = {}", quote(text));
    }
    for (id, texts) in &module.tables {
        let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
        let _ = writeln!(out, "{id} = {}", texts.join(" "));
    }
    for (id, data) in &module.handlers {
        handler(&mut out, id, data);
    }
    for (id, data) in &module.functions {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = write!(out, "{id} ");
        function(&mut out, data, spans);
    }
    out
}

fn limits(out: &mut String, limits: &Limits) {
    let now = super::parse_table::limit_fields(&mut limits.clone()).map(|(name, n)| (name, *n));
    let default =
        super::parse_table::limit_fields(&mut Limits::default()).map(|(name, n)| (name, *n));
    let changed: Vec<_> = now
        .iter()
        .filter(|field| !default.contains(field))
        .collect();
    if !changed.is_empty() {
        out.push_str("limits");
        for (name, n) in changed {
            let _ = write!(out, " {name}={n}");
        }
        out.push('\n');
    }
}

fn global(out: &mut String, id: Global, data: &GlobalData) {
    let _ = write!(out, "{id} = global {} ", quote(data.name.as_bytes()));
    match &data.kind {
        GlobalKind::Scalar { ty, init } => {
            let _ = write!(out, "{ty} = ");
            match init {
                Init::Int(n) => {
                    let _ = write!(out, "{n}");
                }
                Init::Str(text) => out.push_str(&quote(text)),
            }
        }
        GlobalKind::Stat(layout) => stat(out, layout),
        GlobalKind::Array {
            keys,
            value,
            max_entries,
            wrap,
        } => {
            out.push_str("array [");
            list(out, keys);
            out.push_str("] -> ");
            match value {
                ElementKind::Plain(ty) => {
                    let _ = write!(out, "{ty}");
                }
                ElementKind::Stat(layout) => stat(out, layout),
            }
            let _ = write!(out, " max {max_entries}");
            if *wrap {
                out.push_str(" wrap");
            }
        }
    }
    for (set, word) in [(data.shared, " shared"), (data.print_at_end, " print")] {
        if set {
            out.push_str(word);
        }
    }
    out.push('\n');
}

fn stat(out: &mut String, layout: &StatLayout) {
    let mut parts = vec!["count".to_owned()];
    for (kept, word) in [
        (layout.sum, "sum"),
        (layout.min, "min"),
        (layout.max, "max"),
        (layout.variance, "variance"),
    ] {
        if kept {
            parts.push(word.to_owned());
        }
    }
    for histogram in &layout.histograms {
        parts.push(match histogram {
            Histogram::Log => "log".to_owned(),
            Histogram::Linear { low, high, width } => format!("linear {low} {high} {width}"),
        });
    }
    let _ = write!(out, "stat {{{}}}", parts.join(" "));
}

fn format(out: &mut String, id: FormatId, data: &Format) {
    let _ = write!(out, "{id} = {}", word(CHANNEL, &data.channel));
    for piece in &data.pieces {
        match piece {
            Piece::Text(text) => {
                let _ = write!(out, " {}", quote(text));
            }
            Piece::Conv(conv) => {
                let flag = conv.flag.map_or("", |flag| word(FLAG, &flag));
                let _ = write!(out, " %{flag}");
                size(out, conv.width);
                if conv.precision != ConvSize::None {
                    out.push('.');
                    size(out, conv.precision);
                }
                out.push_str(word(CONV, &conv.kind));
            }
            Piece::Call(name, args) => {
                let _ = write!(out, " call {} {args}", quote(name.0.as_bytes()));
            }
        }
    }
    out.push('\n');
}

fn size(out: &mut String, size: ConvSize) {
    match size {
        ConvSize::None => {}
        ConvSize::Fixed(n) => {
            let _ = write!(out, "{n}");
        }
        ConvSize::Arg => out.push('*'),
    }
}

fn handler(out: &mut String, id: HandlerId, data: &Handler) {
    let exec = match data.exec {
        Exec::Kernel => "kernel",
        Exec::User => "user",
    };
    let context = match data.context {
        Context::None => "none".to_owned(),
        Context::RawTracepoint => "raw_tracepoint".to_owned(),
        Context::BtfTracepoint => "btf_tracepoint".to_owned(),
        Context::RawSyscall { is_return: false } => "raw_syscall.enter".to_owned(),
        Context::RawSyscall { is_return: true } => "raw_syscall.exit".to_owned(),
        Context::Fentry => "fentry".to_owned(),
        Context::Fexit { args } => format!("fexit.{args}"),
        Context::Regs => "regs".to_owned(),
        Context::PerfEvent => "perf_event".to_owned(),
    };
    let early = if data.early { " early" } else { "" };
    let name = quote(data.name.as_bytes());
    let _ = writeln!(out, "{id} = {exec}{early} {context} {} {name}", data.func);
    for point in &data.points {
        points::print(out, point);
    }
}

/// Appends the text of a function, without its number.
pub(super) fn function(out: &mut String, data: &Function, spans: bool) {
    let _ = write!(out, "{}(", quote(data.name.as_bytes()));
    list(out, &data.params);
    out.push(')');
    if let Some(ret) = data.ret {
        let _ = write!(out, " -> {ret}");
    }
    out.push_str(" {");
    span(out, data.span, spans);
    out.push('\n');
    for (id, block) in &data.blocks {
        block_head(out, data, id, block);
        for inst in &block.insts {
            out.push_str("    ");
            if let Some(result) = inst.result {
                let _ = write!(out, "{result}: {} = ", data.ty(result));
            }
            op(out, &inst.op);
            span(out, inst.span, spans);
            out.push('\n');
        }
        out.push_str("    ");
        terminator(out, &block.term);
        span(out, block.term_span, spans);
        out.push('\n');
    }
    out.push_str("}\n");
}

fn block_head(out: &mut String, function: &Function, id: Block, block: &BlockData) {
    let _ = write!(out, "{id}");
    if !block.params.is_empty() {
        out.push('(');
        let params = block.params.iter();
        list(out, params.map(|v| format!("{v}: {}", function.ty(*v))));
        out.push(')');
    }
    if let Some(site) = block.loop_head {
        let _ = write!(out, " loop !{site}");
    }
    out.push_str(":\n");
}

fn terminator(out: &mut String, term: &Terminator) {
    // Writing to a String cannot fail.
    let _ = match term {
        Terminator::Jump(to) => write!(out, "jump {}", Jump(to)),
        Terminator::Branch(value, yes, no) => {
            write!(out, "branch {value}, {}, {}", Jump(yes), Jump(no))
        }
        Terminator::Switch {
            value,
            cases,
            default,
        } => {
            let _ = write!(out, "switch {value}");
            for (n, to) in cases {
                let _ = write!(out, ", {n}: {}", Jump(to));
            }
            write!(out, ", else {}", Jump(default))
        }
        Terminator::Return(None) => write!(out, "return"),
        Terminator::Return(Some(value)) => write!(out, "return {value}"),
        Terminator::Raise { site, arg } => write!(out, "raise {site}, {arg}"),
        Terminator::Try {
            op: tried,
            result,
            ok,
            catch,
        } => {
            out.push_str("try ");
            if let Some(ty) = result {
                let _ = write!(out, "{ty} = ");
            }
            op(out, tried);
            write!(out, ", {}, {}", Jump(ok), Jump(catch))
        }
        Terminator::IterNext {
            iter,
            body,
            with_value,
            done,
        } => {
            let value = if *with_value { ".value" } else { "" };
            write!(
                out,
                "iter.next{value} {iter}, {}, {}",
                Jump(body),
                Jump(done)
            )
        }
        Terminator::Unreachable => write!(out, "unreachable"),
    };
}

struct Jump<'a>(&'a BlockCall);

impl Display for Jump<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut args = String::new();
        list(&mut args, &self.0.args);
        write!(f, "{}({args})", self.0.block)
    }
}

fn span(out: &mut String, span: Span, spans: bool) {
    if spans && !span.is_none() {
        let _ = write!(out, " @{}:{}-{}", span.file.0, span.start, span.end);
    }
}

/// A quoted string: printable ASCII as it is, the rest escaped.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

impl Display for Ty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ty::I64 => f.write_str("i64"),
            Ty::Str { cap, late: false } => write!(f, "str<{cap}>"),
            Ty::Str { cap, late: true } => write!(f, "late<{cap}>"),
        }
    }
}
