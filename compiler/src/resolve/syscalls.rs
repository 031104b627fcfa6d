//! System calls: `syscall.NAME`, `syscall.NAME.return` and their other spellings, out of the
//! table in the tapset library (`docs/tapset-syscalls.md`).
//!
//! An alias is not kept for each call: the prologue of a call is written when a probe asks
//! for it, with just those variables that the probe mentions. Calls that the table does not
//! describe take names and types from the target's list.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;
use rustc_hash::FxHashSet;

use super::Cx;
use super::mentions::Mentions;
use super::points::{Chain, Expanded, Layer, names_match};
use crate::probes::{Component, syscall};

/// First components that mean system calls; the same thing all of them.
const PREFIXES: &[&str] = &[
    "syscall",
    "nd_syscall",
    "dw_syscall",
    "tp_syscall",
    "nd1_syscall",
    "nd2_syscall",
];

/// Up to this many system calls of a probe have their names as constants, which can be
/// compared at no cost; the names of more are told by the number, in user space.
const FEW_NAMES: usize = 4;

/// A line of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    /// What scripts call it.
    name: String,
    /// What the kernel's headers call it.
    kernel: String,
    args: Vec<Arg>,
    /// `return_str`'s format; 0 for calls that do not return.
    ret: u8,
    /// Further variables with their expressions.
    more: Vec<(String, String)>,
}

/// An argument of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Arg {
    /// The variable; empty for one that is passed but not shown.
    var: String,
    /// The variable that has it as text, for decoded kinds.
    text: String,
    /// The kernel's name for it.
    param: String,
    kind: String,
    /// Further arguments of the decoder.
    with: Vec<String>,
}

/// A system call of a probe point.
pub(super) struct SyscallUse {
    line: Line,
    number: u32,
    prefix: String,
    is_return: bool,
    /// Types of the decoded kinds: `int`, `uint`, `long`, `ulong`, `ptr`.
    kinds: Rc<Vec<(&'static str, &'static str)>>,
    /// The point.
    span: Span,
    prologue: OnceCell<(BTreeSet<String>, usize, String)>,
}

impl Cx<'_> {
    /// The system calls that a point names, and how many of its components they take.
    /// `None` if it is about something else; reports a call that does not exist.
    pub(super) fn matching_syscalls(
        &mut self,
        components: &[Component],
        span: Span,
    ) -> Option<(Vec<SyscallUse>, usize)> {
        let [prefix, name, rest @ ..] = components else {
            return None;
        };
        if !PREFIXES.contains(&&*prefix.name) || prefix.arg.is_some() || name.arg.is_some() {
            return None;
        }
        let is_return = rest
            .first()
            .is_some_and(|c| &*c.name == "return" && c.arg.is_none());
        let used = 2 + usize::from(is_return);
        let table = self.session.target.syscalls();
        let pattern = std::slice::from_ref(name);
        let mut found: Vec<(Line, u32)> = Vec::new();
        let lines: Vec<&str> = lines().collect();
        for line in &lines {
            let names = line.split_whitespace().next().unwrap_or_default();
            let (script, kernel) = names.split_once('/').unwrap_or((names, names));
            let hit = names_match(pattern, &[script]) || names_match(pattern, &[kernel]);
            let Some(call) = table.by_name(kernel).filter(|call| hit && call.implemented) else {
                continue;
            };
            if let Some(line) = parse_line(line)
                && !(is_return && line.ret == 0)
            {
                found.push((line, call.number));
            }
        }
        // An exact name means the line of that name rather than one for that call.
        if !name.name.contains('*') && found.iter().any(|(line, _)| line.name == *name.name) {
            found.retain(|(line, _)| line.name == *name.name);
        }
        found.sort_by_key(|(_, number)| *number);
        if found.is_empty() {
            self.unknown_syscall(&name.name, span);
        }
        let kinds = Rc::new(kinds());
        let uses = found.into_iter().map(|(line, number)| SyscallUse {
            line,
            number,
            prefix: prefix.name.to_string(),
            is_return,
            kinds: Rc::clone(&kinds),
            span,
            prologue: OnceCell::new(),
        });
        Some((uses.collect(), used))
    }

    fn unknown_syscall(&mut self, name: &str, span: Span) {
        let table = self.session.target.syscalls();
        let known: Vec<String> = lines()
            .filter_map(|line| line.split_whitespace().next())
            .flat_map(|names| names.split('/'))
            .chain(table.iter().map(|call| call.name.as_str()))
            .map(str::to_owned)
            .collect();
        let exists = known.iter().any(|other| other == name);
        let diag = Diagnostic::error(
            codes::NO_SYSCALL,
            format!("there is no system call '{name}'"),
        )
        .label(
            span,
            if exists {
                "not on this kernel"
            } else {
                "unknown"
            },
        );
        let near = did_you_mean(name, known.iter().map(String::as_str));
        self.report(diag.help(match near {
            _ if exists => "'?' behind the point goes on without it".to_owned(),
            Some(near) => near,
            None => "'rtap list \"syscall.*\"' shows them".to_owned(),
        }));
    }

    /// Adds the point of a system call.
    pub(super) fn syscall_point(
        &mut self,
        call: SyscallUse,
        mut chain: Chain,
        span: Span,
        out: &mut Vec<Expanded>,
    ) {
        let text = format!(
            "{}.{}{}",
            call.prefix,
            call.line.name,
            if call.is_return { ".return" } else { "" }
        );
        chain.note(&text);
        let params = call.line.args.iter().map(|arg| arg.param.clone()).collect();
        let candidate = syscall::candidate(
            self.session,
            syscall::Call {
                text,
                name: call.line.kernel.clone(),
                number: call.number,
                params,
                is_return: call.is_return,
            },
        );
        match candidate {
            Ok(candidate) => {
                out.push(chain.arrive(candidate, Some(Layer::Syscall(Rc::new(call)))));
            }
            Err(diag) => {
                let diag = diag.label(span, "this probe point");
                self.report(diag);
            }
        }
    }

    /// Parses a prologue.
    pub(super) fn syscall_prologue(&mut self, text: &str, call: &SyscallUse) -> Option<ast::Block> {
        if text.is_empty() {
            return None;
        }
        let name = format!("tapset/syscalls.table:{}", call.line.name);
        let id = self
            .files
            .add(name, format!("probe never {{\n{text}}}\n"), true);
        let (file, diags) = self.loader.parse(self.files, id);
        self.diags.extend(diags);
        let body = file.items.into_iter().find_map(|item| match item {
            ast::Item::Probe(probe) => Some(probe.body),
            _ => None,
        })?;
        self.blame(body.span, call.span);
        Some(body)
    }
}

impl SyscallUse {
    /// The prologue with the variables that are mentioned, as text, for a probe of so many
    /// points.
    pub(super) fn prologue(&self, wanted: &Mentions, points: usize) -> String {
        let provided = self.provided();
        let names: BTreeSet<String> = provided
            .into_iter()
            .filter(|name| wanted.names.contains(name.as_str()))
            .collect();
        let cached = self.prologue.get_or_init(|| {
            let text = self.keep_apart(&self.write(&names, points), &names, points);
            (names.clone(), points, text)
        });
        if cached.0 == names && cached.1 == points {
            cached.2.clone()
        } else {
            self.keep_apart(&self.write(&names, points), &names, points)
        }
    }

    /// Gives the variables that only the prologue itself uses names of their own, where a probe is
    /// for several calls: `key` is a number in one of them and a string in another.
    fn keep_apart(&self, text: &str, mentioned: &BTreeSet<String>, points: usize) -> String {
        if points < 2 {
            return text.to_owned();
        }
        let own: BTreeSet<String> = self
            .provided()
            .into_iter()
            .filter(|var| !mentioned.contains(var))
            .collect();
        let mut out = String::with_capacity(text.len() * 2);
        // Every second part is a literal; literals of prologues hold no escaped quotes.
        for (number, part) in text.split('"').enumerate() {
            if number > 0 {
                out.push('"');
            }
            if number % 2 == 1 {
                out.push_str(part);
            } else {
                self.rename(part, &own, &mut out);
            }
        }
        out
    }

    /// Appends a text with the call's name after each of the variables.
    fn rename(&self, text: &str, variables: &BTreeSet<String>, out: &mut String) {
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            let (before, word) = rest.split_at(start);
            let end = word
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            out.push_str(before);
            out.push_str(word);
            if !before.ends_with('$') && variables.contains(word) {
                let _ = write!(out, "__{}", self.line.kernel);
            }
            rest = after;
        }
        out.push_str(rest);
    }

    /// All variables that the call's prologue can define.
    pub(super) fn provided(&self) -> Vec<String> {
        let mut all = vec!["name".to_owned()];
        if self.is_return {
            all.extend(["retval".to_owned(), "retstr".to_owned()]);
            return all;
        }
        all.push("argstr".to_owned());
        for arg in self.line.args.iter().filter(|arg| !arg.var.is_empty()) {
            all.push(arg.var.clone());
            if arg.kind == "str" {
                all.push(format!("{}_unquoted", arg.var));
                all.push(format!("{}_uaddr", arg.var));
            }
            if !arg.text.is_empty() {
                all.push(arg.text.clone());
            }
        }
        all.extend(self.line.more.iter().map(|(var, _)| var.clone()));
        let mut seen = FxHashSet::default();
        all.retain(|name| seen.insert(name.clone()));
        all
    }

    /// All variables with their types.
    pub(super) fn variables(&self) -> Vec<(String, &'static str)> {
        let is_text = |name: &str| {
            let further = self.line.more.iter().find(|(var, _)| var == name);
            let arg = self.line.args.iter().find(|arg| arg.var == name);
            match (further, arg) {
                (Some((_, expr)), _) => expr.starts_with('"') || expr.contains("_str"),
                (None, Some(arg)) => arg.kind == "str",
                (None, None) => name != "retval" && !name.ends_with("_uaddr"),
            }
        };
        let typed = |name: String| {
            let ty = if name == "argstr" || is_text(&name) {
                "string"
            } else {
                "long"
            };
            (name, ty)
        };
        self.provided().into_iter().map(typed).collect()
    }

    /// Writes the assignments for `names` and what they need.
    fn write(&self, names: &BTreeSet<String>, points: usize) -> String {
        let mut needed = names.clone();
        let mut text = String::new();
        if self.is_return {
            if needed.contains("retval") {
                text.push_str("retval = $return\n");
            }
            if needed.contains("retstr") {
                let _ = writeln!(
                    text,
                    "retstr = return_str({}, $return)",
                    self.line.ret.max(1)
                );
            }
        } else {
            // From what is shown back to what is read.
            let own_argstr = self.own_argstr();
            for arg in &self.line.args {
                if needed.contains("argstr") && !own_argstr && !arg.var.is_empty() {
                    needed.insert(arg.shown().to_owned());
                }
            }
            for (var, expr) in &self.line.more {
                if needed.contains(var) {
                    needed.extend(words(expr).map(str::to_owned));
                }
            }
            for arg in &self.line.args {
                if !arg.text.is_empty() && needed.contains(&arg.text) {
                    needed.insert(arg.var.clone());
                    needed.extend(arg.with.iter().cloned());
                }
            }
            self.write_args(&needed, &mut text);
        }
        if names.contains("name") {
            if points > FEW_NAMES {
                text.push_str("name = __syscall_name()\n");
            } else {
                let _ = writeln!(text, "name = \"{}\"", self.line.kernel);
            }
        }
        text
    }

    fn write_args(&self, needed: &BTreeSet<String>, text: &mut String) {
        let has = |name: &str| needed.contains(name);
        for (index, arg) in self.line.args.iter().enumerate() {
            let number = index + 1;
            let var = &arg.var;
            if var.is_empty() {
                continue;
            }
            if arg.kind == "str" {
                if has(var) {
                    let _ = writeln!(text, "{var} = user_string_quoted($arg{number})");
                }
                if has(&format!("{var}_unquoted")) {
                    let _ = writeln!(text, "{var}_unquoted = user_string($arg{number}, \"\")");
                }
                if has(&format!("{var}_uaddr")) {
                    let _ = writeln!(text, "{var}_uaddr = $arg{number}");
                }
            } else if has(var) {
                let value = match self.type_of(&arg.kind) {
                    "int" => format!("($arg{number} << 32) >> 32"),
                    "uint" | "octal" => format!("$arg{number} & 0xffffffff"),
                    _ => format!("$arg{number}"),
                };
                let _ = writeln!(text, "{var} = {value}");
            }
        }
        for arg in self
            .line
            .args
            .iter()
            .filter(|arg| !arg.text.is_empty() && has(&arg.text))
        {
            let mut values = vec![arg.var.as_str()];
            values.extend(arg.with.iter().map(String::as_str));
            let _ = writeln!(
                text,
                "{} = _{}_str({})",
                arg.text,
                arg.kind,
                values.join(", ")
            );
        }
        for (var, expr) in self.line.more.iter().filter(|(var, _)| has(var)) {
            let _ = writeln!(text, "{var} = {expr}");
        }
        if has("argstr") && !self.own_argstr() {
            let shown: Vec<&Arg> = self
                .line
                .args
                .iter()
                .filter(|arg| !arg.var.is_empty())
                .collect();
            let format: Vec<&str> = shown.iter().map(|arg| arg.conversion(self)).collect();
            if shown.is_empty() {
                text.push_str("argstr = \"\"\n");
            } else {
                let values: Vec<&str> = shown.iter().map(|arg| arg.shown()).collect();
                let _ = writeln!(
                    text,
                    "argstr = sprintf(\"{}\", {})",
                    format.join(", "),
                    values.join(", ")
                );
            }
        }
    }

    /// Whether the line itself says what `argstr` is.
    fn own_argstr(&self) -> bool {
        self.line.more.iter().any(|(var, _)| var == "argstr")
    }

    /// The built-in kind that a kind is taken as.
    fn type_of<'k>(&self, kind: &'k str) -> &'k str {
        self.kinds
            .iter()
            .find(|(name, _)| *name == kind)
            .map_or(kind, |(_, ty)| ty)
    }
}

impl Arg {
    /// The variable that `argstr` shows.
    fn shown(&self) -> &str {
        if self.text.is_empty() {
            &self.var
        } else {
            &self.text
        }
    }

    fn conversion(&self, call: &SyscallUse) -> &'static str {
        if self.kind == "str" || !self.text.is_empty() {
            return "%s";
        }
        match call.type_of(&self.kind) {
            "uint" | "ulong" => "%u",
            "hex" | "ptr" => "%#x",
            "octal" => "%#o",
            _ => "%d",
        }
    }
}

/// The table's lines for system calls.
fn lines() -> impl Iterator<Item = &'static str> {
    rtap_tapsets::SYSCALLS
        .lines()
        .filter(|line| !line.starts_with("kind "))
}

/// The table's kinds with their types.
fn kinds() -> Vec<(&'static str, &'static str)> {
    rtap_tapsets::SYSCALLS
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("kind ")?.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect()
}

const BUILT_IN: &[&str] = &["int", "uint", "long", "ulong", "hex", "ptr", "octal", "str"];

/// `NAME[/KERNEL] ARG... [-> RET] [where VAR=EXPR ...]`
fn parse_line(text: &str) -> Option<Line> {
    let mut words = text.split_whitespace();
    let names = words.next()?;
    let (name, kernel) = names.split_once('/').unwrap_or((names, names));
    let mut line = Line {
        name: name.to_owned(),
        kernel: kernel.to_owned(),
        ret: 1,
        ..Line::default()
    };
    while let Some(word) = words.next() {
        match word {
            "->" => {
                line.ret = match words.next()? {
                    "hex" => 2,
                    "octal" => 3,
                    "none" => 0,
                    _ => 1,
                }
            }
            "where" => {
                for word in words.by_ref() {
                    let (var, expr) = word.split_once('=')?;
                    line.more.push((var.to_owned(), expr.to_owned()));
                }
            }
            _ => line.args.push(parse_arg(word)?),
        }
    }
    Some(line)
}

/// `VAR[|TEXT][=PARAM]:KIND[(VAR,...)]` or `_[=PARAM]`
fn parse_arg(word: &str) -> Option<Arg> {
    let Some((left, kind)) = word.split_once(':') else {
        let param = word.split_once('=').map_or("", |(_, param)| param);
        return Some(Arg {
            param: param.to_owned(),
            ..Arg::default()
        });
    };
    let (var, param) = left
        .split_once('=')
        .map_or((left, None), |(var, param)| (var, Some(param)));
    let (var, text) = var
        .split_once('|')
        .map_or((var, None), |(var, text)| (var, Some(text)));
    let (kind, with) = match kind.split_once('(') {
        Some((kind, with)) => (
            kind,
            with.strip_suffix(')')?
                .split(',')
                .map(str::to_owned)
                .collect(),
        ),
        None => (kind, Vec::new()),
    };
    let text = match text {
        Some(text) => text.to_owned(),
        None if BUILT_IN.contains(&kind) => String::new(),
        None => format!("{}_str", var.strip_suffix("_uaddr").unwrap_or(var)),
    };
    Some(Arg {
        var: var.to_owned(),
        text,
        param: param.unwrap_or(var).to_owned(),
        kind: kind.to_owned(),
        with,
    })
}

/// The words of an expression.
fn words(expr: &str) -> impl Iterator<Item = &str> {
    expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let kinds = kinds();
        let mut seen = BTreeSet::new();
        for text in lines() {
            let line = parse_line(text).unwrap_or_else(|| panic!("{text}"));
            assert!(line.args.len() <= 6, "{text}");
            assert!(
                seen.insert((line.name.clone(), line.kernel.clone())),
                "{text} comes twice"
            );
            for arg in line.args.iter().filter(|arg| !arg.var.is_empty()) {
                let known = BUILT_IN.contains(&arg.kind.as_str())
                    || kinds.iter().any(|(name, _)| *name == arg.kind);
                assert!(known, "{text}: kind {}", arg.kind);
            }
        }
        let described: BTreeSet<&str> = seen.iter().map(|(_, kernel)| kernel.as_str()).collect();
        for call in crate::target::Arch::X86_64.syscall_table().iter() {
            assert!(
                !call.implemented || described.contains(call.name.as_str()),
                "{} has no line",
                call.name
            );
        }
    }

    #[test]
    fn variables_of_several_calls_are_kept_apart() {
        let call = SyscallUse {
            line: parse_line("sendto s=fd:int len:ulong").unwrap(),
            number: 44,
            prefix: "syscall".into(),
            is_return: false,
            kinds: Rc::new(kinds()),
            span: Span::NONE,
            prologue: OnceCell::new(),
        };
        let mentioned = BTreeSet::from(["argstr".to_owned()]);
        assert_eq!(
            call.keep_apart("argstr = sprintf(\"%s\", s, $s)", &mentioned, 2),
            "argstr = sprintf(\"%s\", s__sendto, $s)"
        );
    }

    #[test]
    fn only_what_is_mentioned_is_written() {
        let line = parse_line("openat dfd:dirfd filename:str flags:open_flags mode:octal").unwrap();
        let call = SyscallUse {
            line,
            number: 257,
            prefix: "syscall".into(),
            is_return: false,
            kinds: Rc::new(kinds()),
            span: Span::NONE,
            prologue: OnceCell::new(),
        };
        let text = |names: &[&str]| {
            let names = names.iter().map(|n| (*n).into()).collect();
            call.prologue(
                &Mentions {
                    names,
                    ..Mentions::default()
                },
                1,
            )
        };
        assert_eq!(text(&["x"]), "");
        assert_eq!(text(&["name"]), "name = \"openat\"\n");
        assert_eq!(text(&["mode"]), "mode = $arg4 & 0xffffffff\n");
        assert_eq!(
            text(&["argstr"]),
            "dfd = ($arg1 << 32) >> 32\nfilename = user_string_quoted($arg2)\n\
             flags = ($arg3 << 32) >> 32\nmode = $arg4 & 0xffffffff\ndfd_str = _dirfd_str(dfd)\n\
             flags_str = _open_flags_str(flags)\n\
             argstr = sprintf(\"%s, %s, %s, %#o\", dfd_str, filename, flags_str, mode)\n"
        );
    }
}
