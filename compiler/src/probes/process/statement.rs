//! `.statement("f@file:line")`, `.statement("f+0x12")`, `.statement(address)`: instructions of programs and libraries, by uprobe.
//!
//! Lines are found by debug information. With `.nearest` a line without code means the nearest one that has some.

use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::source::{self, Wanted};
use super::super::{Candidate, Request};
use super::function::{self, Common, Point, Where, candidate};
use super::source as of_source;
use super::subject::Subject;
use crate::dwarf::Code;
use crate::target::{Binary, BinaryFunction};

/// The instructions that a point means.
pub(super) fn resolve(
    request: &Request<'_>,
    subject: &Subject,
    binary: &Arc<Binary>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let points = match (request.number("statement"), request.text("statement")) {
        (None, Some(written)) => {
            let place = source::Place::parse(written, request.span)?;
            if place.file.is_some() {
                let info = of_source::read(request, binary)?;
                of_source::find(request, binary, &info, &place, Wanted::Statements)?
            } else {
                by_name(request, binary, place.function)?
            }
        }
        (address, _) => vec![at_address(
            request,
            binary,
            address.unwrap_or_default() as u64,
        )?],
    };
    let common = Common {
        binary: Arc::clone(binary),
        component: "statement",
        scope: subject.scope,
        condition: subject.condition(true),
    };
    let place = |point: &Point| {
        let address = point.function.address;
        match binary.function_at(address) {
            Some(function) if function.address == address => Where::Entry,
            _ => Where::Inside,
        }
    };
    let points = points.iter();
    Ok(points
        .map(|point| candidate(&common, point, place(point)))
        .collect())
}

/// `f`, `f+0x12`.
fn by_name(
    request: &Request<'_>,
    binary: &Binary,
    written: &str,
) -> Result<Vec<Point>, Box<Diagnostic>> {
    let (name, within) = written.split_once('+').unwrap_or((written, "0"));
    let Some(within) = source::offset(within) else {
        let help = "write statement(\"f+0x12\"), or statement(\"f@file.c:12\") for a line";
        return Err(source::no_instruction(written, help, request.span));
    };
    let found = function::functions(binary.functions(), name);
    if found.is_empty() {
        return Err(Box::new(function::missing(request, binary, name)));
    }
    let short = found.iter().find(|f| within != 0 && within >= f.size);
    if let Some(short) = short {
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_SYMBOL,
                format!("'{}' has no instruction at {within:#x}", short.name),
            )
            .label(request.span, format!("it is {:#x} bytes long", short.size)),
        ));
    }
    let point = |f: BinaryFunction| Point {
        shown: match within {
            0 => format!("\"{}\"", f.name),
            _ => format!("\"{}+{within:#x}\"", f.name),
        },
        function: BinaryFunction {
            address: f.address + within,
            offset: f.offset + within,
            ..f
        },
    };
    Ok(found.into_iter().map(point).collect())
}

/// The instruction at an address.
fn at_address(
    request: &Request<'_>,
    binary: &Binary,
    address: u64,
) -> Result<Point, Box<Diagnostic>> {
    let offset = binary.file_offset(address);
    let Some(offset) = offset.filter(|_| binary.is_code(address)) else {
        return Err(Box::new(
            Diagnostic::error(
                codes::NO_SYMBOL,
                format!("'{}' has no code at {address:#x}", binary.path),
            )
            .label(request.span, "in none of its segments that can be executed")
            .note("addresses are those that the file was linked for, as `nm` and `objdump -d` show them"),
        ));
    };
    let holder = binary.function_at(address);
    Ok(Point {
        shown: format!("{address:#x}"),
        function: BinaryFunction {
            name: holder.map_or_else(|| "".into(), |f| f.name.clone()),
            address,
            size: 0,
            offset,
            exported: false,
            is_ifunc: false,
        },
    })
}
