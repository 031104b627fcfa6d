//! Probe points, both directions: `point "text" function "f" module "m" KIND key=value …`.

use std::fmt::{Display, Write};

use super::cursor::{Cursor, Read};
use super::print::quote;
use crate::image::{
    Attach, DataAccess, DataPlace, KernelFunction, PerfPeriod, Point, ProcessScope,
};

/// Appends a point's line.
pub(super) fn print(out: &mut String, point: &Point) {
    let text = quote(point.text.as_bytes());
    let function = quote(point.function.as_bytes());
    let module = quote(point.module.as_bytes());
    let _ = write!(out, "    point {text} function {function} module {module} ");
    attach(out, &point.attach);
    if let Some(selector) = point.selector {
        let _ = write!(out, " selector={selector}");
    }
    if point.optional {
        out.push_str(" optional=1");
    }
    out.push('\n');
}

fn attach(out: &mut String, attach: &Attach) {
    match attach {
        Attach::Begin { priority } => kind(out, "begin", &[("priority", priority)]),
        Attach::End { priority } => kind(out, "end", &[("priority", priority)]),
        Attach::Error { priority } => kind(out, "error", &[("priority", priority)]),
        Attach::Never => kind(out, "never", &[]),
        Attach::Timer {
            period_ns,
            randomize_ns,
        } => kind(
            out,
            "timer",
            &[("period_ns", period_ns), ("randomize_ns", randomize_ns)],
        ),
        Attach::Profile { hz } => kind(out, "profile", &[("hz", hz)]),
        Attach::RawTracepoint { name } => {
            kind(out, "raw_tracepoint", &[("name", &quote(name.as_bytes()))]);
        }
        Attach::BtfTracepoint {
            name,
            module,
            btf_id,
        } => {
            let name = quote(name.as_bytes());
            kind(
                out,
                "btf_tracepoint",
                &[("name", &name), ("btf_id", btf_id)],
            );
            in_module(out, module.as_deref());
        }
        Attach::RawSyscall { is_return } => {
            kind(out, "raw_syscall", &[("return", &u8::from(*is_return))]);
        }
        Attach::Fentry(f) => {
            kind(out, "fentry", &[]);
            kernel_function(out, f);
        }
        Attach::Fexit(f) => {
            kind(out, "fexit", &[]);
            kernel_function(out, f);
        }
        Attach::Kprobe { function, offset } => {
            kind(out, "kprobe", &[("offset", offset)]);
            kernel_function(out, function);
        }
        Attach::Kretprobe {
            function,
            maxactive,
            save_entry,
        } => {
            let save = i64::from(*save_entry);
            kind(
                out,
                "kretprobe",
                &[("maxactive", maxactive), ("save_entry", &save)],
            );
            kernel_function(out, function);
        }
        Attach::Uprobe {
            path,
            offset,
            ref_ctr_offset,
            scope: whose,
        } => {
            let path = quote(path.as_bytes());
            let whose = scope(*whose);
            kind(
                out,
                "uprobe",
                &[
                    ("path", &path),
                    ("offset", offset),
                    ("ref_ctr_offset", ref_ctr_offset),
                    ("scope", &whose),
                ],
            );
        }
        Attach::Uretprobe {
            path,
            offset,
            scope: whose,
            save_entry,
        } => {
            let path = quote(path.as_bytes());
            let whose = scope(*whose);
            let save = i64::from(*save_entry);
            kind(
                out,
                "uretprobe",
                &[
                    ("path", &path),
                    ("offset", offset),
                    ("scope", &whose),
                    ("save_entry", &save),
                ],
            );
        }
        Attach::PerfEvent {
            kind: ty,
            config,
            period,
        } => {
            let (every, hz) = match period {
                PerfPeriod::Count(n) => (*n, 0),
                PerfPeriod::Hz(n) => (0, *n),
            };
            kind(
                out,
                "perf_event",
                &[
                    ("type", ty),
                    ("config", config),
                    ("every", &every),
                    ("hz", &hz),
                ],
            );
        }
        Attach::PerfCounter {
            name,
            number,
            kind: ty,
            config,
        } => {
            let name = quote(name.as_bytes());
            kind(
                out,
                "perf_counter",
                &[
                    ("name", &name),
                    ("number", number),
                    ("type", ty),
                    ("config", config),
                ],
            );
        }
        Attach::Breakpoint {
            place,
            access,
            length_bytes,
        } => {
            let writes_only = u8::from(*access == DataAccess::Write);
            let (name, address) = match place {
                DataPlace::Address(address) => ("", *address),
                DataPlace::Symbol(name) => (name.as_str(), 0),
            };
            kind(
                out,
                "breakpoint",
                &[
                    ("name", &quote(name.as_bytes())),
                    ("address", &address),
                    ("writes_only", &writes_only),
                    ("length", length_bytes),
                ],
            );
        }
    }
}

fn kind(out: &mut String, kind: &str, fields: &[(&str, &dyn Display)]) {
    out.push_str(kind);
    for (key, value) in fields {
        let _ = write!(out, " {key}={value}");
    }
}

fn in_module(out: &mut String, module: Option<&str>) {
    if let Some(module) = module {
        let _ = write!(out, " in={}", quote(module.as_bytes()));
    }
}

fn kernel_function(out: &mut String, function: &KernelFunction) {
    let KernelFunction {
        name,
        module,
        btf_id,
        address,
    } = function;
    let _ = write!(out, " name={}", quote(name.as_bytes()));
    in_module(out, module.as_deref());
    let _ = write!(out, " btf_id={btf_id} address={address}");
}

fn scope(scope: ProcessScope) -> String {
    match scope {
        ProcessScope::All => "\"all\"".to_owned(),
        ProcessScope::Target => "\"target\"".to_owned(),
        ProcessScope::Pid(pid) => format!("\"{pid}\""),
    }
}

/// The `key=value` pairs of a point.
#[derive(Default)]
struct Fields {
    numbers: Vec<(String, i128)>,
    texts: Vec<(String, String)>,
}

impl Fields {
    fn number<T: TryFrom<i128> + Default>(&self, key: &str) -> T {
        let found = self.numbers.iter().find(|(k, _)| k == key);
        let value = found.and_then(|(_, n)| T::try_from(*n).ok());
        value.unwrap_or_default()
    }

    fn text(&self, key: &str) -> Option<String> {
        let found = self.texts.iter().find(|(k, _)| k == key);
        found.map(|(_, text)| text.clone())
    }

    fn name(&self) -> String {
        self.text("name").unwrap_or_default()
    }

    fn kernel_function(&self) -> KernelFunction {
        KernelFunction {
            name: self.name(),
            module: self.text("in"),
            btf_id: self.number("btf_id"),
            address: self.number("address"),
        }
    }

    fn scope(&self) -> Option<ProcessScope> {
        match self.text("scope").as_deref() {
            None | Some("all") => Some(ProcessScope::All),
            Some("target") => Some(ProcessScope::Target),
            Some(pid) => Some(ProcessScope::Pid(pid.parse().ok()?)),
        }
    }
}

/// Reads a point's line; a field that is not given is 0 or empty.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Read<Point> {
    cursor.expect("point")?;
    let text = cursor.quoted_text()?;
    cursor.expect("function")?;
    let function = cursor.quoted_text()?;
    cursor.expect("module")?;
    let module = cursor.quoted_text()?;
    let start = cursor.clone();
    let kind = cursor.word("a mechanism")?;
    let mut fields = Fields::default();
    while !cursor.at_end() {
        let key = cursor.word("a field")?.to_owned();
        cursor.expect("=")?;
        let quoted = cursor.clone().quoted().is_ok();
        if quoted {
            fields.texts.push((key, cursor.quoted_text()?));
        } else {
            fields.numbers.push((key, cursor.number()?));
        }
    }
    let Some(attach) = make_attach(kind, &fields) else {
        return start.error("a mechanism");
    };
    let selector = fields.numbers.iter().any(|(k, _)| k == "selector");
    Ok(Point {
        text,
        function,
        module,
        attach,
        selector: selector.then(|| fields.number("selector")),
        optional: fields.number::<u8>("optional") != 0,
    })
}

fn make_attach(kind: &str, fields: &Fields) -> Option<Attach> {
    Some(match kind {
        "begin" => Attach::Begin {
            priority: fields.number("priority"),
        },
        "end" => Attach::End {
            priority: fields.number("priority"),
        },
        "error" => Attach::Error {
            priority: fields.number("priority"),
        },
        "never" => Attach::Never,
        "timer" => Attach::Timer {
            period_ns: fields.number("period_ns"),
            randomize_ns: fields.number("randomize_ns"),
        },
        "profile" => Attach::Profile {
            hz: fields.number("hz"),
        },
        "raw_tracepoint" => Attach::RawTracepoint {
            name: fields.name(),
        },
        "btf_tracepoint" => Attach::BtfTracepoint {
            name: fields.name(),
            module: fields.text("in"),
            btf_id: fields.number("btf_id"),
        },
        "raw_syscall" => Attach::RawSyscall {
            is_return: fields.number::<u8>("return") != 0,
        },
        "fentry" => Attach::Fentry(fields.kernel_function()),
        "fexit" => Attach::Fexit(fields.kernel_function()),
        "kprobe" => Attach::Kprobe {
            function: fields.kernel_function(),
            offset: fields.number("offset"),
        },
        "kretprobe" => Attach::Kretprobe {
            function: fields.kernel_function(),
            maxactive: fields.number("maxactive"),
            save_entry: fields.number::<u8>("save_entry") != 0,
        },
        "uprobe" => Attach::Uprobe {
            path: fields.text("path")?,
            offset: fields.number("offset"),
            ref_ctr_offset: fields.number("ref_ctr_offset"),
            scope: fields.scope()?,
        },
        "uretprobe" => Attach::Uretprobe {
            path: fields.text("path")?,
            offset: fields.number("offset"),
            scope: fields.scope()?,
            save_entry: fields.number::<u8>("save_entry") != 0,
        },
        "perf_event" => Attach::PerfEvent {
            kind: fields.number("type"),
            config: fields.number("config"),
            period: match fields.number("hz") {
                0 => PerfPeriod::Count(fields.number("every")),
                hz => PerfPeriod::Hz(hz),
            },
        },
        "perf_counter" => Attach::PerfCounter {
            name: fields.text("name")?,
            number: fields.number("number"),
            kind: fields.number("type"),
            config: fields.number("config"),
        },
        "breakpoint" => Attach::Breakpoint {
            place: match fields.name() {
                name if name.is_empty() => DataPlace::Address(fields.number("address")),
                name => DataPlace::Symbol(name),
            },
            access: match fields.number::<u8>("writes_only") {
                0 => DataAccess::ReadWrite,
                _ => DataAccess::Write,
            },
            length_bytes: fields.number("length"),
        },
        _ => return None,
    })
}
