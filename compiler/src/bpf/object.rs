//! What code generation gives: programs, each with the subprograms that it calls.

use std::fmt::Write as _;

use rtap_grammar::source::Span;

use super::disasm;
use super::encode::Code;
use super::insn::{Insn, MapId, Reg};
use super::plan::Plan;
use crate::lir::CoreId;

/// What a function is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// The scratch frame's index; if it is a program's entry, the context.
    Index,
    /// The same, and which of its bodies is to run.
    IndexAndNumber,
    /// An element of a map: the kernel calls it for each.
    Element,
}

/// One function's code.
#[derive(Clone, Debug)]
pub struct FunctionCode {
    /// Its symbol.
    pub symbol: String,
    /// What it is called with.
    pub arguments: Arguments,
    /// Instructions.
    pub insns: Vec<Insn<Reg>>,
    /// The same, encoded.
    pub code: Code,
    /// From which instruction on which script text is executed.
    pub lines: Vec<(usize, Span)>,
    /// Instructions with kernel facts that the loader relocates.
    pub cores: Vec<(usize, CoreId)>,
}

/// One program: its functions call each other by their numbers.
#[derive(Clone, Debug)]
pub struct ProgramCode {
    /// ELF section of its entry.
    pub section: String,
    /// Its entry, function number 0, and the subprograms behind it. A subprogram is a *global* function
    /// in the verifier's sense: verified once, by itself, with nothing known of its arguments.
    pub functions: Vec<FunctionCode>,
    /// Whether functions are in it once though several places call them, and loops go round by one hub (`hub`).
    pub is_flat: bool,
}

impl ProgramCode {
    /// Its functions with the sections that they go to.
    fn functions(&self) -> impl Iterator<Item = (&str, &FunctionCode)> {
        let sections = [self.section.as_str()].into_iter();
        let sections = sections.chain(std::iter::repeat(SUBPROGRAMS_SECTION));
        sections.zip(&self.functions)
    }
}

/// Everything that the ELF writer needs.
#[derive(Debug)]
pub struct Object {
    /// Maps and data.
    pub plan: Plan,
    /// Programs.
    pub programs: Vec<ProgramCode>,
}

impl disasm::Names for Plan {
    fn map(&self, map: MapId) -> String {
        self.maps
            .get(map.0 as usize)
            .map_or_else(|| format!("map{}", map.0), |map| map.name.clone())
    }

    fn subprogram(&self, func: u32) -> String {
        format!("f{func}")
    }
}

impl Object {
    /// All functions with the sections that they go to.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &FunctionCode)> {
        self.programs.iter().flat_map(ProgramCode::functions)
    }

    /// All programs as text; those that are flat say so.
    pub fn disassemble(&self) -> String {
        let mut text = String::new();
        for program in &self.programs {
            let flat = if program.is_flat { ", flat" } else { "" };
            for (section, function) in program.functions() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{} ({section}{flat}):", function.symbol);
                text += &disasm::disassemble(&function.insns, &self.plan);
                text.push('\n');
            }
        }
        text
    }
}

/// Where subprograms are: loaders take every function of the other sections for a program.
pub const SUBPROGRAMS_SECTION: &str = ".text";
