//! A module made ready to run: formats cooked, expressions compiled, late strings numbered,
//! names looked up once.

use std::collections::HashMap;

use cranelift_entity::{EntityRef, SecondaryMap};
use rtap_compiler::image::{Field, Layout, RecordLayout, width_bytes};
use rtap_compiler::lir::cfg::{call_groups, for_each_callee};
use rtap_compiler::lir::{
    FormatId, Func, Function, Module, Op, Terminator, Ty, UserFn, Value as Reg,
};
use thiserror::Error;

use super::regex::Regex;
use crate::userfn::{self, UserFnRow};
use crate::values::{Cooked, Renderer};

/// Why an image cannot be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProgramError {
    /// It is from a newer rtap.
    #[error(
        "the image needs the function `{0}`, which this rtap does not have; build it again with this one"
    )]
    UnknownFunction(String),
    /// A pattern was not checked when it was compiled.
    #[error("the regular expression \"{pattern}\": {message}")]
    Regex {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        message: String,
    },
}

/// A module ready to run.
#[derive(Debug)]
pub struct Program<'m> {
    /// The module.
    pub module: &'m Module,
    /// Formats, by [`FormatId`].
    pub formats: Vec<Cooked>,
    /// Layouts of records and late strings: the image's, then those that only user space
    /// makes.
    pub records: Vec<RecordLayout>,
    /// The number of each layout of a late string.
    late: HashMap<(FormatId, Vec<Field>), u32>,
    /// Functions of user space that are called.
    functions: HashMap<String, &'static UserFnRow>,
    /// Compiled expressions.
    pub(super) regexes: Vec<Regex>,
    /// The group of functions that each function recurses with, by number.
    pub(super) groups: SecondaryMap<Func, Option<u32>>,
}

impl<'m> Program<'m> {
    /// Makes a module ready. `layout` is that of its image; a default one will do for
    /// modules without kernel handlers.
    pub fn new(module: &'m Module, layout: &Layout) -> Result<Program<'m>, ProgramError> {
        let formats = module
            .formats
            .values()
            .map(Cooked::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(ProgramError::UnknownFunction)?;
        let mut room = Regex::MOST_BYTES;
        let regexes = module
            .regexes
            .values()
            .map(|pattern| {
                Regex::within(&mut room, pattern).map_err(|message| ProgramError::Regex {
                    pattern: pattern.to_string(),
                    message,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut records = layout.records.clone();
        if records.is_empty() {
            // Number 0 is never used.
            records.push(RecordLayout {
                format: FormatId::from_u32(0),
                fields: Vec::new(),
            });
        }
        let mut program = Program {
            module,
            formats,
            late: HashMap::new(),
            records,
            functions: HashMap::new(),
            regexes,
            groups: groups(module),
        };
        for (number, record) in program.records.iter().enumerate().skip(1) {
            let key = (record.format, record.fields.clone());
            program.late.entry(key).or_insert(number as u32);
        }
        for function in module.functions.values() {
            for block in function.blocks.values() {
                for inst in &block.insts {
                    program.prepare(function, &inst.op)?;
                }
                if let Terminator::Try { op, .. } = &block.term {
                    program.prepare(function, op)?;
                }
            }
        }
        Ok(program)
    }

    /// Looks up what an operation needs.
    fn prepare(&mut self, function: &Function, op: &Op) -> Result<(), ProgramError> {
        match op {
            // One of nothing is the record of zeros.
            Op::StrLate(format, _)
                if self
                    .module
                    .formats
                    .get(*format)
                    .is_some_and(|f| f.pieces.is_empty()) => {}
            Op::StrHist(format, global, _, which, _) => {
                let layout = self.module.globals.get(*global);
                let layout = layout.and_then(|global| super::stat_layout(&global.kind));
                let histogram = layout.and_then(|stat| stat.histograms.get(usize::from(*which)));
                let buckets = histogram.map_or(0, |histogram| histogram.buckets());
                self.number_late(*format, vec![Field::Int; buckets]);
            }
            Op::StrLate(format, args) => {
                self.number_late(*format, late_fields(function, args));
            }
            Op::User(name, ..) => {
                let row = userfn::find(&name.0)
                    .ok_or_else(|| ProgramError::UnknownFunction(name.0.clone()))?;
                self.functions.insert(name.0.clone(), row);
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives a layout of a late string its number.
    fn number_late(&mut self, format: FormatId, fields: Vec<Field>) {
        let next = self.records.len() as u32;
        let records = &mut self.records;
        self.late
            .entry((format, fields))
            .or_insert_with_key(|(format, fields)| {
                records.push(RecordLayout {
                    format: *format,
                    fields: fields.clone(),
                });
                next
            });
    }

    /// What rendering needs.
    pub fn renderer(&self) -> Renderer<'_> {
        Renderer {
            formats: &self.formats,
            records: &self.records,
            most_text_bytes: self.module.limits.max_string_len.saturating_sub(1) as usize,
        }
    }

    /// The number of the record that `str.late` makes of these operands.
    pub(super) fn late_number(&self, format: FormatId, fields: Vec<Field>) -> u32 {
        self.late.get(&(format, fields)).copied().unwrap_or(0)
    }

    /// A function of user space that the module calls.
    pub(super) fn function(&self, name: &UserFn) -> Option<&'static UserFnRow> {
        self.functions.get(&name.0).copied()
    }

    /// A format, if there is such a one.
    pub(super) fn format(&self, id: FormatId) -> Option<&Cooked> {
        self.formats.get(id.index())
    }
}

/// How the operands of a `str.late` are laid out.
pub(super) fn late_fields(function: &Function, args: &[Reg]) -> Vec<Field> {
    args.iter()
        .map(|arg| match function.ty(*arg) {
            Ty::I64 => Field::Int,
            ty @ Ty::Str { late, .. } => Field::Fixed {
                width: width_bytes(ty),
                late,
            },
        })
        .collect()
}

/// The groups of functions that can come to call themselves.
fn groups(module: &Module) -> SecondaryMap<Func, Option<u32>> {
    let mut groups = SecondaryMap::new();
    for (number, group) in call_groups(module).into_iter().enumerate() {
        let mut recurses = group.len() > 1;
        for id in &group {
            if let Some(function) = module.functions.get(*id) {
                for_each_callee(function, |callee| recurses |= callee == *id);
            }
        }
        for id in group.into_iter().filter(|_| recurses) {
            groups[id] = Some(number as u32);
        }
    }
    groups
}
