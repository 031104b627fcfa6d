//! The line table of a unit: where the statements of each line begin.

use std::cmp::Reverse;

use super::DwarfError;
use super::functions::Function;
use super::unit::Unit;

/// A place where the code of a line begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Statement {
    pub address: u64,
    /// The file's number in its unit.
    pub file: u64,
    pub line: u64,
    /// The functions that it is in, as indexes: the outermost first, then those that are inlined there.
    pub within: Vec<usize>,
}

/// Functions inlined into one another go no deeper.
const MAX_DEPTH: usize = 64;

impl Unit<'_> {
    /// The statements, by address. Places of one line of one function without another line between them are one statement:
    /// its code goes on there.
    pub fn statements(&self, functions: &[Function]) -> Result<Vec<Statement>, DwarfError> {
        let Some(program) = self.unit.line_program.clone() else {
            return Ok(Vec::new());
        };
        let mut sequences: Vec<Vec<Statement>> = Vec::new();
        let mut open: Vec<Statement> = Vec::new();
        let mut rows = program.rows();
        while let Some((_, row)) = rows.next_row()? {
            self.budget.spend(1)?;
            if row.end_sequence() {
                sequences.push(std::mem::take(&mut open));
            } else if let (true, Some(line)) = (row.is_stmt(), row.line()) {
                open.push(Statement {
                    address: row.address(),
                    file: row.file_index(),
                    line: line.get(),
                    within: Vec::new(),
                });
            }
        }
        place(&mut sequences, functions);
        for sequence in &mut sequences {
            sequence.dedup_by(|later, first| {
                (later.file, later.line, &later.within) == (first.file, first.line, &first.within)
            });
        }
        let mut found = sequences.concat();
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// Says which functions statements are in. In each sequence addresses only grow.
fn place(sequences: &mut [Vec<Statement>], functions: &[Function]) {
    sequences.sort_by_key(|sequence| sequence.first().map(|statement| statement.address));
    let numbered = functions.iter().enumerate();
    let mut ranges: Vec<(u64, u64, usize)> = numbered
        .flat_map(|(index, function)| {
            let ranges = function.ranges.iter();
            ranges.map(move |range| (range.start, range.end, index))
        })
        .collect();
    // Functions are listed after those that they are inlined in.
    ranges.sort_by_key(|&(start, end, index)| (start, Reverse(end), index));
    let mut coming = ranges.into_iter().peekable();
    let mut open: Vec<(u64, usize)> = Vec::new();
    for statement in sequences.iter_mut().flatten() {
        let address = statement.address;
        while let Some((_, end, index)) = coming.next_if(|(start, ..)| *start <= address) {
            if end <= address {
                continue;
            }
            open.retain(|(end, _)| *end > address);
            if open.len() < MAX_DEPTH {
                open.push((end, index));
            }
        }
        open.retain(|(end, _)| *end > address);
        statement.within = open.iter().map(|(_, index)| *index).collect();
    }
}
